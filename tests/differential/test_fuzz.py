"""Random programs do on oxio what they do on asyncio, event by event. `make fuzz` asks the same question for longer."""

import asyncio
import re

import operations
import pytest
from backend import NAME
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from judge import STOCK, Different, Way, compare, ways
from mutants import MUTANTS, Names
from programs import HAS_SHUTDOWN, THEMES, programs
from replay import read

EXAMPLES = 30
"""Programs for each theme: some 20 s for all."""

BOUND = 300
"""Programs among which a mistake must show. The rarest of them shows in one of fifty."""

SLOW = pytest.mark.slow  # A few hundred loops each.

# The same programs in every run of the gate: what it finds is the change that is looked at.
bounded = settings(
    backend=NAME,
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def name(theme):
    return "-".join(sorted(theme))


@pytest.fixture
def oxio_ways(request):
    if "oxio" not in request.config.loops:
        pytest.skip("--loops leaves oxio out, and there is nothing to compare")
    return ways()


@SLOW
@pytest.mark.parametrize("theme", THEMES, ids=name)
def test_a_program_does_on_oxio_what_it_does_on_asyncio(theme, oxio_ways):
    others = [way for way in oxio_ways if way != "oxio"]

    @bounded
    @given(programs(themes=(theme,)), st.sampled_from(others))
    def check(program, other):
        compare(program, {way: oxio_ways[way] for way in ("oxio", other)})

    check()


@SLOW
def test_asyncio_agrees_with_itself():
    """Nothing in a trace is chance; and debug mode is no difference, without which it could not be compared."""
    themselves = {"asyncio": STOCK, "asyncio in debug mode": Way(STOCK.names, STOCK.loop_class, debug=True)}

    @settings(bounded, max_examples=250)
    @given(programs())
    def check(program):
        compare(program, themselves)

    check()


@SLOW
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.__name__}")
def test_the_fuzzer_notices(mutant):
    themes = (frozenset(MUTANTS[mutant][1].split()),)
    assert themes[0] in THEMES
    mistaken = {"mistaken": Way(Names(mutant), asyncio.SelectorEventLoop)}

    # Not shrunk: that it is found is enough.
    @settings(bounded, max_examples=BOUND, phases=[Phase.generate])
    @given(programs(themes=themes))
    def check(program):
        compare(program, mistaken)

    with pytest.raises(Different):
        check()


@SLOW
def test_every_operation_happens_and_most_can_fail():
    done, failed = set(), set()

    def perform(program):
        for event in STOCK.run(program).trace:
            for word in (" gives ", " raises "):
                what, found, _ = event.partition(word)
                if found:
                    (done if word == " gives " else failed).update(re.findall(r"(\w+)\(", what))

    for theme in THEMES:
        some = settings(bounded, max_examples=25, phases=[Phase.generate])
        some(given(programs(themes=(theme,)))(lambda program: perform(program)))()
    missing = {"Shutdown"} if not HAS_SHUTDOWN else set()
    every = {part.__name__ for part in vars(operations).values() if _is_performed(part)}
    assert every - done - failed == missing
    assert len(failed) > len(every) / 2


def _is_performed(part):
    bases = (operations.Operation, operations.Thing)
    abstract = (*bases, operations.Action, operations.Block)
    return isinstance(part, type) and issubclass(part, bases) and part not in abstract


def test_a_failing_program_shrinks_and_its_report_can_be_run():
    class Deaf(asyncio.Event):
        def set(self):
            pass

    Deaf.__name__ = Deaf.__qualname__ = "Event"
    Deaf.__module__ = "asyncio"

    class WithDeafEvent:
        Event = Deaf

        def __getattr__(self, name):
            return getattr(asyncio, name)

    mistaken = {"mistaken": Way(WithDeafEvent(), asyncio.SelectorEventLoop)}

    @bounded
    @given(programs(themes=(frozenset({"events", "time", "cancels"}),)))
    def check(program):
        compare(program, mistaken)

    with pytest.raises(Different) as caught:
        check()
    text = str(caught.value).split("<<'END'\n")[1].split("END")[0]
    program = read(text)
    assert sum(map(len, program.actors)) == 1, text
    with pytest.raises(Different):
        compare(program, mistaken)

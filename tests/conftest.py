"""Fixtures every kind of test shares: which loop, how to run on it, and a watchdog so that nothing hangs.

A behaviour is written once and runs on each loop of `--loops` (both by default). Stock asyncio is the
judge: a test of asyncio's behaviour that fails there is a wrong test. What only oxio promises is marked
`oxio_only("why")` and is not run on asyncio.
"""

import asyncio
import faulthandler
import gc
import importlib
import os
import pathlib
import signal

import pytest

TIME_LIMITS = {"behaviour": 25.0, "unit": 25.0, "memory": 60.0, "ecosystem": 60.0}
"""Seconds a test of each folder may take before it fails. Most take milliseconds; a forgotten wake-up, for ever."""

TIME_LIMIT = 300.0
"""For the other folders, whose tests build, type-check or run whole programs with time limits of their own."""

LAST_RESORT = 10.0
"""Seconds after the time limit at which the process dies with every thread's stack: the loop ignored the signal."""

LOOPS = ("asyncio", "oxio")

HERE = pathlib.Path(__file__).parent


class TookTooLong(KeyboardInterrupt):
    """Raised by the watchdog. A KeyboardInterrupt, because that is what every loop must let through."""


def pytest_addoption(parser):
    parser.addoption("--loops", default=",".join(LOOPS), help="which loops to test, e.g. --loops asyncio")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "oxio_only(reason, when=True): what oxio promises and this asyncio does not do"
    )
    config.addinivalue_line(
        "markers", "time_limit(seconds): this test may take longer than the watchdog's default"
    )
    config.loops = config.getoption("--loops").split(",")
    unknown = set(config.loops) - set(LOOPS)
    if unknown:
        raise pytest.UsageError(
            f"--loops: no such loop: {', '.join(sorted(unknown))}; there are {', '.join(LOOPS)}"
        )
    if "oxio" in config.loops:
        try:
            importlib.import_module("oxio").new_event_loop  # noqa: B018 (a namespace package imports without it)
        except (ImportError, AttributeError) as error:
            raise pytest.UsageError(
                f"oxio cannot be imported ({error}): build it, or pass --loops asyncio"
            ) from error
    # pytest redirects stderr during a test: the last resort must write to the real one.
    config.real_stderr = os.fdopen(os.dup(2), "w")


def pytest_unconfigure(config):
    stderr = getattr(config, "real_stderr", None)
    if stderr is not None:
        faulthandler.cancel_dump_traceback_later()
        stderr.close()


def pytest_generate_tests(metafunc):
    if "loop_name" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("oxio_only")
        only_oxio = marker is not None and marker.kwargs.get("when", True)
        names = [name for name in metafunc.config.loops if name == "oxio" or not only_oxio]
        metafunc.parametrize("loop_name", names)


def pytest_collection_finish(session):
    # Everything imported so far leaves the collector's sight: a full collection after each test costs about
    # a millisecond then, and reports of lost objects are blamed on the test that lost them.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    marker = item.get_closest_marker("time_limit")
    folder = item.path.relative_to(HERE).parts[0]
    seconds = marker.args[0] if marker else TIME_LIMITS.get(folder, TIME_LIMIT)

    def raise_too_long(signum, frame):
        raise TookTooLong

    previous = signal.signal(signal.SIGALRM, raise_too_long)
    # Again and again: clean-up after the first interruption may hang as well.
    signal.setitimer(signal.ITIMER_REAL, seconds, 2.0)
    faulthandler.dump_traceback_later(seconds + LAST_RESORT, exit=True, file=item.config.real_stderr)
    try:
        return (yield)
    except TookTooLong as error:
        raise AssertionError(f"hung: the watchdog stopped it after {seconds} s") from error
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def loop_module(loop_name):
    """The module a program would import: `asyncio` or `oxio`."""
    return importlib.import_module(loop_name)


@pytest.fixture
def loop_factory(loop_module):
    """Makes loops of the kind under test; those a test leaves open are closed after it."""
    made = []

    def factory():
        loop = loop_module.new_event_loop()
        made.append(loop)
        return loop

    yield factory
    for loop in made:
        if not loop.is_closed():
            loop.close()
    made.clear()


@pytest.fixture
def loop(loop_factory):
    """One fresh loop that is not running."""
    return loop_factory()


@pytest.fixture
def run(loop_factory):
    """`run(main(), debug=None)` is `asyncio.run` on the loop under test."""

    def run(main, *, debug=None):
        with asyncio.Runner(loop_factory=loop_factory, debug=debug) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def future_class(loop_module):
    return loop_module.Future


@pytest.fixture
def task_class(loop_module):
    return loop_module.Task

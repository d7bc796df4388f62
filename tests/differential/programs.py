"""Programs: what each starts with, and how Hypothesis makes them.

A program has a theme: the few families of operations that it is made of. Programs of everything would rarely have two
actors at the same lock, and programs of one thing would never meet a cancel in a queue inside a timeout.
"""

import asyncio
import functools
import itertools

import operations as o
from hypothesis import strategies as st
from world import INHERITED, VARIABLE

HAS_SHUTDOWN = hasattr(asyncio.Queue, "shutdown")
HAS_ASYNC_AS_COMPLETED = hasattr(asyncio.tasks, "_AsCompletedIterator")
HAS_EAGER_TASKS = hasattr(asyncio, "eager_task_factory")
HAS_SEPARATORS = "tuple" in (asyncio.StreamReader.readuntil.__doc__ or "")


@o.part
class Program(o.Part):
    """Actors, and what they share."""

    actors: tuple
    locks: int = 0
    semaphores: tuple = ()
    """Of each: the value, and whether it is bounded."""
    conditions: tuple = ()
    """Of each: the number of its lock, or None for one of its own."""
    events: int = 0
    barriers: tuple = ()
    queues: tuple = ()
    """Of each: the class, and maxsize."""
    readers: tuple = ()
    """Of each: the limit."""
    writers: int = 0
    futures: int = 0
    eager: bool = False

    def start(self, world):
        """Schedules the program on the world's loop."""
        world.eager = self.eager
        if self.eager:
            world.loop.set_task_factory(world.names.eager_task_factory)
        world.loop.create_task(self._start(world), name="main")

    async def _start(self, world):
        names, loop = world.names, world.loop
        VARIABLE.set(INHERITED)
        locks = [names.Lock() for _ in range(self.locks)]
        semaphores = [
            (names.BoundedSemaphore if bounded else names.Semaphore)(value)
            for value, bounded in self.semaphores
        ]
        conditions = [
            names.Condition() if lock is None or not locks else names.Condition(locks[lock % len(locks)])
            for lock in self.conditions
        ]
        writers = [_Transport(world, f"transport{i}").writer for i in range(self.writers)]
        world.pools = {
            "lock": locks,
            "semaphore": semaphores,
            "condition": conditions,
            "event": [names.Event() for _ in range(self.events)],
            "barrier": [names.Barrier(parties) for parties in self.barriers],
            "queue": [getattr(names, kind)(maxsize) for kind, maxsize in self.queues],
            "reader": [_Transport(world, f"source{i}", limit).reader for i, limit in enumerate(self.readers)],
            "writer": writers,
        }
        world.told = {}
        for kind, things in world.pools.items():
            for i, thing in enumerate(things):
                if kind != "writer":
                    world.resources[f"{kind}{i}"] = thing
        for i in range(self.futures):
            world.plain.append(world.adopt(loop.create_future(), f"future{i}"))
        for i, body in enumerate(self.actors):
            actor = o.Actor(world, f"actor{i}")
            world.adopt(loop.create_task(actor.run(body), name=actor.name), actor.name)

    def __str__(self):
        """The repr with a line for each actor."""
        text = repr(self)
        actors = "".join(f"    {body!r},\n" for body in self.actors)
        return text.replace(repr(self.actors), f"(\n{actors})", 1)


class _Transport(asyncio.Transport):
    """A connection to nowhere: it notes what is asked of it."""

    def __init__(self, world, name, limit=2**16):
        super().__init__()
        names, loop = world.names, world.loop
        self.world, self.name, self.closing = world, name, False
        world.transports.append(self)
        self.reader = names.StreamReader(limit, loop=loop)
        self.protocol = names.StreamReaderProtocol(self.reader, loop=loop)
        self.protocol.connection_made(self)
        self.writer = names.StreamWriter(self, self.protocol, self.reader, loop)

    def _note(self, what):
        self.world.note(self.name, what)

    def pause_reading(self):
        self._note("pause_reading")

    def resume_reading(self):
        self._note("resume_reading")

    def write(self, data):
        self._note(f"write {data!r}")

    def is_closing(self):
        return self.closing

    def close(self):
        self._note("close")
        if not self.closing:
            self.closing = True
            self.world.loop.call_soon(self.protocol.connection_lost, None)


# What Hypothesis makes
#
# Drawing costs more than running. So all that has no part inside is listed once for each theme, with every argument that
# matters, and drawn as a whole.

NUMBERS = (0, 1, 2, 3, 0, 1, 5)
"""Of something made while the program runs: actors come first."""
SMALL = (0, 0, 1)
"""Of something that the program starts with."""
UNITS = (1, 2, 0, 3, -1)
UNITS_OR_NONE = (1, 2, None, 0, 3, -1)
ITEMS = (0, 1, 2, 3, "odd")
DATA = (b"ab\n", b"a", b"\n", b"a\r\nb", b"abcdefgh", b"\nabc\n\nab", b"\r", b"")
SEPARATORS = (b"\n", b"\r\n", b"bc", b"", *([(b"\r\n", b"\n"), (b"c", b"bc"), ()] if HAS_SEPARATORS else []))
ERRORS = ("boom", "other", "timeout", "cancelled", "group")
HOSTILE_ERRORS = ("base", "stop", "interrupt", "exit")
MESSAGES = (None, "please")
CONTEXTS = ("same", "copy", "empty")
CONNECTION = ("pause", "resume", "lost", "reset", "eof", "data")

THEMES = tuple(
    frozenset(theme.split())
    for theme in (
        "locks cancels",
        "locks time waits",
        "semaphores cancels",
        "semaphores time waits",
        "conditions cancels",
        "conditions locks time waits",
        "events time cancels",
        "barriers cancels",
        "barriers time waits groups",
        "queues cancels",
        "queues takers cancels",
        "queues givers cancels",
        "queues time waits",
        "queues gathers groups",
        "queues shutdown cancels",
        "locks semaphores queues cancels time",
        "futures cancels callbacks",
        "futures gathers cancels",
        "futures gathers shields cancels",
        "futures waits time shields",
        "futures completed time",
        "futures waits cancels",
        "gathers time cancels",
        "gathers groups shields catches",
        "time catches cancels",
        "time locks catches cancels",
        "time waits groups catches",
        "groups cancels catches",
        "groups time futures",
        "readers cancels",
        "readers time waits",
        "writers cancels time",
        "context callbacks futures time",
        "context groups waits",
        "misuse locks queues events readers futures time",
        "hostile futures groups gathers",
        "hostile callbacks locks queues time",
        "futures locks queues events gathers waits shields completed time groups cancels callbacks",
    )
)


def every(kind, *arguments, weight=1):
    """A kind of part with every combination of arguments, as often in the list as `weight` says."""
    found = list(itertools.starmap(kind, itertools.product(*arguments)))
    return [found[i % len(found)] for i in range(max(30, len(found)) * weight)]


@functools.cache
def shared_things(theme):
    """Waits at what actors share."""
    found = []
    if "locks" in theme:
        found += every(o.Acquire, SMALL, weight=3)
    if "semaphores" in theme:
        found += every(o.AcquireSemaphore, SMALL, weight=3)
    if "conditions" in theme:
        found += every(o.AcquireCondition, SMALL)
        found += every(o.WaitCondition, SMALL) + every(o.WaitConditionFor, SMALL, (1, 2))
    if "events" in theme:
        found += every(o.WaitEvent, SMALL, weight=3)
    if "barriers" in theme:
        found += every(o.WaitBarrier, SMALL, weight=4)
        found += every(o.ResetBarrier, SMALL) + every(o.AbortBarrier, SMALL)
    if "queues" in theme:
        takes, gives = every(o.Get, SMALL, weight=2), every(o.Put, SMALL, ITEMS, weight=2)
        # Those who wait on one side only, so that several do.
        if "takers" in theme:
            found += takes
        elif "givers" in theme:
            found += gives
        else:
            found += takes + gives + every(o.JoinQueue, SMALL)
    if "readers" in theme:
        found += every(o.Read, SMALL, (-1, 0, 1, 4)) + every(o.ReadExactly, SMALL, (3, 5, 2, 9, 1, 0), weight=2)
        found += every(o.ReadLine, SMALL) + every(o.ReadUntil, SMALL, SEPARATORS)
    if "writers" in theme:
        found += every(o.Drain, SMALL, weight=2) + every(o.WaitClosed, SMALL)
    return found


@functools.cache
def shared_actions(theme):
    """What can be done to what actors share, without waiting."""
    found = []
    if "locks" in theme:
        found += every(o.Release, SMALL)
    if "semaphores" in theme:
        found += every(o.ReleaseSemaphore, SMALL)
    if "conditions" in theme:
        found += every(o.Notify, SMALL, (1, 2, None, 0), weight=2) + every(o.ReleaseCondition, SMALL)
    if "events" in theme:
        found += every(o.SetEvent, SMALL) + every(o.ClearEvent, SMALL)
    if "queues" in theme:
        found += every(o.PutNow, SMALL, ITEMS) + every(o.GetNow, SMALL)
        if not theme & {"takers", "givers"}:
            found += every(o.TaskDone, SMALL)
        if HAS_SHUTDOWN and theme & {"shutdown", "misuse"}:
            found += every(o.Shutdown, SMALL, (False, True))
    if "readers" in theme:
        found += every(o.Feed, SMALL, DATA, weight=4)
        found += every(o.FeedEnd, SMALL) + every(o.FailReader, SMALL, ERRORS)
    if "writers" in theme:
        found += every(o.Connection, SMALL, CONNECTION, weight=3)
        found += every(o.CloseWriter, SMALL) + every(o.Write, SMALL, DATA)
    return found


@functools.cache
def usual(theme):
    """What is only of use in company: a condition's wait and notify need its lock."""
    if "conditions" not in theme:
        return []
    found = [o.With("condition", i, (o.Await(thing),)) for i in SMALL for thing in (o.WaitCondition(i), o.WaitConditionFor(i, 2))]
    found += [o.With("condition", i, (o.Notify(i, n), *end)) for i in SMALL for n in (1, 2, None) for end in ((), (o.Pause(),))]
    return found * 10


@functools.cache
def simple_things(theme):
    """All that can be waited for and has no part inside."""
    found = [*shared_things(theme), *every(o.Made, NUMBERS, weight=1 if shared_things(theme) else 2)]
    if "time" in theme:
        found += every(o.Sleep, UNITS, (None, 5))
    return found


@functools.cache
def simple_actions(theme):
    """All that waits for nothing and has no part inside."""
    found = shared_actions(theme) * 2
    if theme & {"cancels", "catches"}:
        found += every(o.Cancel, NUMBERS, MESSAGES, weight=2) + every(o.Uncancel, (None, *NUMBERS))
    if theme & {"futures", "gathers", "shields", "completed", "callbacks"}:
        found += every(o.SetResult, SMALL, (0, 1), weight=2) + every(o.SetError, SMALL, ERRORS)
        found += every(o.NewFuture) + every(o.Ask, NUMBERS)
    if theme & {"groups", "gathers", "catches"}:
        found += every(o.Raise, ERRORS)
    if "hostile" in theme:
        found += every(o.Raise, HOSTILE_ERRORS) + every(o.SetError, SMALL, HOSTILE_ERRORS)
    if "context" in theme:
        found += every(o.SetVariable, (1, 2, 3))
    return found


@functools.cache
def callbacks(theme):
    """Actions by way of a callback."""
    inner = simple_actions(theme)
    found = [o.Later(None, action) for action in inner]
    if "time" in theme:
        found += [o.Later(units, action, cancel) for action in inner for units, cancel in ((1, False), (0, False), (2, False), (1, True))]
        found += every(o.Reschedule, SMALL, UNITS_OR_NONE, weight=1 + len(inner) // 30)
    if "callbacks" in theme:
        found += [o.OnDone(i, action, context) for action in inner for i in NUMBERS for context in CONTEXTS]
        found += every(o.NotOnDone, NUMBERS, weight=1 + len(inner) // 5)
    return found


@functools.cache
def actions(theme):
    simple = one(simple_actions(theme))
    return simple | simple | one(callbacks(theme))


@functools.cache
def things(theme, depth):
    """What can be waited for."""
    found = [one(simple_things(theme))] * 4
    if depth:
        inner = things(theme, depth - 1)
        several = lists(inner, 1, 4)
        found += [B(o.Run, bodies(theme, depth - 1))]
        if "gathers" in theme:
            found += [B(o.Gather, several, st.booleans(), st.sampled_from([False, False, True]))] * 2
            found += [st.just(o.Gather(()))]
        if "shields" in theme:
            found += [B(o.Shield, inner)] * 2
        if "waits" in theme:
            when = st.sampled_from(["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"])
            timeout = st.sampled_from(UNITS_OR_NONE if "time" in theme else (None, 0))
            found += [B(o.WaitFor, inner, timeout)] * 2
            found += [B(o.Wait, several, when, timeout, st.sampled_from([False] * 9 + [True]))] * 2
        if "misuse" in theme:
            found += [B(o.Wrapped, inner)]
    return st.one_of(found)


def shared_blocks(theme, body):
    """`async with` what actors share."""
    kinds = [kind for kind in ("lock", "semaphore", "condition", "barrier") if kind + "s" in theme]
    return [B(o.With, st.just(kind), st.sampled_from(SMALL), body) for kind in kinds]


def blocks(theme, depth):
    """Operations with a body."""
    inner, thing = bodies(theme, depth - 1), things(theme, depth)
    found = shared_blocks(theme, inner)
    how = st.sampled_from(["create_task", "create_task", "loop", "ensure_future", "Task"])
    if "context" in theme:
        found += [B(o.Start, thing, how, st.sampled_from(CONTEXTS))] * 4
    else:
        found += [B(o.Start, thing, how)]
    if "time" in theme:
        found += [B(o.Timeout, st.sampled_from(UNITS_OR_NONE), inner, st.booleans())] * 2
    if "groups" in theme:
        failing = st.tuples(PAUSE, one(every(o.Raise, ERRORS)))
        stubborn = st.tuples(B(o.Catch, inner, st.booleans()), PAUSE)
        child = inner | failing | st.just((o.Pause(3), o.Pause(3))) | stubborn
        found += [B(o.Group, lists(child, 0, 4), inner)] * 2
        found += [B(o.Join, st.sampled_from(SMALL), inner)]
    if theme & {"cancels", "catches"}:
        found += [B(o.Catch, inner, st.booleans()), B(o.Finally, inner, inner)]
    if "completed" in theme:
        forms = st.sampled_from(["plain", "async"] if HAS_ASYNC_AS_COMPLETED else ["plain"])
        several = lists(things(theme, depth - 1), 1, 4)
        count = st.sampled_from([None, 1, 2])
        found += [B(o.AsCompleted, several, st.sampled_from(UNITS_OR_NONE), forms, count)] * 2
    if "misuse" in theme:
        found += [B(o.Misuse, thing, st.sampled_from(["drop", "close", "throw", "twice"]))] * 2
    if "readers" in theme:
        found += [B(o.Lines, st.sampled_from(SMALL))]
    return st.one_of(found)


@functools.cache
def bodies(theme, depth):
    """What an actor does, which may be anything."""
    thing = things(theme, depth)
    found = [PAUSE, B(o.Await, thing), B(o.Await, thing, st.just(True)), actions(theme)]
    if depth:
        found += [blocks(theme, depth)] * 2
    return lists(st.one_of(found), *((0, 8) if depth == DEPTH else (1, 3)))


@functools.cache
def waits(theme):
    """Steps of an actor that hardly does anything but wait: somebody to be woken, passed over or cancelled."""
    found = [o.Await(thing) for thing in simple_things(theme)] + usual(theme)
    found += [o.Pause()] * (len(found) // 20)
    found += shared_actions(theme)[::3]
    simple = one(found)
    if shared_things(theme):
        return st.one_of([simple] * 3 + shared_blocks(theme, bodies(theme, 0)))
    return B(o.Await, things(theme, 1)) | B(o.Await, things(theme, 2)) | blocks(theme, 1) | blocks(theme, 2)


@functools.cache
def drives(theme):
    """Steps of an actor that hardly waits, so that much happens to the others in one turn."""
    found = [actions(theme), PAUSE]
    if usual(theme):
        found += [one(usual(theme))]
    if "cancels" in theme and shared_actions(theme):
        # Who is woken and cancelled in one turn must pass on what woke it.
        cancels = [o.Cancel(i) for i in (0, 0, 1)]
        found += [one([o.Both(action, cancel) for action in shared_actions(theme) for cancel in cancels])]
    return st.one_of(found)


@st.composite
def actors_of_few_steps(draw, theme):
    """Actors that do the same few things over and over: how several come to be at the same place."""
    waiting = draw(lists(waits(theme), 1, 1) | lists(waits(theme), 1, 3))
    driving = draw(lists(drives(theme), 1, 4)) + (o.Pause(),)
    if shared_actions(theme):
        driving += draw(lists(one(shared_actions(theme)), 1, 2))
    waiters = draw(shrinking(shrinking(st.sampled_from(waiting), 1, 4), 2, 5))
    return waiters + draw(shrinking(shrinking(st.sampled_from(driving), 4, 16), 1, 2))


@st.composite
def actors_of_any_steps(draw, theme):
    several = bodies(theme, DEPTH) | shrinking(waits(theme), 1, 5) | shrinking(drives(theme), 3, 14)
    return draw(shrinking(several, 1, 5))


def one(parts):
    """One of many parts, with a short repr: Hypothesis shows strategies, and these are some thousand long."""
    return st.sampled_from(_Many(parts))


class _Many(list):
    def __repr__(self):
        return f"[{self[0]!r}, … {len(self)}]"


@st.composite
def lists(draw, strategy, least, most):
    """Longer ones than Hypothesis's own, which are mostly of few elements."""
    return tuple([draw(strategy) for _ in range(draw(st.integers(least, most)))])


def shrinking(strategy, least, most):
    """As `lists`, and now and then a shorter one: what fails can then become shorter, too."""
    lengths = st.sampled_from([*range(least), *[*range(least, most + 1)] * 4])
    return lengths.flatmap(lambda length: st.tuples(*[strategy] * length))


B = st.builds
PAUSE = st.sampled_from([o.Pause(1), o.Pause(1), o.Pause(2), o.Pause(3)])
DEPTH = 2


@st.composite
def programs(draw, themes=THEMES):
    theme = draw(st.sampled_from(themes))
    # One of a kind more often than two: what matters happens where actors meet.
    several = st.sampled_from([1, 1, 1, 2])

    def resources(family, strategy):
        return tuple([draw(strategy) for _ in range(draw(several))]) if family in theme else ()

    classes = st.sampled_from(["Queue", "Queue", "Queue", "PriorityQueue", "LifoQueue"])
    few = actors_of_few_steps(theme)
    actors = draw(actors_of_any_steps(theme) | few | few if shared_things(theme) else actors_of_any_steps(theme) | few)
    return Program(
        actors=actors,
        locks=draw(several) if "locks" in theme else 0,
        semaphores=resources("semaphores", st.tuples(st.integers(0, 2), st.booleans())),
        conditions=resources("conditions", st.sampled_from([None, 0])),
        events=draw(several) if "events" in theme else 0,
        barriers=resources("barriers", st.sampled_from([2, 3, 1])),
        queues=resources("queues", st.tuples(classes, st.sampled_from([1, 0, 2]))),
        readers=resources("readers", st.sampled_from([4, 64, 1])),
        writers=1 if "writers" in theme else 0,
        futures=draw(several) if theme & {"futures", "callbacks", "gathers", "completed"} else 0,
        eager=HAS_EAGER_TASKS and draw(st.sampled_from([False] * 5 + [True])),
    )

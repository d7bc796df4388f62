"""Programs: what each starts with, and how Hypothesis makes them.

A program has a theme: the few families of operations that it is made of. Programs of everything would rarely have two
actors at the same lock, and programs of one thing would never meet a cancel in a queue inside a timeout.
"""

import asyncio
import functools
from dataclasses import dataclass

import operations as o
from hypothesis import strategies as st

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
        if self.eager:
            world.loop.set_task_factory(world.names.eager_task_factory)
        world.loop.create_task(self._start(world), name="main")

    async def _start(self, world):
        names, loop = world.names, world.loop
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
            world.adopt(loop.create_future(), f"future{i}")
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

number = st.integers(0, 7)
"""Of something made while the program runs."""
small = st.integers(0, 1)
"""Of something that the program starts with."""
units = st.sampled_from([1, 2, 0, 3, -1])
units_or_none = st.sampled_from([1, 2, None, 0, 3, -1])
items = st.sampled_from([0, 1, 2, 3, 3, 2, 1, "odd"])
data = st.sampled_from([b"a", b"ab\n", b"\n", b"a\r\nb", b"abcdefgh", b"\nabc\n\nab", b"\r", b""])
errors = st.sampled_from(["boom", "boom", "other", "timeout", "cancelled", "group"])
hostile_errors = st.sampled_from(["base", "stop", "interrupt", "exit", "boom"])
messages = st.sampled_from([None, None, "please"])
contexts = st.sampled_from(["same", "same", "copy", "empty"])
B = st.builds

THEMES = tuple(
    frozenset(theme.split())
    for theme in (
        "locks cancels",
        "locks time waits",
        "semaphores cancels",
        "semaphores time waits gathers",
        "conditions cancels",
        "conditions locks time waits",
        "events time cancels",
        "barriers cancels",
        "barriers time waits groups",
        "queues cancels",
        "queues time waits",
        "queues gathers groups",
        "queues shutdown cancels",
        "locks semaphores conditions events barriers queues cancels",
        "futures cancels callbacks",
        "futures gathers cancels",
        "futures gathers shields cancels",
        "futures waits time shields",
        "futures completed time",
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
        "misuse locks queues events readers futures time",
        "hostile futures groups gathers",
        "hostile callbacks locks queues time",
        "futures locks semaphores queues events gathers waits shields completed time groups cancels catches callbacks",
        "context locks queues gathers waits shields time groups cancels catches callbacks misuse",
    )
)


@functools.cache
def things(theme, depth):
    """What can be waited for."""
    found = [B(o.Made, number)]
    if depth:
        inner = things(theme, depth - 1)
        several = st.lists(inner, max_size=4).map(tuple)
        found += [B(o.Run, bodies(theme, depth - 1))]
        if "gathers" in theme:
            found += [B(o.Gather, several, st.booleans(), st.sampled_from([False, False, True]))] * 2
        if "shields" in theme:
            found += [B(o.Shield, inner)] * 2
        if "waits" in theme:
            found += [B(o.WaitFor, inner, units_or_none)] * 2
            when = st.sampled_from(["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"])
            found += [B(o.Wait, several, when, units_or_none, st.sampled_from([False] * 7 + [True]))]
        if "misuse" in theme:
            found += [B(o.Wrapped, inner)]
    if "time" in theme:
        found += [B(o.Sleep, units, st.sampled_from([None, 5]))]
    if "locks" in theme:
        found += [B(o.Acquire, small)]
    if "semaphores" in theme:
        found += [B(o.AcquireSemaphore, small)]
    if "conditions" in theme:
        found += [B(o.AcquireCondition, small), B(o.WaitCondition, small)]
        found += [B(o.WaitConditionFor, small, st.integers(1, 2))]
    if "events" in theme:
        found += [B(o.WaitEvent, small)]
    if "barriers" in theme:
        found += [B(o.WaitBarrier, small)] * 3 + [B(o.ResetBarrier, small), B(o.AbortBarrier, small)]
    if "queues" in theme:
        found += [B(o.Put, small, items), B(o.Get, small), B(o.Put, small, items), B(o.Get, small)]
        found += [B(o.JoinQueue, small)]
    if "readers" in theme:
        found += [B(o.Read, small, st.sampled_from([-1, 0, 1, 4])), B(o.ReadExactly, small, st.integers(0, 5))]
        separators = [b"\n", b"\r\n", b"bc", b""]
        if HAS_SEPARATORS:
            separators += [(b"\r\n", b"\n"), (b"c", b"bc"), ()]
        found += [B(o.ReadLine, small), B(o.ReadUntil, small, st.sampled_from(separators))]
    if "writers" in theme:
        found += [B(o.Drain, small), B(o.Drain, small), B(o.WaitClosed, small)]
    return st.one_of(found)


@functools.cache
def actions(theme, depth):
    """What waits for nothing."""
    found = [B(o.Nothing)]
    if theme & {"cancels", "catches"}:
        found += [B(o.Cancel, number, messages)] * 3 + [B(o.Uncancel, st.none() | number)]
    if theme & {"futures", "gathers", "waits", "shields", "completed", "callbacks"}:
        found += [B(o.NewFuture), B(o.SetResult, number, st.integers(0, 3)), B(o.SetError, number, errors)]
        found += [B(o.Ask, number)]
    if theme & {"groups", "gathers", "catches", "futures"}:
        found += [B(o.Raise, errors)]
    if "hostile" in theme:
        found += [B(o.Raise, hostile_errors), B(o.SetError, number, hostile_errors)]
    if "context" in theme:
        found += [B(o.SetVariable, st.integers(1, 3))] * 2
    if "locks" in theme:
        found += [B(o.Release, small)] * 2
    if "semaphores" in theme:
        found += [B(o.ReleaseSemaphore, small)] * 2
    if "conditions" in theme:
        found += [B(o.Notify, small, st.sampled_from([1, 2, None, 0]))] * 2 + [B(o.ReleaseCondition, small)]
    if "events" in theme:
        found += [B(o.SetEvent, small), B(o.ClearEvent, small)]
    if "queues" in theme:
        found += [B(o.PutNow, small, items), B(o.GetNow, small), B(o.TaskDone, small), B(o.TaskDone, small)]
        if HAS_SHUTDOWN and ("shutdown" in theme or "misuse" in theme):
            found += [B(o.Shutdown, small, st.booleans())]
    if "readers" in theme:
        found += [B(o.Feed, small, data)] * 4 + [B(o.FeedEnd, small), B(o.FailReader, small, errors)]
    if "writers" in theme:
        events = st.sampled_from(["pause", "pause", "resume", "lost", "reset", "eof", "data"])
        found += [B(o.Connection, small, events)] * 3 + [B(o.CloseWriter, small), B(o.Write, small, data)]
    if depth:
        then = actions(theme, depth - 1)
        if "callbacks" in theme:
            found += [B(o.OnDone, number, then, contexts), B(o.NotOnDone, number)]
        if theme & {"callbacks", "time", "cancels"}:
            found += [B(o.Later, st.none() | units, then, st.sampled_from([False] * 5 + [True]))]
        if "groups" in theme:
            found += [B(o.Join, number, bodies(theme, depth - 1))]
        if "time" in theme:
            found += [B(o.Reschedule, number, units_or_none)]
    return st.one_of(found)


@functools.cache
def steps(theme, depth):
    """What an actor does."""
    thing = things(theme, depth)
    pause = B(o.Pause, st.integers(1, 3))
    found = [pause, B(o.Await, thing, st.sampled_from([False, False, False, True])), actions(theme, min(depth, 1))]
    found += [B(o.Await, thing), actions(theme, min(depth, 1))]
    if depth:
        how = st.sampled_from(["create_task", "create_task", "loop", "ensure_future", "Task"])
        found += [B(o.Start, thing, how, contexts if "context" in theme else st.just("same"))]
        inner = bodies(theme, depth - 1)
        if "time" in theme:
            found += [B(o.Timeout, units_or_none, inner, st.booleans())] * 2
        if "groups" in theme:
            found += [B(o.Group, st.lists(inner, max_size=3).map(tuple), inner)] * 2
        if "catches" in theme or "cancels" in theme:
            found += [B(o.Catch, inner, st.booleans()), B(o.Finally, inner, inner)]
        if "completed" in theme:
            forms = ["plain", "async"] if HAS_ASYNC_AS_COMPLETED else ["plain"]
            several = st.lists(things(theme, depth - 1), max_size=4).map(tuple)
            found += [B(o.AsCompleted, several, units_or_none, st.sampled_from(forms), st.none() | st.integers(1, 2))] * 3
        for family, kind in (
            ("locks", "lock"),
            ("semaphores", "semaphore"),
            ("conditions", "condition"),
            ("barriers", "barrier"),
        ):
            if family in theme:
                found += [B(o.With, st.just(kind), small, inner)] * 2
        if "misuse" in theme:
            found += [B(o.Misuse, thing, st.sampled_from(["drop", "close", "throw", "twice"]))] * 2
    if "readers" in theme:
        found += [B(o.Lines, small)]
    return st.one_of(found)


@functools.cache
def bodies(theme, depth):
    return st.lists(steps(theme, depth), max_size=3 + 2 * (depth == 2)).map(tuple)


DEPTH = 2


@st.composite
def programs(draw, themes=THEMES):
    theme = draw(st.sampled_from(themes))
    several = st.integers(1, 2)

    def resources(family, strategy):
        return tuple(draw(st.lists(strategy, min_size=1, max_size=2))) if family in theme else ()

    classes = st.sampled_from(["Queue", "Queue", "PriorityQueue", "LifoQueue"])
    return Program(
        actors=tuple(draw(st.lists(bodies(theme, DEPTH), min_size=1, max_size=4))),
        locks=draw(several) if "locks" in theme else 0,
        semaphores=resources("semaphores", st.tuples(st.integers(0, 2), st.booleans())),
        conditions=resources("conditions", st.none() | small),
        events=draw(several) if "events" in theme else 0,
        barriers=resources("barriers", st.integers(1, 3)),
        queues=resources("queues", st.tuples(classes, st.integers(0, 2))),
        readers=resources("readers", st.sampled_from([4, 64, 1])),
        writers=1 if "writers" in theme else 0,
        futures=draw(st.integers(0, 2)),
        eager=HAS_EAGER_TASKS and draw(st.sampled_from([False] * 5 + [True])),
    )

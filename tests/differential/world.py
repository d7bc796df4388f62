"""Runs one program on one loop with one module's names, and writes down everything that can be seen.

Nothing here waits for real. Time stands still while anything is ready and goes on by whole seconds when the loop is
idle, so a program has one trace and not many. Who calls `idle` differs: asyncio's loop has a selector of ours, which
is asked to block exactly when nothing is ready; oxio's loop watches a descriptor that is always readable, and many
polls in a row without any event mean the same. All that follows from being idle is in `World.idle`, so both loops do
the same then.

A turn of the loop is counted by a callback that schedules itself again (`_tick`). Every event has the number of its
turn, so one hop more or less is a difference even when nobody else is there to be overtaken.

The collector is off while a program runs: what only dies in a collection must not be reported at a moment of its own.
"""

import asyncio
import contextlib
import contextvars
import functools
import gc
import os
import re
import selectors
import sys
import warnings
from asyncio import base_events
from dataclasses import dataclass

START = 1000.0
"""Where the clock stands at first. Whole seconds, so that differences of times are exact."""

SLOTS = 512
"""Parts of a second that keep two timers of one second apart: equal deadlines have no order in asyncio's heap."""

HORIZON = 6
"""Idle seconds after which nothing is expected any more; longer than every delay of a program."""

QUIET_TICKS = 8
"""Turns without an event after which turns are no longer counted, so that the loop can become idle."""

QUIET_POLLS = 25
"""Polls without an event that mean idle: more than any chain of hops that leaves no trace."""

RESCUES = 8
"""How often a deadlock is broken by cancelling before the program is given up."""

SEPARATE_RESCUES = 3
"""So many of them cancel the oldest waiter only; after that all are cancelled at once."""

MOST_CANCELS = 99
"""More cancels of one task are those of a circle: how many fit on the stack is nobody's promise."""

MOST_EVENTS = 3000
MOST_TURNS = 20_000
"""A program that does more is one that asyncio spins with, or the fuzzer's own mistake."""

VARIABLE = contextvars.ContextVar("variable", default=None)
INHERITED = 0
"""Its value where nothing sets it, but for those who run in an empty context."""


@dataclass(frozen=True)
class Outcome:
    """What was seen: events in their order, and reports that come when objects die, in no order."""

    trace: list
    reports: list

    def lines(self):
        return [*self.trace, *(f"at the end: {report}" for report in self.reports)]


class Interrupt(KeyboardInterrupt):
    """A Ctrl-C of the program's own, to be told from a real one."""


class Exit(SystemExit):
    pass


class Endless(KeyboardInterrupt):
    """Out of here: nothing holds a KeyboardInterrupt in the loop."""


class World:
    """A running program: its objects, its clock, its trace."""

    def __init__(self, names, loop, clock):
        self.names, self.loop, self.clock = names, loop, clock
        self.trace = []
        self.reports = []
        self.made = []
        """Futures and tasks in the order in which they became known: what cancels and waits refer to."""
        self.plain = []
        """Those of them that are nothing but futures."""
        self.known = {}
        self.callbacks = []
        self.timeouts = []
        self.groups = []
        self.transports = []
        self.resources = {}
        self.muted = False
        self._states = {}
        self._serial = 0
        self._turn = 0
        self._quiet_ticks = QUIET_TICKS
        self._ticking = False
        self.quiet_polls = 0
        self._idle_seconds = 0
        self._events_when_idle = 0
        self._rescues = 0

    # Names

    def fresh(self, prefix):
        self._serial += 1
        return f"{prefix}{self._serial}"

    def adopt(self, future, name=None):
        """Makes a future or task one of those that the program refers to."""
        if future is not None and future not in self.known:
            self.known[future] = name or self.fresh("f")
            self.made.append(future)
        return future

    def delay(self, units):
        """Seconds for a number of units, which no other timer of the same second shares."""
        if units is None:
            return None
        self._serial += 1
        # 197 is odd, so no two of 512 in a row are equal; and later timers are not always the later ones.
        part = (self._serial * 197 % SLOTS + 0.5) / SLOTS
        return units - 1 + part if units > 0 else -part

    # The trace

    def note(self, who, what):
        if self.muted:
            return
        self._quiet_ticks = self.quiet_polls = 0
        if not self._ticking:
            self._start_ticking()
        task = self.names.current_task(self.loop)
        at = "" if task is None else f" @{self.known.get(task, '?')}"
        if task is not None and (count := task.cancelling()):
            if count > MOST_CANCELS:
                self.give_up()
                return
            at += f" cancelling={count}"
        variable = VARIABLE.get()
        if variable != INHERITED and who not in ("end", "deadlock"):
            at += f" variable={variable}"
        self.trace.append(f"{self._turn:>3} {who}{at}: {what}{self._changes()}")
        if len(self.trace) > MOST_EVENTS:
            raise Endless("a program without an end")

    def _changes(self):
        """The objects whose looks have changed since the last event."""
        changes = []
        for name, thing in self.resources.items():
            state = scrub(repr(thing)) + looks(thing)
            if self._states.get(name) != state:
                self._states[name] = state
                changes.append(f"\n        {name}: {state}")
        return "".join(changes)

    def show(self, value):
        """`value` as text that is the same for objects that mean the same."""
        if isinstance(value, BaseException):
            return self._show_error(value)
        if isinstance(value, (list, tuple)):
            return f"{type(value).__name__}({', '.join(map(self.show, value))})"
        if isinstance(value, (set, frozenset)):
            return f"{{{', '.join(sorted(map(self.show, value)))}}}"
        if asyncio.isfuture(value):
            return self.known.get(value) or f"unknown {type(value).__name__}"
        return scrub(repr(value))

    def _show_error(self, error, depth=2):
        if isinstance(error, RecursionError):
            self.give_up()
        parts = [*error.args]
        if isinstance(error, BaseExceptionGroup):
            parts = [error.message, *error.exceptions]
        text = f"{type(error).__name__}({', '.join(map(self.show, parts))})"
        for key, value in sorted(vars(error).items()):
            text += f" {key}={self.show(value)}"
        if depth:
            if error.__cause__ is not None:
                text += f" from [{self._show_error(error.__cause__, depth - 1)}]"
            elif error.__context__ is not None and not error.__suppress_context__:
                text += f" during [{self._show_error(error.__context__, depth - 1)}]"
        return text

    def show_made(self):
        """How every future and task ended. `repr`, because asking for an exception would mark it as seen."""
        for future in self.made:
            text = scrub(repr(future))
            if future.done() and not future.cancelled() and future._exception is None:
                text += self.show(future.result())
            self.note("end", f"{self.known[future]} {text}")

    def on_exception(self, loop, context):
        """The loop's exception handler."""
        if self.muted:
            return
        if isinstance(context.get("exception"), RecursionError):
            self.give_up()
            return
        context = {key: value for key, value in context.items() if not key.endswith("traceback")}
        message = scrub(context.pop("message"))
        text = f"{message} " + " ".join(f"{key}={self.show(value)}" for key, value in sorted(context.items()))
        if "never retrieved" in message or "was destroyed" in message:
            # These come when an object dies. When that is, is not promised.
            self.reports.append(re.sub(r"=unknown \w+|=[a-z]+\d+|", "", text))
        else:
            self.note("loop", f"reports {text}")

    def on_unraisable(self, unraisable):
        """What nobody could raise, such as an error in a coroutine that dies."""
        if not self.muted:
            self.reports.append(f"ignored: {self.show(unraisable.exc_value)}")

    # Time and turns

    def _start_ticking(self):
        self._ticking = True
        self._quiet_ticks = 0
        self.loop.call_soon(self._tick)

    def _tick(self):
        self._turn += 1
        if self._turn > MOST_TURNS:
            raise Endless("a program without an end")
        self._quiet_ticks += 1
        self.quiet_polls = 0
        self._ticking = self._quiet_ticks < QUIET_TICKS
        if self._ticking:
            self.loop.call_soon(self._tick)

    def on_poll(self):
        """oxio's loop has polled."""
        self.quiet_polls += 1
        if self.quiet_polls >= QUIET_POLLS:
            self.quiet_polls = 0
            self.idle()

    def idle(self):
        """Nothing is ready: time goes on, or there is nothing to wait for."""
        if self.muted:
            self.loop.stop()
            return
        if self._events_when_idle != len(self.trace):
            self._events_when_idle = len(self.trace)
            self._idle_seconds = 0
        self._idle_seconds += 1
        if self._idle_seconds <= HORIZON:
            self.clock.now += 1
            self._start_ticking()
        else:
            self._idle_seconds = 0
            self._break_deadlock()

    def _break_deadlock(self):
        waiting = [future for future in self.made if hasattr(future, "get_coro") and not future.done()]
        if not waiting or self._rescues == RESCUES:
            self.loop.stop()
            return
        self._rescues += 1
        if self._rescues <= SEPARATE_RESCUES:
            del waiting[1:]
        self.note("deadlock", f"cancels {self.show(waiting)}")
        for future in waiting:
            try:
                future.cancel()
            except RecursionError:
                self.give_up()
                return

    def give_up(self):
        """Tasks that wait for each other cannot be cancelled. How far the attempt came is nobody's promise."""
        if not self.muted:
            self.trace.append("end: a circle of waiters")
        self.muted = True
        self.loop.stop()

    def run(self):
        """Until the program has ended or can do nothing more."""
        while True:
            try:
                self.loop.run_forever()
                return
            except (Interrupt, Exit) as error:
                self.note("loop", f"is left by {self.show(error)}")

    def end(self):
        """Cancels what is left, without a trace: in which order asyncio has its tasks is chance."""
        self.note("end", f"{len(asyncio.all_tasks(self.loop))} tasks left")
        self.resources.clear()
        # The reports of what is done come now, before anything that chance decides.
        waiting = [future for future in self.made if not future.done()]
        for kept in (self.made, self.plain, self.known, self.timeouts, self.groups, self.callbacks):
            kept.clear()
        gc.collect(0)
        self.muted = True
        for transport in self.transports:
            transport.closing = True
        self.transports.clear()
        for _ in range(10):
            left = asyncio.all_tasks(self.loop)
            if not left:
                break
            for task in left:
                with contextlib.suppress(RecursionError):
                    task.cancel()
            del task
            left.clear()
            self.run()
        waiting.clear()


def scrub(text):
    """Without what may differ: addresses, the module of a class, names of tasks, callbacks, coroutines, results."""
    text = re.sub(r" at 0x[0-9a-f]+|0x[0-9a-f]+", "", text)
    text = re.sub(r"(?<![\w.])(?:asyncio|oxio|_asyncio)\.(?:\w+\.)*(?=\w)", "", text)
    text = re.sub(r" created at \S+:\d+", "", text)
    # Debug mode shows arguments as well.
    text = re.sub(r"Exception in callback .*", "Exception in callback", text)
    text = re.sub(r"<(TimerHandle|Handle) .*>", r"<\1>", text)
    # oxio names a task before its eager start; asyncio, up to some patch release of 3.13, after it.
    text = re.sub(r" name='[^']*'", "", text)
    # What a task runs and waits for may be native objects; that it waits is in the trace by other means.
    text = re.sub(r" (?:wait_for|coro)=<(?:[^<>]|<[^<>]*>)*>", "", text)
    text = re.sub(r" cb=\[.*?\](?=[ >])", "", text)
    # It may be the sets that wait() returned, in an order of chance.
    return re.sub(r" result=.*(?=>)", " result", text)


def looks(thing):
    """What an object says about itself besides its repr."""
    said = []
    for method in ("locked", "is_set", "qsize", "empty", "full", "at_eof", "expired", "when", "is_closing"):
        ask = getattr(thing, method, None)
        if ask is not None:
            said.append(f"{method}={ask()}")
    for attribute in ("_value", "n_waiting", "parties", "broken", "maxsize"):
        value = getattr(thing, attribute, None)
        if value is not None:
            said.append(f"{attribute}={value}")
    return " " + " ".join(said)


class Clock:
    """The time of one run."""

    def __init__(self):
        self.now = START


class _IdleSelector(selectors.SelectSelector):
    """What asyncio's loop polls. It never blocks: being asked to is how a loop says that it is idle."""

    on_idle = None

    def select(self, timeout=None):
        if timeout is None or timeout > 0:
            self.on_idle()
        return []


class _Patient:
    """A loop whose clock is ours."""

    clock = None

    def time(self):
        return self.clock.now


@functools.cache
def _patient(loop_class):
    return type(loop_class.__name__, (_Patient, loop_class), {})


_always_readable = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def is_stock(loop_class):
    """Whether asyncio's own code polls."""
    return loop_class._run_once is base_events.BaseEventLoop._run_once


def run(program, names, loop_class, *, debug=False, clock=None):
    """One run of a program. `clock` is the clock of the process if that one can be set (see clock.py)."""
    own_clock = clock is None
    clock = clock or Clock()
    clock.now = START
    selector = _IdleSelector() if is_stock(loop_class) else None
    loop = (_patient(loop_class) if own_clock else loop_class)(selector)
    if own_clock:
        loop.clock = clock
    # Nothing that happens here is slow for another reason than the machine.
    loop.slow_callback_duration = float("inf")
    world = World(names, loop, clock)
    if selector is not None:
        selector.on_idle = world.idle
    else:
        loop.add_reader(_always_readable, world.on_poll)
    loop.set_exception_handler(world.on_exception)
    loop.set_debug(debug)
    with _reports_caught(world.on_unraisable) as caught:
        try:
            program.start(world)
            world.run()
            world.show_made()
            world.end()
        finally:
            if selector is None:
                loop.remove_reader(_always_readable)
            loop.close()
        # What dies now belongs to what chance decided, but for the warnings.
        sys.unraisablehook = _ignore
        loop = selector = None
        trace, reports = world.trace, world.reports
        del world
        # Objects of this run only: no collection between the two calls moved anything further.
        gc.collect(1 if sys.version_info < (3, 14) else 2)
        while caught:
            # Letting go of a warning lets go of what it is about, which may bring the next one.
            while caught:
                warning = caught.pop()
                reports.append(f"{warning.category.__name__}: {scrub(str(warning.message).splitlines()[0])}")
                del warning
            # What a warning kept alive in a cycle has outlived a collection, and must not be found in the next run.
            gc.collect()
    return Outcome(trace, sorted(reports))


@contextlib.contextmanager
def _reports_caught(on_unraisable):
    """Without the collector; a list that gets all warnings."""
    enabled, hook = gc.isenabled(), sys.unraisablehook
    gc.disable()
    sys.unraisablehook = on_unraisable
    del on_unraisable
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        sys.unraisablehook = hook
        if enabled:
            gc.enable()


def _ignore(unraisable):
    pass

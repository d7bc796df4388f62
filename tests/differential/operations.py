"""What a program of the fuzzer is made of, and what each part does.

A program is data: actors, which are sequences of operations. An operation that waits, waits for a *thing* (the result
of a call such as `queue.get()`, or a task, or a gather of more things). Everything refers to objects by number, modulo
how many there are, so every program is a valid one and a smaller one stays valid.

The reprs are Python: a failing program is printed, and can be pasted back (see replay.py).
"""

import asyncio
import contextvars
import dataclasses
from dataclasses import dataclass

from world import VARIABLE, Exit, Interrupt


class Boom(Exception):
    """The programs' own error."""


class BaseBoom(BaseException):
    pass


ERRORS = {
    "boom": lambda: Boom(1),
    "other": lambda: LookupError("other"),
    "timeout": lambda: TimeoutError("own"),
    "cancelled": lambda: asyncio.CancelledError("own"),
    "base": lambda: BaseBoom(2),
    "stop": lambda: StopIteration(3),
    "interrupt": lambda: Interrupt("own"),
    "exit": lambda: Exit("own"),
    "group": lambda: ExceptionGroup("own", [Boom(4)]),
}


class Part:
    """A piece of a program. Its repr leaves out what is the default."""

    needs = None
    """The kind of resource it works on, named by its field `i`."""

    def __repr__(self):
        shown = []
        positional = True
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                positional = False
            else:
                shown.append(repr(value) if positional else f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def brief(self):
        """The repr without the parts inside."""
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Part):
                shown.append(value.brief())
            elif isinstance(value, tuple):
                shown.append(f"{len(value)} parts")
            else:
                shown.append(repr(value))
        return f"{type(self).__name__}({', '.join(shown)})"

    def pick(self, me):
        """The resource that it works on."""
        return me.world.pools[self.needs][self.i % len(me.world.pools[self.needs])]


class Skip(Exception):
    """There is nothing it could work on."""


part = dataclass(frozen=True, repr=False)


class Actor:
    """Who performs a sequence of operations."""

    def __init__(self, world, name=None):
        self.world, self.name, self.step = world, name or world.fresh("t"), 0

    def note(self, what):
        self.world.note(f"{self.name}.{self.step}", what)

    async def run(self, body):
        """The body as a coroutine, most often that of a task."""
        self.world.adopt(self.world.names.current_task(), self.name)
        self.note("starts")
        try:
            await self.perform(body)
        except BaseException as error:
            self.note(f"ends by {self.world.show(error)}")
            raise
        self.note("ends")
        return self.name

    async def perform(self, body):
        for operation in body:
            await self.do(operation)

    async def do(self, operation):
        """One operation. Its failure is noted, and ends this actor only if it is more than an error."""
        if self.world.muted:
            return
        self.step += 1
        step, actor = self.step, self.name
        note, show = self.world.note, self.world.show
        try:
            value = await operation.do(self)
        except Skip:
            pass
        except RecursionError:
            self.world.give_up()
        except BaseException as error:
            note(f"{actor}.{step}", f"{operation.brief()} raises {show(error)}")
            if operation.lets_through(error):
                raise
        else:
            note(f"{actor}.{step}", f"{operation.brief()} gives {show(value)}")

    def call(self, operation, why):
        """An operation that waits for nothing, in a callback."""
        if self.world.muted:
            return
        try:
            value = operation.act(self)
        except Skip:
            pass
        except RecursionError:
            self.world.give_up()
        except BaseException as error:
            self.world.note(f"{self.name} {why}", f"{operation.brief()} raises {self.world.show(error)}")
            if operation.lets_through(error):
                raise
        else:
            self.world.note(f"{self.name} {why}", f"{operation.brief()} gives {self.world.show(value)}")


class Operation(Part):
    async def do(self, me):
        raise NotImplementedError

    def lets_through(self, error):
        return not isinstance(error, Exception)


class Action(Operation):
    """An operation that waits for nothing, so that a callback can do it as well."""

    async def do(self, me):
        return self.act(me)

    def act(self, me):
        raise NotImplementedError


class Thing(Part):
    """What can be waited for."""

    def make(self, me):
        raise NotImplementedError


class Block(Operation):
    """An operation with a body."""


def made(me, i):
    if not me.world.made:
        raise Skip
    return me.world.made[i % len(me.world.made)]


# Waiting


@part
class Await(Operation):
    thing: Thing
    through: bool = False

    async def do(self, me):
        return await self.thing.make(me)

    def lets_through(self, error):
        return self.through or super().lets_through(error)


@part
class Start(Operation):
    """Makes a task of a thing."""

    thing: Thing
    how: str = "create_task"
    context: str = "same"

    async def do(self, me):
        return self.start(me)

    def start(self, me):
        names, loop = me.world.names, me.world.loop
        awaitable = self.thing.make(me)
        if asyncio.isfuture(awaitable) or not asyncio.iscoroutine(awaitable) or self.how == "ensure_future":
            return me.world.adopt(names.ensure_future(awaitable))
        name = me.world.fresh("t")
        keywords = {"name": name}
        if self.context == "empty":
            keywords["context"] = contextvars.Context()
        elif self.context == "copy":
            keywords["context"] = contextvars.copy_context()
        if self.how == "Task":
            task = names.Task(awaitable, loop=loop, **keywords)
        elif self.how == "loop":
            task = loop.create_task(awaitable, **keywords)
        else:
            task = names.create_task(awaitable, **keywords)
        return me.world.adopt(task, name)


@part
class Misuse(Operation):
    """Makes a thing and treats it as nobody should."""

    thing: Thing
    how: str

    async def do(self, me):
        awaitable = self.thing.make(me)
        if not hasattr(awaitable, "send"):
            raise Skip
        if self.how == "drop":
            del awaitable
        elif self.how == "close":
            awaitable.close()
            return await awaitable
        elif self.how == "throw":
            awaitable.throw(Boom(9))
        else:
            first = await awaitable
            me.note(f"first time {me.world.show(first)}")
            return await awaitable


@part
class Pause(Operation):
    times: int = 1

    async def do(self, me):
        for _ in range(self.times):
            await me.world.names.sleep(0)


@part
class Sleep(Thing):
    units: int
    value: object = None

    def make(self, me):
        delay = me.world.delay(self.units) if self.units else 0
        return me.world.names.sleep(delay, self.value)


@part
class Run(Thing):
    """An actor of its own."""

    body: tuple

    def make(self, me):
        return Actor(me.world).run(self.body)


@part
class Made(Thing):
    """A future or task that exists."""

    i: int

    def make(self, me):
        return made(me, self.i)


@part
class Wrapped(Thing):
    """An object that is no coroutine but has `__await__`."""

    thing: Thing

    def make(self, me):
        return _Awaitable(self.thing.make(me))


class _Awaitable:
    def __init__(self, awaitable):
        self.awaitable = awaitable

    def __await__(self):
        value = yield from self.awaitable.__await__()
        return value


# Futures and tasks


@part
class NewFuture(Action):
    def act(self, me):
        future = me.world.loop.create_future()
        me.world.plain.append(future)
        return me.world.adopt(future)


@part
class SetResult(Action):
    i: int
    value: int = 0

    def act(self, me):
        if not me.world.plain:
            raise Skip
        me.world.plain[self.i % len(me.world.plain)].set_result(self.value)


@part
class SetError(Action):
    i: int
    kind: str = "boom"

    def act(self, me):
        if not me.world.plain:
            raise Skip
        me.world.plain[self.i % len(me.world.plain)].set_exception(ERRORS[self.kind]())


@part
class Cancel(Action):
    i: int
    message: str | None = None

    def act(self, me):
        future = made(me, self.i)
        answer = future.cancel() if self.message is None else future.cancel(self.message)
        return future, answer, future.cancelled(), getattr(future, "cancelling", int)()


@part
class Uncancel(Action):
    i: int | None = None

    def act(self, me):
        task = me.world.names.current_task() if self.i is None else made(me, self.i)
        if not hasattr(task, "uncancel"):
            raise Skip
        return task, task.uncancel(), task.cancelling()


@part
class Ask(Action):
    """Everything that a future or task says about itself."""

    i: int

    def act(self, me):
        future = made(me, self.i)
        said = [future, future.done(), future.cancelled()]
        for question in (future.result, future.exception):
            try:
                said.append(question())
            except BaseException as error:
                said.append(error)
        if hasattr(future, "cancelling"):
            said.append(future.cancelling())
            if not me.world.eager:
                # See `world.scrub` about the name. What runs, perhaps to start another, has the loop's frames as well.
                said.append(future.get_name().partition("-")[0])
                if future is not me.world.names.current_task():
                    said.append(len(future.get_stack()))
        return said


@part
class OnDone(Action):
    """A callback of a future or task."""

    i: int
    then: Action
    context: str = "same"

    def act(self, me):
        future = made(me, self.i)

        def callback(done):
            me.call(self.then, f"when {me.world.show(done)} is done")

        me.world.callbacks.append((future, callback))
        if self.context == "empty":
            future.add_done_callback(callback, context=contextvars.Context())
        else:
            future.add_done_callback(callback)
        return future


@part
class NotOnDone(Action):
    """Takes a callback back."""

    i: int

    def act(self, me):
        if not me.world.callbacks:
            raise Skip
        future, callback = me.world.callbacks[self.i % len(me.world.callbacks)]
        return future, future.remove_done_callback(callback)


@part
class Later(Action):
    """A callback of the loop: soon, after so many units, or from what could be another thread."""

    units: int | None
    then: Action
    cancel: bool = False

    def act(self, me):
        loop = me.world.loop
        if self.units is None:
            handle = loop.call_soon(me.call, self.then, "soon")
        else:
            handle = loop.call_later(me.world.delay(self.units), me.call, self.then, "later")
        if self.cancel:
            handle.cancel()


@part
class Both(Action):
    """Two in a row, with nothing between them."""

    first: Action
    then: Action

    def act(self, me):
        me.call(self.first, "first")
        return self.then.act(me)


@part
class SetVariable(Action):
    value: int

    def act(self, me):
        VARIABLE.set(self.value)


@part
class Raise(Action):
    kind: str = "boom"

    def act(self, me):
        raise ERRORS[self.kind]()

    def lets_through(self, error):
        return True


@part
class Catch(Block):
    """Swallows what comes, cancellation too; with `uncancel` it says so."""

    body: tuple
    uncancel: bool = False

    async def do(self, me):
        try:
            await me.perform(self.body)
        except asyncio.CancelledError as error:
            me.note(f"catches {me.world.show(error)}")
            if self.uncancel:
                return me.world.names.current_task().uncancel()


@part
class Finally(Block):
    body: tuple
    cleanup: tuple

    async def do(self, me):
        try:
            await me.perform(self.body)
        finally:
            await me.perform(self.cleanup)


# Combinators


@part
class Gather(Thing):
    things: tuple
    return_exceptions: bool = False
    twice: bool = False

    def make(self, me):
        awaitables = [thing.make(me) for thing in self.things]
        if self.twice:
            awaitables += awaitables[:1]
        return me.world.names.gather(*awaitables, return_exceptions=self.return_exceptions)


@part
class Shield(Thing):
    thing: Thing

    def make(self, me):
        return me.world.names.shield(self.thing.make(me))


@part
class WaitFor(Thing):
    thing: Thing
    units: int | None

    def make(self, me):
        timeout = me.world.delay(self.units) if self.units else self.units
        return me.world.names.wait_for(self.thing.make(me), timeout)


@part
class Wait(Thing):
    things: tuple
    when: str = "ALL_COMPLETED"
    units: int | None = None
    raw: bool = False
    """With coroutines as they are, which asyncio refuses."""

    def make(self, me):
        names, world = me.world.names, me.world
        awaitables = [thing.make(me) for thing in self.things]
        if not self.raw:
            awaitables = [world.adopt(names.ensure_future(awaitable)) for awaitable in awaitables]
            if self.when == "FIRST_EXCEPTION":
                # asyncio keeps them in a set: of those that are done already, chance says whose error it looks at.
                for future in awaitables:
                    future.add_done_callback(_look_at_error)
        return names.wait(awaitables, timeout=world.delay(self.units), return_when=getattr(names, self.when))


def _look_at_error(future):
    if not future.cancelled():
        future.exception()


@part
class AsCompleted(Operation):
    things: tuple
    units: int | None = None
    form: str = "plain"
    stop_after: int | None = None

    async def do(self, me):
        names, world = me.world.names, me.world
        awaitables = [world.adopt(names.ensure_future(thing.make(me))) for thing in self.things]
        if sum(awaitable.done() for awaitable in set(awaitables)) > 1:
            # asyncio keeps them in a set: in which order it looks at those that are done is chance.
            raise Skip
        done = names.as_completed(awaitables, timeout=world.delay(self.units))
        count = 0
        if self.form == "async":
            async for future in done:
                me.note(f"completed {world.show(future)}")
                await self._result(me, future)
                count += 1
                if count == self.stop_after:
                    break
        else:
            for future in done:
                await self._result(me, future)
                count += 1
                if count == self.stop_after:
                    break
        return count

    @staticmethod
    async def _result(me, future):
        try:
            value = await future
        except Exception as error:
            me.note(f"completed with {me.world.show(error)}")
            if isinstance(error, TimeoutError) and error.args == ():
                raise
        else:
            me.note(f"completed with {me.world.show(value)}")


@part
class Timeout(Block):
    units: int | None
    body: tuple
    at: bool = False

    async def do(self, me):
        names, loop = me.world.names, me.world.loop
        delay = me.world.delay(self.units) if self.units else self.units
        if not self.at:
            timeout = names.timeout(delay)
        else:
            timeout = names.timeout_at(None if delay is None else loop.time() + delay)
        me.world.timeouts.append(timeout)
        if len(me.world.timeouts) <= 4:
            me.world.resources[me.world.fresh("timeout")] = timeout
        async with timeout as entered:
            assert entered is timeout
            await me.perform(self.body)
        return timeout.expired()


@part
class Reschedule(Action):
    i: int
    units: int | None

    def act(self, me):
        if not me.world.timeouts:
            raise Skip
        timeout = me.world.timeouts[self.i % len(me.world.timeouts)]
        delay = me.world.delay(self.units) if self.units else self.units
        timeout.reschedule(None if delay is None else me.world.loop.time() + delay)


@part
class Group(Block):
    """A TaskGroup with children."""

    children: tuple
    body: tuple = ()

    async def do(self, me):
        group = me.world.names.TaskGroup()
        _keep_order(group)
        me.world.groups.append(group)
        async with group as entered:
            assert entered is group
            for child in self.children:
                start_in_group(me, group, child)
            await me.perform(self.body)


@part
class Join(Action):
    """Starts a task in a group, one's own or another's, finished or not."""

    i: int
    body: tuple

    def act(self, me):
        if not me.world.groups:
            raise Skip
        return start_in_group(me, me.world.groups[self.i % len(me.world.groups)], self.body)


def start_in_group(me, group, body):
    actor = Actor(me.world)
    return me.world.adopt(group.create_task(actor.run(body), name=actor.name), actor.name)


def _keep_order(group):
    """asyncio's TaskGroup has its tasks in a set, and so cancels them in an order of chance. Here it is that of their names."""
    group._tasks = NamedSet()


class NamedSet(set):
    """A set of tasks that gives them by the numbers of their names."""

    def __iter__(self):
        return iter(sorted(super().__iter__(), key=lambda task: int(task.get_name()[1:])))


# Locks


@part
class Acquire(Thing):
    i: int
    needs = "lock"

    def make(self, me):
        return self.pick(me).acquire()


@part
class Release(Action):
    i: int
    needs = "lock"

    def act(self, me):
        return self.pick(me).release()


@part
class With(Block):
    """`async with` a lock, a semaphore, a condition or a barrier."""

    kind: str
    i: int
    body: tuple

    @property
    def needs(self):
        return self.kind

    async def do(self, me):
        async with self.pick(me) as value:
            me.note(f"inside {me.world.show(value)}")
            await me.perform(self.body)


@part
class AcquireSemaphore(Thing):
    i: int
    needs = "semaphore"

    def make(self, me):
        return self.pick(me).acquire()


@part
class ReleaseSemaphore(Action):
    i: int
    needs = "semaphore"

    def act(self, me):
        return self.pick(me).release()


@part
class AcquireCondition(Thing):
    i: int
    needs = "condition"

    def make(self, me):
        return self.pick(me).acquire()


@part
class ReleaseCondition(Action):
    i: int
    needs = "condition"

    def act(self, me):
        return self.pick(me).release()


@part
class WaitCondition(Thing):
    i: int
    needs = "condition"

    def make(self, me):
        return self.pick(me).wait()


@part
class WaitConditionFor(Thing):
    """`wait_for` a number of notifications of this condition."""

    i: int
    count: int
    needs = "condition"

    def make(self, me):
        condition, told = self.pick(me), me.world.told
        return condition.wait_for(lambda: told.get(condition, 0) >= self.count)


@part
class Notify(Action):
    i: int
    n: int | None = 1
    needs = "condition"

    def act(self, me):
        condition = self.pick(me)
        me.world.told[condition] = me.world.told.get(condition, 0) + 1
        return condition.notify_all() if self.n is None else condition.notify(self.n)


@part
class WaitEvent(Thing):
    i: int
    needs = "event"

    def make(self, me):
        return self.pick(me).wait()


@part
class SetEvent(Action):
    i: int
    needs = "event"

    def act(self, me):
        return self.pick(me).set()


@part
class ClearEvent(Action):
    i: int
    needs = "event"

    def act(self, me):
        return self.pick(me).clear()


@part
class WaitBarrier(Thing):
    i: int
    needs = "barrier"

    def make(self, me):
        return self.pick(me).wait()


@part
class ResetBarrier(Thing):
    i: int
    needs = "barrier"

    def make(self, me):
        return self.pick(me).reset()


@part
class AbortBarrier(Thing):
    i: int
    needs = "barrier"

    def make(self, me):
        return self.pick(me).abort()


# Queues


@part
class Put(Thing):
    i: int
    item: object
    needs = "queue"

    def make(self, me):
        return self.pick(me).put(self.item)


@part
class Get(Thing):
    i: int
    needs = "queue"

    def make(self, me):
        return self.pick(me).get()


@part
class PutNow(Action):
    i: int
    item: object
    needs = "queue"

    def act(self, me):
        return self.pick(me).put_nowait(self.item)


@part
class GetNow(Action):
    i: int
    needs = "queue"

    def act(self, me):
        return self.pick(me).get_nowait()


@part
class TaskDone(Action):
    i: int
    needs = "queue"

    def act(self, me):
        return self.pick(me).task_done()


@part
class JoinQueue(Thing):
    i: int
    needs = "queue"

    def make(self, me):
        return self.pick(me).join()


@part
class Shutdown(Action):
    i: int
    immediate: bool = False
    needs = "queue"

    def act(self, me):
        return self.pick(me).shutdown(self.immediate)


# Streams


@part
class Feed(Action):
    i: int
    data: bytes
    needs = "reader"

    def act(self, me):
        return self.pick(me).feed_data(self.data)


@part
class FeedEnd(Action):
    i: int
    needs = "reader"

    def act(self, me):
        return self.pick(me).feed_eof()


@part
class FailReader(Action):
    i: int
    kind: str = "boom"
    needs = "reader"

    def act(self, me):
        return self.pick(me).set_exception(ERRORS[self.kind]())


@part
class Read(Thing):
    i: int
    n: int = -1
    needs = "reader"

    def make(self, me):
        return self.pick(me).read(self.n)


@part
class ReadExactly(Thing):
    i: int
    n: int
    needs = "reader"

    def make(self, me):
        return self.pick(me).readexactly(self.n)


@part
class ReadLine(Thing):
    i: int
    needs = "reader"

    def make(self, me):
        return self.pick(me).readline()


@part
class ReadUntil(Thing):
    i: int
    separator: object
    needs = "reader"

    def make(self, me):
        return self.pick(me).readuntil(self.separator)


@part
class Lines(Operation):
    """`async for line in reader`."""

    i: int
    needs = "reader"

    async def do(self, me):
        async for line in self.pick(me):
            me.note(f"line {line!r}")


@part
class Write(Action):
    i: int
    data: bytes
    needs = "writer"

    def act(self, me):
        return self.pick(me).write(self.data)


@part
class Drain(Thing):
    i: int
    needs = "writer"

    def make(self, me):
        return self.pick(me).drain()


@part
class WaitClosed(Thing):
    i: int
    needs = "writer"

    def make(self, me):
        return self.pick(me).wait_closed()


@part
class CloseWriter(Action):
    i: int
    needs = "writer"

    def act(self, me):
        return self.pick(me).close()


@part
class Connection(Action):
    """What a transport tells the protocol of a writer: that it is full, that there is room, that it is gone."""

    i: int
    what: str
    needs = "writer"

    def act(self, me):
        protocol = self.pick(me).transport.protocol
        if self.what == "pause":
            protocol.pause_writing()
        elif self.what == "resume":
            protocol.resume_writing()
        elif self.what == "eof":
            return protocol.eof_received()
        elif self.what == "data":
            protocol.data_received(b"data\n")
        else:
            protocol.connection_lost(ConnectionResetError("own") if self.what == "reset" else None)

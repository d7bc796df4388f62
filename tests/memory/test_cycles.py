"""The collector finds a cycle through every native class: each holds Python objects, so each must show them."""

import asyncio
import contextvars
import gc
import socket
import weakref

import pytest


def turn(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_future_that_holds_itself_as_its_result(loop, canary):
    make, assert_dead = canary
    bird, future = make(), loop.create_future()
    bird.holds.append(future)
    future.set_result(bird)
    del bird, future
    assert_dead()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_future_that_holds_itself_by_its_callbacks(loop, canary, count):
    make, assert_dead = canary
    future = loop.create_future()
    for _ in range(count):
        bird = make()
        bird.holds.append(future)
        future.add_done_callback(lambda done, bird=bird: None)
    del bird, future
    assert_dead()


def test_a_future_that_holds_itself_by_a_callbacks_context(loop, canary):
    make, assert_dead = canary
    bird, future, context = make(), loop.create_future(), contextvars.Context()
    bird.holds.append(future)
    context.run(contextvars.ContextVar("bird").set, bird)
    future.add_done_callback(print, context=context)
    del bird, future, context
    assert_dead()


def test_a_future_that_holds_itself_by_its_exception(loop, canary):
    make, assert_dead = canary
    bird, future = make(), loop.create_future()
    bird.holds.append(future)
    error = ValueError()
    error.bird = bird
    future.set_exception(error)
    future.exception()
    del bird, future, error
    assert_dead()


def test_a_future_that_holds_itself_by_its_cancel_message(loop, canary):
    make, assert_dead = canary
    bird, future = make(), loop.create_future()
    bird.holds.append(future)
    future.cancel(bird)
    del bird, future
    assert_dead()


def test_a_future_that_holds_itself_as_an_attribute(loop, canary):
    make, assert_dead = canary
    bird, future = make(), loop.create_future()
    future.bird, future.myself = bird, future
    bird.holds.append(future)
    del bird, future
    assert_dead()


def test_a_done_task_that_holds_itself_as_its_result(loop, canary):
    make, assert_dead = canary
    bird = make()

    async def work():
        return bird

    task = loop.create_task(work())
    bird.holds.append(task)
    loop.run_until_complete(task)
    del bird, task, work
    assert_dead()


def test_a_failed_task_that_holds_itself_by_its_traceback(loop, canary):
    make, assert_dead = canary
    birds = [make()]

    async def work():
        bird = birds.pop()
        bird.holds.append(asyncio.current_task())
        raise ValueError("bad")

    task = loop.create_task(work())
    loop.run_until_complete(asyncio.wait([task]))
    task.exception()
    del task, work
    assert_dead()


def test_a_task_that_holds_itself_by_its_name_context_and_attributes(loop, canary):
    make, assert_dead = canary
    bird, context = make(), contextvars.copy_context()
    context.run(contextvars.ContextVar("bird").set, bird)

    async def work():
        pass

    task = loop.create_task(work(), context=context)
    task.bird = bird
    bird.holds.append(task)
    loop.run_until_complete(task)
    del bird, context, task
    assert_dead()


def test_a_pending_task_in_a_cycle_with_its_future_is_collected_with_its_loop(loop_factory, canary):
    make, assert_dead = canary
    loop = loop_factory()
    loop.set_exception_handler(lambda loop, context: None)  # "destroyed but pending" is expected here
    bird = make()

    async def work(bird):
        future = loop.create_future()
        bird.holds.append(asyncio.current_task())
        await future

    task = loop.create_task(work(bird))
    turn(loop)
    turn(loop)
    loop.close()
    del bird, task
    assert_dead()


@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_soon_threadsafe"])
def test_a_handle_that_holds_itself_by_its_arguments(loop_factory, canary, how):
    make, assert_dead = canary
    loop = loop_factory()
    bird = make()
    first = {"call_later": (3600,)}.get(how, ())
    handle = getattr(loop, how)(*first, lambda bird: None, bird)
    bird.holds.append(handle)
    loop.close()
    del bird, handle
    assert_dead()


@pytest.mark.parametrize("how", ["call_soon", "call_later"])
def test_a_handle_that_ran_or_was_cancelled_holds_nothing(loop, canary, how):
    make, assert_dead = canary
    for cancel in (True, False):
        bird = make()
        first = {"call_later": (0,)}.get(how, ())
        handle = getattr(loop, how)(*first, lambda bird: None, bird)
        bird.holds.append(handle)
        if cancel:
            handle.cancel()
        del bird, handle
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert_dead()


def test_a_handle_that_holds_itself_by_its_context(loop_factory, canary):
    make, assert_dead = canary
    loop = loop_factory()
    bird, context = make(), contextvars.Context()
    context.run(contextvars.ContextVar("bird").set, bird)
    bird.holds.append(loop.call_later(3600, print, context=context))
    loop.close()
    del bird, context
    assert_dead()


class Holder(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport


def test_a_closed_transport_and_its_protocol(loop, canary, tmp_path):
    make, assert_dead = canary
    bird = make()
    ours, peer = socket.socketpair()
    transport, protocol = loop.run_until_complete(loop.create_connection(Holder, sock=ours))
    protocol.bird = bird
    bird.holds.append(transport)
    transport.close()
    turn(loop)
    turn(loop)
    peer.close()
    del bird, transport, protocol, ours
    assert_dead()


@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_an_open_transport_is_collected_with_its_closed_loop(loop_factory, canary):
    make, assert_dead = canary
    loop = loop_factory()
    bird = make()
    ours, peer = socket.socketpair()
    transport, protocol = loop.run_until_complete(loop.create_connection(Holder, sock=ours))
    protocol.bird = bird
    bird.holds.append(transport)
    loop.close()
    peer.close()
    del bird, transport, protocol, ours
    assert_dead()


@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_a_transport_with_bytes_left_to_write_is_collected_with_its_closed_loop(loop_factory, canary):
    make, assert_dead = canary
    loop = loop_factory()
    bird = make()
    ours, peer = socket.socketpair()
    transport, protocol = loop.run_until_complete(loop.create_connection(Holder, sock=ours))
    transport.write(bytes(3_000_000))
    protocol.bird = bird
    bird.holds.append(transport)
    loop.close()
    peer.close()
    del bird, transport, protocol, ours
    assert_dead()


def test_a_watched_descriptor_whose_callback_holds_its_loop(loop_factory, canary):
    make, assert_dead = canary
    loop = loop_factory()
    bird = make()
    ours, peer = socket.socketpair()
    loop.add_reader(ours, lambda bird: None, bird)
    loop.add_writer(ours, lambda bird: None, bird)
    bird.holds.append(loop)
    loop.close()
    ours.close()
    peer.close()
    del bird
    assert_dead()


def test_a_removed_reader_lets_go_of_its_arguments(loop, canary):
    make, assert_dead = canary
    ours, peer = socket.socketpair()
    with ours, peer:
        loop.add_reader(ours, lambda bird: None, make())
        loop.add_writer(ours, lambda bird: None, make())
        loop.remove_reader(ours)
        loop.remove_writer(ours)
        turn(loop)
        assert_dead()


def test_a_replaced_reader_lets_go_of_its_arguments(loop, canary):
    make, assert_dead = canary
    ours, peer = socket.socketpair()
    with ours, peer:
        loop.add_reader(ours, lambda bird: None, make())
        loop.add_reader(ours, print)
        turn(loop)
        assert_dead()
        loop.remove_reader(ours)


def test_a_closed_loop_in_a_cycle_of_its_own(loop_module, canary):
    make, assert_dead = canary
    loop, bird = loop_module.new_event_loop(), make()
    gone = weakref.ref(loop)
    loop.bird = bird
    loop.set_exception_handler(lambda loop, context, bird=bird: None)
    loop.set_task_factory(lambda loop, coroutine, bird=bird, **options: None)
    bird.holds.append(loop)
    turn(loop)
    loop.close()
    del loop, bird
    assert_dead()
    assert gone() is None


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
def test_an_open_loop_that_nobody_holds_any_more(loop_module, canary):
    make, assert_dead = canary
    loop, bird = loop_module.new_event_loop(), make()
    loop.call_soon(lambda bird: None, bird)
    loop.call_later(3600, lambda bird: None, bird)
    loop.bird = bird
    bird.holds.append(loop)
    gone = weakref.ref(loop)
    del loop, bird
    gc.collect()
    assert_dead()
    assert gone() is None


def test_a_signal_handler_lets_go_when_it_is_removed(loop, canary):
    import signal

    make, assert_dead = canary
    loop.add_signal_handler(signal.SIGUSR1, lambda bird: None, make())
    turn(loop)
    loop.remove_signal_handler(signal.SIGUSR1)
    assert_dead()


def test_a_run_leaves_nothing_behind(run, canary):
    make, assert_dead = canary

    async def child(bird):
        await asyncio.sleep(0)
        return bird

    async def main(bird):
        await asyncio.gather(*(child(bird) for _ in range(10)))
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(child(bird), -1)

    run(main(make()))
    assert_dead()


def test_a_handle_that_only_the_exception_handler_saw(loop, canary):
    make, assert_dead = canary
    bird = make()

    def callback(bird):
        raise ValueError("on purpose")

    loop.set_exception_handler(lambda loop, context, bird=bird: bird.holds.append(context["handle"]))
    loop.call_soon(callback, bird)
    turn(loop)
    assert isinstance(bird.holds[0], asyncio.Handle)
    loop.set_exception_handler(None)
    del bird
    assert_dead()


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
@pytest.mark.parametrize("closed", [True, False])
def test_a_loop_with_callbacks_that_never_ran(loop_factory, canary, closed):
    make, assert_dead = canary
    # Of the class that the fixture makes, which holds on to those it has made.
    loop, bird = type(loop_factory())(), make()
    turn(loop)
    bird.holds.append(loop)
    bird.holds.append(loop.call_soon(lambda bird: None, bird))
    loop.call_soon(lambda bird: None, bird)
    loop.call_soon_threadsafe(lambda bird: None, bird)
    bird.holds.append(loop.call_later(60, lambda bird: None, bird))
    if closed:
        loop.close()
    del loop, bird
    assert_dead()

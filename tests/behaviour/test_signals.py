"""Signals: Ctrl-C at an idle loop, add_signal_handler, and handlers set by signal.signal."""

import asyncio
import os
import signal
import threading
import time

import pytest

from children import output_of, start_program


@pytest.fixture
def usr1():
    """SIGUSR1, with its disposition put back afterwards."""
    before = signal.getsignal(signal.SIGUSR1)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


def kill(number):
    os.kill(os.getpid(), number)


def interrupt_when_ready(program):
    """Waits for the program's first line, lets its loop go idle, sends Ctrl-C; `(seconds, code, out, err)`."""
    assert program.stdout.readline() == "ready\n"
    time.sleep(0.1)  # the loop must be waiting in its poll: that is what is tested
    started = time.monotonic()
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=10)
    return time.monotonic() - started, program.returncode, out, err


@pytest.mark.slow  # a process that is to be idle for a moment
def test_ctrl_c_wakes_an_idle_run_forever_at_once(loop_name):
    # zuvloop notices Ctrl-C with the next event only.
    program = start_program(
        loop_name,
        """
        loop = new_event_loop()
        loop.call_soon(print, "ready")
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted", loop.is_running())
        loop.call_soon(print, "again")
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        """,
    )
    seconds, code, out, err = interrupt_when_ready(program)
    assert (code, out, err) == (0, "interrupted False\nagain\n", "")
    assert seconds < 1


@pytest.mark.slow  # a process that is to be idle for a moment
def test_ctrl_c_cancels_the_main_task_of_run_which_may_clean_up(loop_name):
    program = start_program(
        loop_name,
        """
        async def main():
            print("ready")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)
                print("cleaned up")
                raise
        try:
            run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    seconds, code, out, err = interrupt_when_ready(program)
    assert (code, out, err) == (0, "cleaned up\ninterrupted\n", "")
    assert seconds < 1


@pytest.mark.slow  # a process that is to be idle for a moment
def test_ctrl_c_nobody_catches_ends_the_program_as_python_does(loop_name):
    program = start_program(
        loop_name,
        """
        async def main():
            print("ready")
            await asyncio.sleep(60)
        run(main())
        """,
    )
    _, code, out, err = interrupt_when_ready(program)
    assert code == -signal.SIGINT
    assert err.strip().endswith("KeyboardInterrupt")


def test_a_signal_handler_runs_in_the_loop_with_its_arguments(loop, usr1):
    calls = []

    def handler(*args):
        calls.append((args, asyncio.get_running_loop()))
        loop.stop()

    loop.add_signal_handler(usr1, handler, 1, "two")
    loop.call_later(0.002, kill, usr1)
    loop.run_forever()
    assert calls == [((1, "two"), loop)]
    assert loop.remove_signal_handler(usr1) is True
    assert loop.remove_signal_handler(usr1) is False
    assert signal.getsignal(usr1) == signal.SIG_DFL


def test_a_signal_wakes_an_idle_loop_at_once(loop, usr1):
    woken = []
    loop.add_signal_handler(usr1, lambda: (woken.append(time.monotonic()), loop.stop()))
    sent = []

    def other_thread():
        time.sleep(0.03)  # the loop must be waiting in its poll: that is what is tested
        sent.append(time.monotonic())
        kill(usr1)

    thread = threading.Thread(target=other_thread)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.remove_signal_handler(usr1)
    assert woken[0] - sent[0] < 0.5


def test_a_second_handler_replaces_the_first(loop, usr1):
    calls = []
    loop.add_signal_handler(usr1, calls.append, "first")
    loop.add_signal_handler(usr1, lambda: (calls.append("second"), loop.stop()))
    loop.call_soon(kill, usr1)
    loop.run_forever()
    loop.remove_signal_handler(usr1)
    assert calls == ["second"]


def test_several_signals_are_told_apart(loop):
    calls = []
    numbers = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH]
    for number in numbers:
        loop.add_signal_handler(number, calls.append, number)
    for number in numbers:
        loop.call_soon(kill, number)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    for number in numbers:
        assert loop.remove_signal_handler(number)
    assert sorted(calls) == sorted(numbers)


@pytest.mark.filterwarnings("ignore:.*write to the signal wakeup fd")  # it is full: that is the storm
def test_a_storm_of_signals_is_survived(loop, usr1):
    calls = []
    loop.add_signal_handler(usr1, calls.append, True)

    def storm():
        for _ in range(2000):
            kill(usr1)

    thread = threading.Thread(target=storm)
    thread.start()

    def check():
        if thread.is_alive():
            loop.call_later(0.001, check)
        else:
            loop.call_later(0.01, loop.stop)

    loop.call_soon(check)
    loop.run_forever()
    thread.join()
    loop.remove_signal_handler(usr1)
    assert calls


def test_an_exception_in_a_handler_of_signal_signal_leaves_the_loop(loop, usr1):
    # uvloop swallows it.
    class Alarm(Exception):
        pass

    def handler(number, frame):
        raise Alarm

    signal.signal(usr1, handler)
    thread = threading.Timer(0.03, kill, (usr1,))
    thread.start()
    with pytest.raises(Alarm):
        loop.run_forever()
    thread.join()
    assert not loop.is_running()
    assert loop.run_until_complete(asyncio.sleep(0, "usable")) == "usable"


def test_a_handler_of_signal_signal_runs_while_the_loop_is_idle_and_it_goes_on(loop, usr1):
    calls = []
    signal.signal(usr1, lambda number, frame: (calls.append(number), loop.call_soon_threadsafe(loop.stop)))
    thread = threading.Timer(0.03, kill, (usr1,))
    thread.start()
    loop.run_forever()
    thread.join()
    assert calls == [usr1]


def test_a_handler_that_raises_is_reported(loop, usr1):
    from recording import record_errors

    contexts = record_errors(loop)
    loop.add_signal_handler(usr1, divmod, 1, 0)
    loop.call_soon(kill, usr1)
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    loop.remove_signal_handler(usr1)
    assert isinstance(contexts[0]["exception"], ZeroDivisionError)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_signals_that_cannot_be_caught_are_refused(loop, number):
    with pytest.raises((RuntimeError, OSError)):
        loop.add_signal_handler(number, print)


@pytest.mark.parametrize("number", [0, -1, 1000])
def test_numbers_that_are_no_signals_are_refused(loop, number):
    with pytest.raises(ValueError):
        loop.add_signal_handler(number, print)
    with pytest.raises(ValueError):
        loop.remove_signal_handler(number)


def test_what_is_no_signal_number_or_no_plain_callback_is_refused(loop):
    async def coroutine_function():
        pass

    with pytest.raises(TypeError):
        loop.add_signal_handler("SIGUSR1", print)
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.add_signal_handler(signal.SIGUSR1, coroutine_function)


def test_signal_handlers_are_for_the_main_thread(loop):
    errors = []

    def other_thread():
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except (RuntimeError, ValueError) as error:
            errors.append(error)

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_closing_the_loop_gives_the_signals_back(loop, usr1):
    loop.add_signal_handler(usr1, print)
    loop.close()
    assert signal.getsignal(usr1) == signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_after_a_run_the_wakeup_descriptor_is_as_before(loop):
    loop.run_until_complete(asyncio.sleep(0))
    assert signal.set_wakeup_fd(-1) == -1


def test_the_sigint_handler_is_pythons_again_after_run(run):
    before = signal.getsignal(signal.SIGINT)
    run(asyncio.sleep(0))
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow  # starts a process
def test_a_loop_in_another_thread_leaves_signals_to_the_main_thread(loop_name):
    lines = output_of(
        loop_name,
        """
        import threading
        def in_thread():
            loop = new_event_loop()
            loop.run_until_complete(asyncio.sleep(0.3))
            loop.close()
            print("thread done")
        thread = threading.Thread(target=in_thread)
        thread.start()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            time.sleep(5)
        except KeyboardInterrupt:
            print("interrupted")
        thread.join()
        """,
    )
    assert lines == ["interrupted", "thread done"]

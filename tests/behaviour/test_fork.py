"""fork(): a child makes its own loop, and what it does to the inherited one does not reach the parent.

In programs of their own: forking the test process would copy its threads' locks.
"""

import pytest

from children import output_of

WAIT_FOR_CHILD = """
        def finish(child):
            deadline = time.monotonic() + 8
            while True:
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid:
                    return os.waitstatus_to_exitcode(status)
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                    return "hung"
                time.sleep(0.005)

        def in_child(function):
            child = os.fork()
            if child:
                return child
            signal.alarm(8)
            try:
                function()
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
"""


def fork_output(loop_name, program):
    return output_of(loop_name, WAIT_FOR_CHILD + program, options=("-W", "ignore::DeprecationWarning"))


@pytest.mark.slow  # starts processes
def test_a_child_forked_inside_a_running_loop_runs_a_loop_of_its_own(loop_name):
    lines = fork_output(
        loop_name,
        """
        def child():
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                pass
            else:
                raise AssertionError("the child thinks that a loop is running")
            async def work():
                await asyncio.sleep(0.001)
                return await asyncio.to_thread(int, "42")
            assert run(work()) == 42

        async def main():
            await asyncio.sleep(0)
            child_id = in_child(child)
            print("child", await asyncio.to_thread(finish, child_id))
            await asyncio.sleep(0.001)
            print("parent well")

        run(main())
        """,
    )
    assert lines == ["child 0", "parent well"]


@pytest.mark.slow  # starts processes
def test_a_child_forked_beside_an_idle_loop_runs_a_loop_of_its_own(loop_name):
    lines = fork_output(
        loop_name,
        """
        loop = new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        def child():
            assert run(asyncio.sleep(0.001, 42)) == 42
        print("child", finish(in_child(child)))
        print(loop.run_until_complete(asyncio.sleep(0.001, "parent well")))
        loop.close()
        """,
    )
    assert lines == ["child 0", "parent well"]


@pytest.mark.oxio_only(
    "asyncio shares one epoll with the child: closing there takes the parent's wake-ups away"
)
@pytest.mark.slow  # starts processes
@pytest.mark.parametrize(
    "how", ["loop.close()", "globals().pop('loop')", "del loop; import gc; gc.collect()"]
)
def test_a_child_that_ends_the_inherited_loop_does_not_disturb_the_parent(loop_name, how):
    lines = fork_output(
        loop_name,
        f"""
        import socket, threading
        loop = new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        ours, peer = socket.socketpair()
        received = []
        loop.add_reader(ours, lambda: (received.append(ours.recv(10)), loop.stop()))
        loop.add_signal_handler(signal.SIGUSR1, received.append, "signal")
        def child():
            global loop
            {how}
        print("child", finish(in_child(child)))

        threading.Timer(0.02, loop.call_soon_threadsafe, (received.append, "threadsafe")).start()
        threading.Timer(0.04, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        threading.Timer(0.06, peer.send, (b"readable",)).start()
        loop.call_later(3, loop.stop)
        loop.run_forever()
        print(received)
        loop.close()
        """,
    )
    assert lines == ["child 0", "['threadsafe', 'signal', b'readable']"]


@pytest.mark.oxio_only("asyncio's self-pipe is shared: a wake-up written in the child is read by the parent")
@pytest.mark.slow  # starts processes
def test_a_child_that_exits_normally_with_an_inherited_loop_does_not_disturb_the_parent(loop_name):
    lines = fork_output(
        loop_name,
        """
        import threading
        loop = new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        child = os.fork()
        if child == 0:
            signal.alarm(8)
            sys.exit(0)
        print("child", finish(child))
        threading.Timer(0.02, loop.call_soon_threadsafe, (loop.stop,)).start()
        loop.call_later(3, print, "not woken")
        loop.run_forever()
        print("woken")
        loop.close()
        """,
    )
    assert lines == ["child 0", "woken"]


@pytest.mark.slow  # starts processes
def test_processes_forked_by_multiprocessing_run_loops(loop_name):
    lines = fork_output(
        loop_name,
        """
        import multiprocessing
        def work(number):
            return run(asyncio.sleep(0.001, number * 2))
        async def main():
            context = multiprocessing.get_context("fork")
            with context.Pool(2) as pool:
                print(await asyncio.to_thread(pool.map, work, range(4)))
        run(main())
        """,
    )
    assert lines == ["[0, 2, 4, 6]"]

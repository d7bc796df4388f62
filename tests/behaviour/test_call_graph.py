"""Call graphs: who awaits whom. asyncio has them from 3.14 on, oxio everywhere."""

import asyncio
import io
import re

import pytest

import features

pytestmark = pytest.mark.oxio_only("asyncio's since 3.14", when=not features.CALL_GRAPHS)


def names(graph):
    return [entry.frame.f_code.co_name for entry in graph.call_stack]


def edges(graph):
    """The graph as nested tuples: the name of the task and, sorted, the same of those that await it."""
    name = graph.future.get_name() if isinstance(graph.future, asyncio.Task) else "future"
    return name, *sorted(edges(waiter) for waiter in graph.awaited_by)


async def let_all_wait():
    for _ in range(5):
        await asyncio.sleep(0)


async def end(*tasks):
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_a_chain_of_tasks_is_seen_from_its_end(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def inner():
            await future

        async def outer(task):
            await task

        first = asyncio.create_task(inner(), name="first")
        second = asyncio.create_task(outer(first), name="second")
        third = asyncio.create_task(outer(first), name="third")
        await let_all_wait()
        assert edges(loop_module.capture_call_graph(future)) == (
            "future",
            ("first", ("second",), ("third",)),
        )
        graph = loop_module.capture_call_graph(first)
        assert graph.future is first
        assert {waiter.future for waiter in graph.awaited_by} == {second, third}
        assert edges(loop_module.capture_call_graph(third)) == ("third",)
        future.set_result(None)
        await asyncio.wait([second, third])
        assert edges(loop_module.capture_call_graph(first)) == ("first",)

    run(main())


async def by_gather(lib, task):
    await lib.gather(task, lib.sleep(0))


async def by_nested_gather(lib, task):
    await lib.gather(lib.gather(task))


async def by_wait(lib, task):
    await lib.wait([task])


async def by_wait_for(lib, task):
    await lib.wait_for(task, 60)


async def by_shield(lib, task):
    await lib.shield(task)


async def by_as_completed(lib, task):
    for next_one in lib.as_completed([task]):
        await next_one


async def by_timeout(lib, task):
    async with lib.timeout(60):
        await task


@pytest.mark.parametrize(
    "way",
    [by_gather, by_nested_gather, by_wait, by_wait_for, by_shield, by_as_completed, by_timeout],
)
def test_who_waits_by_way_of_a_combinator_is_seen(run, loop_module, way):
    async def main():
        task = asyncio.create_task(asyncio.sleep(60), name="awaited")
        waiting = asyncio.create_task(way(loop_module, task), name="waiting")
        await let_all_wait()
        assert edges(loop_module.capture_call_graph(task)) == ("awaited", ("waiting",))
        await end(waiting)
        if way is not by_as_completed:  # There asyncio forgets to take the edge back.
            assert edges(loop_module.capture_call_graph(task)) == ("awaited",)
        await asyncio.wait([task], timeout=0)
        await end(task)

    run(main())


def test_a_task_of_a_group_is_awaited_by_the_groups_parent(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def child():
            await future

        async def parent():
            async with loop_module.TaskGroup() as group:
                task = group.create_task(child(), name="child")
                in_the_body.append(edges(loop_module.capture_call_graph(task)))
                tasks.append(task)

        in_the_body, tasks = [], []
        waiting = asyncio.create_task(parent(), name="parent")
        await let_all_wait()
        assert in_the_body == [("child", ("parent",))]
        assert edges(loop_module.capture_call_graph(tasks[0])) == ("child", ("parent",))
        future.set_result(None)
        await waiting

    run(main())


def test_a_programs_own_done_callback_is_no_edge(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()

        def pass_on(done):
            second.set_result(None)

        async def waits():
            await second

        first.add_done_callback(pass_on)
        task = asyncio.create_task(waits())
        first.add_done_callback(task.cancel)
        await let_all_wait()
        assert edges(loop_module.capture_call_graph(first)) == ("future",)
        first.remove_done_callback(task.cancel)
        first.set_result(None)
        await task

    run(main())


def test_the_stack_of_a_waiting_task_begins_where_it_waits(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def inner():
            await future

        async def middle():
            await inner()

        async def outer():
            await middle()

        task = asyncio.create_task(outer())
        await let_all_wait()
        capture = loop_module.capture_call_graph
        assert names(capture(task)) == ["inner", "middle", "outer"]
        assert names(capture(task, limit=1)) == ["outer"]
        assert names(capture(task, limit=2)) == ["middle", "outer"]
        assert names(capture(task, limit=-1)) == ["inner"]
        assert names(capture(task, limit=-2)) == ["inner", "middle"]
        assert names(capture(task, limit=9)) == ["inner", "middle", "outer"]
        assert names(capture(task, limit=0)) == []
        future.set_result(None)
        await task
        assert names(capture(task)) == []

    run(main())


def test_the_stack_goes_on_behind_wait_for(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def inner():
            await future

        async def outer():
            await loop_module.wait_for(inner(), 60)

        task = asyncio.create_task(outer())
        await let_all_wait()
        found = names(loop_module.capture_call_graph(task))
        # On 3.11 it waits for a task of its own.
        assert found == (["inner", "wait_for", "outer"] if features.WAIT_FOR_IS_A_TIMEOUT else ["wait_for", "outer"])
        assert "in async wait_for()" in loop_module.format_call_graph(task)
        future.set_result(None)
        await task

    run(main())


def test_the_stack_of_the_current_task_begins_at_the_caller(run, loop_module):
    capture = loop_module.capture_call_graph

    def plain(**kwargs):
        return capture(**kwargs)

    async def inner(**kwargs):
        return plain(**kwargs)

    async def main():
        assert names(await inner()) == ["plain", "inner", "main"]
        assert names(await inner(depth=2)) == ["inner", "main"]
        assert names(await inner(limit=1)) == ["main"]
        assert names(await inner(limit=-2)) == ["plain", "inner"]
        assert names(await inner(limit=9)) == ["plain", "inner", "main"]
        assert names(await inner(limit=0)) == []
        task = asyncio.current_task()
        assert names(capture(task)) == ["main"]
        assert capture(task).future is task

    run(main())


def test_generators_do_not_end_the_stack(run, loop_module):
    def generator():
        yield names(loop_module.capture_call_graph())

    async def async_generator():
        for stack in generator():
            yield stack

    async def main():
        async for stack in async_generator():
            assert stack == ["generator", "async_generator", "main"]

    run(main())


def test_the_stack_of_an_eager_task_is_its_own(run, loop_module):
    async def main():
        async def work():
            return names(loop_module.capture_call_graph())

        def make():
            return loop_module.Task(work(), loop=asyncio.get_running_loop(), eager_start=True)

        assert (await make())[0] == "work"

    if not features.EAGER_TASKS:
        pytest.skip("this version has no eager tasks")
    run(main())


def test_outside_a_task_there_is_nothing_to_capture(loop, loop_module):
    graphs = []
    loop.call_soon(lambda: graphs.append(loop_module.capture_call_graph()))
    loop.call_soon(lambda: graphs.append(loop_module.format_call_graph()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert graphs == [None, ""]
    with pytest.raises(RuntimeError, match="outside of a running event loop"):
        loop_module.capture_call_graph()


def test_what_is_no_future_is_refused(run, loop_module):
    with pytest.raises(TypeError, match="does not appear to be compatible with asyncio.Future"):
        loop_module.capture_call_graph(42)

    async def main():
        with pytest.raises(TypeError, match="does not appear to be compatible"):
            loop_module.format_call_graph("task")

    run(main())


def test_a_program_can_say_who_awaits(loop, loop_module):
    awaited, first, second = loop.create_future(), loop.create_future(), loop.create_future()
    add, discard = (
        loop_module.future_add_to_awaited_by,
        loop_module.future_discard_from_awaited_by,
    )

    def waiters():
        return {waiter.future for waiter in loop_module.capture_call_graph(awaited).awaited_by}

    discard(awaited, first)
    add(awaited, first)
    add(awaited, first)
    assert waiters() == {first}
    add(awaited, second)
    assert waiters() == {first, second}
    discard(awaited, first)
    discard(awaited, first)
    assert waiters() == {second}
    add(awaited, "no future")
    add("no future", awaited)
    discard(awaited, "no future")
    discard("no future", awaited)
    assert waiters() == {second}


@pytest.mark.oxio_only("only the record of older versions is weak", when=True)
@pytest.mark.skipif(features.CALL_GRAPHS, reason="here the record is asyncio's, which is strong")
def test_a_waiter_that_was_never_taken_back_does_not_leak(loop, loop_module):
    awaited = loop.create_future()
    loop_module.future_add_to_awaited_by(awaited, loop.create_future())
    assert loop_module.capture_call_graph(awaited).awaited_by == ()


@pytest.mark.oxio_only("asyncio's recurses without end", when=True)
@pytest.mark.skipif(features.CALL_GRAPHS, reason="here it is asyncio's own, which recurses without end")
def test_a_deadlock_has_a_finite_graph(loop, loop_module):
    first, second = loop.create_future(), loop.create_future()
    loop_module.future_add_to_awaited_by(first, second)
    loop_module.future_add_to_awaited_by(second, first)
    assert edges(loop_module.capture_call_graph(first)) == ("future", ("future",))


def test_the_text_names_tasks_files_and_lines(run, loop_module):
    async def inner():
        await asyncio.get_running_loop().create_future()

    async def waits(task):
        await task

    async def main():
        task = asyncio.create_task(inner(), name="inner task")
        waiting = asyncio.create_task(waits(task), name="waiting task")
        await let_all_wait()
        text = loop_module.format_call_graph(task)
        name = test_the_text_names_tasks_files_and_lines.__name__
        here = re.escape(repr(__file__))
        assert re.fullmatch(
            rf"\* Task\(name='inner task', id={id(task):#x}\)\n"
            r"  \+ Call stack:\n"
            rf"  \|   File {here}, line \d+, in async {name}\.<locals>\.inner\(\)\n"
            r"  \+ Awaited by:\n"
            rf"    \* Task\(name='waiting task', id={id(waiting):#x}\)\n"
            r"      \+ Call stack:\n"
            rf"      \|   File {here}, line \d+, in async {name}\.<locals>\.waits\(\)",
            text,
        )
        lone = asyncio.get_running_loop().create_future()
        assert loop_module.format_call_graph(lone) == f"* Future(id={id(lone):#x})"
        await end(task, waiting)

    run(main())


def test_the_text_says_what_kind_of_function_it_is(run, loop_module):
    def plain():
        return loop_module.format_call_graph()

    def generator():
        yield plain()

    async def async_generator():
        yield next(generator())

    async def main():
        async for text in async_generator():
            kinds = [line.rpartition(" in ")[2] for line in text.splitlines() if "|" in line]
        prefix = test_the_text_says_what_kind_of_function_it_is.__name__ + ".<locals>."
        assert [kind.replace(prefix, "") for kind in kinds] == [
            "plain()",
            "generator generator()",
            "async generator async_generator()",
            "async main()",
        ]

    run(main())


def test_printing_goes_to_the_given_file(run, loop_module, capsys):
    async def main():
        future = asyncio.get_running_loop().create_future()
        text = loop_module.format_call_graph(future) + "\n"
        file = io.StringIO()
        loop_module.print_call_graph(future, file=file)
        assert file.getvalue() == text
        loop_module.print_call_graph(future)
        assert capsys.readouterr().out == text
        loop_module.print_call_graph()
        assert "in async " in capsys.readouterr().out

    run(main())


def test_entries_and_graphs_are_frozen(run, loop_module):
    async def main():
        graph = loop_module.capture_call_graph()
        assert isinstance(graph, loop_module.FutureCallGraph)
        entry = graph.call_stack[0]
        assert isinstance(entry, loop_module.FrameCallGraphEntry)
        for part, name in ((graph, "future"), (entry, "frame")):
            with pytest.raises(AttributeError):
                setattr(part, name, None)
        assert loop_module.FutureCallGraph(graph.future, graph.call_stack, ()) == graph

    run(main())

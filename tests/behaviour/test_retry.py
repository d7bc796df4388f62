"""retry: what is tried again, when, and what is left of the errors."""

import asyncio
import contextvars
import functools
import gc
import inspect
import random
import weakref

import pytest

from virtual_time import run_example, run_in_virtual_time

oxio = pytest.importorskip("oxio")

variable = contextvars.ContextVar("variable", default="default")


@pytest.fixture
def run(loop_module):
    return functools.partial(run_in_virtual_time, loop_module)


class Failing:
    """An async function that fails so often; it writes down when it was called."""

    def __init__(self, *errors, seconds=0.0):
        self.errors = list(errors)
        self.seconds = seconds
        self.calls = []

    async def __call__(self, *args, **kwargs):
        loop = asyncio.get_running_loop()
        self.calls.append(loop.time() - loop.START)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return args, kwargs


class FullDelay(random.Random):
    """Always the upper limit, so that a test can name the times."""

    def uniform(self, a, b):
        assert a == 0
        return b


slowest = FullDelay()


def notes(error):
    return getattr(error, "__notes__", [])


def test_success_at_once_is_just_a_call(run):
    func = Failing()
    assert run(oxio.retry(func)(1, two=2)) == ((1,), {"two": 2})
    assert func.calls == [0]


def test_it_is_called_again_with_the_same_arguments_until_it_succeeds(run):
    func = Failing(OSError(), KeyError())
    assert run(oxio.retry(func, random=slowest)(1, two=2)) == ((1,), {"two": 2})
    assert func.calls == pytest.approx([0, 0.1, 0.3])


def test_pauses_double_up_to_the_cap(run):
    func = Failing(*[OSError()] * 6)
    run(oxio.retry(func, attempts=7, delay=1, max_delay=10, random=slowest)())
    assert func.calls == pytest.approx([0, 1, 3, 7, 15, 25, 35])


def test_pauses_grow_by_the_factor_and_never_start_above_the_cap(run):
    func = Failing(*[OSError()] * 3)
    run(oxio.retry(func, attempts=4, delay=1, factor=3, random=slowest)())
    assert func.calls == pytest.approx([0, 1, 4, 13])
    func = Failing(OSError(), OSError())
    run(oxio.retry(func, delay=100, max_delay=5, random=slowest)())
    assert func.calls == pytest.approx([0, 5, 10])


def test_pauses_are_anywhere_between_nothing_and_the_limit(run):
    pauses = []

    async def main():
        func = Failing(*[OSError()] * 2000)
        await oxio.retry(func, attempts=None, delay=2, factor=1, random=random.Random(5))()
        pauses.extend(after - before for before, after in zip(func.calls, func.calls[1:], strict=False))

    run(main())
    assert 0 <= min(pauses) < 0.02
    assert 1.98 < max(pauses) <= 2
    assert sum(pauses) / 2000 == pytest.approx(1, abs=0.05)


def test_a_seed_repeats_the_pauses(run):
    def times(seed):
        func = Failing(*[OSError()] * 4)
        run(oxio.retry(func, attempts=5, random=random.Random(seed))())
        return func.calls

    assert times(1) == times(1) != times(2)


def test_without_a_delay_it_is_tried_again_at_once(run):
    func = Failing(OSError(), OSError())
    run(oxio.retry(func, delay=0)())
    assert func.calls == [0, 0, 0]


def test_the_last_error_is_raised_with_notes_on_the_earlier_ones(run):
    last = ConnectionError("third")
    with pytest.raises(ConnectionError) as caught:
        run(oxio.retry(Failing(OSError("first"), KeyError("second"), last))())
    assert caught.value is last
    assert notes(last) == ["Attempt 1: OSError: first", "Attempt 2: KeyError: 'second'"]


def test_only_the_last_ten_earlier_errors_are_told_of(run):
    with pytest.raises(OSError, match="14") as caught:
        run(oxio.retry(Failing(*(OSError(str(i)) for i in range(15))), attempts=15)())
    first, *others = notes(caught.value)
    assert first == "4 more attempts failed before these:"
    assert others == [f"Attempt {i + 1}: OSError: {i}" for i in range(4, 14)]


def test_a_single_attempt_leaves_the_error_as_it_is(run):
    with pytest.raises(OSError) as caught:
        run(oxio.retry(Failing(OSError()), attempts=1)())
    assert notes(caught.value) == []


@pytest.mark.parametrize(
    "on", [ConnectionError, (KeyError, ConnectionError), lambda error: "again" in str(error)]
)
def test_an_error_that_is_none_of_those_to_retry_is_raised_at_once(run, on):
    func = Failing(ConnectionResetError("again"), ValueError("enough"))
    with pytest.raises(ValueError, match="enough") as caught:
        run(oxio.retry(func, on=on)())
    assert len(func.calls) == 2
    assert notes(caught.value) == ["Attempt 1: ConnectionResetError: again"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_is_not_an_exception_is_never_tried_again(run, error):
    func = Failing(error())
    with pytest.raises(error):
        run(oxio.retry(func, on=lambda error: True)())
    assert len(func.calls) == 1


@pytest.mark.parametrize(
    "on", [asyncio.CancelledError, BaseException, (OSError, KeyboardInterrupt), (1,), ((OSError,),)]
)
def test_types_that_are_no_exceptions_are_refused(on):
    with pytest.raises(TypeError, match="subclasses of Exception"):
        oxio.retry(Failing(), on=on)


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"delay": -1},
        {"delay": float("nan")},
        {"delay": float("inf")},
        {"max_delay": -1},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"attempt_timeout": 0},
        {"attempt_timeout": -1},
        {"total_timeout": 0},
    ],
)
def test_an_option_out_of_range_is_refused_by_name(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must"):
        oxio.retry(**options)


def test_an_attempt_out_of_time_is_cancelled_and_followed_by_another(run):
    cancelled = []

    @oxio.retry(attempt_timeout=2, delay=1, random=slowest, on=KeyError)
    async def func():
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(10 if len(cancelled) < 2 else 1)
        except asyncio.CancelledError:
            cancelled.append(loop.time() - loop.START)
            raise
        return loop.time() - loop.START

    assert run(func()) == 8
    assert cancelled == [2, 5]


def test_the_last_attempt_out_of_time_raises_a_time_out(run):
    func = Failing(seconds=10)
    with pytest.raises(TimeoutError) as caught:
        run(oxio.retry(func, attempts=2, attempt_timeout=1)())
    assert notes(caught.value) == ["Attempt 1: TimeoutError"]


def test_a_time_out_of_the_functions_own_is_an_error_like_any_other(run):
    func = Failing(TimeoutError("own"))
    with pytest.raises(TimeoutError, match="own"):
        run(oxio.retry(func, on=KeyError, attempt_timeout=5)())
    assert len(func.calls) == 1


def test_the_total_time_out_cancels_the_attempt_that_runs(run):
    func = Failing(OSError("first"), seconds=4)

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError) as caught:
            await oxio.retry(
                func, delay=2, random=slowest, attempts=None, attempt_timeout=5, total_timeout=9
            )()
        return loop.time() - loop.START, notes(caught.value)

    assert run(main()) == (9, ["Attempt 1: OSError: first"])
    assert func.calls == [0, 6]


@pytest.mark.parametrize("delay", [0, 1])
def test_nothing_follows_the_total_time_out(run, delay):
    func = Failing(seconds=10)
    with pytest.raises(TimeoutError):
        run(oxio.retry(func, delay=delay, total_timeout=3, attempts=None)())
    assert func.calls == [0]


def test_a_pause_that_would_outlast_the_total_time_out_is_not_begun(run):
    func = Failing(*[OSError()] * 5)

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError) as caught:
            await oxio.retry(func, delay=2, attempts=None, random=slowest, total_timeout=6)()
        return loop.time() - loop.START, len(notes(caught.value))

    # It would be 0, 2, 6.
    assert run(main()) == (2, 1)
    assert func.calls == [0, 2]


def test_no_timer_is_left(run):
    async def main():
        await oxio.retry(Failing(OSError(), seconds=1), attempt_timeout=10, total_timeout=100)()
        assert asyncio.get_running_loop().pending_timers() == []

    run(main())


def test_the_callback_is_told_before_each_pause(run):
    told = []
    first, second = OSError(), KeyError()

    async def main():
        loop = asyncio.get_running_loop()

        def on_retry(attempt):
            told.append((loop.time() - loop.START, attempt))

        await oxio.retry(Failing(first, second, seconds=1), delay=2, random=slowest, on_retry=on_retry)()

    run(main())
    assert told == [
        (1, oxio.RetryAttempt(number=1, error=first, delay=2, elapsed=1)),
        (4, oxio.RetryAttempt(number=2, error=second, delay=4, elapsed=4)),
    ]


def test_the_callback_is_not_told_of_the_last_failure(run):
    told = []
    with pytest.raises(OSError):
        run(oxio.retry(Failing(OSError(), OSError()), attempts=2, on_retry=told.append)())
    assert [attempt.number for attempt in told] == [1]


def test_an_error_in_the_callback_ends_the_call(run):
    func, original = Failing(OSError()), OSError()
    func.errors = [original]
    with pytest.raises(ZeroDivisionError) as caught:
        run(oxio.retry(func, on_retry=lambda attempt: 1 / 0)())
    assert caught.value.__context__ is original
    assert len(func.calls) == 1


@pytest.mark.parametrize("when", [0.0, 0.5, 1.0, 1.5, 2.5, 3.0, 3.5])
def test_cancellation_ends_it_in_an_attempt_and_in_a_pause(run, when):
    func = Failing(*[OSError()] * 9, seconds=1)

    async def main():
        loop = asyncio.get_running_loop()
        retried = oxio.retry(func, delay=1, factor=1, random=slowest, attempt_timeout=5, total_timeout=50)
        task = asyncio.create_task(retried())
        await asyncio.sleep(when)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert loop.time() - loop.START == when
        assert loop.pending_timers() == []
        await asyncio.sleep(100)

    run(main())
    assert all(time <= when for time in func.calls)


def test_an_outer_time_out_is_not_taken_for_its_own(run):
    func = Failing(seconds=10)

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await oxio.retry(func, attempt_timeout=5)()
        assert asyncio.current_task().cancelling() == 0

    run(main())
    assert func.calls == [0]


def test_a_decorator_keeps_name_signature_and_kind():
    @oxio.retry
    async def plain(a: int, *, b: str = "b") -> bytes:
        """What it says."""

    @oxio.retry(attempts=2)
    async def with_options(a: int, *, b: str = "b") -> bytes:
        """What it says."""

    for function in (plain, with_options):
        assert inspect.iscoroutinefunction(function)
        assert function.__doc__ == "What it says."
        assert str(inspect.signature(function)) == "(a: int, *, b: str = 'b') -> bytes"
    assert plain.__name__ == "plain"


def test_methods_can_be_decorated(run):
    class Client:
        def __init__(self):
            self.failures = 1

        @oxio.retry(on=OSError)
        async def fetch(self, url):
            if self.failures:
                self.failures -= 1
                raise OSError
            return self, url

    client = Client()
    assert run(client.fetch("url")) == (client, "url")


def test_calls_of_one_function_do_not_know_of_each_other(run):
    @oxio.retry(attempts=3, delay=1, random=slowest)
    async def func(failures):
        if failures:
            raise failures.pop()
        return asyncio.get_running_loop().time()

    async def main():
        loop = asyncio.get_running_loop()
        times = await asyncio.gather(*(func([OSError()] * count) for count in (0, 2, 1)))
        return [time - loop.START for time in times]

    assert run(main()) == [0, 3, 1]


def test_attempts_run_in_the_callers_task_and_context(run):
    tasks = []

    @oxio.retry(attempts=3)
    async def func():
        tasks.append(asyncio.current_task())
        variable.set(f"attempt {len(tasks)}")
        if len(tasks) < 3:
            raise OSError

    async def main():
        variable.set("caller")
        await func()
        assert tasks == [asyncio.current_task()] * 3
        assert variable.get() == "attempt 3"

    run(main())


def test_a_function_that_is_not_async_is_called_once_and_refused(run):
    calls = []
    with pytest.raises(TypeError, match="returned 5"):
        run(oxio.retry(lambda: calls.append(1) or 5)())
    assert calls == [1]


def test_wrong_arguments_are_not_tried_again(run):
    attempts = []

    async def takes_one(one):
        """Never gets there."""

    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        run(oxio.retry(takes_one, on_retry=attempts.append)())
    assert attempts == []


def test_an_async_generator_function_is_refused():
    async def generator():
        yield 1

    with pytest.raises(TypeError, match="async generator"):
        oxio.retry(generator)


def test_errors_are_freed_without_the_collector(run):
    class Error(Exception):
        pass

    freed = []

    async def main():
        for errors in ([Error(), Error()], [Error(), Error(), Error()]):
            for error in errors:
                weakref.finalize(error, freed.append, 1)
            del error
            func = Failing(*errors)
            errors.clear()
            try:
                await oxio.retry(func)()
            except Error:
                pass
        await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        run(main())
        assert len(freed) == 5
    finally:
        gc.enable()


def test_the_example_prints_what_it_says(loop_module, capsys):
    assert 0 < run_example(loop_module, oxio.retry) < 0.3
    assert capsys.readouterr().out == "page\n"

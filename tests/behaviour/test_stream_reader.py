"""StreamReader, fed by hand: what each read returns, where the limit bites, when the transport pauses, who may wait."""

import asyncio
import gc
import inspect
import itertools
import re
import weakref

import pytest

import features
from interleaving import count_turns, note, on_stock, outcome
from recording import turns

several = pytest.mark.skipif(not features.SEVERAL_SEPARATORS, reason="this readuntil takes one separator")

DEFAULT_LIMIT = 2**16


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


def fed(module, *chunks, eof=False, **options):
    reader = module.StreamReader(**options)
    for chunk in chunks:
        reader.feed_data(chunk)
    if eof:
        reader.feed_eof()
    return reader


class Transport:
    """Writes down when reading is paused and resumed."""

    def __init__(self, *, can_pause=True):
        self.log = []
        self.can_pause = can_pause

    def pause_reading(self):
        if not self.can_pause:
            raise NotImplementedError
        self.log.append("pause")

    def resume_reading(self):
        self.log.append("resume")


# Satisfied at once


def test_what_is_there_is_read_without_a_turn_of_the_loop(run, loop_module):
    async def main():
        log = []
        count_turns(log)
        reader = fed(loop_module, b"line\nrecord;exact", b"rest", eof=True)
        assert await reader.readline() == b"line\n"
        assert await reader.readuntil(b";") == b"record;"
        assert await reader.readexactly(5) == b"exact"
        assert await reader.read(2) == b"re"
        assert await reader.read() == b"st"
        assert reader.at_eof()
        assert await reader.read() == b""
        assert await reader.read(5) == b""
        assert await reader.readline() == b""
        assert log == []

    run(main())


def test_everything_read_is_bytes(run, loop_module):
    async def main():
        reader = fed(loop_module, bytearray(b"a\nb"), memoryview(b"c\nd"), b"e" * 20, eof=True)
        for awaitable in (
            *(reader.readline(), reader.readuntil(b"c"), reader.readexactly(1), reader.read(1)),
            reader.read(-1),
        ):
            assert type(await awaitable) is bytes

    run(main())


def test_what_was_fed_can_be_changed_by_its_owner_afterwards(run, loop_module):
    async def main():
        chunk = bytearray(b"abc")
        reader = fed(loop_module, chunk)
        chunk[:] = b"xyz"
        assert await reader.read(3) == b"abc"

    run(main())


def test_reads_of_nothing(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        assert await reader.read(0) == b""
        assert await reader.readexactly(0) == b""
        with pytest.raises(ValueError, match="^readexactly size can not be less than zero$"):
            await reader.readexactly(-1)
        reader.feed_data(b"")
        assert not reader.at_eof()
        assert await reader.read(0) == b""

    run(main())


# Waiting


def test_a_read_waits_for_the_next_data_and_takes_what_it_may(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        log = []
        [task] = await start(note(log, "read", reader.read(3)))
        count_turns(log, 2)
        reader.feed_data(b"ab")
        reader.feed_data(b"cde")
        assert log == []
        await turns(2)
        assert log == [1, "read", 2]
        assert await reader.read(10) == b"de"

    run(main())


def test_a_read_waits_for_the_end_too(run, loop_module):
    async def main():
        for call, expected in [
            (lambda reader: reader.read(3), b""),
            (lambda reader: reader.read(), b""),
            (lambda reader: reader.readline(), b""),
        ]:
            reader = loop_module.StreamReader()
            [task] = await start(call(reader))
            assert not task.done()
            reader.feed_eof()
            assert await task == expected

    run(main())


def test_readline_returns_the_rest_at_the_end(run, loop_module):
    async def main():
        reader = fed(loop_module, b"one\ntwo")
        assert await reader.readline() == b"one\n"
        [task] = await start(reader.readline())
        reader.feed_data(b" and more")
        await turns(2)
        assert not task.done()
        reader.feed_eof()
        assert await task == b"two and more"
        assert await reader.readline() == b""

    run(main())


def test_readexactly_at_the_end_says_what_it_has(run, loop_module):
    async def main():
        for chunks in ([], [b"abc"], [b"ab", b"c"]):
            reader = fed(loop_module, *chunks, eof=True)
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readexactly(5)
            partial = b"".join(chunks)
            assert caught.value.partial == partial
            assert caught.value.expected == 5
            assert str(caught.value) == f"{len(partial)} bytes read on a total of 5 expected bytes"
            assert isinstance(caught.value, EOFError)
            assert type(caught.value.partial) is bytes
            assert reader.at_eof(), "the rest is gone"
        reader = fed(loop_module, b"abc")
        [task] = await start(reader.readexactly(5))
        reader.feed_data(b"d")
        await turns(2)
        reader.feed_eof()
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await task
        assert caught.value.partial == b"abcd"

    run(main())


def test_readuntil_at_the_end_says_what_it_has(run, loop_module):
    async def main():
        reader = fed(loop_module, b"abc")
        [task] = await start(reader.readuntil(b";"))
        reader.feed_eof()
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await task
        assert caught.value.partial == b"abc"
        assert caught.value.expected is None
        assert str(caught.value) == "3 bytes read on a total of undefined expected bytes"
        assert reader.at_eof()
        reader = fed(loop_module, b"found;rest", eof=True)
        assert await reader.readuntil(b";") == b"found;"

    run(main())


def test_read_to_the_end_takes_more_than_the_limit(run, loop_module):
    async def main():
        reader = fed(loop_module, b"x" * 10, limit=4)
        [task] = await start(reader.read())
        for _ in range(10):
            reader.feed_data(b"yyy")
            await turns(1)
        reader.feed_eof()
        assert await task == b"x" * 10 + b"yyy" * 10

    run(main())


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"ab", b"aab", b"SEPARATOR", b"aaaa"])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_separator_is_found_wherever_the_chunks_are_cut(run, loop_module, separator, size):
    async def main():
        message = b"xa" + separator[:-1] + b"x" + separator + b"aSEPARATOaa"
        text = message[: message.index(separator) + len(separator)]
        rest = message[len(text) :]
        reader = loop_module.StreamReader()
        [task] = await start(reader.readuntil(separator))
        for index in range(0, len(message), size):
            reader.feed_data(message[index : index + size])
            await turns(1)
        await turns(1)
        assert await task == text
        assert await reader.read(100) == rest

    run(main())


def test_several_messages_in_one_chunk_and_one_message_in_several(run, loop_module):
    async def main():
        reader = fed(loop_module, b"a\nb\n\nc")
        assert [await reader.readline() for _ in range(3)] == [b"a\n", b"b\n", b"\n"]
        [task] = await start(reader.readline())
        for byte in b"def":
            reader.feed_data(bytes([byte]))
            await turns(1)
        reader.feed_data(b"\n")
        assert await task == b"cdef\n"

    run(main())


def test_async_for_gives_lines(run, loop_module):
    async def main():
        reader = fed(loop_module, b"one\ntwo\n\nthree")
        lines = []

        async def read():
            async for line in reader:
                lines.append(line)

        [task] = await start(read())
        assert lines == [b"one\n", b"two\n", b"\n"]
        reader.feed_data(b" and four\n")
        await turns(2)
        reader.feed_eof()
        await task
        assert lines[3:] == [b"three and four\n"]
        assert aiter(reader) is reader
        with pytest.raises(StopAsyncIteration):
            await anext(reader)

    run(main())


# Separators


def test_an_empty_separator_is_refused(run, loop_module):
    async def main():
        reader = fed(loop_module, b"abc")
        with pytest.raises(ValueError, match="^Separator should be at least one-byte string$"):
            await reader.readuntil(b"")
        with pytest.raises(ValueError, match="^Separator should be at least one-byte string$"):
            await reader.readuntil(separator=b"")
        for nonsense in (None, 5):
            with pytest.raises(TypeError):
                await reader.readuntil(nonsense)
        with pytest.raises(TypeError):
            await reader.readuntil("a")
        assert await reader.read(3) == b"abc"

    run(main())


def test_separators_may_be_any_bytes(run, loop_module):
    async def main():
        for separator in (bytearray(b";"), memoryview(b";")):
            reader = fed(loop_module, b"abc;def")
            assert await reader.readuntil(separator) == b"abc;"

    run(main())


@several
def test_the_separator_that_ends_first_wins(run, loop_module):
    async def main():
        for separators, text, expected in [
            ((b"\r", b"\n"), b"a\nb\r", b"a\n"),
            ((b"\r\n", b"\n"), b"a\r\nb", b"a\r\n"),
            ((b"\n", b"\r\n"), b"a\r\nb", b"a\r\n"),
            ((b"A", b"long A"), b"long A", b"long A"),
            ((b"abcd", b"bc"), b"xabcd", b"xabc"),
            ((b"only",), b"the only one", b"the only"),
        ]:
            reader = fed(loop_module, text)
            assert await reader.readuntil(separators) == expected
            reader = loop_module.StreamReader()
            [task] = await start(reader.readuntil(separators))
            for byte in text:
                reader.feed_data(bytes([byte]))
                await turns(1)
            await turns(1)
            assert task.done()

    run(main())


@several
def test_separators_that_are_refused(run, loop_module):
    async def main():
        reader = fed(loop_module, b"abc")
        with pytest.raises(ValueError, match="^Separator should contain at least one element$"):
            await reader.readuntil(())
        with pytest.raises(ValueError, match="^Separator should be at least one-byte string$"):
            await reader.readuntil((b"a", b""))
        with pytest.raises(TypeError):
            await reader.readuntil([b"a", b"b"])

    run(main())


@several
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_several_separators_and_limits_fare_as_in_asyncio(run, loop_module, size):
    async def scenario(module):
        results = []
        text = b"aaXYbbbYXcXXYdddddddXeeeeeeeeeeeeeeY"
        for separators in ((b"XY", b"YX"), (b"X", b"XXY"), (b"dddX", b"Y"), (b"nothing", b"no")):
            reader = module.StreamReader(limit=6)

            async def read(reader=reader, separators=separators):
                for _ in range(12):
                    try:
                        results.append(await reader.readuntil(separators))
                    except asyncio.LimitOverrunError as error:
                        results.append((str(error), error.consumed))
                        results.append(await reader.readexactly(error.consumed))
                    except asyncio.IncompleteReadError as error:
                        results.append(error.partial)
                        return

            [task] = await start(read())
            for index in range(0, len(text), size):
                reader.feed_data(text[index : index + size])
                await turns(2)
            reader.feed_eof()
            await task
        return results

    assert run(scenario(loop_module)) == on_stock(scenario)


# The limit


def test_the_limit_is_checked(run, loop_module):
    async def main():
        for limit in (0, -1):
            with pytest.raises(ValueError, match="^Limit cannot be <= 0$"):
                loop_module.StreamReader(limit=limit)
        with pytest.raises(ValueError, match="^Limit cannot be <= 0$"):
            loop_module.StreamReader(0)
        loop_module.StreamReader(limit=2**70)

    run(main())


def test_readuntil_over_the_limit_leaves_the_data_and_says_how_much(run, loop_module):
    async def main():
        reader = fed(loop_module, b"some data;rest", limit=5)
        for _ in range(2):
            with pytest.raises(asyncio.LimitOverrunError) as caught:
                await reader.readuntil(b";")
            assert str(caught.value) == "Separator is found, but chunk is longer than limit"
            assert caught.value.consumed == 9
        assert await reader.readexactly(10) == b"some data;"
        reader = fed(loop_module, b"some data without", limit=5)
        with pytest.raises(asyncio.LimitOverrunError) as caught:
            await reader.readuntil(b"::")
        assert str(caught.value) == "Separator is not found, and chunk exceed the limit"
        assert caught.value.consumed == len(b"some data without") - 1
        assert await reader.read(100) == b"some data without"

    run(main())


def test_the_limit_is_compared_with_what_stands_before_the_separator(run, loop_module):
    async def main():
        for separator in (b";", b"<end>"):
            reader = fed(loop_module, b"12345" + separator, limit=5)
            assert await reader.readuntil(separator) == b"12345" + separator
            reader = fed(loop_module, b"123456" + separator, limit=5)
            with pytest.raises(asyncio.LimitOverrunError) as caught:
                await reader.readuntil(separator)
            assert caught.value.consumed == 6
        reader = fed(loop_module, b"12345", limit=5)
        [task] = await start(reader.readuntil(b";"))
        await turns(1)
        assert not task.done()
        reader.feed_data(b"6")
        with pytest.raises(asyncio.LimitOverrunError) as caught:
            await task
        assert caught.value.consumed == 6

    run(main())


def test_readline_over_the_limit_drops_the_line_and_goes_on(run, loop_module):
    async def main():
        reader = fed(loop_module, b"too long a line\nok\n", limit=5)
        with pytest.raises(
            ValueError, match="^Separator is found, but chunk is longer than limit$"
        ) as caught:
            await reader.readline()
        assert type(caught.value) is ValueError
        assert await reader.readline() == b"ok\n"
        reader = fed(loop_module, b"too long and no end", limit=5)
        with pytest.raises(ValueError, match="^Separator is not found, and chunk exceed the limit$"):
            await reader.readline()
        reader.feed_data(b"rest\n")
        assert await reader.readline() == b"rest\n", "what came before is dropped"

    run(main())


def test_read_and_readexactly_know_no_limit(run, loop_module):
    async def main():
        reader = fed(loop_module, b"0123456789", limit=3)
        assert await reader.readexactly(7) == b"0123456"
        assert await reader.read(100) == b"789"
        [task] = await start(reader.readexactly(10))
        for _ in range(5):
            reader.feed_data(b"ab")
            await turns(1)
        assert await task == b"ababababab"

    run(main())


@pytest.mark.parametrize("limit", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_reads_of_all_kinds_over_any_chunks_fare_as_in_asyncio(run, loop_module, limit, size):
    text = b"a\nbb\r\nccc\n\n\ndddddddd\neeeeeeeeeeeeeee\nf\n" * 2

    async def scenario(module):
        results = []
        transport = Transport()
        reader = module.StreamReader(limit=limit)
        reader.set_transport(transport)
        calls = itertools.cycle(
            [
                reader.readline,
                lambda: reader.read(2),
                lambda: reader.readuntil(b"\r\n"),
                lambda: reader.readexactly(3),
                lambda: reader.readuntil(b"c"),
                lambda: reader.read(100),
            ]
        )

        async def read():
            while not reader.at_eof():
                results.append(str(await outcome(next(calls)())))
                results.append(
                    (len(transport.log), transport.log[-1:], re.sub("transport=.*?>", "", repr(reader)))
                )
                if len(results) > 300:
                    return

        task = asyncio.create_task(read())
        for index in range(0, len(text), size):
            await turns(2)
            reader.feed_data(text[index : index + size])
        await turns(2)
        reader.feed_eof()
        await task
        return results

    assert run(scenario(loop_module)) == on_stock(scenario)


# Pausing the transport


def test_above_twice_the_limit_the_transport_is_paused_and_below_the_limit_resumed(run, loop_module):
    async def main():
        transport = Transport()
        reader = loop_module.StreamReader(limit=4)
        reader.set_transport(transport)
        reader.feed_data(b"12345678")
        assert transport.log == []
        reader.feed_data(b"9")
        assert transport.log == ["pause"]
        reader.feed_data(b"0")
        assert transport.log == ["pause"], "once"
        assert await reader.read(5) == b"12345"
        assert transport.log == ["pause"], "five are more than four"
        assert await reader.read(1) == b"6"
        assert transport.log == ["pause", "resume"]
        assert await reader.read(1) == b"7"
        assert transport.log == ["pause", "resume"]

    run(main())


@pytest.mark.parametrize(
    "call",
    [
        lambda reader: reader.readexactly(9),
        lambda reader: reader.readuntil(b"9"),
        lambda reader: reader.read(9),
    ],
)
def test_every_read_resumes_a_paused_transport(run, loop_module, call):
    async def main():
        transport = Transport()
        reader = loop_module.StreamReader(limit=8)
        reader.set_transport(transport)
        reader.feed_data(b"123456789" + b"x" * 8)
        assert transport.log == ["pause"]
        assert await call(reader) == b"123456789"
        assert transport.log == ["pause", "resume"]

    run(main())


def test_a_line_that_is_dropped_resumes_the_transport(run, loop_module):
    async def main():
        transport = Transport()
        reader = loop_module.StreamReader(limit=4)
        reader.set_transport(transport)
        reader.feed_data(b"far too long\nok\n")
        assert transport.log == ["pause"]
        with pytest.raises(ValueError, match="longer than limit"):
            await reader.readline()
        assert transport.log == ["pause", "resume"]
        assert await reader.readline() == b"ok\n"

    run(main())


def test_a_read_that_must_wait_resumes_a_paused_transport(run, loop_module):
    async def main():
        transport = Transport()
        reader = loop_module.StreamReader(limit=4)
        reader.set_transport(transport)
        reader.feed_data(b"123456789")
        [task] = await start(reader.readexactly(12))
        assert transport.log == ["pause", "resume"], "otherwise it would wait for ever"
        reader.feed_data(b"abc")
        assert transport.log == ["pause", "resume", "pause"]
        assert await task == b"123456789abc"
        assert transport.log == ["pause", "resume", "pause", "resume"]

    run(main())


def test_a_transport_that_cannot_pause_is_not_asked_again(run, loop_module):
    async def main():
        asked = []

        class Unpausable:
            def pause_reading(self):
                asked.append(True)
                raise NotImplementedError

        reader = loop_module.StreamReader(limit=1)
        reader.set_transport(Unpausable())
        for _ in range(3):
            reader.feed_data(b"xxx")
        assert asked == [True]
        assert await reader.read(9) == b"x" * 9

    run(main())


def test_a_transport_is_set_once(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        reader.set_transport(Transport())
        with pytest.raises(AssertionError, match="Transport already set"):
            reader.set_transport(Transport())

    run(main())


def test_an_error_of_pause_reading_comes_out_of_feed_data(run, loop_module):
    async def main():
        class Broken:
            def pause_reading(self):
                raise OSError("broken")

        reader = loop_module.StreamReader(limit=1)
        reader.set_transport(Broken())
        with pytest.raises(OSError, match="broken"):
            reader.feed_data(b"xxx")
        assert await reader.read(3) == b"xxx"

    run(main())


# Exceptions


def test_an_exception_is_raised_by_every_read_from_then_on(run, loop_module):
    async def main():
        error = ConnectionResetError("gone")
        reader = fed(loop_module, b"data\n")
        assert reader.exception() is None
        reader.set_exception(error)
        assert reader.exception() is error
        for call in (
            *(reader.readline, reader.read, lambda: reader.read(0), lambda: reader.read(3)),
            *(lambda: reader.readexactly(0), lambda: reader.readexactly(1), lambda: reader.readuntil(b"\n")),
        ):
            with pytest.raises(ConnectionResetError) as caught:
                await call()
            assert caught.value is error
        with pytest.raises(ValueError, match="readexactly size"):
            await reader.readexactly(-1)
        with pytest.raises(ValueError, match="Separator"):
            await reader.readuntil(b"")

    run(main())


def test_an_exception_wakes_who_waits(run, loop_module):
    async def main():
        for call in (
            *(lambda reader: reader.read(1), lambda reader: reader.readline()),
            *(lambda reader: reader.readexactly(5), lambda reader: reader.read()),
        ):
            reader = loop_module.StreamReader()
            [task] = await start(call(reader))
            error = OSError("broken")
            reader.set_exception(error)
            with pytest.raises(OSError, match="broken") as caught:
                await task
            assert caught.value is error

    run(main())


def test_data_after_the_end_is_an_error(run, loop_module):
    async def main():
        reader = fed(loop_module, b"a", eof=True)
        with pytest.raises(AssertionError, match="feed_data after feed_eof"):
            reader.feed_data(b"b")
        reader.feed_eof()
        assert await reader.read() == b"a"

    run(main())


def test_what_is_fed_must_be_bytes(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        with pytest.raises(TypeError):
            reader.feed_data("text")
        assert await reader.read(0) == b""
        reader.feed_data(b"ok")
        assert await reader.read(5) == b"ok"

    run(main())


# Two readers


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("read", lambda reader: reader.read(5)),
        ("read", lambda reader: reader.read()),
        ("readexactly", lambda reader: reader.readexactly(2)),
        ("readuntil", lambda reader: reader.readuntil(b";")),
        ("readuntil", lambda reader: reader.readline()),
    ],
)
def test_a_second_reader_is_refused_while_the_first_waits(run, loop_module, name, call):
    async def main():
        reader = loop_module.StreamReader()
        [first] = await start(reader.read(1))
        with pytest.raises(RuntimeError) as caught:
            await call(reader)
        assert (
            str(caught.value)
            == f"{name}() called while another coroutine is already waiting for incoming data"
        )
        reader.feed_data(b"x")
        assert await first == b"x"
        reader.feed_data(b"yz;\n")
        reader.feed_eof()
        assert await call(reader)

    run(main())


def test_after_a_cancelled_reader_the_next_one_may_wait(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        [task] = await start(reader.readexactly(3))
        reader.feed_data(b"a")
        await turns(1)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        [task] = await start(reader.readexactly(3))
        reader.feed_data(b"bc")
        assert await task == b"abc", "nothing was lost"

    run(main())


def test_a_reader_cancelled_after_it_was_woken_leaves_the_data(run, loop_module):
    async def main():
        for call in (
            *(lambda reader: reader.read(5), lambda reader: reader.readline()),
            *(lambda reader: reader.readexactly(5), lambda reader: reader.readuntil(b"\n")),
        ):
            reader = loop_module.StreamReader()
            [task] = await start(call(reader))
            reader.feed_data(b"data\n")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await call(reader) == b"data\n"

    run(main())


def test_a_task_cancelled_before_its_first_step_reads_nothing(run, loop_module, recorded_warnings):
    async def main():
        reader = fed(loop_module, b"data")
        task = asyncio.create_task(reader.read(4))
        task.cancel()
        await asyncio.wait([task])
        assert await reader.read(4) == b"data"

    run(main())
    gc.collect()
    assert recorded_warnings == []


def test_a_read_acts_when_it_is_awaited(run, loop_module, recorded_warnings):
    async def main():
        reader = fed(loop_module, b"abcdef")
        first, second = reader.read(3), reader.read(3)
        assert await second == b"abc"
        assert await first == b"def"
        reader.feed_data(b"x")
        reader.read(1)
        gc.collect()
        assert await reader.read(1) == b"x"

    run(main())
    assert [str(w.message) for w in recorded_warnings] == ["coroutine 'StreamReader.read' was never awaited"]


# Views from outside


def test_repr_says_its_state(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        assert repr(reader) == "<StreamReader>"
        [task] = await start(reader.readexactly(4))
        assert re.fullmatch(r"<StreamReader waiter=<.*pending.*>>", repr(reader))
        reader.feed_data(b"data")
        await task
        assert repr(reader) == "<StreamReader>"
        reader.feed_data(b"abc")
        assert repr(reader) == "<StreamReader 3 bytes>"
        reader.feed_eof()
        assert repr(reader) == "<StreamReader 3 bytes eof>"
        reader.set_exception(ValueError("x"))
        assert repr(reader) == "<StreamReader 3 bytes eof exception=ValueError('x')>"

        class Odd(Transport):
            def __repr__(self):
                return "odd"

        reader = loop_module.StreamReader(limit=1)
        reader.set_transport(Odd())
        reader.feed_data(b"xyz")
        assert repr(reader) == "<StreamReader 3 bytes limit=1 transport=odd paused>"
        assert repr(loop_module.StreamReader(limit=DEFAULT_LIMIT)) == "<StreamReader>"

    run(main())


def test_at_eof_is_the_end_of_the_data_not_of_the_stream(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        assert reader.at_eof() is False
        reader.feed_data(b"x")
        reader.feed_eof()
        assert reader.at_eof() is False
        await reader.read(1)
        assert reader.at_eof() is True

    run(main())


def test_the_private_names_that_libraries_use_are_there(run, loop_module):
    # aiohttp, redis and others look into `_buffer`, `_limit`, `_eof`, `_exception`, `_waiter`, `_transport`, `_loop`.
    async def main():
        loop = asyncio.get_running_loop()
        transport = Transport()
        reader = fed(loop_module, b"data", limit=7)
        reader.set_transport(transport)
        assert bytes(reader._buffer) == b"data"
        assert len(reader._buffer) == 4
        assert reader._limit == 7
        assert reader._eof is False
        assert reader._exception is None
        assert reader._waiter is None
        assert reader._transport is transport
        assert reader._loop is loop
        assert reader._paused is False
        reader._limit = 100
        assert "limit=100" in repr(reader)
        [task] = await start(reader.readexactly(5))
        assert reader._waiter is not None
        reader.feed_data(b"!")
        await task
        reader.feed_eof()
        assert reader._eof is True
        assert reader.at_eof()

    run(main())


def test_bytes_taken_out_of_the_buffer_by_hand_are_gone(run, loop_module):
    async def main():
        reader = fed(loop_module, b"abcdef")
        del reader._buffer[:2]
        assert await reader.read(2) == b"cd"
        reader._buffer.extend(b"gh")
        assert await reader.read(10) == b"efgh"
        reader.feed_data(b"rest")
        reader._buffer.clear()
        reader.feed_eof()
        assert await reader.read() == b""

    run(main())


def test_the_loop_is_the_running_one_or_given(loop, loop_module):
    reader = loop_module.StreamReader(loop=loop)
    reader.feed_data(b"before the loop runs\n")
    assert loop.run_until_complete(reader.readline()) == b"before the loop runs\n"
    assert loop_module.StreamReader(10, loop)._limit == 10

    async def main():
        return loop_module.StreamReader()._loop is loop

    assert loop.run_until_complete(main())
    assert list(inspect.signature(loop_module.StreamReader).parameters) == ["limit", "loop"]


def test_readers_take_attributes_and_weak_references(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        reader.name = "mine"
        reader.me = reader
        assert isinstance(reader, asyncio.StreamReader)
        reference = weakref.ref(reader)
        del reader
        gc.collect()
        assert reference() is None

    run(main())


def test_a_subclass_has_its_own_constructor_and_methods(run, loop_module):
    class Counting(loop_module.StreamReader):
        def __init__(self, name, **options):
            super().__init__(**options)
            self.log = [name]

        def feed_data(self, data):
            self.log.append(len(data))
            super().feed_data(data)

        async def readuntil(self, separator=b"\n"):
            self.log.append("readuntil")
            return await super().readuntil(separator)

        async def read(self, n=-1):
            data = await super().read(n)
            self.log.append(("read", n, data))
            return data

    async def main():
        reader = Counting("name", limit=5)
        reader.feed_data(b"a\n")
        assert await reader.readline() == b"a\n"
        reader.feed_data(b"xyz")
        reader.feed_eof()
        assert await reader.read() == b"xyz"
        # readline is made of readuntil, and read to the end of reads of the limit.
        assert reader.log == [
            *("name", 2, "readuntil", 3),
            *[("read", 5, b"xyz"), ("read", 5, b""), ("read", -1, b"xyz")],
        ]

    run(main())


def test_debug_mode_remembers_where_a_reader_was_made(run, loop_module):
    async def main():
        reader = loop_module.StreamReader()
        assert reader._source_traceback is not None
        assert "test_stream_reader" in reader._source_traceback[-1].filename

    run(main(), debug=True)


def test_large_data_in_many_small_pieces(run, loop_module):
    async def main():
        reader = loop_module.StreamReader(limit=2**20)
        chunk = b"x" * 100
        [task] = await start(reader.readuntil(b"\n"))
        for _ in range(3000):
            reader.feed_data(chunk)
        reader.feed_data(b"\n")
        assert len(await task) == 300_001
        for _ in range(3000):
            reader.feed_data(b"line\n")
        assert [await reader.readline() for _ in range(3000)] == [b"line\n"] * 3000

    run(main())

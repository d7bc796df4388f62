"""The collector finds cycles through readers, writers and their protocols, and dead connections leave nothing."""

import sys
import weakref

import pytest

import oxio


class Transport:
    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def is_closing(self):
        return True


@pytest.mark.parametrize("attribute", ["_transport", "_exception", "_waiter"])
def test_a_reader_in_a_cycle_with_what_it_holds(loop, canary, attribute):
    make, assert_dead = canary
    bird, reader = make(), oxio.StreamReader(loop=loop)
    bird.holds.append(reader)
    setattr(reader, attribute, bird)
    del bird, reader
    assert_dead()


def test_a_reader_in_a_cycle_with_its_shown_buffer(loop, canary):
    make, assert_dead = canary
    bird, reader = make(), oxio.StreamReader(loop=loop)
    reader.feed_data(b"abc")
    reader.bird = bird
    bird.holds += [reader, reader._buffer]
    del bird, reader
    assert_dead()


def test_a_read_that_is_never_fed_dies_with_its_reader_and_task(loop, canary):
    make, assert_dead = canary
    bird = make()

    async def read(reader):
        reader.bird = bird
        bird.holds.append(reader)
        await reader.read(1)

    task = loop.create_task(read(oxio.StreamReader(loop=loop)))
    loop.call_soon(loop.stop)
    loop.run_forever()
    task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert task.done()
    del bird, task, read
    assert_dead()


@pytest.mark.parametrize("attribute", ["_transport", "_protocol", "_reader", "_complete_fut"])
def test_a_writer_in_a_cycle_with_what_it_holds(loop, canary, attribute):
    make, assert_dead = canary
    bird, writer = make(), oxio.StreamWriter(Transport(), None, None, loop)
    bird.is_closing = lambda: True  # asked when a writer dies
    bird.holds.append(writer)
    setattr(writer, attribute, bird)
    del bird, writer
    assert_dead()


def test_a_protocol_in_a_cycle_with_the_callback_of_its_reader(loop, canary):
    make, assert_dead = canary
    bird, reader = make(), oxio.StreamReader(loop=loop)
    protocol = oxio.StreamReaderProtocol(reader, loop=loop)
    bird.holds.append(protocol)
    protocol._stream_reader_wr = weakref.ref(reader)
    protocol._client_connected_cb = bird
    reader.protocol = protocol
    del bird, reader, protocol
    assert_dead()


def test_a_piece_that_is_read_whole_is_not_kept(loop):
    reader = oxio.StreamReader(loop=loop)

    async def main(piece):
        reader.feed_data(piece)
        before = sys.getrefcount(piece)
        await reader.read(2000)
        assert sys.getrefcount(piece) <= before

    loop.run_until_complete(main(bytes(1000)))


def test_a_bytearray_that_nobody_holds_any_more_is_given_up(loop):
    reader = oxio.StreamReader(loop=loop)
    reader.feed_data(b"abc")
    shown = reader._buffer
    assert shown == b"abc" and reader._buffer is shown
    shown.clear()
    del shown
    piece = b"y" * 1000
    reader.feed_data(piece)

    async def main():
        assert await reader.read(2000) is piece

    loop.run_until_complete(main())


def test_a_thousand_connections_leave_nothing(run, tmp_path, usage):
    path = str(tmp_path / "socket")

    async def converse():
        reader, writer = await oxio.open_unix_connection(path)
        writer.write(b"a line\nand half")
        assert await reader.readline() == b"a line\n"
        assert await reader.readexactly(8) == b"and half"
        writer.close()
        await writer.wait_closed()

    async def echo(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await oxio.start_unix_server(echo, path)
        for _ in range(200):
            await converse()
        before = usage()
        for _ in range(1000):
            await converse()
        after = usage()
        server.close()
        await server.wait_closed()
        return before, after

    before, after = run(main())
    assert after[0] <= before[0]
    assert after[1] - before[1] < 100
    assert after[2] - before[2] < 2 << 20


def test_records_that_cross_pieces_leave_nothing_buffered(run):
    async def main():
        reader = oxio.StreamReader()
        pieces = [b"0123456789\n" * 9 + b"01234", b"56789\n"]
        for _ in range(100):
            for piece in pieces:
                reader.feed_data(piece)
            lines = [await reader.readline() for _ in range(10)]
            assert lines == [b"0123456789\n"] * 10
            assert reader.statistics().buffered == 0


    run(main())

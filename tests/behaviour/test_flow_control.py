"""Backpressure: pause_writing and resume_writing alternate, and nothing is lost however small the socket's buffer."""

import asyncio
import random

import pytest

from recording import Recorder, turns, wait_until
from sockets import attached, read_all, read_exactly


def flow_events(protocol):
    return [event for event in protocol.events if event in ("pause", "resume")]


def assert_alternating(events):
    assert events == ["pause", "resume"] * (len(events) // 2) + ["pause"] * (len(events) % 2)


def test_the_marks_are_asyncios(run, family):
    async def main():
        async with attached(family) as (protocol, peer):
            assert protocol.transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
            assert protocol.transport.get_write_buffer_size() == 0

    run(main())


@pytest.mark.parametrize(
    "given, marks",
    [
        ({"high": 1000}, (250, 1000)),
        ({"low": 1000}, (1000, 4000)),
        ({"high": 1000, "low": 10}, (10, 1000)),
        ({"high": 0}, (0, 0)),
        ({"low": 0}, (0, 0)),
        ({}, (16 * 1024, 64 * 1024)),
    ],
)
def test_marks_not_given_follow_from_the_other(run, family, given, marks):
    async def main():
        async with attached(family) as (protocol, peer):
            protocol.transport.set_write_buffer_limits(**given)
            assert protocol.transport.get_write_buffer_limits() == marks

    run(main())


@pytest.mark.parametrize(
    "given", [{"high": 10, "low": 20}, {"high": -1}, {"low": -1}, {"high": 10, "low": -1}]
)
def test_impossible_marks_are_refused(run, family, given):
    async def main():
        async with attached(family) as (protocol, peer):
            with pytest.raises(ValueError):
                protocol.transport.set_write_buffer_limits(**given)
            assert protocol.transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)

    run(main())


def test_writing_past_the_high_mark_pauses_at_once_and_draining_resumes(run, family):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(500_000))
            assert flow_events(protocol) == ["pause"]
            size = protocol.transport.get_write_buffer_size()
            assert 64 * 1024 < size < 500_000
            protocol.transport.write(bytes(1000))
            assert protocol.transport.get_write_buffer_size() == size + 1000
            assert flow_events(protocol) == ["pause"], "told once"
            await read_exactly(peer, 501_000)
            await wait_until(lambda: len(flow_events(protocol)) == 2)
            assert flow_events(protocol) == ["pause", "resume"]
            await wait_until(lambda: protocol.transport.get_write_buffer_size() == 0)

    run(main())


def test_resume_comes_when_the_buffer_is_at_or_under_the_low_mark(run, family):
    sizes = []

    class Watches(Recorder):
        def pause_writing(self):
            super().pause_writing()
            sizes.append(self.transport.get_write_buffer_size())

        def resume_writing(self):
            super().resume_writing()
            sizes.append(self.transport.get_write_buffer_size())

    async def main():
        async with attached(family, Watches, tiny=True) as (protocol, peer):
            protocol.transport.set_write_buffer_limits(high=100_000, low=30_000)
            protocol.transport.write(bytes(400_000))
            await read_exactly(peer, 400_000)
            await wait_until(lambda: len(sizes) == 2)
            assert sizes[0] > 100_000
            assert sizes[1] <= 30_000

    run(main())


def test_a_high_mark_of_zero_pauses_as_soon_as_anything_waits(run, family):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            protocol.transport.set_write_buffer_limits(high=0)
            protocol.transport.write(b"goes at once")
            assert flow_events(protocol) == []
            protocol.transport.write(bytes(300_000))
            assert flow_events(protocol) == ["pause"]
            await read_exactly(peer, 300_012)
            await wait_until(lambda: flow_events(protocol) == ["pause", "resume"])

    run(main())


@pytest.mark.parametrize("seed", range(6))
def test_pause_and_resume_alternate_and_all_bytes_arrive(run, family, seed):
    chance = random.Random(seed)
    message = chance.randbytes(600_000)

    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            low = chance.choice([0, 1, 1000, 16 * 1024])
            protocol.transport.set_write_buffer_limits(
                high=low + chance.choice([0, 1, 5000, 48 * 1024]), low=low
            )

            async def write():
                position = 0
                while position < len(message):
                    if protocol.events[-1] == "pause" and chance.random() < 0.7:
                        await wait_until(lambda: protocol.events[-1] != "pause")
                    size = int(chance.expovariate(1 / chance.choice([10, 3000, 40_000]))) + 1
                    piece = message[position : position + size]
                    position += size
                    if chance.random() < 0.3:
                        cut = len(piece) // 2
                        protocol.transport.writelines([piece[:cut], piece[cut:]])
                    else:
                        protocol.transport.write(chance.choice([bytes, bytearray, memoryview])(piece))
                    if chance.random() < 0.2:
                        await asyncio.sleep(0)
                protocol.transport.close()

            writing = asyncio.create_task(write())
            received = await read_all(peer)
            await writing
            assert received == message
            assert await protocol.wait_lost() is None
            events = flow_events(protocol)
            assert_alternating(events)
            assert len(events) % 2 == 0, "what was paused is resumed"

    run(main())


def test_writing_from_resume_writing_is_sent_and_alternation_holds(run, family):
    class KeepsWriting(Recorder):
        left = 5

        def resume_writing(self):
            super().resume_writing()
            if self.left:
                self.left -= 1
                self.transport.write(bytes(200_000))

    async def main():
        async with attached(family, KeepsWriting, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(200_000))
            await read_exactly(peer, 6 * 200_000)
            await wait_until(lambda: len(flow_events(protocol)) == 12)
            assert_alternating(flow_events(protocol))

    run(main())


def test_writing_from_pause_writing_is_sent(run, family):
    class WritesMore(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.transport.write(b"tail")

    async def main():
        async with attached(family, WritesMore, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(200_000))
            protocol.transport.close()
            received = await read_all(peer)
            assert len(received) == 200_004
            assert received.endswith(b"tail")

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_closing_from_pause_writing_is_fine(run, family, how):
    class Ends(Recorder):
        def pause_writing(self):
            super().pause_writing()
            getattr(self.transport, how)()

    async def main():
        async with attached(family, Ends, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(300_000))
            received = await read_all(peer)
            assert await protocol.wait_lost() is None
            if how == "close":
                assert len(received) == 300_000
            assert protocol.events.count("lost") == 1

    run(main())


@pytest.mark.oxio_only("asyncio calls connection_lost twice and logs AttributeError")
@pytest.mark.parametrize("how", ["close", "abort"])
def test_closing_from_resume_writing_is_fine(run, family, how):
    class Ends(Recorder):
        def resume_writing(self):
            super().resume_writing()
            getattr(self.transport, how)()

    async def main():
        async with attached(family, Ends, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(300_000))
            received = await read_all(peer)
            assert await protocol.wait_lost() is None
            if how == "close":
                assert len(received) == 300_000
            await turns(3)
            assert protocol.events == ["made", "pause", "resume", "lost"]

    run(main())


def test_a_protocol_whose_flow_callbacks_raise_is_reported_and_the_bytes_arrive(run, family):
    class Raises(Recorder):
        def pause_writing(self):
            raise ValueError("bad pause")

        def resume_writing(self):
            raise ValueError("bad resume")

    async def main():
        contexts = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
        async with attached(family, Raises, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(300_000))
            protocol.transport.close()
            assert len(await read_all(peer)) == 300_000
            await protocol.wait_lost()
        assert [context["message"] for context in contexts] == [
            "protocol.pause_writing() failed",
            "protocol.resume_writing() failed",
        ]
        for context in contexts:
            assert context["protocol"] is protocol
            assert context["transport"] is protocol.transport

    run(main())


def test_drain_waits_for_the_reader_at_the_other_end(run, family, tmp_path):
    async def main():
        going, total = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def slow_reader(reader, writer):
            await going.wait()
            total.set_result(len(await reader.read(-1)))
            writer.close()

        if family == "tcp":
            server = await asyncio.start_server(slow_reader, "127.0.0.1", 0)
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        else:
            server = await asyncio.start_unix_server(slow_reader, str(tmp_path / "socket"))
            _, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        async with server:
            writer.write(bytes(4_000_000))
            draining = asyncio.create_task(writer.drain())
            await asyncio.sleep(0.01)
            assert not draining.done()
            going.set()
            await draining
            writer.close()
            await writer.wait_closed()
            assert await total == 4_000_000
            await turns(3)

    run(main())

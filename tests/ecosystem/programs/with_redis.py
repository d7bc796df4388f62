"""redis-py on asyncio's streams, locks and conditions, against a real redis-server."""

import asyncio
import contextlib

import redis.asyncio as redis
from redis.exceptions import TimeoutError as RedisTimeout
from redis.exceptions import WatchError


@contextlib.asynccontextmanager
async def _client(redis_port, **options):
    # redis-py retries by itself; here an error must be seen.
    client = redis.Redis(
        host="127.0.0.1", port=redis_port, decode_responses=True, **{"retry": None, **options}
    )
    try:
        await client.flushall()
        yield client
    finally:
        await client.aclose()


async def a_pool_serves_many_commands_at_once(redis_port):
    async with _client(redis_port) as client, asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(client.set(f"key{number}", number))
    async with redis.Redis(host="127.0.0.1", port=redis_port, decode_responses=True) as client:
        values = await asyncio.gather(*(client.get(f"key{number}") for number in range(50)))
    assert values == [str(number) for number in range(50)]
    return values


async def a_blocking_pool_makes_callers_wait_their_turn(redis_port):
    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=redis_port, max_connections=2, timeout=5)
    client = redis.Redis(connection_pool=pool)
    await client.delete("count")
    counts = await asyncio.gather(*(client.incr("count") for _ in range(40)))
    assert sorted(counts) == list(range(1, 41))
    waiting = [asyncio.create_task(client.blpop("nothing", timeout=0)) for _ in range(2)]
    await asyncio.sleep(0.02)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await client.get("count")
    seen = asyncio.current_task().cancelling()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    left = await asyncio.gather(*(client.incr("count") for _ in range(6)))
    await pool.disconnect()
    return seen, [task.cancelled() for task in waiting], sorted(left)


async def a_pipeline_runs_its_commands_in_one_go(redis_port):
    async with _client(redis_port) as client:
        async with client.pipeline(transaction=True) as pipeline:
            for number in range(300):
                pipeline.rpush("list", number)
            lengths = await pipeline.execute()
        assert lengths == list(range(1, 301))
        assert await client.lrange("list", 0, -1) == [str(number) for number in range(300)]
        big = "x" * 1_000_000
        await client.set("big", big)
        assert await client.get("big") == big
        return lengths[-1]


async def a_watched_key_that_changes_fails_the_transaction(redis_port):
    async with _client(redis_port) as client:
        await client.set("watched", 1)
        async with client.pipeline() as pipeline:
            await pipeline.watch("watched")
            await client.set("watched", 2)
            pipeline.multi()
            pipeline.set("watched", 3)
            try:
                await pipeline.execute()
            except WatchError:
                return await client.get("watched")


async def subscribers_hear_what_is_published(redis_port):
    async with _client(redis_port) as client:
        heard, ready = asyncio.Queue(), asyncio.Barrier(4)

        async def subscriber():
            async with client.pubsub() as pubsub:
                await pubsub.subscribe("news")
                assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
                await ready.wait()
                async for message in pubsub.listen():
                    await heard.put(message["data"])
                    if message["data"] == "end":
                        break

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(subscriber())
            await ready.wait()
            for number in range(20):
                await client.publish("news", number)
            await client.publish("news", "end")
        items = sorted(heard.get_nowait() for _ in range(heard.qsize()))
        assert len(items) == 63
        return items


async def a_message_that_does_not_come_is_none_in_time(redis_port):
    async with _client(redis_port) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("silence")
        first = await pubsub.get_message(timeout=5)
        nothing = [await pubsub.get_message(timeout=timeout) for timeout in (0, 0.001, 0.01)]
        await client.publish("silence", "broken")
        message = await pubsub.get_message(timeout=5)
        return first["type"], nothing, message["data"]


async def a_listener_is_cancelled_and_the_pool_goes_on(redis_port):
    async with _client(redis_port) as client:
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("news")

            async def listen():
                async for _ in pubsub.listen():
                    pass

            task = asyncio.create_task(listen())
            await asyncio.sleep(0.005)
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError)
        return await client.ping()


async def a_cancelled_blocking_pop_loses_no_item_and_mixes_up_no_answers(redis_port):
    async with _client(redis_port) as client:
        for turns in range(12):
            task = asyncio.create_task(client.blpop(["work"], timeout=0))
            for _ in range(turns):
                await asyncio.sleep(0)
            if turns > 8:
                await asyncio.sleep(0.002)
            # On Python 3.11 a cancel while it connects is lost, on every loop.
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.05)
            assert task.cancelled()
            assert await client.echo(f"answer {turns}") == f"answer {turns}"
        try:
            async with asyncio.timeout(0.01):
                await client.blpop(["work"], timeout=0)
        except TimeoutError:
            pass
        # A pop whose connection is not closed yet could still take it.
        await asyncio.sleep(0.01)
        await client.rpush("work", "item")
        return await client.blpop(["work"], timeout=1)


async def a_socket_timeout_is_redis_own_error(redis_port):
    async with _client(redis_port, socket_timeout=0.02) as client:
        try:
            await client.execute_command("BLPOP", "nothing", 5)
        except RedisTimeout as error:
            seen = type(error).__name__
        return seen, await client.ping()


async def locks_in_redis_are_held_by_one(redis_port):
    async with _client(redis_port) as client:
        inside, most = 0, 0

        async def worker():
            nonlocal inside, most
            async with client.lock("lock", timeout=5, sleep=0.001, blocking_timeout=5):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(worker() for _ in range(6)))
        return most


async def a_single_connection_client_takes_turns(redis_port):
    async with _client(redis_port, single_connection_client=True) as client:
        answers = await asyncio.gather(*(client.echo(str(number)) for number in range(30)))
        assert answers == [str(number) for number in range(30)]
        return answers


async def a_stream_is_read_as_it_is_written(redis_port):
    async with _client(redis_port) as client:

        async def write():
            for number in range(20):
                await client.xadd("stream", {"number": number})

        async def read():
            last, numbers = "0", []
            while len(numbers) < 20:
                for _, entries in await client.xread({"stream": last}, block=5000):
                    for last, fields in entries:
                        numbers.append(int(fields["number"]))
            return numbers

        async with asyncio.TaskGroup() as group:
            reader = group.create_task(read())
            group.create_task(write())
        assert reader.result() == list(range(20))
        return reader.result()


async def a_newer_protocol_and_scans_work(redis_port):
    async with _client(redis_port, protocol=3) as client:
        await client.mset({f"key{number}": number for number in range(200)})
        keys = [key async for key in client.scan_iter(count=10)]
        await client.hset("hash", mapping={"a": 1, "b": 2})
        assert len(keys) == 200
        return await client.hgetall("hash")

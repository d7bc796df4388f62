"""asyncpg's protocol, pools and listeners against a real PostgreSQL."""

import asyncio
import contextlib

import asyncpg


def _connect(postgres_port, **options):
    # Without TLS and password files: neither the machine nor its user has a say.
    return asyncpg.connect(
        host="127.0.0.1", port=postgres_port, user="oxio", database="postgres", ssl=False, **options
    )


def _pool(postgres_port, **options):
    return asyncpg.create_pool(
        host="127.0.0.1", port=postgres_port, user="oxio", database="postgres", ssl=False, **options
    )


@contextlib.asynccontextmanager
async def _connection(postgres_port, **options):
    connection = await _connect(postgres_port, **options)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def a_pool_serves_more_tasks_than_it_has_connections(postgres_port):
    async with _pool(postgres_port, min_size=1, max_size=3) as pool:

        async def query(number):
            async with pool.acquire() as connection:
                return await connection.fetchval("select $1::int * 2", number)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(query(number)) for number in range(40)]
        return [task.result() for task in tasks]


async def acquiring_from_a_used_up_pool_times_out_or_is_cancelled(postgres_port):
    async with _pool(postgres_port, min_size=1, max_size=1) as pool:
        seen = []
        async with pool.acquire():
            try:
                await pool.acquire(timeout=0.01)
            except TimeoutError:
                seen.append("timed out")
            task = asyncio.create_task(pool.fetchval("select 1"))
            await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.wait([task])
            seen.append(task.cancelled())
            waiting = asyncio.create_task(pool.fetchval("select 2"))
            await asyncio.sleep(0)
        return seen, await waiting, await pool.fetchval("select 3")


async def transactions_commit_roll_back_and_nest(postgres_port):
    async with _connection(postgres_port) as connection:
        await connection.execute("create temp table numbers (n int)")
        async with connection.transaction():
            await connection.execute("insert into numbers values (1)")
            with contextlib.suppress(ZeroDivisionError):
                async with connection.transaction():
                    await connection.execute("insert into numbers values (2)")
                    raise ZeroDivisionError
        with contextlib.suppress(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("insert into numbers values (3)")
                await connection.execute("select 1 / 0")
        return [row["n"] for row in await connection.fetch("select n from numbers")]


async def a_query_that_takes_too_long_times_out(postgres_port):
    async with _connection(postgres_port) as connection:
        seen = []
        try:
            await connection.fetchval("select pg_sleep(20)", timeout=0.02)
        except TimeoutError:
            seen.append("argument")
        try:
            async with asyncio.timeout(0.02):
                await connection.fetchval("select pg_sleep(20)")
        except TimeoutError:
            seen.append("asyncio.timeout")
        try:
            await asyncio.wait_for(connection.fetchval("select pg_sleep(20)"), 0.02)
        except TimeoutError:
            seen.append("wait_for")
    async with _connection(postgres_port, command_timeout=0.2) as connection:
        try:
            await connection.execute("select pg_sleep(20)")
        except TimeoutError:
            seen.append("command_timeout")
        return seen, await connection.fetchval("select 4", timeout=5)


async def a_cancelled_query_is_cancelled_in_the_server(postgres_port):
    async with _connection(postgres_port) as connection, _connection(postgres_port) as other:
        pid = connection.get_server_pid()
        task = asyncio.create_task(connection.fetchval("select pg_sleep(20)"))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        # The next query of this connection waits until the server has done so.
        assert await connection.fetchval("select 5") == 5
        return await other.fetchval("select state from pg_stat_activity where pid = $1", pid)


async def queries_cancelled_at_every_await_leave_the_pool_whole(postgres_port):
    async with _pool(postgres_port, min_size=2, max_size=2) as pool:
        for turns in range(10):
            task = asyncio.create_task(pool.fetchval("select 6"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        answers = await asyncio.gather(*(pool.fetchval("select $1::int", number) for number in range(6)))
        assert pool.get_idle_size() == pool.get_size() == 2
        return answers


async def listeners_are_notified(postgres_port):
    async with _connection(postgres_port) as listener, _connection(postgres_port) as notifier:
        queue = asyncio.Queue()
        await listener.add_listener("news", lambda *args: queue.put_nowait(args[2:]))
        for number in range(20):
            await notifier.execute("select pg_notify('news', $1)", str(number))
        async with asyncio.timeout(5):
            heard = [await queue.get() for _ in range(20)]
        assert heard == [("news", str(number)) for number in range(20)]
        await listener.reset()
        return heard


async def cursors_and_copies_carry_many_rows(postgres_port):
    async with _connection(postgres_port) as connection:
        await connection.execute("create temp table rows (n int, t text)")

        async def records():
            for number in range(2000):
                if number % 500 == 0:
                    await asyncio.sleep(0)
                yield number, "x" * 500

        copied = await connection.copy_records_to_table("rows", records=records())
        total = 0
        async with connection.transaction():
            async for row in connection.cursor("select n from rows order by n", prefetch=100):
                total += row["n"]
        chunks = []

        async def output(chunk):
            chunks.append(len(chunk))
            await asyncio.sleep(0)

        await connection.copy_from_query("select * from rows", output=output)
        return copied, total, sum(chunks)


async def two_queries_at_once_on_a_connection_are_refused(postgres_port):
    async with _connection(postgres_port) as connection:
        outcomes = await asyncio.gather(
            connection.fetchval("select 7"), connection.fetchval("select 8"), return_exceptions=True
        )
        return [getattr(type(outcome), "__name__", outcome) for outcome in outcomes]


async def a_connection_lost_is_an_error_of_the_query(postgres_port):
    async with _connection(postgres_port) as other:
        connection = await _connect(postgres_port)
        task = asyncio.create_task(connection.fetchval("select pg_sleep(20)"))
        await asyncio.sleep(0.01)
        await other.execute("select pg_terminate_backend($1)", connection.get_server_pid())
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        return type(outcome).__name__


async def statements_are_prepared_once_and_locks_serialise_them(postgres_port):
    async with _connection(postgres_port) as connection:
        statement, lock = await connection.prepare("select $1::text || $2::text"), asyncio.Lock()

        async def join(number):
            async with lock:
                return await statement.fetchval(str(number), "!")

        return await asyncio.gather(*map(join, range(20)))

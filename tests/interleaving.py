"""What happened in which turn of the loop, how an awaitable ended, and the same scenario on stock asyncio."""

import asyncio


def count_turns(log, count=8):
    """Writes 1, 2, 3 … into the log, one in each of the next turns: what stands between two numbers is one turn.

    One callback of a turn scheduled the next number, so it keeps its place among the callbacks of its turn.
    """
    loop = asyncio.get_running_loop()

    def turn(number):
        log.append(number)
        if number < count:
            loop.call_soon(turn, number + 1)

    loop.call_soon(turn, 1)


async def outcome(awaitable):
    """How it ended, in a form that compares: `("returned", value)` or `("raised", type, arguments)`."""
    try:
        return "returned", await awaitable
    except BaseException as error:
        return "raised", type(error), error.args


async def note(log, name, awaitable):
    """Awaits it, and writes into the log that it came back or what it raised."""
    try:
        await awaitable
    except asyncio.CancelledError:
        log.append(f"{name} cancelled")
        raise
    except Exception as error:
        log.append(f"{name} {type(error).__name__}")
    else:
        log.append(name)


def on_stock(scenario):
    """What `scenario(asyncio)` returns on asyncio's own loop: the judge where versions differ."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(scenario(asyncio))

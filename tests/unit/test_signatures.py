"""Every call that the running version's asyncio takes, oxio's objects take: generated from asyncio itself."""

import asyncio
import contextlib
import inspect
import socket

import pytest

oxio = pytest.importorskip("oxio", reason="needs oxio built")

WHO = ["loop", "future", "task", "handle", "timer", "transport"]


def make_all(loop, task_class):
    """One object of each kind, all of that loop."""
    ours, peer = socket.socketpair()
    transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=ours))
    task = loop.create_task(asyncio.sleep(0))
    objects = {
        "loop": loop,
        "future": loop.create_future(),
        "task": task,
        "handle": loop.call_soon(int),
        "timer": loop.call_later(60, int),
        "transport": transport,
    }
    yield objects
    loop.run_until_complete(task)
    transport.abort()
    peer.close()
    loop.run_until_complete(asyncio.sleep(0.001))


@pytest.fixture(scope="module")
def pairs():
    """For each kind, the stock object and oxio's."""
    with contextlib.ExitStack() as stack:
        stock_loop, our_loop = asyncio.SelectorEventLoop(), oxio.new_event_loop()
        stack.callback(stock_loop.close)
        stack.callback(our_loop.close)
        stock = stack.enter_context(contextlib.contextmanager(make_all)(stock_loop, asyncio.Task))
        ours = stack.enter_context(contextlib.contextmanager(make_all)(our_loop, oxio.Task))
        yield {who: (stock[who], ours[who]) for who in WHO}


def public_names(thing):
    return [name for name in dir(thing) if not name.startswith("_")]


def signature_or_none(function):
    try:
        return inspect.signature(function)
    except ValueError:
        return None


def missing_in(ours, stock):
    """What a caller who follows the stock signature would miss in ours."""
    missing = []
    any_keyword = any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours.parameters.values())
    any_positional = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in ours.parameters.values())
    our_positional = [
        p for p in ours.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    stock_positional = [
        p for p in stock.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(stock_positional) > len(our_positional) and not any_positional:
        missing.append(
            f"takes {len(our_positional)} arguments by position rather than {len(stock_positional)}"
        )
    for name, parameter in stock.parameters.items():
        mine = ours.parameters.get(name)
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            if mine is None:
                if not any_keyword:
                    missing.append(f"no keyword {name}")
            elif mine.kind is mine.POSITIONAL_ONLY:
                missing.append(f"{name} by position only")
            elif parameter.default is not parameter.empty and mine.default is mine.empty:
                missing.append(f"{name} has no default")
            elif parameter.default is not parameter.empty and mine.default != parameter.default:
                missing.append(f"{name} is {mine.default!r} by default rather than {parameter.default!r}")
        elif parameter.kind is parameter.VAR_POSITIONAL and not any_positional:
            missing.append("no *" + name)
        elif parameter.kind is parameter.VAR_KEYWORD and not any_keyword:
            missing.append("no **" + name)
    required = {p.name for p in our_positional[len(stock_positional) :] if p.default is p.empty} | {
        p.name for p in ours.parameters.values() if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    }
    missing += [f"demands {name}" for name in sorted(required - set(stock.parameters))]
    return missing


@pytest.mark.parametrize("who", WHO)
def test_every_public_name_is_there(pairs, who):
    stock, ours = pairs[who]
    assert [name for name in public_names(stock) if not hasattr(ours, name)] == []


@pytest.mark.parametrize("who", WHO)
def test_every_method_takes_what_asyncios_takes(pairs, who):
    stock, ours = pairs[who]
    complaints = {}
    for name in public_names(stock):
        theirs = getattr(stock, name)
        if not callable(theirs):
            continue
        expected, mine = signature_or_none(theirs), signature_or_none(getattr(ours, name))
        if expected is None:
            continue
        missing = ["no signature"] if mine is None else missing_in(mine, expected)
        if missing:
            complaints[name] = missing
    assert complaints == {}


@pytest.mark.parametrize("name", ["Task", "Future", "Runner", "run"])
def test_classes_and_functions_take_what_asyncios_take(name):
    expected = inspect.signature(getattr(asyncio, name))
    assert missing_in(inspect.signature(getattr(oxio, name)), expected) == []


@pytest.mark.parametrize("who", WHO)
def test_coroutine_methods_are_coroutine_methods(pairs, who):
    # Programs ask inspect.iscoroutinefunction() of a loop's methods, mocks do too.
    stock, ours = pairs[who]
    different = [
        name
        for name in public_names(stock)
        if inspect.iscoroutinefunction(getattr(stock, name))
        and not inspect.iscoroutinefunction(getattr(ours, name))
    ]
    assert different == []


def test_the_check_itself_finds_what_is_missing():
    def stock(a, b=1, *args, key=None, **rest):
        pass

    def ours(a, c, /):
        pass

    found = missing_in(inspect.signature(ours), inspect.signature(stock))
    assert found == ["a by position only", "no keyword b", "no *args", "no keyword key", "no **rest"]
    assert missing_in(inspect.signature(stock), inspect.signature(stock)) == []

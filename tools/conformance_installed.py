"""Level 1 of conformance: oxio installed in asyncio's place, as `oxio.install()` does it for a user.

Must run before asyncio's test modules are imported: they copy names such as `tasks._CTask` into class bodies.
"""


def put_in_place() -> None:
    """Makes every name by which the tests reach a loop, Task or Future mean oxio's.

    `oxio.install()` first, as a user would. The rest are the doors that only tests use: `tasks._CTask`,
    `futures._CFuture`, `asyncio.SelectorEventLoop`, and the loop factory of the default policy, because every test
    module ends by putting the default policy back. The pure-Python variants (`_PyTask`, `_PyFuture`) stay stock:
    they check that oxio's loop runs foreign tasks.
    """
    import asyncio
    from asyncio import futures, tasks, unix_events

    import oxio

    oxio.install()
    tasks.Task = tasks._CTask = asyncio.Task = oxio.Task
    futures.Future = futures._CFuture = asyncio.Future = oxio.Future

    loop_class = _selector_event_loop(oxio)
    for module in (asyncio, unix_events):
        module.SelectorEventLoop = loop_class
        if hasattr(module, "EventLoop"):  # 3.13 and later
            module.EventLoop = loop_class
    for name in ("_UnixDefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
        policy = getattr(unix_events, name, None)
        if policy is not None:
            policy._loop_factory = loop_class
    # Back to the default policy, which now makes oxio's loops: tests compare the policy with it.
    reset = getattr(asyncio.events, "_set_event_loop_policy", None) or asyncio.set_event_loop_policy
    reset(None)

    check_retargeted(asyncio, oxio)


def check_retargeted(asyncio, oxio) -> None:
    """Fails unless a plain asyncio program now runs on oxio: stock asyncio would pass all its own tests."""

    async def kinds():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.cancel()
        return type(loop), type(asyncio.current_task()), type(future)

    found = asyncio.run(kinds())
    wanted = (oxio.EventLoop, oxio.Task, oxio.Future)
    if found != wanted or not all(kind.__module__.partition(".")[0] == "oxio" for kind in wanted):
        raise SystemExit(f"asyncio still runs on {found}, not on {wanted}")


def _selector_event_loop(oxio):
    """A stand-in for `asyncio.SelectorEventLoop`.

    Tests call it with a selector, subclass it and use it in isinstance(). What it makes is `oxio.EventLoop` itself,
    not a subclass: the tests must see the class that users get.
    """

    class Kind(type(oxio.EventLoop)):
        def __call__(cls, selector=None):
            if cls is not SelectorEventLoop:
                return super().__call__()
            if selector is not None:
                selector.close()
            return oxio.EventLoop()

        def __instancecheck__(cls, instance):
            if cls is SelectorEventLoop:
                return isinstance(instance, oxio.EventLoop)
            return super().__instancecheck__(instance)

        def __subclasscheck__(cls, subclass):
            if cls is SelectorEventLoop:
                return issubclass(subclass, oxio.EventLoop)
            return super().__subclasscheck__(subclass)

    class SelectorEventLoop(oxio.EventLoop, metaclass=Kind):
        pass

    return SelectorEventLoop

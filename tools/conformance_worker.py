"""Runs one class of CPython's own asyncio tests in this process; `conformance.py` starts it.

Three forms:

    conformance_worker.py list                 one JSON document: {module: {class: [method, …]}}, stock asyncio
    conformance_worker.py check                retargets at oxio and does nothing with it; exits 1 when that fails
    conformance_worker.py run TARGET MODULE CLASS LIMIT FD     method names, one per line, on stdin

`run` writes one JSON line per event to file descriptor FD: `{"start": id}`, then `{"end": id, "outcome": …}`.
The parent decides about hangs and crashes: a test that was started and never ended is one of them. The working
directory is `$TMPDIR`, which the parent makes and removes.

Must not import asyncio's test modules before `retarget`: they copy names such as `tasks._CTask` into class bodies.
"""

import faulthandler
import fcntl
import importlib
import json
import os
import sys
import time
import traceback
import unittest
import warnings

PACKAGE = "test.test_asyncio"
# Test modules close and reuse low descriptors; the report must not be hit. Below 1024, so that select() tests still work.
REPORT_FD_FLOOR = 200
TRACEBACK_LINES = 40


def retarget() -> None:
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


class Report(unittest.TestResult):
    """Sends each outcome to the parent as it happens, so that a crash loses only the test that crashed."""

    def __init__(self, fd: int, limit: float, stderr) -> None:
        super().__init__()
        self._fd = fd
        self._limit = limit
        self._stderr = stderr
        self._reset()

    def send(self, **event) -> None:
        os.write(self._fd, json.dumps(event).encode() + b"\n")

    def startTest(self, test) -> None:
        super().startTest(test)
        self._reset()
        faulthandler.dump_traceback_later(self._limit, exit=False, file=self._stderr)
        self.send(start=short_id(test))

    def stopTest(self, test) -> None:
        faulthandler.cancel_dump_traceback_later()
        outcome, text = self._outcome
        self.send(
            end=short_id(test), outcome=outcome, text=text, seconds=round(time.monotonic() - self._started, 3)
        )
        super().stopTest(test)
        self._reset()

    def _reset(self) -> None:
        # Also after each test: a class that is skipped as a whole starts none of its tests but stops each (3.12.1 on).
        self._outcome = ("ok", "")
        self._started = time.monotonic()

    def addFailure(self, test, err) -> None:
        self._note(test, "fail", tail(err))

    def addError(self, test, err) -> None:
        self._note(test, "error", tail(err))

    def addSubTest(self, test, subtest, err) -> None:
        if err is not None:
            kind = "fail" if issubclass(err[0], test.failureException) else "error"
            self._note(test, kind, f"{subtest}\n{tail(err)}")

    def addSkip(self, test, reason) -> None:
        self._note(test, "skip", reason)

    def addExpectedFailure(self, test, err) -> None:
        self._note(test, "expected failure", "")

    def addUnexpectedSuccess(self, test) -> None:
        self._note(test, "fail", "unexpected success")

    def _note(self, test, outcome: str, text: str) -> None:
        if isinstance(test, unittest.suite._ErrorHolder):
            # A class or module fixture: no test is running, so nothing else would report it.
            self.send(end=f"<{test.id().split(' ')[0]}>", outcome=outcome, text=text, seconds=0.0)
            return
        # The first failure of a test tells why; later ones come from its tearDown.
        if self._outcome[0] in ("ok", "skip"):
            self._outcome = (outcome, text)


def short_id(test) -> str:
    """`CTask_CFuture_Tests.test_cancel`: the class's name in this process and the method."""
    return f"{type(test).__name__}.{test._testMethodName}"


def tail(err) -> str:
    lines = "".join(traceback.format_exception(*err)).splitlines()
    if len(lines) > TRACEBACK_LINES:
        lines = ["…"] + lines[-TRACEBACK_LINES:]
    return "\n".join(lines)


def tests_of(module) -> dict[str, list[str]]:
    found = {}
    for name, value in vars(module).items():
        if (
            isinstance(value, type)
            and issubclass(value, unittest.TestCase)
            and value.__module__ == module.__name__
        ):
            methods = unittest.defaultTestLoader.getTestCaseNames(value)
            if methods:
                found[name] = list(methods)
    return found


def list_tests() -> None:
    here = importlib.import_module(PACKAGE).__path__[0]
    listing = {}
    for file in sorted(os.listdir(here)):
        if file.startswith("test_") and file.endswith(".py"):
            name = file.removesuffix(".py")
            try:
                listing[name] = tests_of(importlib.import_module(f"{PACKAGE}.{name}"))
            except unittest.SkipTest:
                pass  # Windows-only modules, or an interpreter without ssl
    json.dump(listing, sys.stdout)


def run_class(target: str, module_name: str, class_name: str, limit: float, report_fd: int) -> None:
    fd = fcntl.fcntl(report_fd, fcntl.F_DUPFD_CLOEXEC, REPORT_FD_FLOOR)
    os.close(report_fd)
    methods = sys.stdin.read().split()
    # Tests must not wait for a terminal or eat the parent's input.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # A copy, because tests replace and close sys.stderr.
    stderr = os.fdopen(os.dup(2), "w")
    faulthandler.enable(file=stderr, all_threads=True)
    os.makedirs(os.environ["TMPDIR"], exist_ok=True)
    os.chdir(os.environ["TMPDIR"])

    from test import support

    # Loopback only: no test may ask for the outside network. Slow and CPU-heavy ones are in scope.
    support.use_resources = ["cpu", "walltime", "subprocess"]
    if target == "oxio":
        retarget()
    elif target != "stock":
        raise SystemExit(f"unknown target {target!r}")
    warnings.simplefilter("default")

    module = importlib.import_module(f"{PACKAGE}.{module_name}")
    test_class = getattr(module, class_name)
    suite = unittest.TestSuite(test_class(method) for method in methods)
    report = Report(fd, limit, stderr)
    suite.run(report)
    report.send(finished=True)


if __name__ == "__main__":
    if sys.argv[1] == "list":
        list_tests()
    elif sys.argv[1] == "check":
        retarget()
    else:
        run_class(sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]), int(sys.argv[6]))

"""Runs one class of CPython's own asyncio tests in this process; `conformance.py` starts it.

Three forms:

    conformance_worker.py list                 one JSON document: {module: {class: [method, …]}}, stock asyncio
    conformance_worker.py check TARGET         puts oxio in place, prints its own public names; exits 1 when that fails
    conformance_worker.py run TARGET MODULE CLASS LIMIT FD     method names, one per line, on stdin

TARGET is `stock`, `installed` (conformance_installed.py) or `namespace` (conformance_namespace.py).

`run` writes one JSON line per event to file descriptor FD: `{"start": id}`, then `{"end": id, "outcome": …}`.
The parent decides about hangs and crashes: a test that was started and never ended is one of them. The working
directory is `$TMPDIR`, which the parent makes and removes.

Must not import asyncio's test modules before oxio is in place: they copy names such as `tasks._CTask` into class bodies.
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


def put_in_place(target: str) -> set[str]:
    """Makes the tests meet `target`. Returns the set that the names of oxio's that a test was given go into."""
    if target == "installed":
        import conformance_installed

        conformance_installed.put_in_place()
    elif target == "namespace":
        import conformance_namespace

        conformance_namespace.put_in_place()
        return conformance_namespace.served
    elif target != "stock":
        raise SystemExit(f"unknown target {target!r}")
    return set()


def check(target: str) -> None:
    put_in_place(target)
    names = []
    if target == "namespace":
        import conformance_namespace

        names = conformance_namespace.namespace("asyncio").own_public_names()
    print(json.dumps(names))


class Report(unittest.TestResult):
    """Sends each outcome to the parent as it happens, so that a crash loses only the test that crashed."""

    def __init__(self, fd: int, limit: float, stderr, served: set[str]) -> None:
        super().__init__()
        self._served = served
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
        if isinstance(sys.exception(), KeyboardInterrupt):
            # unittest lets it through and notes nothing: this is called on its way out.
            self._note(test, "error", tail(sys.exc_info()))
        outcome, text = self._outcome
        self.send(
            end=short_id(test),
            outcome=outcome,
            text=text,
            seconds=round(time.monotonic() - self._started, 3),
            served=sorted(self._served),
        )
        super().stopTest(test)
        self._reset()

    def _reset(self) -> None:
        # Also after each test: a class that is skipped as a whole starts none of its tests but stops each (3.12.1 on).
        self._outcome = ("ok", "")
        self._served.clear()
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
            self.send(end=f"<{test.id().split(' ')[0]}>", outcome=outcome, text=text, seconds=0.0, served=[])
            return
        # The first failure of a test tells why; later ones come from its tearDown.
        if self._outcome[0] in ("ok", "skip"):
            self._outcome = (outcome, text)


def short_id(test) -> str:
    """`CTask_CFuture_Tests.test_cancel`: the class's name in this process and the method."""
    return f"{type(test).__name__}.{test._testMethodName}"


def tail(err) -> str:
    said = traceback.TracebackException(*err)
    # unittest's own frames say nothing about the failure.
    said.stack[:] = [frame for frame in said.stack if f"{os.sep}unittest{os.sep}" not in frame.filename]
    lines = "".join(said.format()).splitlines()
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
    served = put_in_place(target)
    warnings.simplefilter("default")

    module = importlib.import_module(f"{PACKAGE}.{module_name}")
    test_class = getattr(module, class_name)
    suite = unittest.TestSuite(test_class(method) for method in methods)
    report = Report(fd, limit, stderr, served)
    try:
        suite.run(report)
    except KeyboardInterrupt:
        pass  # The report has it. The parent starts another process for what is left of the class.
    report.send(finished=True)


if __name__ == "__main__":
    if sys.argv[1] == "list":
        list_tests()
    elif sys.argv[1] == "check":
        check(sys.argv[2])
    else:
        run_class(sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]), int(sys.argv[6]))

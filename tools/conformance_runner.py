"""Runs classes of CPython's asyncio tests in processes of their own, and says what became of each test.

`conformance.py` decides what is run and what the outcomes mean; `conformance_worker.py` is the process.
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from interpreters import ROOT, Interpreter

WORKER = ROOT / "tools/conformance_worker.py"
# Importing a test module on a busy machine, or joining the executor's threads at the end of a class.
BETWEEN_TESTS_LIMIT = 60.0
# After the limit of a test the worker prints where it hangs; this long after that it is killed.
KILL_GRACE = 3.0
STDERR_TAIL = 60

# What can become of a test; the first five are the worker's words.
OK, FAIL, ERROR, SKIP, EXPECTED = "ok", "fail", "error", "skip", "expected failure"
HANG, CRASH = "hang", "crash"
PASSING = (OK, EXPECTED)


@dataclasses.dataclass
class Outcome:
    kind: str
    text: str = ""
    seconds: float = 0.0
    # oxio's own names that the test asked for (level 2).
    served: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Target:
    """What the tests run on, in the worker's words. `package` is the folder that oxio is imported from."""

    name: str
    package: pathlib.Path | None = None


STOCK = Target("stock")


@dataclasses.dataclass(frozen=True)
class TestClass:
    module: str
    name: str

    def test_id(self, method: str) -> str:
        return f"{self.module}.{self.name}.{method}"


class Runner:
    """Runs test classes for one interpreter and one target, `jobs` processes at a time."""

    def __init__(self, interpreter: Interpreter, target: Target, limit: float, jobs: int) -> None:
        self._interpreter = interpreter
        self._target = target
        self._limit = limit
        self._jobs = jobs
        self._live: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def run(self, plan: dict[TestClass, list[str]], cost: dict[str, float]) -> dict[str, Outcome]:
        """Runs `plan`, the dearest classes first, so that no long one is left to run alone at the end."""

        def price(test_class: TestClass) -> float:
            return sum(cost.get(test_class.test_id(method), 0.05) for method in plan[test_class])

        results: dict[str, Outcome] = {}
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            futures = [
                pool.submit(self._run_class, test_class, plan[test_class])
                for test_class in sorted(plan, key=price, reverse=True)
            ]
            try:
                for future in concurrent.futures.as_completed(futures):
                    results.update(future.result())
            except BaseException:
                self._stop(futures)
                raise
        return results

    def _stop(self, futures) -> None:
        """Ctrl-C or an error: leave no process behind."""
        self._stopping = True
        for future in futures:
            future.cancel()
        with self._lock:
            for process in self._live:
                kill(process)

    def _run_class(self, test_class: TestClass, methods: list[str]) -> dict[str, Outcome]:
        results: dict[str, Outcome] = {}
        left = list(methods)
        while left and not self._stopping:
            fresh = self._run_process(test_class, left)
            results.update(fresh)
            after = [method for method in left if test_class.test_id(method) not in results]
            if len(after) == len(left):
                # The process never reached a test: starting it again would change nothing.
                reason = next(iter(fresh.values()), Outcome(ERROR, "the worker ran no test"))
                results.update({test_class.test_id(method): reason for method in left})
                break
            left = after
        return results

    def _run_process(self, test_class: TestClass, methods: list[str]) -> dict[str, Outcome]:
        """Starts one worker for `methods` and collects what it reports, until it ends, hangs or crashes."""
        home = tempfile.mkdtemp(prefix="oxio-conformance-")
        read_fd, write_fd = os.pipe()
        try:
            with tempfile.TemporaryFile() as output:
                process = self._start(test_class, write_fd, output, home)
                os.close(write_fd)
                write_fd = -1
                try:
                    assert process.stdin is not None
                    try:
                        process.stdin.write("\n".join(methods).encode())
                        process.stdin.close()
                    except BrokenPipeError:
                        pass  # It died at once; the collector reports its exit code and standard error.
                    return self._collect(test_class, process, read_fd, output)
                finally:
                    kill(process)
                    process.wait()
                    with self._lock:
                        self._live.discard(process)
        finally:
            os.close(read_fd)
            if write_fd >= 0:
                os.close(write_fd)
            shutil.rmtree(home, ignore_errors=True)

    def _start(self, test_class: TestClass, write_fd: int, output, home: str) -> subprocess.Popen:
        command = [*self._interpreter.command, str(WORKER), "run"]
        command += [self._target.name, test_class.module, test_class.name, str(self._limit), str(write_fd)]
        with self._lock:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[write_fd],
                env=environment(self._target, home),
                start_new_session=True,
            )
            self._live.add(process)
        return process

    def _collect(self, test_class: TestClass, process, read_fd: int, output) -> dict[str, Outcome]:
        results: dict[str, Outcome] = {}
        running = None
        finished = False
        pending = b""
        deadline = time.monotonic() + BETWEEN_TESTS_LIMIT
        while True:
            exited = process.poll() is not None
            readable, _, _ = select.select([read_fd], [], [], 0 if exited else 0.25)
            chunk = os.read(read_fd, 65536) if readable else b""
            pending += chunk
            *lines, pending = pending.split(b"\n")
            for line in lines:
                event = json.loads(line)
                if "start" in event:
                    running = event["start"]
                    deadline = time.monotonic() + self._limit + KILL_GRACE
                elif "end" in event:
                    outcome = Outcome(event["outcome"], event["text"], event["seconds"], event["served"])
                    results[f"{test_class.module}.{event['end']}"] = outcome
                    running = None
                    deadline = time.monotonic() + BETWEEN_TESTS_LIMIT
                else:
                    finished = True
                    deadline = time.monotonic() + BETWEEN_TESTS_LIMIT
            if exited and not chunk:
                break
            if not exited and time.monotonic() > deadline:
                kill(process)
                where = running or f"{test_class.name}.<exit>"
                results[f"{test_class.module}.{where}"] = Outcome(HANG, tail_of(output), self._limit)
                return results
        code = process.returncode
        if running is not None:
            results[f"{test_class.module}.{running}"] = Outcome(CRASH, f"{describe(code)}\n{tail_of(output)}")
        elif not finished or code != 0:
            where = f"{test_class.module}.{test_class.name}.<exit>"
            results[where] = Outcome(CRASH, f"{describe(code)}\n{tail_of(output)}")
        return results


def kill(process: subprocess.Popen) -> None:
    """Ends the worker and what its tests started: it leads a process group of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"


def tail_of(output) -> str:
    """The end of what the worker printed, which ends with faulthandler's stacks."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - 16384))
    return "\n".join(output.read().decode(errors="replace").splitlines()[-STDERR_TAIL:])


def environment(target: Target, home: str) -> dict[str, str]:
    """The caller's environment without what would change asyncio's behaviour under the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    kept["TMPDIR"] = home
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    kept["RUST_BACKTRACE"] = "1"
    if target.package is not None:
        kept["PYTHONPATH"] = str(target.package)
    return kept

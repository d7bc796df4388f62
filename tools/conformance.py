#!/usr/bin/env python3
"""Runs CPython's own, installed `test.test_asyncio` on oxio and compares each test with stock asyncio.

    tools/conformance.py                          every interpreter found, oxio built for each
    tools/conformance.py --python 3.12 --module test_tasks --test '*cancel*'
    tools/conformance.py --target stock           the referee against itself: must show no difference
    tools/conformance.py --baseline               only (re)makes the baselines

A regression is a test that stock asyncio passes on that interpreter and oxio does not. The terms of the match, with a
reason for each exemption, are in tests/conformance/expectations.toml; an exemption that is no longer needed is an error.

How: every test class runs in a process of its own (conformance_worker.py), so that a crash or hang costs one test; the
worker is then started again for the rest of its class. Stock asyncio's outcomes are cached per interpreter under .build/.
A regression is tried once more alone before it counts, because two cores shared by parallel tests make some of CPython's
own timing tests fail; what passed only then is listed as flaky.

Ends with a line `N passed, M failed, K skipped`; exits 1 when M is not 0, 2 when nothing could be run.
"""

import argparse
import concurrent.futures
import dataclasses
import fnmatch
import hashlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

import interpreters
from interpreters import ROOT, Interpreter

WORKER = ROOT / "tools/conformance_worker.py"
EXPECTATIONS = ROOT / "tests/conformance/expectations.toml"
CACHE = ROOT / ".build/conformance"
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


@dataclasses.dataclass(frozen=True)
class Target:
    """What the tests run on. `package` is the folder that oxio is imported from."""

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
                    outcome = Outcome(event["outcome"], event["text"], event["seconds"])
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


@dataclasses.dataclass
class Exemption:
    """One line of expectations.toml: a pattern of test ids, why, and where it holds."""

    pattern: str
    reason: str
    minors: tuple[str, ...]
    matched: bool = False

    def covers(self, test_id: str, minor: str) -> bool:
        if minor in self.minors and fnmatch.fnmatchcase(test_id, self.pattern):
            self.matched = True
            return True
        return False


class Terms:
    """What is in scope and which failures are expected, from expectations.toml."""

    def __init__(self, path: pathlib.Path) -> None:
        document = tomllib.loads(path.read_text())
        self.modules: list[str] = document["modules"]
        self.out_of_scope = self._read(document.get("out-of-scope", {}))
        self.expected = self._read(document.get("expected-failures", {}))

    @staticmethod
    def _read(table: dict) -> list[Exemption]:
        exemptions = []
        for section, lines in table.items():
            minors = versions_of(section)
            for pattern, reason in lines.items():
                if not reason.strip():
                    raise SystemExit(f"{EXPECTATIONS}: {pattern} has no reason")
                exemptions.append(Exemption(pattern, reason, minors))
        return exemptions

    def is_out_of_scope(self, test_id: str, minor: str) -> bool:
        return self._reason(self.out_of_scope, test_id, minor) is not None

    def expected_reason(self, test_id: str, minor: str) -> str | None:
        return self._reason(self.expected, test_id, minor)

    @staticmethod
    def _reason(exemptions: list[Exemption], test_id: str, minor: str) -> str | None:
        # All are asked, not only the first that covers it: `unmatched` wants to know of each.
        reasons = [exemption.reason for exemption in exemptions if exemption.covers(test_id, minor)]
        return reasons[0] if reasons else None

    def unmatched(self, minors: set[str]) -> list[str]:
        """Lines that name no test of the interpreters that were run, though all of theirs were."""
        return [
            exemption.pattern
            for exemption in self.out_of_scope + self.expected
            if not exemption.matched and set(exemption.minors) <= minors
        ]


def versions_of(section: str) -> tuple[str, ...]:
    """`all`, `3.12`, `3.12+` or `3.12-`."""
    known = interpreters.VERSIONS
    if section == "all":
        return known
    if section.endswith("+"):
        return known[known.index(section[:-1]) :]
    if section.endswith("-"):
        return known[: known.index(section[:-1]) + 1]
    return (known[known.index(section)],)


@dataclasses.dataclass
class Score:
    passed: int = 0
    skipped: int = 0
    expected: int = 0
    stock_fails: int = 0
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    flaky: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    results: dict[str, Outcome] = dataclasses.field(default_factory=dict)

    @property
    def not_counted(self) -> int:
        return self.skipped + self.expected + self.stock_fails


class Baseline:
    """Stock asyncio's outcomes on one interpreter, kept in .build/ and filled in as tests come into scope."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        key = hashlib.sha256((interpreter.build + WORKER.read_text()).encode()).hexdigest()[:12]
        self._path = CACHE / f"{interpreter.version}-{key}.json"
        self.listing: dict[str, dict[str, list[str]]] = {}
        self.outcomes: dict[str, Outcome] = {}
        if self._path.exists():
            document = json.loads(self._path.read_text())
            self.listing = document["listing"]
            self.outcomes = {test_id: Outcome(**outcome) for test_id, outcome in document["outcomes"].items()}
        else:
            self.listing = self._list()

    def _list(self) -> dict[str, dict[str, list[str]]]:
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                [*self._interpreter.command, str(WORKER), "list"],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=180,
                env=environment(STOCK, home),
            )
        if done.returncode != 0:
            raise SystemExit(f"{self._interpreter}: cannot list test.test_asyncio\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def complete(self, plan: dict[TestClass, list[str]], limit: float, jobs: int) -> None:
        """Runs what has no outcome yet. A failure is tried again alone, as for oxio: noise here would hide regressions."""
        missing = pick(plan, lambda test_id: test_id not in self.outcomes)
        if not missing:
            return
        print(f"  baseline: {count(missing)} tests on stock asyncio", flush=True)
        fresh = Runner(self._interpreter, STOCK, limit, jobs).run(missing, {})
        retry = pick(
            missing, lambda test_id: test_id in fresh and fresh[test_id].kind not in (*PASSING, SKIP)
        )
        fresh.update(one_by_one(self._interpreter, STOCK, limit, retry))
        self.outcomes.update(fresh)
        self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        outcomes = {
            test_id: dataclasses.asdict(outcome) for test_id, outcome in sorted(self.outcomes.items())
        }
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"listing": self.listing, "outcomes": outcomes}, indent=0))
        part.replace(self._path)


def pick(plan: dict[TestClass, list[str]], wanted) -> dict[TestClass, list[str]]:
    picked = {
        test_class: [method for method in methods if wanted(test_class.test_id(method))]
        for test_class, methods in plan.items()
    }
    return {test_class: methods for test_class, methods in picked.items() if methods}


def count(plan: dict[TestClass, list[str]]) -> int:
    return sum(map(len, plan.values()))


def one_by_one(interpreter: Interpreter, target: Target, limit: float, plan) -> dict[str, Outcome]:
    results: dict[str, Outcome] = {}
    for test_class, methods in plan.items():
        for method in methods:
            results.update(Runner(interpreter, target, limit, 1).run({test_class: [method]}, {}))
    return results


def plan_for(
    baseline: Baseline, terms: Terms, minor: str, modules: list[str], pattern: str
) -> dict[TestClass, list[str]]:
    plan = {
        TestClass(module, name): methods
        for module in modules
        for name, methods in baseline.listing.get(module, {}).items()
    }
    return pick(
        plan,
        lambda test_id: fnmatch.fnmatchcase(test_id, pattern) and not terms.is_out_of_scope(test_id, minor),
    )


def judge(interpreter: Interpreter, options, terms: Terms) -> Score:
    started = time.monotonic()
    baseline = Baseline(interpreter)
    plan = plan_for(baseline, terms, interpreter.minor, options.module or terms.modules, options.test)
    baseline.complete(plan, options.limit, options.jobs)
    score = Score()
    if options.baseline:
        kinds = [baseline.outcomes[test_id].kind for test_id in ids(plan)]
        score.passed = sum(kind in PASSING for kind in kinds)
        score.skipped = len(kinds) - score.passed
        print(f"  {summary(score)} ({time.monotonic() - started:.0f} s)", flush=True)
        return score

    # What stock hangs on or dies of says nothing about oxio and costs a minute each.
    runnable = pick(plan, lambda test_id: baseline.outcomes[test_id].kind not in (HANG, CRASH))
    cost = {test_id: outcome.seconds for test_id, outcome in baseline.outcomes.items()}
    target = Target("oxio", options.package.resolve()) if options.target == "oxio" else STOCK
    results = Runner(interpreter, target, options.limit, options.jobs).run(runnable, cost)

    def regressed(test_id: str) -> bool:
        return (
            baseline.outcomes[test_id].kind in PASSING
            and results.get(test_id, Outcome(ERROR)).kind not in PASSING
            and terms.expected_reason(test_id, interpreter.minor) is None
        )

    again = pick(runnable, regressed)
    # When a great deal fails it is no noise, and trying it all again alone would take an hour.
    if count(again) <= options.retry:
        for test_id, outcome in one_by_one(interpreter, target, options.limit, again).items():
            if outcome.kind in PASSING and test_id in results:
                score.flaky.append((test_id, results[test_id].kind))
            results[test_id] = outcome

    score.results = results
    for test_id in ids(plan):
        classify(test_id, baseline.outcomes[test_id], results.get(test_id), terms, interpreter.minor, score)
    for test_id, outcome in results.items():
        if "<" in test_id and baseline.outcomes.get(test_id, Outcome(OK)).kind != outcome.kind:
            # A fixture, or the end of the process: no test's name, but no less of a failure.
            score.failures.append((test_id, f"{outcome.kind}\n{outcome.text}"))
    print(f"  {summary(score)} ({time.monotonic() - started:.0f} s)", flush=True)
    return score


def ids(plan: dict[TestClass, list[str]]) -> list[str]:
    return [test_class.test_id(method) for test_class, methods in plan.items() for method in methods]


def classify(
    test_id: str, stock: Outcome, ours: Outcome | None, terms: Terms, minor: str, score: Score
) -> None:
    reason = terms.expected_reason(test_id, minor)
    passes = ours is not None and ours.kind in PASSING
    if reason is not None:
        if passes:
            score.failures.append(
                (test_id, "passes, though expectations.toml expects a failure: remove the line")
            )
        else:
            score.expected += 1
    elif stock.kind == SKIP:
        score.skipped += 1
    elif stock.kind in (HANG, CRASH):
        score.stock_fails += 1
    elif stock.kind in PASSING and passes:
        score.passed += 1
    elif stock.kind in PASSING:
        text = "was not run" if ours is None else f"{ours.kind} after {ours.seconds:.1f} s\n{ours.text}"
        score.failures.append((test_id, text))
    elif ours is not None and ours.kind in (HANG, CRASH):
        # Stock fails cleanly here; hanging or dying is worse than that.
        score.failures.append((test_id, f"{ours.kind} (stock: {stock.kind})\n{ours.text}"))
    else:
        score.stock_fails += 1


def summary(score: Score) -> str:
    return (
        f"{score.passed} passed, {len(score.failures)} failed, {score.not_counted} skipped "
        f"({score.skipped} by the tests, {score.stock_fails} fail on stock too, {score.expected} expected)"
    )


def show(score: Score, verbose: bool) -> None:
    for test_id, first in score.flaky:
        print(f"  flaky: {test_id} ({first} at first, passed alone)")
    for number, (test_id, text) in enumerate(score.failures):
        head, _, details = text.partition("\n")
        print(f"  FAILED {test_id}: {head}")
        if details and (verbose or number < 25):
            print("\n".join(f"      {line}" for line in details.splitlines()))


def build(interpreter: Interpreter) -> bool:
    started = time.monotonic()
    done = subprocess.run(
        [*interpreter.command, str(ROOT / "tools/build.py")], check=False, stdin=subprocess.DEVNULL, cwd=ROOT
    )
    print(f"  build ({time.monotonic() - started:.0f} s)", flush=True)
    return done.returncode == 0


def reaches_oxio(interpreter: Interpreter, package: pathlib.Path) -> bool:
    """Whether oxio can be put in asyncio's place at all. If not, one message says more than 2000 failed tests."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [*interpreter.command, str(WORKER), "check"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            env=environment(Target("oxio", package.resolve()), home),
        )
    if done.returncode != 0:
        print(f"  FAILED oxio cannot take asyncio's place ({describe(done.returncode)})\n{done.stdout}")
    return done.returncode == 0


def chosen(options) -> list[Interpreter]:
    if not options.python:
        return interpreters.find(with_sid=not options.no_sid)
    return [named(name) for name in options.python]


def named(name: str) -> Interpreter:
    """`3.12`, `sid`, or an interpreter's path or command."""
    if name == "sid":
        wanted = interpreters.sid()
    elif name in interpreters.VERSIONS:
        found = interpreters.find(with_sid=name == interpreters.SID_VERSION)
        wanted = next((interpreter for interpreter in found if interpreter.minor == name), None)
    else:
        wanted = interpreters.probe([shutil.which(name) or name])
    if wanted is None:
        raise SystemExit(f"{name}: not a CPython 3.11 to 3.14 that runs here")
    return wanted


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--python", action="append", help="3.12, sid, or a path; may be repeated (default: all found)"
    )
    parser.add_argument("--module", action="append", help="only this test module; may be repeated")
    parser.add_argument("--test", default="*", help="only test ids that match this pattern")
    parser.add_argument("--target", default="oxio", choices=["oxio", "stock"])
    parser.add_argument("--baseline", action="store_true", help="only run stock asyncio")
    parser.add_argument(
        "--package",
        type=pathlib.Path,
        default=ROOT / "python",
        help="the folder to import oxio from (default python/)",
    )
    parser.add_argument("--no-build", action="store_true", help="use the extension that is there")
    parser.add_argument("--no-sid", action="store_true", help="do not use or make a Debian sid root for 3.14")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one test (default 60)")
    parser.add_argument("--jobs", type=int, default=2, help="test processes at a time (default 2)")
    parser.add_argument(
        "--retry", type=int, default=20, help="try regressions again alone when there are at most so many"
    )
    parser.add_argument("--json", metavar="FILE", help="write every outcome there")
    parser.add_argument("--verbose", action="store_true", help="print every traceback")
    return parser.parse_args()


def main() -> int:
    # A terminal that closes or a gate that gives up must not leave test processes behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    terms = Terms(EXPECTATIONS)
    passed = failed = skipped = 0
    ran: dict[str, Score] = {}
    for interpreter in chosen(options):
        print(f"== {interpreter}", flush=True)
        if not interpreter.has_tests:
            print("  has no test.test_asyncio: not run")
            continue
        if (
            options.target == "oxio"
            and not options.baseline
            and not options.no_build
            and not build(interpreter)
        ):
            print("  FAILED build")
            failed += 1
            continue
        if (
            options.target == "oxio"
            and not options.baseline
            and not reaches_oxio(interpreter, options.package)
        ):
            failed += 1
            continue
        score = judge(interpreter, options, terms)
        show(score, options.verbose)
        ran[interpreter.minor] = score
        passed += score.passed
        failed += len(score.failures)
        skipped += score.not_counted
    if (
        ran
        and not options.module
        and options.test == "*"
        and not options.baseline
        and options.target == "oxio"
    ):
        for pattern in terms.unmatched(set(ran)):
            print(f"FAILED {pattern}: names no test: remove it from {EXPECTATIONS.relative_to(ROOT)}")
            failed += 1
    if options.json:
        document = {
            minor: {
                test_id: dataclasses.asdict(outcome) for test_id, outcome in sorted(score.results.items())
            }
            for minor, score in ran.items()
        }
        pathlib.Path(options.json).write_text(json.dumps(document, indent=1))
    if not ran and not failed:
        print("no interpreter with test.test_asyncio was found")
        return 2
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Runs CPython's own, installed `test.test_asyncio` on oxio and compares each test with stock asyncio.

    tools/conformance.py                          every interpreter found, oxio built for each
    tools/conformance.py --python 3.12 --module test_tasks --test '*cancel*'
    tools/conformance.py --level 2 --python 3.13 --no-build --module test_locks
    tools/conformance.py --target stock           the referee against itself: must show no difference
    tools/conformance.py --baseline               only (re)makes the baselines

There are two levels. Level 1 runs the tests with oxio installed in asyncio's place, unittest's async cases in debug mode
as they are (conformance_installed.py). Level 2 leaves asyncio alone: the test modules' `asyncio` is a namespace that serves
oxio's names first, and async cases run without debug mode (conformance_namespace.py). It also fails when a public name that
oxio defines is not asked for by any test that passes, so that green says that oxio's own were tested.

A regression is a test that stock asyncio passes on that interpreter and oxio does not. The terms of the match, with a
reason for each exemption, are in tests/conformance/expectations.toml; an exemption that is no longer needed is an error.

How: every test class runs in a process of its own (conformance_worker.py), so that a crash or hang costs one test; the
worker is then started again for the rest of its class. Stock asyncio's outcomes are cached per interpreter under .build/.
A regression is tried once more alone before it counts, because two cores shared by parallel tests make some of CPython's
own timing tests fail; what passed only then is listed as flaky.

Ends with a line `N passed, M failed, K skipped`; exits 1 when M is not 0, 2 when nothing could be run.
"""

import argparse
import collections
import dataclasses
import fnmatch
import hashlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import interpreters
from conformance_runner import (
    CRASH,
    ERROR,
    HANG,
    OK,
    PASSING,
    SKIP,
    STOCK,
    WORKER,
    Outcome,
    Runner,
    Target,
    TestClass,
    describe,
    environment,
)
from conformance_terms import EXPECTATIONS, Terms
from interpreters import ROOT, Interpreter

CACHE = ROOT / ".build/conformance"
# The worker's word for what the tests of a level run on.
LEVELS = {1: "installed", 2: "namespace"}


@dataclasses.dataclass
class Score:
    """What came of one level on one interpreter."""

    passed: int = 0
    skipped: int = 0
    expected: int = 0
    stock_fails: int = 0
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    flaky: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    results: dict[str, Outcome] = dataclasses.field(default_factory=dict)
    # Of the failures, those of tests that pass on stock.
    regressions: int = 0

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


def only_baseline(interpreter: Interpreter, options, terms: dict[int, Terms]) -> Score:
    """Stock asyncio's outcomes of the tests of all levels."""
    started = time.monotonic()
    baseline = Baseline(interpreter)
    outcomes: dict[str, Outcome] = {}
    for level in options.level:
        plan = plan_for(
            baseline, terms[level], interpreter.minor, modules_of(level, options, terms[level]), options.test
        )
        baseline.complete(plan, options.limit, options.jobs)
        outcomes.update((test_id, baseline.outcomes[test_id]) for test_id in ids(plan))
    score = Score(results=outcomes)
    score.passed = sum(outcome.kind in PASSING for outcome in outcomes.values())
    score.skipped = len(outcomes) - score.passed
    print(
        f"  baseline: {score.passed} pass, {score.skipped} do not ({time.monotonic() - started:.0f} s)",
        flush=True,
    )
    return score


def modules_of(level: int, options, terms: Terms) -> list[str]:
    """The level's modules. One that is asked for by name need not be in level 1's list."""
    if not options.module:
        return terms.modules
    return [
        module
        for module in options.module
        if level == 1 or options.level == [level] or module in terms.modules
    ]


def judge(interpreter: Interpreter, level: int, options, terms: Terms, own_names: list[str]) -> Score:
    started = time.monotonic()
    baseline = Baseline(interpreter)
    plan = plan_for(baseline, terms, interpreter.minor, modules_of(level, options, terms), options.test)
    baseline.complete(plan, options.limit, options.jobs)
    score = Score()

    # What stock hangs on or dies of says nothing about oxio and costs a minute each.
    runnable = pick(plan, lambda test_id: baseline.outcomes[test_id].kind not in (HANG, CRASH))
    cost = {test_id: outcome.seconds for test_id, outcome in baseline.outcomes.items()}
    target = Target(LEVELS[level], options.package.resolve()) if options.target == "oxio" else STOCK
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
    if is_complete(options):
        require_asked(own_names, score, terms, interpreter.minor)
    print(f"  level {level}: {summary(score)} ({time.monotonic() - started:.0f} s)", flush=True)
    return score


def is_complete(options) -> bool:
    """Whether all that is in scope is run, so that what is missing is missing."""
    return not options.module and options.test == "*" and not options.baseline and options.target == "oxio"


def require_asked(own_names: list[str], score: Score, terms: Terms, minor: str) -> None:
    asked = {
        name.rpartition(".")[2]
        for outcome in score.results.values()
        if outcome.kind in PASSING
        for name in outcome.served
    }
    for name in own_names:
        if name not in asked and not terms.is_unasked(name, minor):
            score.failures.append(
                (f"oxio.{name}", "no test that passes asks for it, so none says that it is right")
            )
    for name in sorted(asked):
        if terms.is_unasked(name, minor):
            score.failures.append(
                (f"oxio.{name}", "is asked for, though expectations.toml says not: remove the line")
            )


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
        score.regressions += 1
    elif ours is not None and ours.kind in (HANG, CRASH):
        # Stock fails cleanly here; hanging or dying is worse than that.
        score.failures.append((test_id, f"{ours.kind} (stock: {stock.kind})\n{ours.text}"))
    else:
        score.stock_fails += 1


def summary(score: Score) -> str:
    other = len(score.failures) - score.regressions
    return (
        f"{score.regressions} regressions of {score.passed + score.regressions} tests"
        + (f" and {other} other failures" if other else "")
        + f"; not counted: {score.skipped} skipped by the tests, {score.stock_fails} that fail on stock too, "
        f"{score.expected} expected failures"
    )


def report(level: int, scores: dict[str, Score]) -> None:
    """One line for a level on all interpreters."""
    if scores:
        regressions = sum(score.regressions for score in scores.values())
        tests = regressions + sum(score.passed for score in scores.values())
        print(f"level {level}: {regressions} regressions of {tests} tests on CPython {', '.join(scores)}")


def show_served(score: Score) -> None:
    """Which of oxio's own names how many of the tests asked for."""
    tests = collections.Counter(name for outcome in score.results.values() for name in outcome.served)
    print("  oxio's own, by tests that asked: " + ", ".join(f"{name} {n}" for name, n in tests.most_common()))


def show(score: Score, verbose: bool) -> None:
    for test_id, first in score.flaky:
        print(f"  flaky: {test_id} ({first} at first, passed alone)")
    if any(outcome.served for outcome in score.results.values()):
        show_served(score)
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


def own_names(interpreter: Interpreter, level: int, package: pathlib.Path) -> list[str] | None:
    """oxio's own public names, as far as they matter to the level; None when oxio cannot be put in place at all.

    One message then says more than 2000 failed tests.
    """
    target = Target(LEVELS[level], package.resolve())
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [*interpreter.command, str(WORKER), "check", target.name],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            env=environment(target, home),
        )
    if done.returncode != 0:
        print(
            f"  FAILED level {level}: oxio cannot be put in place ({describe(done.returncode)})\n{done.stdout}"
        )
        return None
    return json.loads(done.stdout.splitlines()[-1])


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
    parser.add_argument(
        "--level", action="append", type=int, choices=list(LEVELS), help="only this level (default: both)"
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
    options = parser.parse_args()
    options.level = sorted(set(options.level or LEVELS))
    if options.target == "stock":
        # The levels differ in how oxio is put in place.
        options.level = options.level[:1]
    return options


def main() -> int:
    # A terminal that closes or a gate that gives up must not leave test processes behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    terms = {level: Terms(EXPECTATIONS, level) for level in options.level}
    passed = failed = skipped = 0
    ran: dict[str, dict[int, Score]] = {}
    for interpreter in chosen(options):
        print(f"== {interpreter}", flush=True)
        if not interpreter.has_tests:
            print("  has no test.test_asyncio: not run")
            continue
        if options.baseline:
            scores = {0: only_baseline(interpreter, options, terms)}
        elif options.target == "oxio" and not options.no_build and not build(interpreter):
            print("  FAILED build")
            failed += 1
            continue
        else:
            scores = {}
            for level in options.level:
                names = own_names(interpreter, level, options.package) if options.target == "oxio" else []
                if names is None:
                    failed += 1
                    continue
                scores[level] = judge(interpreter, level, options, terms[level], names)
                show(scores[level], options.verbose)
        ran[interpreter.minor] = scores
        passed += sum(score.passed for score in scores.values())
        failed += sum(len(score.failures) for score in scores.values())
        skipped += sum(score.not_counted for score in scores.values())
    if ran and is_complete(options):
        for level in options.level:
            for pattern in terms[level].unmatched(
                {minor for minor, scores in ran.items() if level in scores}
            ):
                print(
                    f"FAILED level {level}: {pattern}: names nothing: remove it from {EXPECTATIONS.relative_to(ROOT)}"
                )
                failed += 1
    for level in options.level:
        report(level, {minor: scores[level] for minor, scores in ran.items() if level in scores})
    if options.json:
        document = {
            minor: {
                level: {
                    test_id: dataclasses.asdict(outcome) for test_id, outcome in sorted(score.results.items())
                }
                for level, score in scores.items()
            }
            for minor, scores in ran.items()
        }
        pathlib.Path(options.json).write_text(json.dumps(document, indent=1))
    if not ran and not failed:
        print("no interpreter with test.test_asyncio was found")
        return 2
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

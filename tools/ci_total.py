"""Adds up what the test runners of `.ci/run` counted: `ci_total.py LOGS [FAILED_PHASE…]`; the last line is the sum.

A phase that failed without a failed test in its log (a lint, a build, a time limit) counts as one failure of its own, so
that the sum never says `0 failed` for a gate that failed.
"""

import pathlib
import re
import sys

# cargo-nextest:  Summary [   0.379s] 71 tests run: 70 passed, 1 failed, 0 skipped
# cargo test:     test result: ok. 4 passed; 0 failed; 0 ignored; …
# pytest:         3 failed, 1176 passed, 12 skipped, 2 errors in 34.5s      (`=` around it unless -q)
# conformance.py: 2331 passed, 0 failed, 14 skipped
SUMMARY = re.compile(
    r"Summary \[.*tests? run:|test result: |^=* ?(?:\d+ \w+, )*\d+ (?:passed|failed|errors?|skipped)\b.*(?: in [\d.]+s\b.*|skipped)$"
)
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|ignored|timed out)\b")
FAILURES = ("failed", "error", "errors", "timed out")


def count(log: pathlib.Path) -> dict[str, int]:
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for line in log.read_text(errors="replace").splitlines():
        if SUMMARY.search(line):
            for number, word in COUNT.findall(line):
                kind = "failed" if word in FAILURES else "skipped" if word == "ignored" else word
                totals[kind] += int(number)
    return totals


def main() -> int:
    logs, failed_phases = pathlib.Path(sys.argv[1]), sys.argv[2:]
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    print()
    for log in sorted(logs.glob("*.log"), key=lambda path: path.stat().st_mtime):
        counted = count(log)
        if log.stem in failed_phases and counted["failed"] == 0:
            counted["failed"] = 1
        verdict = "FAILED" if log.stem in failed_phases else "ok"
        tests = ", ".join(f"{number} {kind}" for kind, number in counted.items() if number)
        print(f"{log.stem:12} {verdict:8} {tests}")
        for kind, number in counted.items():
            totals[kind] += number
    for phase in failed_phases:
        # Out of time before it began: it has no log.
        if not (logs / f"{phase}.log").exists():
            totals["failed"] += 1
            print(f"{phase:12} FAILED   was not run")
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if failed_phases or totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""The fuzzer without the gate's bound: python tests/differential/fuzz.py [--seconds N] [--theme "locks cancels"]

Programs of new seeds until the time is up or one does something else on oxio than on asyncio. That one is made smaller,
which may take a minute or two, and printed. Failing examples are kept in .hypothesis/examples and come first the next
time, until they fail no more. The exit code is 1 when one was found.
"""

import argparse
import random
import sys
import time

from backend import NAME
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from judge import Different, compare, ways
from programs import THEMES, programs

ROUND = 100
"""Programs of one theme and seed."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--theme", help="only this one", choices=[" ".join(sorted(theme)) for theme in THEMES])
    options = parser.parse_args()
    themes = [theme for theme in THEMES if options.theme in (None, " ".join(sorted(theme)))]
    end = time.monotonic() + options.seconds
    checked, rounds = 0, 0
    while time.monotonic() < end:
        theme, number = themes[rounds % len(themes)], random.SystemRandom().getrandbits(32)
        try:
            checked += check(theme, number)
        except Different as error:
            print(f"After {checked} programs, theme {' '.join(sorted(theme))!r}, seed {number}:\n{error}")
            sys.exit(1)
        rounds += 1
        if sys.stdout.isatty():
            print(f"\r{checked} programs", end="", flush=True)
    print(f"\r{checked} programs do on oxio what they do on asyncio")


def check(theme, number):
    """One round; how many programs it was."""
    checked = 0
    every = ways()
    others = [name for name in every if name != "oxio"]

    @seed(number)
    @settings(
        backend=NAME,
        max_examples=ROUND,
        database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(programs(themes=(theme,)), st.sampled_from(others))
    def check_one(program, other):
        nonlocal checked
        checked += 1
        compare(program, {name: every[name] for name in ("oxio", other)})

    # One function for each theme, so that each has its own examples in the database.
    check_one.hypothesis.inner_test.__qualname__ += "-".join(sorted(theme))
    check_one()
    return checked


if __name__ == "__main__":
    main()

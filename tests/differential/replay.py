"""Runs a program that the fuzzer printed: python tests/differential/replay.py [--way WAY] [--trace] <program

Without --way in every way there is. --trace shows asyncio's trace first. The exit code says whether all are the same.
"""

import argparse
import sys

import operations
import programs
from judge import STOCK, Different, compare, ways


def read(text):
    """The program that a repr describes."""
    return eval(text, {**vars(operations), "Program": programs.Program})  # noqa: S307 (it is the fuzzer's own output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", choices=ways())
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    program = read(sys.stdin.read())
    if options.trace:
        print("\n".join(STOCK.run(program).lines()))
    different = 0
    for name, way in ways().items():
        if options.way in (None, name):
            try:
                compare(program, {name: way})
                print(f"{name}: as asyncio")
            except Different as error:
                print(error)
                different = 1
    sys.exit(different)


if __name__ == "__main__":
    main()

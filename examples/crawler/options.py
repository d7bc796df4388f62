"""The command line."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from yarl import URL


class BadInput(Exception):
    """The user asked for something that cannot be; the text says what."""


class Options(argparse.Namespace):
    """What the user asked for."""

    folder: Path | None
    url: URL | None
    out: Path | None
    keep: bool
    limit: int
    retries: int
    timeout: float
    connect_timeout: float
    max_size: int
    max_files: int | None
    depth: int | None
    flaky: float
    seed: int


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, like every other mistake of the program."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        raise BadInput(f"{message} (--help lists the options)")


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line.

    Raises:
        BadInput: it makes no sense.
    """
    parser = Parser(prog="crawler", description="Crawl a folder over HTTP, or a site, and check every byte.")
    what = parser.add_argument_group("what to crawl")
    what.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="default: the standard library")
    what.add_argument("--url", type=web_url, help="crawl this site instead of a folder")
    what.add_argument("--depth", type=integer(0), metavar="N", help="links from the start; 3 with --url")
    what.add_argument("--max-files", type=integer(1), metavar="N", help="stop after so many; 200 with --url")

    out = parser.add_argument_group("where to")
    out.add_argument("--out", type=Path, metavar="DIR", help="default: a temporary folder")
    out.add_argument("--keep", action="store_true", help="keep the temporary folder")

    how = parser.add_argument_group("how", "Times are in seconds. Defaults are in brackets.")
    how.add_argument("--limit", type=integer(1, 500), metavar="N", help="requests at once [32, 4 with --url]")
    how.add_argument("--timeout", type=seconds, default=30.0, metavar="S", help="of a request [%(default)s]")
    how.add_argument("--connect-timeout", type=seconds, default=5.0, metavar="S", help="[%(default)s]")
    how.add_argument("--retries", type=integer(0), default=5, metavar="N", help="of one URL [%(default)s]")
    how.add_argument("--max-size", type=integer(1), default=256, metavar="MB", help="of a file [%(default)s]")

    server = parser.add_argument_group("our own server")
    server.add_argument("--flaky", type=rate, default=0.02, metavar="RATE", help="of failures [%(default)s]")
    server.add_argument("--seed", type=int, default=0, metavar="N", help="picks which ones [%(default)s]")

    options = parser.parse_args(arguments, namespace=Options())
    if options.url and options.folder:
        parser.error("give a FOLDER or --url, not both")
    _fill_in(options)
    return options


def _fill_in(options: Options) -> None:
    """The defaults that depend on what is crawled: be gentle with other people's servers."""
    if options.limit is None:
        options.limit = 4 if options.url else 32
    if options.url and options.max_files is None:
        options.max_files = 200
    if options.url and options.depth is None:
        options.depth = 3


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for argparse: a whole number from `least` to `most`."""

    def convert(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else -1
        if value < least or (most is not None and value > most):
            limits = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return value

    return convert


def seconds(text: str) -> float:
    """A type for argparse: a positive time."""
    value = _number(text)
    if not 0 < value <= 86_400:  # NaN is never between
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds")
    return value


def rate(text: str) -> float:
    """A type for argparse: a part of a whole."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def web_url(text: str) -> URL:
    """A type for argparse: an absolute http or https URL."""
    try:
        url = URL(text).with_fragment(None)
        sound = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        sound = False
    if not sound:
        raise argparse.ArgumentTypeError(f"{text!r} is not an http:// or https:// URL")
    return url

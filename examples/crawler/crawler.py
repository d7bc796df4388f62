"""Crawls a folder over HTTP, or a site, with asyncio, aiohttp and aiofiles; see README.md.

This file is the command: it puts the parts together and says how it went. The parts are in the modules
beside it; crawl.py is the heart of it.
"""

import asyncio
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from crawl import Crawl
from fetch import Fetcher
from options import BadInput, Options, parse
from report import Report, say, say_all, show_progress
from server import Folder, scan, serve
from sites import FolderSite, Site, WebSite
from store import Store

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit codes
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages"}  # of the standard library
MEGABYTE = 1_000_000
# "identity": what is kept are the bytes as the site has them, not a compressed form of them.
HEADERS = {"User-Agent": "asyncio-example-crawler", "Accept-Encoding": "identity"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    try:
        options = parse(arguments)
        # Blocking code, and rightly so: this runs before the loop does, when nothing else has to.
        folder = None if options.url else read_folder(options.folder)
        with open_store(options) as store:
            report = run(options, folder, store)
            return conclude(options, folder, store, report)
    except BadInput as error:
        say(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:  # before the crawl began or after it ended
        say("stopped by Ctrl-C")
        return INTERRUPTED


def run(options: Options, folder: Folder | None, store: Store) -> Report:
    """Crawls the folder, or the site if there is none."""
    report = Report()
    try:
        if folder is None:
            asyncio.run(crawl_site(options, store, report))
        else:
            asyncio.run(crawl_folder(options, folder, store, report))
    except KeyboardInterrupt:
        # asyncio.run has cancelled the crawl and waited for it: the report is complete up to here.
        report.interrupted = True
    return report


async def crawl_folder(options: Options, folder: Folder, store: Store, report: Report) -> None:
    """Serves `folder` and crawls it."""
    report.total = len(folder.hashes)
    async with serve(folder, options.flaky, options.seed) as start:
        say(f"{len(folder.hashes):,} files ({folder.size / 1e6:,.1f} MB) of {folder.root} are at {start}")
        await crawl(options, FolderSite(folder, start), store, report)


async def crawl_site(options: Options, store: Store, report: Report) -> None:
    """Crawls a site that somebody else serves."""
    assert options.url is not None
    say(f"crawling {options.url}, at most {options.max_files} files and {options.depth} links deep")
    await crawl(options, WebSite(options.url), store, report)


async def crawl(options: Options, site: Site, store: Store, report: Report) -> None:
    """Crawls `site` through one session, and shows how far it is."""
    timeout = aiohttp.ClientTimeout(total=options.timeout, connect=options.connect_timeout)
    connector = aiohttp.TCPConnector(limit=options.limit)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=HEADERS) as session:
        fetcher = Fetcher(
            session,
            report,
            limit=options.limit,
            retries=options.retries,
            max_size=options.max_size * MEGABYTE,
        )
        work = Crawl(
            site,
            fetcher,
            store,
            report,
            workers=2 * options.limit,  # more than permits: who waits for a retry or the disk holds none
            max_depth=options.depth,
            max_files=options.max_files,
        )
        with report.timed():
            async with asyncio.TaskGroup() as group:
                progress = group.create_task(show_progress(report))
                await work.run()
                progress.cancel()


def conclude(options: Options, folder: Folder | None, store: Store, report: Report) -> int:
    """Says what failed, leaves the hashes beside the files, prints the table; returns the exit code."""
    if folder is not None:
        add_missing(options, folder, report)
    say_all(report.failures.items())
    if options.out or options.keep:
        try:
            store.save_sums(report.sums())
        except OSError as error:
            raise BadInput(f"cannot write {error.filename}: {error.strerror}") from error
        say(f"kept in {store.folder}")
    if report.interrupted:
        say("stopped by Ctrl-C; this is what was done:")
    if report.hashes or report.interrupted or not report.failures:
        print(report.table())
    if report.interrupted:
        return INTERRUPTED
    return FAILED if report.failures else DONE


def add_missing(options: Options, folder: Folder, report: Report) -> None:
    """Counts as failed what could not even be served, and what the crawl did not find."""
    for error in folder.unreadable:
        report.fail(str(error.filename), f"cannot be read: {error.strerror}")
    limited = report.interrupted or options.max_files is not None or options.depth is not None
    missing = len(folder.hashes) - len(report.hashes)
    if missing and not limited and not report.failures:
        report.fail(str(folder.root), f"{missing:,} files were never linked to")


def read_folder(folder: Path | None) -> Folder:
    """Scans the folder given, or the standard library without what was installed or compiled there."""
    root = folder or Path(sysconfig.get_path("stdlib"))
    try:
        found = scan(root, leave_out=() if folder else LEFT_OUT)
    except OSError as error:
        raise BadInput(f"cannot read the folder {root}: {error.strerror}") from error
    if found.skipped:
        say(f"left out {found.skipped:,} links, pipes, sockets or devices")
    return found


@contextmanager
def open_store(options: Options) -> Iterator[Store]:
    """A store in the folder asked for, or in a temporary one that goes away unless it is to be kept."""
    try:
        out = options.out or Path(tempfile.mkdtemp(prefix="crawl-"))
        store = Store(out)
    except OSError as error:
        raise BadInput(f"cannot write to {error.filename}: {error.strerror}") from error
    try:
        yield store
    finally:
        store.close()
        if not options.out and not options.keep:
            shutil.rmtree(out, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

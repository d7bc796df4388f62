"""The crawl: workers that fetch, writers that write, and the two queues that tie them together.

    jobs ──► workers ──► pages ──► writers ──► disk
      ▲         │
      └─ links ─┘

`jobs` is unbounded, because its consumers are also its producers: a full queue would lock them all up.
`pages` is bounded: when the disk is slower than the network, workers wait, and memory stays small.
"""

import asyncio
from dataclasses import dataclass

from yarl import URL

from fetch import Fetcher, FetchError, Reply
from report import Report
from sites import Site, absolute, links_of
from store import Store

WRITERS = 4
PAGES_WAITING = 32


@dataclass(frozen=True, slots=True)
class Job:
    """A URL to fetch, `depth` links away from the start."""

    url: URL
    depth: int


@dataclass(frozen=True, slots=True)
class Page:
    """A fetched body on its way to the disk."""

    url: URL
    path: str
    body: bytes


class Crawl:
    """Visits a whole site once."""

    def __init__(
        self,
        site: Site,
        fetcher: Fetcher,
        store: Store,
        report: Report,
        *,
        workers: int,
        max_depth: int | None = None,
        max_files: int | None = None,
    ) -> None:
        self._site = site
        self._fetcher = fetcher
        self._store = store
        self._report = report
        self._workers = workers
        self._max_depth = max_depth
        self._max_files = max_files
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._pages: asyncio.Queue[Page] = asyncio.Queue(PAGES_WAITING)
        self._seen: set[URL] = set()
        self._accepted = 0  # pages handed to the writers

    async def run(self) -> None:
        """Crawls until there is nothing left. If cancelled, still writes what was already fetched."""
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(self._write_pages()) for _ in range(WRITERS)]
            try:
                await self._fetch_all()
            finally:
                await self._finish_writing(writers)

    async def _fetch_all(self) -> None:
        self._add(self._site.start, depth=0)
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work()) for _ in range(self._workers)]
            await self._jobs.join()
            for worker in workers:
                worker.cancel()

    async def _finish_writing(self, writers: list[asyncio.Task[None]]) -> None:
        """Waits for the last page, then dismisses the writers.

        A writer ends by itself only by failing. Waiting for that too keeps a bug from becoming a hang.
        """
        written = asyncio.create_task(self._pages.join())
        try:
            await asyncio.wait([written, *writers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (written, *writers):
                task.cancel()

    def _add(self, url: URL, depth: int) -> None:
        """Queues a URL, unless it is somebody else's, too deep or not new."""
        too_deep = self._max_depth is not None and depth > self._max_depth
        if not too_deep and url not in self._seen and self._site.admits(url):
            self._seen.add(url)
            self._jobs.put_nowait(Job(url, depth))

    async def _work(self) -> None:
        """One worker: visits one URL after another."""
        while True:
            job = await self._jobs.get()
            try:
                await self._visit(job)
            finally:
                self._jobs.task_done()

    async def _visit(self, job: Job) -> None:
        if self._is_full():
            return
        try:
            reply = await self._fetcher.fetch(job.url)
            path = self._site.path_of(job.url)
        except (FetchError, ValueError) as error:
            self._report.fail(str(job.url), str(error))
            return
        if reply.location is not None:
            self._redirect(job, reply.location)
            return
        if self._site.lists(reply):
            self._add_links(reply, job.depth + 1)
        if path is not None and not self._is_full():  # others may have filled it meanwhile
            self._accepted += 1
            await self._pages.put(Page(job.url, path, reply.body))

    def _is_full(self) -> bool:
        return self._max_files is not None and self._accepted >= self._max_files

    def _redirect(self, job: Job, location: str) -> None:
        """A redirect is a link to follow, at the same depth and under the same rules."""
        target = absolute(job.url, location)
        if target is not None and self._site.admits(target):
            self._add(target, job.depth)
        elif job.depth == 0:  # the start itself leads away: say so, or the crawl ends empty without a word
            self._report.fail(str(job.url), f"leads to another site, {location}")

    def _add_links(self, reply: Reply, depth: int) -> None:
        for url in links_of(reply):
            self._add(url, depth)

    async def _write_pages(self) -> None:
        """One writer: writes one page after another."""
        while True:
            page = await self._pages.get()
            try:
                await self._write(page)
            finally:
                self._pages.task_done()

    async def _write(self, page: Page) -> None:
        digest = self._site.expected_hash(page.path, page.body)
        try:
            right = await self._store.keep(page.path, page.body, digest)
        except OSError as error:  # one name too long, or a full disk: the report will tell
            self._report.fail(str(page.url), f"cannot be written: {error.strerror}")
            return
        if right:
            self._report.add(page.path, digest, len(page.body))
        else:
            self._report.fail(str(page.url), "the bytes read back from disk have the wrong hash")

"""The site: a folder, read once and served over HTTP on loopback.

`scan` reads the folder before the server starts and hashes every file. The server answers only for
what the scan found, so no "..", link or special file leads out of the folder.
"""

import hashlib
import html
import mimetypes
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import aiofiles
from aiohttp import web
from yarl import URL

CHUNK = 64 * 1024  # bytes read from disk before they are handed to the socket


@dataclass
class Folder:
    """What a scan found. Paths are relative to `root`, with "/" between names; the root itself is ""."""

    root: Path
    hashes: dict[str, str] = field(default_factory=dict)
    """The manifest: the SHA-256 of every file."""
    listings: dict[str, list[str]] = field(default_factory=dict)
    """The names in every folder; those of folders end in "/"."""
    size: int = 0
    """Bytes in all files."""
    skipped: int = 0
    """Links out of the folder or not to a file, sockets, pipes and devices."""
    unreadable: list[OSError] = field(default_factory=list)


def scan(root: Path, leave_out: Collection[str] = ()) -> Folder:
    """Reads and hashes everything under `root`, save folders with a name in `leave_out`.

    A link to a file inside the folder counts as that file. A link to a folder is skipped: it could be a loop.

    Raises:
        OSError: `root` itself cannot be read. Trouble further down is kept in `Folder.unreadable`.
    """
    folder = Folder(root.resolve(strict=True))
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(folder.root / path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not path:
                raise
            folder.unreadable.append(error)
            found = []
        folder.listings[path] = names = []
        for entry in found:
            inner = f"{path}/{entry.name}" if path else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in leave_out:
                    names.append(f"{entry.name}/")
                    waiting.append(inner)
            elif _scan_file(folder, inner, entry):
                names.append(entry.name)
    return folder


def _scan_file(folder: Folder, path: str, entry: os.DirEntry[str]) -> bool:
    """Adds one file to the manifest; False if it is not to be served."""
    try:
        regular = entry.is_file()
        if entry.is_symlink():
            regular = regular and Path(entry.path).resolve().is_relative_to(folder.root)
        if not regular:  # opening a pipe would wait for its other end
            folder.skipped += 1
            return False
        folder.hashes[path] = sha256_of(Path(entry.path))
        folder.size += entry.stat().st_size
    except OSError as error:
        folder.unreadable.append(error)
        return False
    return True


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex. Blocks: coroutines call it through `asyncio.to_thread`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_url_path(path: str) -> str:
    """Quotes a file name for a URL. Works on bytes: a name on Linux need not be UTF-8."""
    return quote(os.fsencode(path))


def from_url_path(url_path: str) -> str:
    """The inverse of `to_url_path`, for the raw path of a URL."""
    return os.fsdecode(unquote_to_bytes(url_path.removeprefix("/")))


@asynccontextmanager
async def serve(folder: Folder, flaky: float = 0.0, seed: int = 0) -> AsyncIterator[URL]:
    """Serves `folder` on a free port of 127.0.0.1 while the block runs; gives the URL of its root."""
    # One handler and no router: a router takes paths for text, and a file name may hold any byte.
    server = web.Server(Site(folder, Faults(flaky, seed)).answer, access_log=None)
    # Clients are gone by the time this stops, so a handler that still runs is stuck: give it one second.
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield URL.build(scheme="http", host=host, port=port, path="/")
    finally:
        await runner.cleanup()


class Faults:
    """Decides which requests fail.

    The choice depends only on the seed, the path and how often that path was asked for, not on the order
    in which requests arrive. So two runs meet the same faults, whatever loop they run on.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self._rate = rate
        self._seed = seed
        self._asked: Counter[str] = Counter()

    def next(self, path: str) -> str | None:
        """What goes wrong with this request: "busy", "cut" or nothing."""
        self._asked[path] += 1
        roll = random.Random(f"{self._seed} {path} {self._asked[path]}").random()
        if roll >= self._rate:
            return None
        return "busy" if roll < self._rate / 2 else "cut"


class Site:
    """Answers requests: HTML listings for folders, bytes for files, and now and then a fault."""

    def __init__(self, folder: Folder, faults: Faults) -> None:
        self._folder = folder
        self._faults = faults

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        if request.method != "GET":
            return web.Response(status=405, headers={"Allow": "GET"})
        url_path = request.rel_url.raw_path
        fault = self._faults.next(url_path)
        if fault == "busy":
            return web.Response(status=503, text="busy, try again\n")
        if fault == "cut":
            return await self._cut(request)
        path = from_url_path(url_path)
        if path in self._folder.hashes:
            return await self._send_file(request, path)
        # A folder's URL ends in "/", or the relative links in its listing would lead elsewhere.
        names = self._folder.listings.get(path.removesuffix("/"))
        if names is None or not url_path.endswith("/"):
            return web.Response(status=404, text="no such file\n")
        return web.Response(text=listing(path, names), content_type="text/html")

    async def _send_file(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Sends a file in chunks, so that memory stays small; `write` waits for a slow reader."""
        try:
            file = await aiofiles.open(self._folder.root / path, "rb")
        except OSError as error:  # it was there when the folder was scanned
            return web.Response(status=403, text=f"{error.strerror}\n")
        try:
            response = web.StreamResponse()
            response.content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
            with suppress(ConnectionError):  # the client has gone; it does not care
                await response.prepare(request)
                while chunk := await file.read(CHUNK):
                    await response.write(chunk)
                await response.write_eof()
        finally:
            await file.close()
        return response

    async def _cut(self, request: web.BaseRequest) -> web.StreamResponse:
        """Promises a hundred bytes, sends ten and hangs up."""
        response = web.StreamResponse()
        response.content_length = 100
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write(b"0123456789")
        if request.transport is not None:
            request.transport.close()
        return response


def listing(path: str, names: list[str]) -> str:
    """The HTML page of one folder."""
    links = ([] if path == "" else ["../"]) + names
    rows = "\n".join(f'<li><a href="{_link(name)}">{_text(name)}</a></li>' for name in links)
    title = _text(f"/{path}")
    head = f'<!doctype html>\n<meta charset="utf-8">\n<title>{title}</title>\n<h1>{title}</h1>'
    return f"{head}\n<ul>\n{rows}\n</ul>\n"


def _link(name: str) -> str:
    """A relative link. "./" keeps a name with a colon from being read as a scheme."""
    return f"./{to_url_path(name)}"


def _text(name: str) -> str:
    """A name as HTML text; bytes that are not UTF-8 become "?"."""
    return html.escape(name.encode("utf-8", "replace").decode())

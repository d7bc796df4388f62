"""Which URLs belong to a crawl, what is kept of them, and under which name.

A crawl asks these questions of a `Site`. There are two: our own folder, whose manifest says what every
file must hold, and any site of the web, of which nothing is known beforehand.
"""

import hashlib
from contextlib import suppress
from html.parser import HTMLParser
from typing import Protocol
from urllib.parse import quote

from yarl import URL

from fetch import Reply
from server import Folder, from_url_path

LINKS = {"a": "href", "area": "href", "link": "href", "img": "src", "script": "src"}


class Site(Protocol):
    """What a crawl has to know about the site it walks through."""

    start: URL

    def admits(self, url: URL) -> bool:
        """Whether a link is to be followed."""

    def lists(self, reply: Reply) -> bool:
        """Whether the page is to be searched for links."""

    def path_of(self, url: URL) -> str | None:
        """Where the page is kept, relative to the output; None if it is not kept.

        Raises:
            ValueError: the server invented a file.
        """

    def expected_hash(self, path: str, body: bytes) -> str:
        """The SHA-256 that the file must have when it is read back."""


class FolderSite:
    """Our own server: follows its listings and keeps every file."""

    def __init__(self, folder: Folder, start: URL) -> None:
        self.start = start
        self._folder = folder

    def admits(self, url: URL) -> bool:
        """See `Site`."""
        return same_site(url, self.start)

    def lists(self, reply: Reply) -> bool:
        """See `Site`. A file may well be HTML, but its links are not ours."""
        return reply.url.raw_path.endswith("/")

    def path_of(self, url: URL) -> str | None:
        """See `Site`. Only names from the manifest are let through to the disk."""
        if url.raw_path.endswith("/"):
            return None
        path = from_url_path(url.raw_path)
        if path not in self._folder.hashes:
            raise ValueError("not in the manifest")
        return path

    def expected_hash(self, path: str, body: bytes) -> str:
        """See `Site`. Not sent with the file: a check must not travel over the wire it checks."""
        return self._folder.hashes[path]


class WebSite:
    """A site of the web: follows HTML pages and keeps everything."""

    def __init__(self, start: URL) -> None:
        self.start = start

    def admits(self, url: URL) -> bool:
        """See `Site`."""
        return same_site(url, self.start)

    def lists(self, reply: Reply) -> bool:
        """See `Site`."""
        return reply.content_type in ("text/html", "application/xhtml+xml")

    def path_of(self, url: URL) -> str | None:
        """See `Site`. The whole URL makes one flat file name.

        A site may have both /a and /a/b; a disk cannot have a as a file and as a folder.
        """
        name = quote(str(url.relative()), safe="")
        if len(name) <= 240:  # most file systems allow 255 bytes
            return name
        return f"{name[:170]}~{hashlib.sha256(name.encode()).hexdigest()}"

    def expected_hash(self, path: str, body: bytes) -> str:
        """See `Site`. All that can be checked is that the disk holds what was fetched."""
        return hashlib.sha256(body).hexdigest()


def same_site(url: URL, start: URL) -> bool:
    """Same host, and same port; http and https count as one site if both use their usual port."""
    if url.scheme not in ("http", "https") or url.host != start.host:
        return False
    return url.port == start.port or (url.is_default_port() and start.is_default_port())


def links_of(reply: Reply) -> list[URL]:
    """The links in an HTML page, absolute and without their #fragments; broken ones are left out."""
    parser = _LinkParser()
    with suppress(AssertionError):  # its way to report some malformed markup; the links before it are good
        parser.feed(reply.text)
    urls = (absolute(reply.url, link) for link in parser.links)
    return [url for url in urls if url is not None]


def absolute(base: URL, link: str) -> URL | None:
    """Joins a link to the URL of the page that holds it; None if it makes no sense."""
    try:
        return base.join(URL(link.strip())).with_fragment(None)
    except ValueError:
        return None


class _LinkParser(HTMLParser):
    """Collects the links of a page as they are written there."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        link = dict(attrs).get(LINKS.get(tag, ""))
        if link:
            self.links.append(link)

"""One URL, fetched with patience: a limit on requests in flight, time-outs, and retries with back-off."""

import asyncio
import os
import random
from dataclasses import dataclass

import aiohttp
from yarl import URL

from report import Report

BUSY = {429, 500, 502, 503, 504}  # the server may think better of it
REDIRECT = {301, 302, 303, 307, 308}
FIRST_DELAY = 0.1  # seconds; doubled after every failure
LONGEST_DELAY = 10.0


class FetchError(Exception):
    """The page cannot be had; the text says why."""


class _Busy(Exception):
    """The server asks us to come back later."""

    def __init__(self, status: int, retry_after: float) -> None:
        super().__init__(f"the server answers {status}")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the server. `location` is set if it is a redirect, and then the body is empty."""

    url: URL
    body: bytes
    content_type: str
    charset: str
    location: str | None = None

    @property
    def text(self) -> str:
        """The body as text, as well as it can be decoded."""
        try:
            return self.body.decode(self.charset, "replace")
        except LookupError:  # a charset nobody knows
            return self.body.decode("utf-8", "replace")


class Fetcher:
    """Fetches URLs through one pooled session, at most `limit` at a time."""

    def __init__(
        self, session: aiohttp.ClientSession, report: Report, *, limit: int, retries: int, max_size: int
    ) -> None:
        self._session = session
        self._report = report
        self._retries = retries
        self._max_size = max_size
        # The session's connector has the same limit, but a request that waits for a connection there is
        # already using up its time-out. One that waits here is not.
        self._permits = asyncio.Semaphore(limit)

    async def fetch(self, url: URL) -> Reply:
        """Fetches `url`, again and again if the trouble looks like it will pass.

        Raises:
            FetchError: it did not pass, or never will.
        """
        failures = 0
        while True:
            try:
                async with self._permits:
                    return await self._try_once(url)
            except (aiohttp.InvalidURL, aiohttp.ClientSSLError, ValueError) as error:
                raise FetchError(reason(error)) from error  # no use asking again
            except (_Busy, aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                if failures == self._retries:
                    raise FetchError(reason(error)) from error
                delay = delay_after(failures, error)
            failures += 1
            self._report.retries += 1
            await asyncio.sleep(delay)  # outside the semaphore: somebody else may use the permit

    async def _try_once(self, url: URL) -> Reply:
        # Redirects are left to the crawl, which checks where they lead.
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status in BUSY:
                raise _Busy(response.status, retry_after(response))
            location = response.headers.get("Location")
            if response.status in REDIRECT and location:
                return Reply(url, b"", "", "utf-8", location)
            if not 200 <= response.status < 300:
                raise FetchError(f"the server answers {response.status}")
            body = await self._read(response)
            return Reply(url, body, response.content_type, response.charset or "utf-8")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Reads the body, which is held in memory and so must have a limit."""
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_size:
                raise FetchError(f"larger than {self._max_size:,} bytes (--max-size)")
        return bytes(body)


def delay_after(failures: int, error: Exception) -> float:
    """Seconds to wait: doubled each time, with full jitter so that retries do not come in waves."""
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2**failures)
    asked = error.retry_after if isinstance(error, _Busy) else 0.0
    return max(random.uniform(0, longest), min(asked, LONGEST_DELAY))


def retry_after(response: aiohttp.ClientResponse) -> float:
    """The seconds in a Retry-After header; 0 without one, or if it holds a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def reason(error: Exception) -> str:
    """A short text for a person: the cause, without the class names."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        return "the server hung up"
    if isinstance(error, OSError) and error.errno:
        # Loops word their connection errors each in their own way; errno is the same on all. A name that
        # cannot be resolved has a negative one, and its own text.
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error) or type(error).__name__

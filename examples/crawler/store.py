"""Pages on disk: under its own name, a file is always whole and right."""

import asyncio
import itertools
import shutil
from pathlib import Path

import aiofiles

from server import sha256_of


class Store:
    """Writes each page beside its place, reads it back, and moves it there only if its hash is right.

    So whatever stops the program, Ctrl-C or the power, no half of a file passes for a whole one.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the folders it needs below `folder`.

        Raises:
            OSError: it is not a folder, or not one to write to.
        """
        self.folder = folder
        self._files = folder / "files"
        self._partial = folder / ".partial"
        self._numbers = itertools.count()
        self._files.mkdir(parents=True, exist_ok=True)
        self._partial.mkdir(exist_ok=True)

    async def keep(self, path: str, body: bytes, expected_hash: str) -> bool:
        """Keeps a page as `path`; False, and no file, if the disk gives back other bytes than expected.

        Raises:
            OSError: it cannot be written or read.
        """
        part = self._partial / str(next(self._numbers))
        async with aiofiles.open(part, "wb") as file:
            await file.write(body)
        return await asyncio.to_thread(self._settle, part, self._files / path, expected_hash)

    def _settle(self, part: Path, target: Path, expected_hash: str) -> bool:
        """All that is left to do for one file, in one trip to a thread."""
        if sha256_of(part) != expected_hash:
            part.unlink()
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        return True

    def save_sums(self, sums: bytes) -> None:
        """Leaves the hashes beside the files, for `sha256sum -c`."""
        (self.folder / "SHA256SUMS").write_bytes(sums)

    def close(self) -> None:
        """Removes what never became a whole file."""
        shutil.rmtree(self._partial, ignore_errors=True)

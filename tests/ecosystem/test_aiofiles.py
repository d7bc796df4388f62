"""aiofiles: files read and written in the loop's threads."""

import asyncio
import os

import pytest

aiofiles = pytest.importorskip("aiofiles", reason="needs aiofiles")
import aiofiles.os
import aiofiles.tempfile


def test_a_file_written_is_read_back(run, tmp_path):
    content = os.urandom(1_000_000)

    async def main():
        async with aiofiles.open(tmp_path / "file", "wb") as file:
            await file.write(content)
        async with aiofiles.open(tmp_path / "file", "rb") as file:
            assert await file.read(1000) == content[:1000]
            await file.seek(0)
            assert await file.read() == content

    run(main())


def test_lines_are_iterated(run, tmp_path):
    async def main():
        async with aiofiles.open(tmp_path / "lines", "w") as file:
            await file.writelines(f"line {number}\n" for number in range(100))
        async with aiofiles.open(tmp_path / "lines") as file:
            assert [line async for line in file] == [f"line {number}\n" for number in range(100)]

    run(main())


def test_many_files_are_copied_at_once(run, tmp_path):
    async def copy(number):
        async with aiofiles.open(tmp_path / f"from{number}", "rb") as source:
            async with aiofiles.open(tmp_path / f"to{number}", "wb") as target:
                while chunk := await source.read(4096):
                    await target.write(chunk)

    async def main():
        for number in range(20):
            (tmp_path / f"from{number}").write_bytes(os.urandom(10_000 + number))
        await asyncio.gather(*map(copy, range(20)))
        for number in range(20):
            assert (tmp_path / f"to{number}").read_bytes() == (tmp_path / f"from{number}").read_bytes()

    run(main())


def test_errors_are_the_systems_errors(run, tmp_path):
    async def main():
        with pytest.raises(FileNotFoundError) as caught:
            async with aiofiles.open(tmp_path / "nothing"):
                pass
        assert caught.value.filename == str(tmp_path / "nothing")
        await aiofiles.os.makedirs(tmp_path / "a" / "b")
        assert await aiofiles.os.path.isdir(tmp_path / "a" / "b")
        assert await aiofiles.os.listdir(tmp_path / "a") == ["b"]
        async with aiofiles.tempfile.TemporaryDirectory() as folder:
            assert await aiofiles.os.path.exists(folder)

    run(main())

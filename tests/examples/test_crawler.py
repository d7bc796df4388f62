"""The example crawler, run as its users run it: in a process of its own, on asyncio and on oxio."""

import contextlib
import ctypes
import hashlib
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

# Every test starts an interpreter that imports aiohttp, which alone takes longer than 0.25 s.
pytestmark = [pytest.mark.slow, pytest.mark.time_limit(60)]

ROOT = Path(__file__).parents[2]
CRAWLER = ROOT / "examples" / "crawler" / "crawler.py"
LIMIT = 20.0  # seconds for one run; a run takes one or two

COMMANDS = {"asyncio": [sys.executable, str(CRAWLER)], "oxio": [sys.executable, "-m", "oxio", str(CRAWLER)]}

ODD_NAMES = [
    "plain.txt",
    "with space.txt",
    "ünïcödé-名前.txt",
    "hash#mark",
    "question?mark",
    "per%cent",
    "per%20cent",
    "%2e%2e",
    "colon:name",
    "http:",
    "quote\"and'amp&lt<gt>",
    "back\\slash",
    "plus+name",
    "semi;colon=value",
    "...",
    "new\nline",
    "~tilde",
    "index.html",
    "not-utf8-\udcff\udcfe",
]


@dataclass
class Run:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def table(self) -> dict[str, str]:
        """The table at the end, by its first column."""
        rows = (line.partition(" ") for line in self.out.splitlines())
        return {name: value.strip() for name, _, value in rows}

    @property
    def lines(self) -> list[str]:
        """What was said, without the progress, which depends on the time."""
        return [
            line for line in self.err.splitlines() if line.startswith("crawler: ") or " files, " not in line
        ]


Crawler = Callable[..., Run]


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would change how the interpreter prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", **more}


def start(loop: str, *arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    """Starts the program; its SIGINT works even if ours is ignored, as in a shell's background job."""
    settings: dict[str, Any] = {"env": environment(), "stderr": subprocess.PIPE, "preexec_fn": obey_ctrl_c}
    return subprocess.Popen(
        [*COMMANDS[loop], *map(str, arguments)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        **{**settings, **options},
    )


def obey_ctrl_c() -> None:
    """In a child, before the program starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen[str]) -> Run:
    """Waits for the end; a program that hangs is killed, and the test fails."""
    with process:
        try:
            out, err = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    return Run(process.returncode, out, err)


@pytest.fixture
def crawl(loop_name: str) -> Crawler:
    """Runs the program to its end."""
    return lambda *arguments, **options: finish(start(loop_name, *arguments, **options))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small folder that holds what file systems hold."""
    root = tmp_path / "a tree"
    (root / "sub folder#1" / "sub?2" / "empty folder").mkdir(parents=True)
    for number, name in enumerate(ODD_NAMES):
        (root / name).write_bytes(f"file {number}\n".encode())
        (root / "sub folder#1" / "sub?2" / name).write_bytes(f"inner file {number}\n".encode())
    (root / "empty").write_bytes(b"")
    (root / "mebibyte").write_bytes(bytes(range(256)) * 4096)
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "mine.pyc").write_bytes(b"a folder that is asked for is crawled whole")
    return root


def files_below(root: Path) -> dict[str, bytes]:
    """Every file with its bytes, by its path from `root`."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def digest_of(files: dict[str, bytes]) -> str:
    """The digest, as the README defines it, made by other code than the program's."""
    lines = []
    for path in sorted(files, key=os.fsencode):
        name = os.fsencode(path)
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        mark = b"\\" if escaped != name else b""
        lines.append(b"%s%s  %s\n" % (mark, hashlib.sha256(files[path]).hexdigest().encode(), escaped))
    return hashlib.sha256(b"".join(lines)).hexdigest()


def test_every_file_arrives_whole_whatever_its_name(
    crawl: Crawler, loop_name: str, tree: Path, tmp_path: Path
) -> None:
    run = crawl(tree, "--out", tmp_path / "out", "--flaky", "0.3", "--retries", "50")
    assert run.code == 0, run.err
    expected = files_below(tree)
    assert files_below(tmp_path / "out" / "files") == expected
    table = run.table
    assert table["files"] == f"{len(expected)} of {len(expected)}"
    assert table["bytes"] == f"{sum(map(len, expected.values())):,}"
    assert table["failed"] == "0"
    assert table["digest"] == digest_of(expected)
    assert int(table["retries"]) > 0, "the server was told to be flaky"
    assert table["loop"].startswith(loop_name)
    assert 0 < float(table["seconds"]) < LIMIT


def test_sha256sum_accepts_the_hashes_left_beside_the_files(
    crawl: Crawler, tree: Path, tmp_path: Path
) -> None:
    assert crawl(tree, "--out", tmp_path / "out").code == 0
    check = ["sha256sum", "--check", "--strict", "--quiet", "../SHA256SUMS"]
    subprocess.run(check, cwd=tmp_path / "out" / "files", check=True, timeout=LIMIT)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["SHA256SUMS", "files"]


@pytest.mark.oxio_only("compares it with asyncio")
def test_both_loops_meet_the_same_faults_and_get_the_same_digest(crawl: Crawler, tree: Path) -> None:
    options = ["--flaky", "0.3", "--retries", "50", "--seed", "7"]
    ours = crawl(tree, *options).table
    theirs = finish(start("asyncio", tree, *options)).table
    for row in ("files", "bytes", "retries", "failed", "digest"):
        assert ours[row] == theirs[row], row
    assert ours["loop"] != theirs["loop"]


def test_an_empty_folder_is_no_failure(crawl: Crawler, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = crawl(tmp_path / "empty")
    assert (run.code, run.table["files"]) == (0, "0 of 0")


def test_links_are_followed_to_files_inside_the_folder_only(
    crawl: Crawler, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("outside")
    (tree / "inside").symlink_to("mebibyte")
    (tree / "outside").symlink_to(tmp_path / "secret")
    (tree / "broken").symlink_to("nothing here")
    (tree / "loop").symlink_to(".")
    os.mkfifo(tree / "pipe")
    run = crawl(tree, "--out", tmp_path / "out")
    assert run.code == 0, run.err
    assert run.lines[0] == "crawler: left out 4 links, pipes, sockets or devices"
    kept = files_below(tmp_path / "out" / "files")
    assert kept["inside"] == (tree / "mebibyte").read_bytes()
    assert not {"outside", "broken", "loop", "pipe"} & set(kept)


def obey_permissions() -> None:
    """In a child that is to run as root: gives up root's right to read everything."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; a user has nothing to drop


def test_an_unreadable_file_is_named_and_the_rest_is_kept(crawl: Crawler, tree: Path, tmp_path: Path) -> None:
    expected = files_below(tree)
    del expected["plain.txt"]
    (tree / "plain.txt").chmod(0)
    run = crawl(tree, "--out", tmp_path / "out", preexec_fn=obey_permissions)
    assert run.code == 1
    assert f"crawler: {tree}/plain.txt: cannot be read: Permission denied" in run.lines
    assert run.table["failed"] == "1"
    assert files_below(tmp_path / "out" / "files") == expected


def test_a_file_that_differs_from_the_manifest_is_not_kept(tree: Path, tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(CRAWLER.parent)!r})
import server
def scan(*args, real=server.scan, **kwargs):
    folder = real(*args, **kwargs)
    folder.hashes["mebibyte"] = "0" * 64
    return folder
server.scan = scan
import crawler
sys.exit(crawler.main([{str(tree)!r}, "--out", {str(tmp_path / "out")!r}]))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert run.returncode == 1
    assert "/mebibyte: the bytes read back from disk have the wrong hash" in run.stderr
    assert set(files_below(tree)) - set(files_below(tmp_path / "out" / "files")) == {"mebibyte"}


def test_a_temporary_folder_goes_away_unless_it_is_to_be_kept(
    crawl: Crawler, tree: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    assert crawl(tree, env=environment(TMPDIR=str(temporary))).code == 0
    assert list(temporary.iterdir()) == []
    run = crawl(tree, "--keep", env=environment(TMPDIR=str(temporary)))
    (kept,) = temporary.iterdir()
    assert files_below(kept / "files") == files_below(tree)
    assert run.lines[-1] == f"crawler: kept in {kept}"


def test_a_url_that_stays_broken_fails_alone(crawl: Crawler, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for name in "abcdefgh":
        (tmp_path / "tree" / name).write_text(name)
    # Without retries some of the requests must fail for good. Not the first one, with this seed.
    run = crawl(tmp_path / "tree", "--flaky", "0.5", "--retries", "0", "--seed", "1")
    assert run.code == 1
    assert 0 < int(run.table["failed"]) < 8
    assert int(run.table["files"].split()[0]) + int(run.table["failed"]) == 8
    assert run.table["retries"] == "0"


BAD_INPUT = [
    (["/no/such/folder"], "cannot read the folder /no/such/folder: No such file or directory"),
    ([__file__], f"cannot read the folder {__file__}: Not a directory"),
    (["--url", "http://127.0.0.1:1/"], "http://127.0.0.1:1/: Connection refused"),
    (["--url", "ftp://127.0.0.1/"], "'ftp://127.0.0.1/' is not an http:// or https:// URL"),
    (["--url", "just words"], "'just words' is not an http:// or https:// URL"),
    (["--url", "http://"], "'http://' is not an http:// or https:// URL"),
    (["--url", "http://[::1/"], "'http://[::1/' is not an http:// or https:// URL"),
    (["--url", "http://127.0.0.1:port/"], "is not an http:// or https:// URL"),
    (["--url", "http://127.0.0.1:99999/"], "is not an http:// or https:// URL"),
    (["--url", f"http://{'a' * 64}.example/"], "label"),
    (["--url", "http://127.0.0.1:1/", "/tmp"], "give a FOLDER or --url, not both"),
    ([str(Path(__file__).parent), "--out", __file__], f"cannot write to {__file__}/files: Not a directory"),
    (["--limit", "0"], "'0' is not a whole number from 1 to 500"),
    (["--flaky", "nan"], "'nan' is not a number from 0 to 1"),
    (["--timeout", "-1"], "'-1' is not a time in seconds"),
    (["--no-such-option"], "unrecognized arguments: --no-such-option"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT, ids=[message for _, message in BAD_INPUT])
def test_bad_input_gets_one_clear_line(crawl: Crawler, arguments: list[str], message: str) -> None:
    run = crawl(*arguments, "--retries", "1")
    lines = [line for line in run.lines if not line.startswith("crawler: crawling ")]
    assert len(lines) == 1, run.err
    assert message in lines[0]
    assert run.out == ""
    assert run.code in (1, 2)


class WebHandler(BaseHTTPRequestHandler):
    """A small web: pages by path; those under /slow/ come when the test is over."""

    over: threading.Event
    asked: list[str]
    pages: ClassVar[dict[str, str]] = {
        "/": '<a href="a">a</a> <a href="/a/b?q=1#part">b</a> <a href=gone>x</a> <a href="/moved">m</a>'
        '<a href="http://example.invalid/">elsewhere</a> <a href="mailto:x">m</a> <a href="http://[">broken</a>',
        "/a": '<img src="/logo.png"><a href="/">home</a>',
        "/a/b?q=1": '<a href="../deep">deeper</a><![bad[markup',
        "/logo.png": "<a href=/not-a-page>not HTML</a>",
        "/deep": '<a href="/deeper">deeper still</a>',
        "/deeper": "too deep",
        "/stop": "".join(f'<a href="/{kind}/{n}">{n}</a>' for kind in ("quick", "slow") for n in range(3)),
    }

    def do_GET(self) -> None:
        """Answers one request."""
        self.asked.append(self.path)
        if self.path.startswith("/slow/"):
            self.over.wait(LIMIT)
        if self.path in ("/moved", "/away"):
            self.send_response(302)
            self.send_header(
                "Location", "/deep?moved" if self.path == "/moved" else "http://example.invalid/"
            )
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.pages.get(self.path.replace("?moved", ""), "a page")
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header(
            "Content-Type", "image/png" if self.path.endswith("png") else "text/html; charset=nonsense"
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the crawler may be gone
            self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def web() -> Iterator[ThreadingHTTPServer]:
    """A site on loopback that is not the program's own."""
    WebHandler.over, WebHandler.asked = threading.Event(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), WebHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    WebHandler.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def url_of(web: ThreadingHTTPServer, path: str) -> str:
    """An address on that site."""
    return f"http://127.0.0.1:{web.server_port}{path}"


def test_a_site_is_crawled_within_its_host_and_depth(
    crawl: Crawler, web: ThreadingHTTPServer, tmp_path: Path
) -> None:
    run = crawl("--url", url_of(web, "/"), "--out", tmp_path / "out", "--depth", "2")
    kept = {
        name.replace("%2F", "/"): body.decode()
        for name, body in files_below(tmp_path / "out" / "files").items()
    }
    assert kept == {
        "/": WebHandler.pages["/"],
        "/a": WebHandler.pages["/a"],  # a file, although there is an /a/b
        "/a/b%3Fq%3D1": WebHandler.pages["/a/b?q=1"],
        "/logo.png": WebHandler.pages["/logo.png"],
        "/deep": WebHandler.pages["/deep"],
        "/deep%3Fmoved": WebHandler.pages["/deep"],
        "/deeper": WebHandler.pages["/deeper"],  # reached through /deep?moved, two links from the start
    }
    assert "/not-a-page" not in WebHandler.asked
    assert len(WebHandler.asked) == len(set(WebHandler.asked)), "a page was asked for twice"
    assert run.code == 1, "/gone is a failure"
    assert f"crawler: {url_of(web, '/gone')}: the server answers 404" in run.lines
    assert (run.table["files"], run.table["failed"]) == ("7", "1")


def test_max_files_is_exact(crawl: Crawler, web: ThreadingHTTPServer, tmp_path: Path) -> None:
    run = crawl("--url", url_of(web, "/"), "--out", tmp_path / "out", "--max-files", "3", "--limit", "20")
    assert run.table["files"] == "3"
    assert len(files_below(tmp_path / "out" / "files")) == 3


def test_a_start_that_leads_to_another_site_is_told(crawl: Crawler, web: ThreadingHTTPServer) -> None:
    run = crawl("--url", url_of(web, "/away"))
    assert (run.code, run.out) == (1, "")
    assert run.lines[-1].endswith("/away: leads to another site, http://example.invalid/")


def test_a_request_that_takes_too_long_is_given_up(crawl: Crawler, web: ThreadingHTTPServer) -> None:
    run = crawl("--url", url_of(web, "/slow/1"), "--timeout", "0.2", "--retries", "1")
    assert (run.code, run.out) == (1, "")
    assert run.lines[-1].endswith("/slow/1: timed out")
    assert WebHandler.asked == ["/slow/1"] * 2


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Looks again and again; there is no other way to know how far another process is."""
    deadline = time.monotonic() + LIMIT
    while not true():
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.02)


def test_ctrl_c_keeps_what_was_fetched(loop_name: str, web: ThreadingHTTPServer, tmp_path: Path) -> None:
    kept = tmp_path / "out" / "files"
    process = start(loop_name, "--url", url_of(web, "/stop"), "--out", tmp_path / "out")
    wait_until(
        lambda: kept.exists() and len(list(kept.iterdir())) == 4 and "/slow/0" in WebHandler.asked, process
    )
    process.send_signal(signal.SIGINT)
    run = finish(process)
    assert run.code == 130
    assert run.lines[1:] == [
        f"crawler: kept in {tmp_path / 'out'}",
        "crawler: stopped by Ctrl-C; this is what was done:",
    ]
    assert sorted(files_below(kept)) == ["%2Fquick%2F0", "%2Fquick%2F1", "%2Fquick%2F2", "%2Fstop"]
    assert (run.table["files"], run.table["failed"]) == ("4", "0")
    assert run.table["digest"] == digest_of(files_below(kept))
    assert not (tmp_path / "out" / ".partial").exists()


def test_ctrl_c_stops_our_own_server_without_noise(loop_name: str, tree: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # Every request fails, so the crawl would go on for ever: some workers ask, others wait to ask again.
    process = start(
        loop_name,
        tree,
        "--flaky",
        "1",
        "--retries",
        "100000",
        env=environment(TMPDIR=str(temporary), PYTHONDEVMODE="1"),
    )
    assert process.stderr is not None
    assert "files" in process.stderr.readline()
    time.sleep(0.3)  # a few retries; wherever this falls, the test holds
    process.send_signal(signal.SIGINT)
    run = finish(process)
    assert run.code == 130
    assert run.lines == ["crawler: stopped by Ctrl-C; this is what was done:"]
    assert run.table["files"].startswith("0 of ")
    assert list(temporary.iterdir()) == []


def test_progress_is_one_changing_line_on_a_terminal(loop_name: str, web: ThreadingHTTPServer) -> None:
    try:
        ours, theirs = pty.openpty()
    except OSError as error:  # a bare chroot
        pytest.skip(f"no terminals here: {error}")
    process = start(loop_name, "--url", url_of(web, "/stop"), stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal whose other end is closed
        while chunk := os.read(ours, 4096):
            shown += chunk
            if b"4 files" in shown:  # the rest is waiting for us
                WebHandler.over.set()
    os.close(ours)
    assert finish(process).code == 0
    lines = shown.decode().split("\r\n")
    assert len(lines) == 2, "one line of text, one that changes"
    assert re.search(r"\r\x1b\[K4 files, \d+\.\d MB, 0 retries, \d+\.\d s", lines[1])
    assert lines[1].endswith("\r\x1b[K"), "the line is gone at the end"


def test_the_program_knows_nothing_of_oxio() -> None:
    for module in CRAWLER.parent.glob("*.py"):
        assert "oxio" not in module.read_text(), module.name

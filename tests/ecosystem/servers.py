"""redis-server and PostgreSQL on loopback, each a child of the test that wants it, ended by its own pid.

They die with the test process as well, so that a killed test run leaves none behind.
"""

import contextlib
import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
STARTS_IN = 15.0
"""Seconds a server may take until it accepts a connection; on an idle machine it takes a fraction of one."""


class Missing(Exception):
    """The server is not installed; the text says what to install."""


@contextlib.contextmanager
def redis_server():
    """A redis-server that keeps nothing on disk; its port."""
    program = shutil.which("redis-server")
    if program is None:
        raise Missing("needs redis-server, which is not installed (Debian: apt install redis-server)")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="oxio-redis-") as folder:
        arguments = [
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            folder,
        ]
        with running([program, *arguments], port, folder, signal.SIGTERM):
            yield port


@contextlib.contextmanager
def postgres_server():
    """A PostgreSQL with a fresh cluster and the superuser `oxio`, who needs no password; its port."""
    programs = postgres_programs()
    if programs is None:
        raise Missing("needs PostgreSQL, which is not installed (Debian: apt install postgresql)")
    port = free_port()
    folder = tempfile.mkdtemp(prefix="oxio-postgres-")
    try:
        options = as_ordinary_user(folder)
        data = os.path.join(folder, "data")
        made = subprocess.run(
            [
                f"{programs}/initdb",
                "-D",
                data,
                "-U",
                "oxio",
                "-A",
                "trust",
                "--no-sync",
                "--locale=C",
                "-E",
                "UTF8",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            **options,
        )
        assert made.returncode == 0, made.stderr
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": 20,
            "autovacuum": "off",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # SIGINT is its fast shutdown: it does not wait for clients.
        with running(
            [f"{programs}/postgres", "-D", data, *arguments], port, folder, signal.SIGINT, **options
        ):
            yield port
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_programs():
    """The folder of its programs, which Debian keeps out of PATH; the newest version's."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: float(path.split("/")[4]))
    path = found[-1] if found else shutil.which("initdb")
    return path and os.path.dirname(os.path.realpath(path))


def as_ordinary_user(folder):
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = next(
        name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()}
    )
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def running(command, port, folder, end, **options):
    def die_with_parent():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, end)

    with open(os.path.join(folder, "log"), "w+") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
            **options,
        )
        try:
            wait_until_it_listens(process, port, log)
            yield
        finally:
            process.send_signal(end)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def wait_until_it_listens(process, port, log):
    until = time.monotonic() + STARTS_IN
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        # Nothing else tells when a server of another project is ready.
        time.sleep(0.01)
    log.seek(0)
    raise AssertionError(f"{process.args[0]} does not listen on port {port}:\n{log.read()}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]

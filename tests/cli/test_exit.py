"""How a program ends under `python -m oxio`: exit codes, tracebacks and complaints, compared with python's own."""

import os
import pty
import signal
import subprocess
import sys

import oxio
import pytest


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit()",
        "sys.exit(0)",
        "sys.exit(7)",
        "sys.exit(-1)",
        "sys.exit(300)",
        "sys.exit(True)",
        "sys.exit(None)",
        "sys.exit('a reason')",
        "sys.exit(('a', 1))",
        "raise SystemExit",
        "raise SystemExit(3) from ValueError()",
        "quit(4)",
        "import os; os._exit(5)",
        "import asyncio; asyncio.run(asyncio.sleep(0)); sys.exit(6)",
        "threading.Thread(target=sys.exit, args=(8,)).start()",
        "sys.stdout.write('no newline')",
    ],
)
def test_exit_code(folder, ending):
    folder.write("app.py", f"import sys, threading\n{ending}\n")
    folder.run_both("app.py")


@pytest.mark.parametrize(
    "source",
    [
        "1 / 0",
        "def f(): g()\ndef g(): raise ValueError('two\\nlines')\nf()",
        "try:\n    1 / 0\nexcept Exception as error:\n    raise KeyError('k') from error",
        "try:\n    1 / 0\nexcept Exception:\n    [].pop()",
        "raise ExceptionGroup('group', [ValueError(1), TypeError(2)])",
        "error = ValueError()\nerror.add_note('a note')\nraise error",
        "import nowhere",
        "import json; json.loads('{')",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
        "class Own(BaseException): pass\nraise Own('x')",
        "exec('1 /')",
        "import sys; sys.excepthook = None; 1 / 0",
        "import sys; sys.excepthook = lambda *_: sys.exit(9); 1 / 0",
        "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='t')\nt.start(); t.join()",
    ],
)
def test_traceback(folder, source):
    folder.write("app.py", source + "\n")
    folder.run_both("app.py")


@pytest.mark.parametrize(
    "source", ["x = (\n", "if True:\nprint(1)\n", "print 1\n", "\tx\n  y\n", "return\n", "'\n"]
)
def test_syntax_error(folder, source):
    folder.write("app.py", source)
    assert "Error" in folder.run_both("app.py").stderr
    folder.run_both("-", stdin=source)
    folder.run_both("-c", source)
    folder.run_both("-m", "app")


@pytest.mark.parametrize("command", [["-m", "app"], ["folder"], ["-c", "def f():\n  1 / 0\nf()"]])
def test_traceback_of_each_kind_of_program(folder, command):
    folder.write("app.py", "def f():\n    1 / 0\nf()\n")
    folder.write("folder/__main__.py", "1 / 0\n")
    assert folder.run_both(*command).stderr.startswith("Traceback")


def test_traceback_of_standard_input(folder):
    assert "<stdin>" in folder.run_both("-", stdin="def f():\n    1 / 0\nf()\n").stderr


def test_traceback_of_a_failing_package(folder):
    folder.write("pkg/__init__.py", "1 / 0\n")
    folder.write("pkg/__main__.py", "")
    assert "pkg/__init__.py" in folder.run_both("-m", "pkg").stderr


def test_traceback_out_of_the_loop_shows_the_programs_frames(folder):
    folder.write(
        "app.py",
        """\
        import asyncio
        async def inner():
            await asyncio.sleep(0)
            raise LookupError("boom")
        async def main():
            await inner()
        asyncio.run(main())
        """,
    )
    done = folder.run("-m", "oxio", "app.py")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('app.py", line 7, in <module>')
    assert [line for line in lines if "app.py" in line and ("main" in line or "inner" in line)]
    assert lines[-1] == "LookupError: boom"
    assert "_cli.py" not in done.stderr
    assert "runpy" not in done.stderr


def test_keyboard_interrupt_kills_by_sigint(folder):
    folder.write(
        "app.py", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(10**9): pass\n"
    )
    done = folder.run_both("app.py")
    assert done.returncode == -signal.SIGINT
    assert done.stderr.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize(
    "command",
    [["app.py"], ["-m", "app"], ["-c", "raise KeyboardInterrupt"], ["-"]],
    ids=["file", "module", "command", "stdin"],
)
def test_raised_keyboard_interrupt(folder, command):
    folder.write("app.py", "raise KeyboardInterrupt\n")
    folder.run_both(*command, stdin="raise KeyboardInterrupt\n")


def test_keyboard_interrupt_in_a_running_loop(folder):
    folder.write(
        "app.py",
        """\
        import asyncio, os, signal
        async def main():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(30)
            finally:
                print("cleaned up")
        asyncio.run(main())
        """,
    )
    done = folder.run("-m", "oxio", "app.py")
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "cleaned up\n")
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert "_cli.py" not in done.stderr


def test_excepthook_that_raises(folder):
    folder.write(
        "app.py", "import sys\ndef hook(*_): raise TypeError('hook')\nsys.excepthook = hook\n1 / 0\n"
    )
    assert "Original exception was" in folder.run_both("app.py").stderr


@pytest.mark.parametrize(
    ("command", "returncode"),
    [
        (["nowhere.py"], 2),
        (["./sub/nowhere.py"], 2),
        (["/nowhere.py"], 2),
        (["empty"], 1),
        (["-m", "nowhere"], 1),
        (["-m", "nowhere.inner"], 1),
        (["-m", "app.inner"], 1),
        (["-m", "app.py"], 1),
        (["-m", ".app"], 1),
        (["-m", "package"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_program_that_is_not_there(folder, command, returncode):
    folder.write("app.py", "")
    folder.write("package/__init__.py", "")
    (folder.path / "empty").mkdir()
    assert folder.run_both(*command).returncode == returncode


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(folder, option):
    done = folder.run("-m", "oxio", option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m oxio [option] (app.py |")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(folder, option):
    done = folder.run("-m", "oxio", option)
    python = sys.version.split()[0]
    assert (done.returncode, done.stdout) == (0, f"oxio {oxio.__version__} (CPython {python})\n")


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("-Z", "unknown option -Z"),
        ("--nothing", "unknown option --nothing"),
        ("-m", "Argument expected for the -m option"),
    ],
)
def test_bad_option(folder, option, complaint):
    done = folder.run("-m", "oxio", option)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == complaint
    assert done.stderr.splitlines()[1].startswith("usage: ")


def test_double_dash_ends_the_options(folder):
    folder.write("-app.py", "print('ran')")
    assert folder.run_both("--", "-app.py").stdout == "ran\n"


def test_no_program_at_a_terminal_prints_the_help():
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo terminals here: {error}")
    with os.fdopen(ours), os.fdopen(theirs) as terminal:
        done = subprocess.run(
            [sys.executable, "-m", "oxio"],
            check=False,
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=10,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")

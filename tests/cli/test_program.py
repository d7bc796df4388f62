"""What a program is and finds when `python -m oxio` runs it: compared with python, value by value."""

import os
import py_compile
import zipfile

import pytest

# Prints all that a program can find out about how it was started.
SHOW = """\
import sys
for name, value in list(vars().items()):
    print(name, repr(value), sep="=")
print(sys.argv, repr(sys.path[0]), sys.modules["__main__"].__dict__ is globals(), __builtins__)
def function(): pass
print(function.__module__, function.__code__.co_filename)
print(sys._getframe().f_code.co_name, sys.excepthook is sys.__excepthook__)
"""


def test_file(folder):
    folder.write("app.py", SHOW)
    assert "app.py" in folder.run_both("app.py", "a", "--flag", "-m").stdout


@pytest.mark.parametrize("path", ["./app.py", "sub/../app.py", "link.py", "sub/link.py", "sub/inner.py"])
def test_file_by_another_path(folder, path):
    folder.write("app.py", SHOW)
    folder.write("sub/inner.py", SHOW)
    os.symlink("sub/inner.py", folder.path / "link.py")
    os.symlink("../app.py", folder.path / "sub/link.py")
    folder.run_both(path)


def test_file_by_absolute_path(folder):
    folder.run_both(str(folder.write("app.py", SHOW)))


def test_file_imports_its_neighbours(folder):
    folder.write("sub/neighbour.py", "value = 'the neighbour'")
    folder.write("sub/app.py", "import neighbour; print(neighbour.value)")
    assert folder.run_both("sub/app.py").stdout == "the neighbour\n"


def test_compiled_file(folder):
    source = folder.write("app.py", "print(__file__, __name__)")
    py_compile.compile(str(source), cfile=str(folder.path / "app.pyc"))
    assert "__main__" in folder.run_both("app.pyc").stdout


def test_file_with_an_encoding_line(folder):
    (folder.path / "app.py").write_bytes("# coding: latin-1\nprint(ascii('é'))\n".encode("latin-1"))
    assert folder.run_both("app.py").stdout == "'\\xe9'\n"


def test_module(folder):
    folder.write("app.py", SHOW)
    folder.run_both("-m", "app", "a", "-m")
    folder.run_both("-mapp")


def test_package(folder):
    folder.write("pkg/__init__.py", "import sys; print('init', sys.argv)")
    folder.write("pkg/__main__.py", "from . import inner\n" + SHOW)
    folder.write("pkg/inner.py", "value = 1\n" + SHOW)
    folder.run_both("-m", "pkg", "a")
    folder.run_both("-m", "pkg.inner")


def test_folder(folder):
    folder.write("app/__main__.py", "import neighbour\n" + SHOW)
    folder.write("app/neighbour.py", "")
    folder.run_both("app", "a")


def test_zip_file(folder):
    with zipfile.ZipFile(folder.path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", "import neighbour\n" + SHOW + "1 / 0\n")
        archive.writestr("neighbour.py", "")
    assert "ZeroDivisionError" in folder.run_both("app.zip", "a").stderr


def test_command(folder):
    folder.run_both("-c", SHOW, "a", "-c")
    folder.run_both("-cprint(1)")


@pytest.mark.skipif("sys.version_info < (3, 14)", reason="python dedents -c from 3.14 on")
def test_indented_command(folder):
    assert folder.run_both("-c", "\n  if True:\n    print(1)\n").stdout == "1\n"


def test_standard_input(folder):
    folder.run_both("-", "a", "-b", stdin=SHOW)
    folder.run_both(stdin=SHOW)


def test_standard_input_is_at_its_end_when_the_program_runs(folder):
    assert folder.run_both("-", stdin="import sys; print(repr(sys.stdin.read()))").stdout == "''\n"


def test_program_reads_standard_input(folder):
    folder.write("app.py", "print(input())")
    assert folder.run_both("app.py", stdin="a line\n").stdout == "a line\n"


@pytest.mark.parametrize("command", [["app.py"], ["-m", "app"], ["-c", SHOW], ["folder"]])
def test_safe_path_is_kept(folder, command):
    folder.write("app.py", SHOW)
    folder.write("folder/__main__.py", SHOW)
    folder.run_both(*command, options=["-P"])


def test_options_of_python_reach_the_program(folder):
    folder.write("app.py", "import sys, warnings; assert False; print(sys.flags); warnings.warn('heard')")
    optimised = folder.run_both("app.py", options=["-O", "-X", "dev", "-W", "error::UserWarning"])
    assert "dev_mode=True" in optimised.stdout
    assert "UserWarning: heard" in optimised.stderr


def test_warnings_name_the_program(folder):
    folder.write("app.py", "import warnings; warnings.warn('old', DeprecationWarning)")
    assert "app.py:1: DeprecationWarning: old" in folder.run_both("app.py").stderr


def test_program_keeps_its_own_excepthook(folder):
    folder.write(
        "app.py",
        """\
        import sys, traceback
        def hook(kind, value, tb):
            print(kind, value, sys.excepthook is hook, tb is value.__traceback__)
            print([frame.name for frame in traceback.extract_tb(tb)])
            print(sys.last_traceback is tb, sys.last_value is value)
        sys.excepthook = hook
        def fail():
            raise ValueError("boom")
        fail()
        """,
    )
    assert "['<module>', 'fail']" in folder.run_both("app.py").stdout


def test_interactive_after_the_program(folder):
    folder.write("app.py", "value = 'kept'")
    done = folder.run("-m", "oxio", "app.py", options=["-i"], stdin="print(value, __name__)\n")
    assert "kept __main__" in done.stdout


def test_atexit_and_finalisers_run(folder):
    folder.write(
        "app.py",
        """\
        import atexit
        class Noisy:
            def __del__(self): print("gone", __name__)
        noisy = Noisy()
        atexit.register(print, "at exit")
        """,
    )
    assert folder.run_both("app.py").stdout == "at exit\ngone __main__\n"


def test_asyncio_is_oxios_before_the_first_import(folder):
    folder.write(
        "app.py",
        """\
        from asyncio import Future, SelectorEventLoop, Task, get_running_loop, new_event_loop, run
        async def main():
            print(type(get_running_loop()).__module__)
        run(main())
        import oxio
        assert (Task, Future, SelectorEventLoop) == (oxio.Task, oxio.Future, oxio.EventLoop)
        loop = new_event_loop()
        assert isinstance(loop, oxio.EventLoop)
        loop.close()
        """,
    )
    done = folder.run("-m", "oxio", "app.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("oxio")

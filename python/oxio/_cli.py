"""`python -m oxio app.py`: runs a program as python would, with oxio installed before its first import.

Everything here serves one promise: the program cannot tell, except by speed, that it was not started by python itself.

* It runs in the interpreter's own `__main__` module, emptied of ours, so that pickling, `python -i` and multiprocessing
  find it where they look.
* Exceptions leave through here unhandled. The interpreter then prints, sets the exit code, and lets SIGINT kill it, as
  ever. Only the traceback is touched: our frames, which would come first, are taken off when it is printed.

Differs from python where nothing short of python's own C code could agree: `sys._getframe` and `traceback.print_stack`
show our frames at the bottom of the stack, recursion ends that much earlier, and a source file that is not text gets
compile()'s message for it.

Source: CPython 3.13 Modules/main.c (pymain_run_python, pymain_run_file), Python/pythonrun.c (_PyRun_SimpleFile).
"""

import builtins
import os
import runpy
import sys
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader
from types import CodeType, TracebackType
from typing import Any, NoReturn

USAGE = """\
usage: python -m oxio [option] (app.py | folder | app.zip | -m module | -c code | -) [argument ...]
Runs an asyncio program on oxio: its loop, tasks and futures, and those of the libraries that it uses.

  app.py         a program file; a folder or a zip file with a __main__.py does as well
  -m module      a module or a package, found as python -m finds it
  -c code        code
  -              a program on standard input; also without any argument when input is not a terminal

options:
  -h, --help     print this and exit
  -V, --version  print the versions and exit

Options of python itself (-X dev, -W error, -O, -u, -i) go before -m oxio.
"""


def main() -> None:
    arguments = sys.argv[1:]
    while arguments and arguments[0].startswith("-") and arguments[0] != "-":
        option = arguments.pop(0)
        if option in ("-h", "--help"):
            sys.stdout.write(USAGE)
            return
        if option in ("-V", "--version"):
            _print_version()
            return
        if option == "--":
            break
        if option[:2] in ("-m", "-c"):
            value = option[2:] or (arguments.pop(0) if arguments else "")
            if not value:
                _refuse(f"Argument expected for the {option} option")
            _launch(_module if option[1] == "m" else _command, value, arguments)
            return
        _refuse(f"unknown option {option}")
    if not arguments and (sys.stdin is None or sys.stdin.isatty()):
        sys.stdout.write(USAGE)
    elif not arguments or arguments[0] == "-":
        _launch(_standard_input, arguments[0] if arguments else "", arguments[1:])
    else:
        _launch(_path, arguments[0], arguments[1:])


def _print_version() -> None:
    import platform

    import oxio

    print(f"oxio {oxio.__version__} ({platform.python_implementation()} {platform.python_version()})")


def _refuse(complaint: str) -> NoReturn:
    sys.stderr.write(f"{complaint}\n{USAGE.splitlines()[0]}\nTry `python -m oxio -h' for more information.\n")
    sys.exit(2)


def _launch(program: Callable[[str], None], what: str, arguments: list[str]) -> None:
    from oxio._children import install_here_and_in_children

    install_here_and_in_children()
    sys.argv[:] = [what, *arguments]
    try:
        program(what)
    except SystemExit:
        raise
    except BaseException as error:
        _report_without_our_frames(error)
        raise


# The kinds of program. Each sets sys.path[0] (python -m oxio put the working directory there) and runs.


def _module(name: str) -> None:
    sys.argv[0] = "-m"
    _empty_main()
    # The function that python -m itself calls: messages and the two frames in tracebacks are its own.
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def _command(source: str) -> None:
    sys.argv[0] = "-c"
    _set_first_path("")
    if sys.version_info >= (3, 14):
        import textwrap

        source = textwrap.dedent(source)
    code = compile(source, "<string>", "exec", dont_inherit=True)
    if sys.version_info >= (3, 13):
        _remember_source(code, source)
    exec(code, _empty_main())  # noqa: S102


def _standard_input(_what: str) -> None:
    _set_first_path("")
    source = sys.stdin.buffer.read()
    namespace = _empty_main()
    namespace.update(__file__="<stdin>", __cached__=None)
    exec(compile(source, "<stdin>", "exec", dont_inherit=True), namespace)  # noqa: S102


def _path(path: str) -> None:
    # Not normalised: python shows ./app.py as /folder/./app.py.
    absolute = path if os.path.isabs(path) else f"{os.getcwd()}/{path}"
    if _is_importable(absolute):
        # A folder or a zip file. It goes onto the path even under -P.
        if sys.flags.safe_path:
            sys.path.insert(0, absolute)
        else:
            sys.path[0] = absolute
        _empty_main()
        runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
    else:
        _file(absolute)


def _file(path: str) -> None:
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    namespace = _empty_main()
    namespace.update(__file__=path, __cached__=None, __loader__=SourceFileLoader("__main__", path))
    try:
        code = _read_code(path)
    except OSError as error:
        sys.stderr.write(
            f"{sys.orig_argv[0]}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n"
        )
        sys.exit(2)
    exec(code, namespace)  # noqa: S102


def _read_code(path: str) -> CodeType:
    import io

    with io.open_code(path) as file:
        if path.endswith(".pyc"):
            from pkgutil import read_code

            code: CodeType | None = read_code(file)
            if code is None:
                raise RuntimeError("Bad magic number in .pyc file")
            return code
        return compile(file.read(), path, "exec", dont_inherit=True)


def _is_importable(path: str) -> bool:
    """Whether modules could be imported from `path`: how python tells a folder or a zip file from a program file."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _set_first_path(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _empty_main() -> dict[str, Any]:
    """Makes `__main__` what it is when the interpreter starts, and returns its namespace."""
    namespace = vars(sys.modules["__main__"])
    namespace.clear()
    namespace.update(
        __name__="__main__", __doc__=None, __package__=None, __loader__=BuiltinImporter, __spec__=None
    )
    if sys.version_info < (3, 14):
        namespace["__annotations__"] = {}
    namespace["__builtins__"] = builtins
    return namespace


def _remember_source(code: CodeType, source: str) -> None:
    """Lets tracebacks show the lines of -c, as python does from 3.13 on."""
    import linecache

    # 3.13 files the lines under the file's name, later versions under the code object.
    by_code = hasattr(linecache, "_interactive_cache")
    linecache._register_code(code if by_code else "<string>", source, "<string>")  # type: ignore[attr-defined]


def _report_without_our_frames(error: BaseException) -> None:
    """Makes the report of `error`, which is about to end the process, begin at the program's first frame."""
    ours = main.__code__.co_filename
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename == ours:
        traceback = traceback.tb_next
    hook = getattr(sys, "excepthook", sys.__excepthook__)

    def excepthook(kind: type[BaseException], value: BaseException, whole: TracebackType | None) -> None:
        sys.excepthook = hook
        if value is error:
            value.__traceback__ = sys.last_traceback = whole = traceback
        try:
            hook(kind, value, whole)
        except Exception as failure:  # noqa: BLE001 (whatever it is, the interpreter prints it)
            # In the interpreter's words. It would show this function among the frames.
            failure = failure.with_traceback(failure.__traceback__ and failure.__traceback__.tb_next)
            for what, exception in (
                ("Error in sys.excepthook", failure),
                ("\nOriginal exception was", value),
            ):
                sys.stderr.write(f"{what}:\n")
                sys.__excepthook__(type(exception), exception, exception.__traceback__)

    # Only now, and not before the program ran: sys.excepthook is the program's to look at and to set.
    sys.excepthook = excepthook

"""Worker processes of a program: functions of `__main__` are found in them, and they run on oxio too."""

import pytest

pytestmark = pytest.mark.slow  # starts several interpreters, each of which imports the program

PROGRAM = """\
import asyncio, concurrent.futures, multiprocessing, pickle, sys

class Value:
    def __init__(self, number): self.number = number

async def kind_of_loop():
    return type(asyncio.get_running_loop()).__name__, asyncio.current_task().__class__ is asyncio.Task

def double(value):
    return Value(value.number * 2), asyncio.run(kind_of_loop()), __name__

def grandchild(method):
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        return pool.submit(double, Value(4)).result()[1]

async def main(method):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        value, kind, name = await asyncio.get_running_loop().run_in_executor(pool, double, Value(21))
    print(type(value) is Value, value.number, *kind, name)
    with context.Pool(1) as pool:
        value, kind, name = pool.apply(double, (Value(4),))
    print(type(value) is Value, value.number, *kind, name)

if __name__ == "__main__":
    method, argument = sys.argv[1:]
    if argument == "grandchild":
        process = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(method))
        with process: print(*process.submit(grandchild, method).result())
    else:
        asyncio.run(main(method))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("command", [["app.py"], ["-m", "app"]], ids=["file", "module"])
def test_functions_of_main_in_worker_processes(folder, command, method):
    folder.write("app.py", PROGRAM)
    by_python = folder.run(*command, method, "child")
    by_oxio = folder.run("-m", "oxio", *command, method, "child")
    if (
        method != "fork"
    ):  # 3.12 and later warn that forking with threads is unsafe, and name a line of the loop's
        assert (by_oxio.returncode, by_oxio.stderr) == (0, "")
    loop = "_UnixSelectorEventLoop"
    assert loop in by_python.stdout
    assert by_oxio.stdout == by_python.stdout.replace(loop, "EventLoop")


def test_worker_of_a_worker_runs_on_oxio(folder):
    folder.write("app.py", PROGRAM)
    assert folder.run("-m", "oxio", "app.py", "spawn", "grandchild").stdout == "EventLoop True\n"


def test_multiprocessing_is_not_imported_for_a_program_that_does_not(folder):
    folder.write(
        "app.py", "import sys; print(*sorted(m for m in sys.modules if m.startswith('multiprocessing')))"
    )
    assert folder.run_both("app.py").stdout == "\n"

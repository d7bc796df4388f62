"""Runs every scenario of one program, each with `asyncio.run`, and reports a line of JSON for each.

    python [-m oxio] run_scenarios.py PROGRAM WAY [SERVERS]

A scenario is a public async function of the program; its parameters name the servers that it wants. It asserts, and
returns what it saw, which the test compares with what it saw on stock asyncio. WAY says what is done
between the imports and the run; see WAYS in test_installed_names.py. SERVERS is JSON: where to find redis and postgres.
"""

import asyncio
import faulthandler
import gc
import importlib
import inspect
import json
import logging
import signal
import sys
import traceback
import warnings

LIMIT = 10
"""Seconds a scenario may take. Most take milliseconds; a forgotten wake-up, for ever."""


class TookTooLong(KeyboardInterrupt):
    """A KeyboardInterrupt, because that is what every loop and library must let through."""


def main():
    program, way = sys.argv[1:3]
    servers = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    options = {}
    module = importlib.import_module(program)
    if way == "imported before install()":
        import oxio

        oxio.install()
    elif way == "debug":
        options["debug"] = True
    elif way == "on uvloop":
        import uvloop

        options["loop_factory"] = uvloop.new_event_loop
    elif way == "on asyncio's loop":
        import oxio

        oxio.uninstall()
        stock_loop = asyncio.SelectorEventLoop
        oxio.install()
        options["loop_factory"] = stock_loop
    for name, scenario in inspect.getmembers(module, inspect.iscoroutinefunction):
        if scenario.__module__ == program and not name.startswith("_"):
            print(json.dumps(outcome(scenario, servers, options)), flush=True)


def outcome(scenario, servers, options):
    complaints = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: complaints.append(f"logged: {record.getMessage().splitlines()[0]}")
    logging.getLogger().addHandler(handler)
    sys.unraisablehook = lambda info: complaints.append(f"unraisable: {info.exc_value!r} in {info.object!r}")

    def too_long(number, frame):
        raise TookTooLong

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, LIMIT, 1)
    faulthandler.dump_traceback_later(LIMIT + 5, exit=True)
    told = {"name": scenario.__name__, "error": None, "saw": None}
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", RuntimeWarning)
            with asyncio.Runner(**options) as runner:
                loop = runner.get_loop()
                told["saw"] = repr(runner.run(scenario(**wanted(scenario, servers))))
            told["loop"] = type(loop).__module__.partition(".")[0]
            gc.collect()
        complaints += [f"warned: {it.message}" for it in warned if it.category is RuntimeWarning]
    except BaseException:
        told["error"] = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        logging.getLogger().removeHandler(handler)
    told["complaints"] = complaints
    return told


def wanted(scenario, servers):
    return {name: servers[name] for name in inspect.signature(scenario).parameters}


if __name__ == "__main__":
    main()

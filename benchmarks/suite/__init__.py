"""The workloads, one module per area. Importing the package fills harness.workload.WORKLOADS."""

# In the order of the report.
from . import callbacks, timers, tasks, combinators, trees, primitives, streams, echo, memory, startup  # isort: skip

__all__ = [
    "callbacks",
    "combinators",
    "echo",
    "memory",
    "primitives",
    "startup",
    "streams",
    "tasks",
    "timers",
    "trees",
]

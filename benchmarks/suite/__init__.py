"""The workloads, one module per area. Importing the package fills harness.workload.WORKLOADS."""

# In the order of the report.
from . import callbacks, timers, tasks, echo, startup  # isort: skip

__all__ = ["callbacks", "echo", "startup", "tasks", "timers"]

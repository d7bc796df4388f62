"""What `statistics()` of the waiting objects returns: a snapshot, for monitoring."""

from typing import NamedTuple


class QueueStatistics(NamedTuple):
    """The state of a queue. Waiters that are cancelled and have not run since are counted, as repr() does."""

    size: int
    maxsize: int
    getters: int
    putters: int
    unfinished_tasks: int
    is_shut_down: bool

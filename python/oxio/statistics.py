"""What objects that tasks wait for say of themselves: the answers of their statistics()."""

from typing import NamedTuple


class QueueStatistics(NamedTuple):
    """The state of a queue. Waiters that are cancelled and have not run since are counted, as repr() does."""

    size: int
    maxsize: int
    getters: int
    putters: int
    unfinished_tasks: int
    is_shut_down: bool


class LockStatistics(NamedTuple):
    """`waiters` are the tasks in the queue, those that were woken or cancelled and have not run yet among them."""

    locked: bool
    waiters: int


class EventStatistics(NamedTuple):
    """`waiters` are the tasks in the queue, those that were woken or cancelled and have not run yet among them."""

    is_set: bool
    waiters: int


class SemaphoreStatistics(NamedTuple):
    """`value` is how many more may come in; `waiters` as of LockStatistics. A slot that was given to a waiter counts as taken."""

    value: float
    waiters: int


class ConditionStatistics(NamedTuple):
    """`locked` is its lock; `waiters` wait for a notification, not for the lock."""

    locked: bool
    waiters: int


class BarrierStatistics(NamedTuple):
    """`state` is "filling", "draining", "resetting" or "broken"."""

    parties: int
    waiters: int
    state: str


class StreamReaderStatistics(NamedTuple):
    """Sizes are bytes. `waiters` is 1 while a read waits for bytes; `is_paused` says that the transport reads no more."""

    buffered: int
    limit: int
    waiters: int
    is_paused: bool
    is_at_eof: bool

"""A guard for behaviour tests: what the loop reports and the test did not expect fails the test."""

import gc
import logging
import warnings

import pytest


class AsyncioLog(logging.Handler):
    """What was logged to asyncio's logger, as text."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def take(self):
        """The messages so far. Taking them says that the test expected them."""
        messages = [self.format(record) for record in self.records]
        self.records.clear()
        return messages


@pytest.fixture(autouse=True)
def asyncio_log():
    """Fails a test that makes the loop log an error it did not take, e.g. a task destroyed while pending."""
    logger = logging.getLogger("asyncio")
    handler = AsyncioLog()
    logger.addHandler(handler)
    yield handler
    # Objects in cycles report when they are collected: that must happen before the next test.
    gc.collect()
    logger.removeHandler(handler)
    errors = [handler.format(record) for record in handler.records if record.levelno >= logging.ERROR]
    assert not errors, "the loop reported:\n" + "\n".join(errors)


@pytest.fixture
def recorded_warnings():
    """All warnings of the test, whatever the filters say."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@pytest.fixture(params=["tcp", "unix"])
def family(request):
    return request.param

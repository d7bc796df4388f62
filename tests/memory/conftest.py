"""Counting what is alive."""

import gc
import os
import weakref

import pytest


class Canary:
    """Something a cycle holds; its death shows that the whole cycle died."""

    def __init__(self):
        self.holds = []


@pytest.fixture
def canary():
    """`make, assert_dead`: a canary to be put into a cycle, and the check that the collector found that cycle."""
    references = []

    def make():
        bird = Canary()
        references.append(weakref.ref(bird))
        return bird

    def assert_dead():
        assert references
        gc.collect()
        gc.collect()
        alive = [reference() for reference in references if reference() is not None]
        assert not alive, f"still alive, held by {[type(holder) for holder in gc.get_referrers(*alive)]}"

    return make, assert_dead


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def usage():
    """A call that collects and returns `(descriptors, objects, resident bytes)`."""

    def measure():
        gc.collect()
        return descriptors(), len(gc.get_objects()), resident_bytes()

    return measure

"""Counting what is alive."""

import gc
import resource
import weakref

import pytest

from sockets import open_fds


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
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:  # no /proc, as in a bare chroot: the highest it ever was serves as well
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def usage():
    """A call that collects and returns `(descriptors, objects, resident bytes)`."""

    def measure():
        gc.collect()
        return len(open_fds()), len(gc.get_objects()), resident_bytes()

    return measure

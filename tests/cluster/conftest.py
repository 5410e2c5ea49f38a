"""What the tests of the top floor share: displays that keep quiet, and one Ray for many tests."""

import resource
from contextlib import contextmanager

import pytest
from runs import RecordingDisplay

from cluster.interrupts import Interrupts


@pytest.fixture
def display():
    return RecordingDisplay()


@pytest.fixture
def interrupts():
    return Interrupts()


@pytest.fixture
def room_for():
    """Return a context in which no file can grow beyond so many bytes, like a disk that is full."""

    @contextmanager
    def limited(num_bytes):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory):
    """A local Ray, started by the code that users start it with."""
    from cluster.ray_session import ray_session
    from configs.config import Config

    with ray_session(Config(), Interrupts()):
        yield

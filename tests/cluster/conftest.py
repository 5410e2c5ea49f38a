"""What the tests of the top floor share: displays that keep quiet, and one Ray for many tests."""

import pytest

from cluster.interrupts import Interrupts


class RecordingDisplay:
    """Keeps the records it is shown."""

    def __init__(self):
        self.records = []

    def show(self, record):
        self.records.append(record)


@pytest.fixture
def display():
    return RecordingDisplay()


@pytest.fixture
def interrupts():
    return Interrupts()


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory):
    """A local Ray with three logical CPUs, started by the code that users start it with."""
    from cluster.ray_session import ray_session
    from configs.config import Config

    with ray_session(Config.model_validate({"workers": {"num_workers": 3}}), Interrupts()):
        yield

"""Whether the head of a cluster answers, where a driver or its name server is in trouble."""

import os
import re
import resource
import socket
import time
from contextlib import contextmanager

import pytest

from reinforce.cluster.backends.ray import head
from reinforce.cluster.backends.ray.head import HeadWatch
from reinforce.cluster.errors import HeadLostError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(head, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(head, "_LOST_AFTER_S", 0.5)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def watch_of(listener, told):
    @contextmanager
    def waiting(stage, hint, after_s):
        told.append((stage, hint()))
        yield

    return HeadWatch(f"localhost:{listener.getsockname()[1]}", waiting, lambda: None)


@contextmanager
def without_file_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_head_that_is_gone_is_waited_for_and_then_lost(listener):
    told = []
    watch = watch_of(listener, told)
    watch.look()
    listener.close()

    with pytest.raises(HeadLostError):
        watch.look()
    assert watch.is_lost
    [(stage, hint)] = told
    assert stage.startswith("waiting for the head of the cluster at localhost:")
    assert re.fullmatch(r"the run ends in \d s, after a checkpoint, unless it answers", hint)


@pytest.mark.parametrize("delay_s", [0.0, 5.0])
def test_a_name_server_that_fails_is_no_dead_head(listener, monkeypatch, delay_s):
    resolve, told = socket.getaddrinfo, []

    def fail_for_names(host, *more, **options):
        if host == "localhost":
            time.sleep(delay_s)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *more, **options)

    watch = watch_of(listener, told)
    watch.look()
    monkeypatch.setattr(socket, "getaddrinfo", fail_for_names)

    watch.look()

    assert not told


def test_a_name_server_that_is_silent_delays_no_verdict(listener, monkeypatch):
    monkeypatch.setattr(head, "_NAME_TIMEOUT_S", 0.1)
    watch = watch_of(listener, [])
    watch.look()
    listener.close()
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **options: (
            time.sleep(5.0 * (host == "localhost")) or resolve(host, *more, **options)
        ),
    )
    began_s = time.monotonic()

    with pytest.raises(HeadLostError):
        watch.look()
    assert time.monotonic() - began_s < 3


def test_a_driver_without_file_descriptors_does_not_take_its_head_for_dead(listener):
    told = []
    watch = watch_of(listener, told)
    watch.look()

    with without_file_descriptors():
        watch.look()

    assert not told

"""What is at an address, before Ray is asked; a real cluster's is looked at in test_launching."""

import socket
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import ray
from free_port import free_port

from reinforce.cluster.backends.ray import probe
from reinforce.cluster.backends.ray.private import clusters_here
from reinforce.cluster.backends.ray.probe import find_cluster
from reinforce.cluster.errors import ClusterUnreachableError


class WebServer(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@pytest.fixture
def web_server():
    try:
        server = WebServer(("::1", 0), BaseHTTPRequestHandler)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"[::1]:{server.server_port}"
        server.shutdown()


def test_an_address_of_ipv6_is_found_behind_its_brackets(web_server, monkeypatch):
    monkeypatch.setattr(BaseHTTPRequestHandler, "log_message", lambda *_: None)

    with pytest.raises(ClusterUnreachableError, match=r"'\[::1\]:\d+' is a web server"):
        find_cluster(web_server)


@pytest.mark.ray
def test_local_rays_are_no_clusters_of_this_machine(local_ray):
    """Others may have clusters on this machine, of which one alone would be joined."""
    assert ray.get_runtime_context().gcs_address not in clusters_here()


@pytest.fixture
def found(request, monkeypatch):
    """So many addresses of this machine that answer; Ray also names one that has ended."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with ExitStack() as stack:
        names = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()
            for _ in range(request.param)
        ]
        addresses = [f"{host}:{port}" for host, port in names]
        ended = f"127.0.0.1:{free_port()}"
        monkeypatch.setattr(probe, "clusters_here", lambda: {*addresses, ended})
        yield addresses


@pytest.mark.parametrize("found", [1], indirect=True)
def test_auto_is_the_only_cluster_here_that_answers(found):
    assert [probe._cluster_here()] == found


@pytest.mark.parametrize("found", [0], indirect=True)
def test_auto_without_a_cluster_is_refused(found):
    with pytest.raises(ClusterUnreachableError, match="no Ray node runs on this machine"):
        find_cluster("auto")


@pytest.mark.parametrize("found", [2], indirect=True)
def test_auto_does_not_choose_between_clusters(found):
    with pytest.raises(ClusterUnreachableError, match="has found several Rays") as refused:
        find_cluster("auto")

    assert all(address in str(refused.value) for address in found)

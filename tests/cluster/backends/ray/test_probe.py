"""What is at an address, before Ray is asked; a real cluster's is looked at in test_launching."""

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import ray

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
def test_auto_passes_over_local_rays(local_ray, monkeypatch):
    """Others may have clusters on this machine, of which one alone would be joined."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    own = ray.get_runtime_context().gcs_address.rpartition(":")[2]

    try:
        found = find_cluster("auto")
    except ClusterUnreachableError as error:
        found = str(error)

    assert own not in found

"""Proxies of the environment: around this machine, and in messages about others."""

import os
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from reinforce.cluster.errors import ClusterUnreachableError
from reinforce.cluster.proxies import keep_loopback_direct, proxy_note
from reinforce.cluster.submission.jobs import RayJobs

NAMES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.fixture
def proxied(monkeypatch):
    """An environment whose proxy does not answer."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://me:hidden@127.0.0.1:9")
    return monkeypatch


@pytest.fixture(scope="module")
def port():
    """Of a server that says yes to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_asked_directly_by_both_libraries(proxied, port, host):
    url = f"http://{host}:{port}"
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get(url, timeout=5)

    keep_loopback_direct()

    assert requests.get(url, timeout=5).status_code == 200
    assert urllib.request.urlopen(url, timeout=5).status == 200


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1", "localhost"])
def test_no_address_of_loopback_has_a_proxy(proxied, host):
    url = f"http://{host}:5000"
    assert "proxy" in proxy_note(url)

    keep_loopback_direct()

    assert proxy_note(url) == ""
    assert requests.utils.should_bypass_proxies(url, None)


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_what_the_user_leaves_out_stays_left_out(proxied, name):
    proxied.setenv(name, "lab.example.org, .local")

    keep_loopback_direct()
    keep_loopback_direct()

    hosts = os.environ["no_proxy"].split(",")
    assert hosts[:2] == ["lab.example.org", ".local"]
    assert len(hosts) == len(set(hosts)) == 7
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    assert proxy_note("http://lab.example.org") == ""


def test_a_star_leaves_every_proxy_out_as_before(proxied):
    proxied.setenv("no_proxy", "*")

    keep_loopback_direct()

    assert proxy_note("http://lab.example.org") == ""


def test_every_program_of_ours_begins_with_it(proxied):
    words = "import reinforce.cluster, os; print(os.environ['no_proxy'])"
    found = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("localhost,127.0.0.1,")


def test_a_submission_names_the_proxy_that_is_in_the_way(proxied):
    with pytest.raises(ClusterUnreachableError) as refused:
        RayJobs.connect("http://head.example.org:8265")

    said = str(refused.value)
    assert "the request went through the proxy 127.0.0.1:9 (http_proxy)" in said
    assert "add head.example.org to no_proxy" in said
    assert "hidden" not in said

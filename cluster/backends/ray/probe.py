"""What is at a cluster's address: asked in seconds, before Ray would wait for minutes."""

import http.client
import json
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import ray
from ray.exceptions import AuthenticationError

from reinforce.cluster.backends.ray.auth_token import (
    missing_token_advice,
    token_is_expected,
    token_source,
)
from reinforce.cluster.backends.ray.endpoint import CONNECT_TIMEOUT_S, peer_at, place_of
from reinforce.cluster.backends.ray.private import (
    admits_anyone,
    cluster_metadata,
    clusters_here,
)
from reinforce.cluster.background_call import call_within
from reinforce.cluster.errors import ClusterUnreachableError

_USUAL_PORT = 6379
_ANSWER_TIMEOUT_S = 4.0


@dataclass(frozen=True)
class ClusterVersions:
    """What the nodes of a cluster run.

    Attributes:
        ray: Version of Ray, such as 2.60.0.
        python: Version of Python, such as 3.11.7.
    """

    ray: str
    python: str

    def mismatch(self) -> str | None:
        """Return what keeps this process from joining, or None."""
        differences = []
        if self.ray != ray.__version__:
            differences.append(f"Ray {self.ray} there, {ray.__version__} here")
        here = platform.python_version()
        level = os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "patch")
        parts = 2 if level == "minor" else 3
        if self.python.split(".")[:parts] != here.split(".")[:parts]:
            differences.append(f"Python {self.python} there, {here} here")
        return " and ".join(differences) or None


def find_cluster(address: str) -> str:
    """Return HOST:PORT of the cluster at ``cluster.address``, which this process can join.

    Raises:
        ClusterUnreachableError: There is none, it does not let us in or lets everybody in, or it
            runs other versions.
    """
    target = _cluster_here() if address == "auto" else address
    _connect(target)
    if token_is_expected():
        _require_token(target)
    versions = _ask(target)
    mismatch = versions.mismatch()
    if mismatch:
        raise ClusterUnreachableError(
            f"the cluster at {target} runs other versions: {mismatch}. Install what it runs in an "
            "environment here, or let the cluster run the driver: `reinforce submit`"
        )
    return target


def _require_token(target: str) -> None:
    """Refuse a cluster whose processes would not understand ours, and one that we cannot join."""
    if admits_anyone(target, _ANSWER_TIMEOUT_S):
        raise ClusterUnreachableError(
            f"the cluster at {target} uses no token and this machine does: start it again with "
            "RAY_AUTH_MODE=token and a token (`(umask 077 && ray get-auth-token --generate)`), "
            "since anyone who reaches it can run programs there"
        )
    if not token_source():
        raise ClusterUnreachableError(f"no token for {target}: {missing_token_advice()}")


def _cluster_here() -> str:
    """Return what ``auto`` means: RAY_ADDRESS, or the cluster that this machine is a node of."""
    named = os.environ.get("RAY_ADDRESS")
    if named and named != "auto":
        return named
    found = sorted(filter(_answers, clusters_here()))
    if len(found) == 1:
        return found[0]
    if found:
        raise ClusterUnreachableError(
            f"cluster.address = 'auto' has found several Rays on this machine: {', '.join(found)}; "
            "name one of them instead of auto"
        )
    raise ClusterUnreachableError(
        "cluster.address = 'auto': no Ray node runs on this machine and RAY_ADDRESS is not set; "
        "`ray start --head` starts a cluster, `ray start --address HOST:6379` joins one"
    )


def _answers(address: str) -> bool:
    with suppress(OSError):
        return peer_at(place_of(address)) is not None
    return False


def _require_host_and_port(address: str) -> None:
    if "://" in address:
        raise ClusterUnreachableError(
            f"cluster.address = {address!r} is a URL, and should be HOST:PORT, usually with port "
            f"{_USUAL_PORT}; the URL of a dashboard is for `reinforce submit --address`"
        )
    host, separator, port = address.rpartition(":")
    if not (separator and host and port.isdigit() and int(port) < 65536):
        raise ClusterUnreachableError(
            f"cluster.address = {address!r} is not HOST:PORT or 'auto'; the port of a Ray "
            f"cluster is usually {_USUAL_PORT}, as in "
            f"{address.partition(':')[0] or 'HOST'}:{_USUAL_PORT}"
        )


def _connect(address: str) -> None:
    """Find out whether anything listens, and whether it is a dashboard."""
    _require_host_and_port(address)
    place = place_of(address)
    try:
        socket.create_connection(place, CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterUnreachableError(
            f"cluster.address = {address!r} does not answer ({error}); start a cluster there, "
            "or leave cluster.address out to run on this machine"
        ) from None
    connection = http.client.HTTPConnection(*place, timeout=CONNECT_TIMEOUT_S)
    try:
        connection.request("GET", "/api/version")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return  # it does not speak HTTP/1.1, and Ray's own server is not supposed to
    finally:
        connection.close()
    usual = f"{address.rpartition(':')[0]}:{_USUAL_PORT}"
    advice = f"the cluster itself is usually at {usual}, and" if address != usual else "but"
    raise ClusterUnreachableError(
        f"cluster.address = {address!r} is a web server, such as Ray's dashboard; {advice} "
        f"`reinforce submit --address http://{address}` takes the dashboard"
    )


def _ask(address: str) -> ClusterVersions:
    """Ask for the versions; with a deadline, since Ray's client may wait for minutes."""
    try:
        with _silent_stderr():
            answer = call_within(_ANSWER_TIMEOUT_S, lambda: cluster_metadata(address), "it")
    except AuthenticationError:
        raise ClusterUnreachableError(
            f"{address} rejects our token: {missing_token_advice()}"
        ) from None
    except Exception as error:  # noqa: BLE001 - the deadline, or whichever of Ray's
        answer, reason = None, str(error)
    else:
        reason = "nothing"
    if not answer:
        raise ClusterUnreachableError(
            f"cluster.address = {address!r} answers, but not as a Ray cluster does ({reason})"
        )
    metadata = json.loads(answer)
    return ClusterVersions(metadata["ray_version"], metadata["python_version"])


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what Ray's client writes past ``sys.stderr``: what it means, our message says."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

"""``reinforce doctor``: says in seconds what would fail later."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.doctor_checks_machine import (
    check_checkpoints,
    check_machine,
    check_run_directory,
    check_user_files,
)
from cluster.doctor_checks_tracking import check_tracking
from cluster.errors import ClusterUnreachableError
from cluster.finding import Finding, failure, ok
from cluster.interrupts import Interrupts
from cluster.node_report import report_of_this_machine
from cluster.ray_token import token_is_expected, token_source
from configs.config import Config


def run_doctor(config: Config) -> int:
    """Print a line per check as it is made; return 1 if there is a failure, else 0."""
    started_s = time.monotonic()
    counts = {"ok": 0, "warning": 0, "failure": 0}
    for finding in _findings(config):
        counts[finding.level] += 1
        _say(finding.line())
    seconds = time.monotonic() - started_s
    _say(f"{counts['failure']} failures, {counts['warning']} warnings, in {seconds:.0f} s")
    return 1 if counts["failure"] else 0


def _findings(config: Config) -> Iterator[Finding]:
    here = report_of_this_machine(config.environment, str(Path.cwd()))
    yield from check_machine(here)
    yield check_user_files(Path.cwd())
    yield check_run_directory(config)
    yield check_checkpoints(config)
    yield check_tracking(config.tracking)
    yield check_token()
    if config.cluster.address is None:
        yield ok("cluster", "a local Ray; --cluster.address looks at another")
        return
    # Imports Ray, which only a cluster needs.
    from cluster.doctor_checks_cluster import check_cluster
    from cluster.ray_session import ray_session

    try:
        with Interrupts() as interrupts, ray_session(config, interrupts):
            yield ok("cluster", f"{config.cluster.address} lets us in")
            yield from check_cluster(config, here)
    except ClusterUnreachableError as error:
        yield failure("cluster", str(error), "what comes after it was not looked at")


def check_token() -> Finding:
    """Say where the token comes from; it is never shown."""
    if not token_is_expected():
        return failure(
            "token",
            f"RAY_AUTH_MODE={os.environ.get('RAY_AUTH_MODE')}: clusters are joined without one",
            "unset RAY_AUTH_MODE and start clusters with a token: docs/security.md",
        )
    source = token_source()
    if source is None:
        return ok("token", "none here; a local Ray makes its own, a cluster will ask for one")
    return ok("token", f"from {source}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()

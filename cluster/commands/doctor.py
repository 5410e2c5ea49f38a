"""``reinforce doctor``: reports what would fail later."""

import os
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from reinforce.cluster.backends.ray.auth_token import (
    token_file_for_all,
    token_is_expected,
    token_source,
)
from reinforce.cluster.backends.ray.job import as_in_its_job
from reinforce.cluster.background_call import start_in_background
from reinforce.cluster.commands.arguments import ConfiguredCommand
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.doctor.finding import Finding, failure, ok, warning
from reinforce.cluster.doctor.machine_checks import (
    check_artifacts,
    check_checkpoints,
    check_cores,
    check_machine,
    check_own_gpu,
    check_run_directory,
    check_tracking,
    check_user_files,
)
from reinforce.cluster.doctor.node_report import report_of_this_machine
from reinforce.cluster.errors import ClusterUnreachableError
from reinforce.cluster.interrupts import Interrupts
from reinforce.configs.config import Config
from reinforce.configs.execution import TrackingConfig

_ENVIRONMENT_TIMEOUT_S = 6.0


@dataclass(frozen=True, kw_only=True)
class DoctorCommand(ConfiguredCommand):
    """Report what would fail later, in seconds; a busy cluster may take a minute.

    Checks packages, shared memory, disk, environment and policy, the run directory, checkpoints,
    MLflow and its artifacts, the token, the GPU, and room for the workers. With --cluster.address
    HOST:PORT it also checks every node of that cluster, with versions, clocks and object stores.

    Each line is ok, a warning (it works, but could be better) or a failure, with advice. The exit
    code is 1 if there is a failure.
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[PRESET_OR_YAML]")] = (
        "cartpole"
    )

    def execute(self) -> int:
        console, started_s = PlainConsole(), time.monotonic()
        counts = {"ok": 0, "warning": 0, "failure": 0}
        for finding in _findings(self.config):
            counts[finding.level] += 1
            console.say(finding.line())
        seconds = time.monotonic() - started_s
        console.say(f"{_times(counts, 'failure')}, {_times(counts, 'warning')}, in {seconds:.0f} s")
        return 1 if counts["failure"] else 0


def _findings(config: Config) -> Iterator[Finding]:
    unknown: ClusterUnreachableError | None = None
    try:
        config = as_in_its_job(config)
    except ClusterUnreachableError as error:
        unknown = error
    # Begun first, for importing MLflow takes seconds.
    tracking = start_in_background(partial(_check_mlflow, config.tracking))
    here = report_of_this_machine(config, str(Path.cwd()), _ENVIRONMENT_TIMEOUT_S)
    yield from check_machine(here)
    yield check_user_files(Path.cwd())
    yield check_run_directory(config)
    yield check_checkpoints(config)
    yield from tracking.result()
    yield check_token()
    if unknown:
        yield failure("cluster", str(unknown), "nothing there was checked")
        return
    if config.cluster.is_this_machine:
        yield check_own_gpu(config)
    if config.cluster.backend == "inline":
        yield ok("cluster", "none is needed: cluster.backend is inline")
        return
    if config.cluster.address is None:
        yield check_cores(config, here.num_cpus)
        yield ok("cluster", "a local Ray; --cluster.address checks a cluster")
        return
    # Imports Ray, which only a cluster needs.
    from reinforce.cluster.backends.backend import Driver
    from reinforce.cluster.backends.ray.session import ray_session
    from reinforce.cluster.doctor.cluster_checks import check_cluster

    try:
        with Interrupts() as interrupts, ray_session(config, Driver(interrupts)):
            yield ok("cluster", f"{config.cluster.address} accepts our token")
            yield from check_cluster(config, here)
    except ClusterUnreachableError as error:
        yield failure("cluster", str(error), "what follows was not checked")


def _check_mlflow(config: TrackingConfig) -> tuple[Finding, Finding]:
    tracking = check_tracking(config)
    return tracking, check_artifacts(config, tracking)


def check_token() -> Finding:
    """Report where the token comes from, without showing it."""
    if not token_is_expected():
        return failure(
            "token",
            f"RAY_AUTH_MODE={os.environ.get('RAY_AUTH_MODE')}: clusters are joined without one",
            "unset RAY_AUTH_MODE and start clusters with a token: page Security of the docs",
        )
    if file := token_file_for_all():
        return warning(
            "token",
            f"other users of this machine can read {file}, and so run programs on the cluster",
            f"`chmod 600 {shlex.quote(str(file))}`, or make a new one if they are strangers",
        )
    source = token_source()
    none = "none here; a local Ray makes its own, a cluster will require one"
    return ok("token", f"from {source}" if source else none)


def _times(counts: Mapping[str, int], level: str) -> str:
    return f"{counts[level]} {level}{'s' * (counts[level] != 1)}"

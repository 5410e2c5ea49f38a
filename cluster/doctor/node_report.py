"""A machine's report for ``reinforce doctor``; the nodes of a cluster run this, too."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import NamedTuple

from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.video import check_filming
from reinforce.cluster.self_command import module_command, self_environment
from reinforce.cluster.tracking.provenance import PACKAGES, installed_versions
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.user_code import described
from reinforce.workers.environment import UnsuitableEnvironmentError
from reinforce.workers.preflight import preflight
from reinforce.workers.vector_speed import vector_speed

_MARK = "\0"
"""Marks the result, because the environment may also have printed something."""


@dataclass(frozen=True)
class NodeReport:
    """Report of one machine: its host name, its clock, and what matters for a run.

    Attributes:
        versions: Versions of Python and of relevant packages, by name; missing ones are absent.
        num_cpus: Cores that this process may use.
        shared_memory_bytes: Size of /dev/shm; 0 if there is none.
        free_disk_bytes: Free bytes for temporary files, including Ray's.
        environment_problem: Why environment and policy cannot be used there; None if no problem is
            known.
        environment_warnings: Warnings about them.
        images: How convolutions read each image, if there are any.
        vector_speed: The benefit of a vector implementation; None if there is none.
        waited_s: Seconds waited for the environment in vain; None if it answered.
    """

    name: str
    versions: dict[str, str]
    unix_time_s: float
    num_cpus: int
    shared_memory_bytes: int
    free_disk_bytes: int
    environment_problem: str | None
    environment_warnings: tuple[str, ...]
    images: tuple[str, ...]
    vector_speed: str | None
    waited_s: float | None


def report_of_this_machine(config: Config, user_path: str, timeout_s: float) -> NodeReport:
    """Report this machine, and try environment and policy for at most ``timeout_s``.

    The user's own modules may be in the folder ``user_path``.
    """
    trial = _try_environment(config, user_path, timeout_s)
    shared_memory = Path("/dev/shm")  # noqa: S108 - looked at, not written to
    return NodeReport(
        name=platform.node(),
        versions={"python": platform.python_version(), **installed_versions(PACKAGES)},
        unix_time_s=time.time(),
        num_cpus=len(os.sched_getaffinity(0)),
        shared_memory_bytes=disk_usage(shared_memory).total if shared_memory.is_dir() else 0,
        free_disk_bytes=disk_usage(tempfile.gettempdir()).free,
        environment_problem=trial.problem,
        environment_warnings=trial.warnings,
        images=trial.images,
        vector_speed=trial.vector_speed,
        waited_s=trial.waited_s,
    )


class _Trial(NamedTuple):
    """Result of trying environment and policy, with the fields of ``NodeReport``."""

    problem: str | None = None
    warnings: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    vector_speed: str | None = None
    waited_s: float | None = None


def _try_environment(config: Config, user_path: str, timeout_s: float) -> _Trial:
    """Run this module as a program."""
    try:
        trial = subprocess.run(  # noqa: S603  (our own program)
            module_command("reinforce.cluster.doctor.node_report", user_path),
            input=config.model_dump_json(),  # may hold a secret: not for the list of processes
            env=self_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Trial(waited_s=timeout_s)
    if _MARK in trial.stdout:
        found = json.loads(trial.stdout.rpartition(_MARK)[2].splitlines()[0])
        found["warnings"], found["images"] = tuple(found["warnings"]), tuple(found["images"])
        return _Trial(**found)
    last = (trial.stderr.strip().splitlines() or ["it printed nothing"])[-1]
    return _Trial(f"its process ended with code {trial.returncode}: {last}")


def _print_trial() -> None:
    """Try environment and policy of the configuration from standard input, like a worker.

    In a separate process, because they may set signal handlers, hang, or end the process.
    """
    sys.path.append(sys.argv[1])  # last, as in a worker
    found = _Trial()
    try:
        config = Config.model_validate_json(sys.stdin.read())
        tried = preflight(config)
        found = _Trial(warnings=tried.warnings, images=tried.images)
        if config.evaluation.video:
            check_filming(config.evaluation_environment)
        with suppress(Exception, SystemExit):  # without its wrappers it may be fit for nothing
            speed = vector_speed(config.environment, config.workers.envs_per_worker)
            found = found._replace(vector_speed=speed)
    except (ConfigError, UnsuitableEnvironmentError, UsageError) as error:
        found = found._replace(problem=str(error))
    except Exception as error:  # noqa: BLE001 - whatever the user's environment raises is news
        found = found._replace(problem=described(error))
    sys.stdout.write(f"{_MARK}{json.dumps(found._asdict())}\n")


if __name__ == "__main__":
    _print_trial()

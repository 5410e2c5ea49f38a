"""What a machine says of itself to ``reinforce doctor``; the nodes of a cluster run this, too."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.video import check_filming
from reinforce.cluster.self_command import module_command, self_environment
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.workers.environment import UnsuitableEnvironmentError
from reinforce.workers.preflight import preflight

PACKAGES = ("distributed-reinforce", "ray", "torch", "gymnasium", "numpy", "mlflow")


@dataclass(frozen=True)
class NodeReport:
    """One machine.

    Attributes:
        name: Host name.
        versions: Of Python and of the packages that matter, by name; missing ones are absent.
        unix_time_s: Its clock.
        num_cpus: Cores that this process may use.
        shared_memory_bytes: Size of /dev/shm; 0 if there is none.
        free_disk_bytes: Free where temporary files go, Ray's among them.
        environment_problem: Why environment and policy cannot be used there; None if nothing is
            known against them.
        environment_warnings: What is odd about them.
        waited_s: How long the environment was waited for in vain; None if it answered.
    """

    name: str
    versions: dict[str, str]
    unix_time_s: float
    num_cpus: int
    shared_memory_bytes: int
    free_disk_bytes: int
    environment_problem: str | None
    environment_warnings: tuple[str, ...]
    waited_s: float | None


def report_of_this_machine(config: Config, user_path: str, patience_s: float) -> NodeReport:
    """Look around; environment and policy are tried as before a run.

    Args:
        config: What is to run.
        user_path: Folder in which the user's own modules may be.
        patience_s: How long to wait for the trial.
    """
    trial, waited_s = EnvironmentTrial(None), None
    try:
        trial = try_environment(config, user_path, patience_s)
    except TimeoutError:
        waited_s = patience_s
    return NodeReport(
        name=platform.node(),
        versions={"python": platform.python_version(), **_package_versions()},
        unix_time_s=time.time(),
        num_cpus=len(os.sched_getaffinity(0)),
        shared_memory_bytes=_size_of(Path("/dev/shm")),  # noqa: S108 - looked at, not written to
        free_disk_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        environment_problem=trial.problem,
        environment_warnings=trial.warnings,
        waited_s=waited_s,
    )


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _size_of(folder: Path) -> int:
    return shutil.disk_usage(folder).total if folder.is_dir() else 0


_MARK = "\0"
"""Stands before what was found: the environment may have printed something, too."""


@dataclass(frozen=True)
class EnvironmentTrial:
    """What a machine found when it tried environment and policy.

    Attributes:
        problem: Why they cannot be used there; None if they can.
        warnings: What is odd about them.
    """

    problem: str | None
    warnings: tuple[str, ...] = ()


def try_environment(config: Config, user_path: str, patience_s: float) -> EnvironmentTrial:
    """Try the environment and the policy of a configuration on this machine.

    Args:
        config: What is to run.
        user_path: Folder in which the user's own modules may be.
        patience_s: How long to wait for it.

    Raises:
        TimeoutError: It is not over by then.
    """
    try:
        trial = subprocess.run(  # noqa: S603  (our own program)
            module_command("reinforce.cluster.doctor.node_report", user_path),
            input=config.model_dump_json(),  # may hold a secret: not for the list of processes
            env=self_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"not over within {patience_s:g} s") from error
    if _MARK in trial.stdout:
        found = json.loads(trial.stdout.rpartition(_MARK)[2].splitlines()[0])
        return EnvironmentTrial(found["problem"], tuple(found["warnings"]))
    last = (trial.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return EnvironmentTrial(f"its process ended with code {trial.returncode}: {last}")


def _main() -> None:
    sys.path.append(sys.argv[1])  # last, as in a worker
    problem: str | None = None
    warnings: tuple[str, ...] = ()
    try:
        config = Config.model_validate_json(sys.stdin.read())
        warnings = preflight(config).warnings
        if config.evaluation.video:
            check_filming(config.environment)
    except (ConfigError, UnsuitableEnvironmentError, UsageError) as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - whatever the user's environment raises is news
        problem = f"{type(error).__name__}: {error}"
    sys.stdout.write(f"{_MARK}{json.dumps({'problem': problem, 'warnings': warnings})}\n")


if __name__ == "__main__":
    _main()

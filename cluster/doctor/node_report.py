"""What a machine says of itself to ``reinforce doctor``; the nodes of a cluster run this, too."""

import os
import platform
import shutil
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cluster.doctor.environment_trial import EnvironmentTrial, try_environment
from configs.config import Config

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

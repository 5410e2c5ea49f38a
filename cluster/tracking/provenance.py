"""Where a run comes from: command, code, versions and machine, noted once at its first start."""

import getpass
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from reinforce.cluster.files import read_json, write_json
from reinforce.cluster.processor import processor

PACKAGES = ("distributed-reinforce", "ray", "torch", "gymnasium", "numpy", "mlflow")
"""Those whose versions matter."""

_GIT_TIMEOUT_S = 10.0


def describe_provenance(command: Sequence[str]) -> dict[str, Any]:
    """Return what is known about this start, without anything secret.

    ``command`` holds the words after ``reinforce``, if it was started from the command line.
    """
    return {
        "command": list(command),
        "directory": str(Path.cwd()),
        "user": _user(),
        "host": socket.gethostname(),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.system()}",
        "processor": processor(),
        "git": _git(),
        "versions": versions(),
        "packages": _packages(),
    }


@cache
def _packages() -> list[str]:
    # A folder that is twice on the search path says everything twice.
    return sorted(set(map(_name_and_version, metadata.distributions())))


def _name_and_version(package: metadata.Distribution) -> str:
    # Read once: the properties parse the whole file, with its description, each time.
    said = package.metadata
    return f"{said['Name']}=={said['Version']}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter."""
    installed = installed_versions(PACKAGES)
    unknown = dict.fromkeys(PACKAGES, "not installed")
    return {"python": platform.python_version(), **unknown, **installed}


class _Git(BaseModel):
    commit: str
    branch: str | None
    remote: str | None
    is_dirty: bool | None


class _Origin(BaseModel, extra="allow"):
    """The types of what is read again."""

    command: list[str]
    user: str
    host: str
    git: _Git | None
    versions: dict[str, str]
    packages: list[str]


def read_origin(file: Path) -> dict[str, Any] | None:
    """Return what ``describe_provenance`` noted; None if nothing, or somebody broke it."""
    origin = read_json(file, _Origin)
    return origin.model_dump() if origin else None


def note_origin(file: Path, command: Sequence[str]) -> dict[str, Any]:
    """Return the origin of a run, which this writes to the file unless it is there."""
    origin = read_origin(file)
    if origin is None:
        origin = describe_provenance(command)
        write_json(file, origin)
    return origin


def words_after_reinforce() -> list[str]:
    """Return how this process was called, if by its command line."""
    is_command_line = Path(sys.argv[0]).name in ("reinforce", "__main__.py")
    return sys.argv[1:] if is_command_line else []


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed.

    This project itself is not where it runs from a folder, as a job of Ray does.
    """
    versions = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _git() -> dict[str, Any] | None:
    """Return commit, branch, remote and whether files differ (None: git was too slow to say)."""
    commit = _ask_git("rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _ask_git("status", "--porcelain")
    remote = _ask_git("config", "--get", "remote.origin.url")
    return {
        "commit": commit,
        "branch": _ask_git("rev-parse", "--abbrev-ref", "HEAD"),
        "remote": remote and without_user(remote),
        "is_dirty": None if changes is None else bool(changes),
    }


def _ask_git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(  # noqa: S603  (fixed words, no shell)
            ["git", "--no-optional-locks", *arguments],  # noqa: S607  (the user's own git)
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def without_user(address: str) -> str:
    """Return an address without the name, password or token that it may hold."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that nobody knows
        return str(os.getuid())

"""Versions of the packages that decide what a worker plays, on its node and here."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata

import ray

_PACKAGES = ("distributed-reinforce", "gymnasium", "numpy")


@cache
def versions_here() -> dict[str, str]:
    """Return the versions of this process; without what runs from a folder, as a job may."""
    found = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return in words what differs among what both sides name; "" if nothing does."""
    return ", ".join(
        f"{name} {version} instead of {here[name]}"
        for name, version in there.items()
        if here.get(name, version) != version
    )


class VersionWatch:
    """Says once if a worker's node has other versions than this process."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell: Callable[[str], None] | None = tell

    def note(self, node_id: str, versions: Mapping[str, str]) -> None:
        """Compare with those of a worker that has started."""
        different = differences(versions, versions_here())
        if different and self._tell:
            hosts = [n["NodeManagerHostname"] for n in ray.nodes() if n["NodeID"] == node_id]
            self._tell(
                f"warning: the node {', '.join(hosts) or node_id} has {different}; "
                "install the same constraints.txt everywhere, or results may differ "
                "(`reinforce doctor` compares all nodes)"
            )
            self._tell = None

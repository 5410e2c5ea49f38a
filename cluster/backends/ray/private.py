"""The processes of a local Ray: no more than it needs, out of reach of signals to the driver."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from ray._private import services
from ray._private.node import Node

_LEFT_OUT = ("start_api_server", "start_monitor", "start_log_monitor")
"""Methods that start what a local Ray of ours has no use for: the server of the dashboard, which is
not shown; the autoscaler, where there is one machine; what carries the workers' output to the
driver, which is switched off. Each is a Python process, and ``ray.init`` waits for the first
(docs/decisions/0072-a-local-ray-starts-less.md)."""


class RayProcesses:
    """The processes that ``ray.init`` starts, each the leader of a process group of its own.

    Some supervisors send SIGTERM to a whole process group. Ray's processes would obey at once, and
    a driver whose raylet is gone is aborted by Ray's library before it can write a checkpoint.
    (Ray does the same for itself on Windows, and has no setting for it elsewhere.)
    """

    def __init__(self) -> None:
        self._groups: list[int] = []

    @contextmanager
    def started_here(self) -> Iterator[None]:
        """Context in which the processes are started that belong to this object."""
        groups, original = self._groups, services.ConsolePopen

        class LeaderOfItsGroup(original):  # type: ignore[misc, valid-type]  # Ray is untyped
            """What Ray starts its processes with."""

            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options, process_group=0)
                groups.append(self.pid)

        with ExitStack() as replaced:
            replaced.enter_context(_replaced(services, "ConsolePopen", LeaderOfItsGroup))
            for name in _LEFT_OUT:
                replaced.enter_context(_replaced(Node, name, _start_nothing))
            yield

    def kill(self) -> None:
        """Kill them all at once, with whatever they have started."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


@contextmanager
def _replaced(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _start_nothing(node: Node, **options: Any) -> None:
    """Stand in for a method of Ray's node that starts a process."""

"""The processes of a local Ray: kept apart from the signals meant for the driver, ended with it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ray._private import services


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

        services.ConsolePopen = LeaderOfItsGroup
        try:
            yield
        finally:
            services.ConsolePopen = original

    def kill(self) -> None:
        """Kill them all at once, with whatever they have started."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

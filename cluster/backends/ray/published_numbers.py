"""A run's newest numbers as a file among Ray's logs, which the dashboard hands out to `status`."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import ray

from reinforce.cluster.backends.ray.private import session_folder
from reinforce.cluster.files import write_json
from reinforce.cluster.typed_json import Finite


@dataclass(frozen=True)
class PublishedNumbers:
    """What a run on a cluster tells of itself.

    Attributes:
        run: Its name.
        run_directory: Where its directory is, on the driver's node.
        metrics: The newest value of every number of its journal.
        waits_for: What it waits for; empty while it trains.
        recent_return_mean: Mean return of the last updates (``RecentReturns``).
    """

    run: str
    run_directory: str
    metrics: dict[str, Finite]
    waits_for: str = ""
    recent_return_mean: Finite | None = None

    def publish(self) -> None:
        """Put them where the node of this driver keeps its logs, in place of those before.

        Raises:
            OSError: They cannot be written.
        """
        name = published_name(ray.get_runtime_context().get_job_id())
        write_json(Path(session_folder(), "logs", name), asdict(self))


def publish_wait(run: str, run_directory: Path, waits_for: str) -> None:
    """Tell what a run waits for that has no numbers yet, if it has joined its cluster."""
    if ray.is_initialized():
        with suppress(Exception):  # the disk is full, or Ray is about to end
            PublishedNumbers(run, str(run_directory), {}, waits_for).publish()


def published_name(job_id: str) -> str:
    """Return the name of the file of the run that a job of Ray drives."""
    return f"reinforce-{job_id}.json"

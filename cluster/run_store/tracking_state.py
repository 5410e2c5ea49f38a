"""What ``tracking.json`` says: which MLflow run follows a run directory, and where that is."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from reinforce.cluster.files import read_json
from reinforce.cluster.typed_json import Count


class TrackingState(BaseModel, extra="allow"):
    """The types of its keys, each of which may be missing; ``cluster.tracking`` says what for."""

    key: str = ""
    directory: str = ""
    run_id: str = ""
    experiment_id: str = ""
    link: str = ""
    is_default_store: bool = True
    is_server: bool = False
    num_refused: Count = 0


ANSWERS_AGAIN = "MLflow: it answers again"
"""Line of the follower's log after an outage, in which it said what is wrong in another."""


def read_tracking_state(file: Path) -> dict[str, Any]:
    """Return the keys that are there; none if the file is missing or somebody broke it."""
    state = read_json(file, TrackingState)
    return state.model_dump(exclude_unset=True) if state else {}

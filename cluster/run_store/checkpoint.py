"""One checkpoint: where a run stood, as a safetensors file that knows its own digest."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reinforce.cluster.errors import UsageError
from reinforce.cluster.progress import Progress
from reinforce.configs.config import Config
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.weights import Weights, arrays_sha256
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.rollout_worker import architecture_of

_AHEAD = "ahead.weights"


class CorruptCheckpointError(Exception):
    """A checkpoint cannot be read, or its content does not match its digest."""


@dataclass(frozen=True)
class PlayedAhead:
    """With ``cluster.lookahead`` 1, the batch that was fixed before the learner's last update.

    Attributes:
        episodes: Its size.
        weights: What it is played with: those of one version before the learner's.
    """

    episodes: int
    weights: Weights


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stood after an update: enough to go on as if it had never stopped.

    Attributes:
        learner: Weights, optimizer, scales and baselines.
        progress: Counters.
        ahead: The batch that must not be drawn again with newer weights, if there is one.
        config: The resolved configuration, section by section.
        tracking: What ``tracking.json`` held: which MLflow run follows.
        files: Digest of the files that came with the job that made it; None if it was none.
    """

    learner: LearnerState
    progress: Progress
    ahead: PlayedAhead | None = None
    config: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    files: str | None = None

    @property
    def weights(self) -> Weights:
        """The weights of the policy at this version."""
        return Weights(self.learner.version, self.learner.arrays["weights"])


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the content of a checkpoint file."""
    state, ahead = checkpoint.learner, checkpoint.ahead
    about = json.dumps(
        {
            "version": state.version,
            "progress": asdict(checkpoint.progress),
            "ahead": {"episodes": ahead.episodes, "version": ahead.weights.version}
            if ahead
            else None,
            "config": checkpoint.config,
            "tracking": checkpoint.tracking,
            "files": checkpoint.files,
        }
    )
    arrays = state.arrays | ({_AHEAD: ahead.weights.values} if ahead else {})
    return save(arrays, {"about": about, "sha256": _digest(about, arrays)})


def decode(content: bytes, name: str) -> Checkpoint:
    """Return what the content of a checkpoint file holds.

    Args:
        content: Of the file.
        name: For the message.

    Raises:
        CorruptCheckpointError: It is torn, or was altered.
    """
    try:
        arrays = load(content)
        # safetensors: eight bytes that tell the length of a header in JSON, then the tensors.
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise CorruptCheckpointError(f"{name} cannot be read: {error}") from error
    about = metadata.get("about", "")
    if metadata.get("sha256") != _digest(about, arrays):
        raise CorruptCheckpointError(f"{name} does not match its own digest")
    values = json.loads(about)
    ahead = values["ahead"]
    if ahead:
        weights = Weights(ahead["version"], arrays.pop(_AHEAD))
    return Checkpoint(
        LearnerState(values["version"], arrays),
        Progress.from_json(values["progress"]),
        PlayedAhead(ahead["episodes"], weights) if ahead else None,
        values["config"],
        values["tracking"],
        values.get("files"),  # those of an older version do not say
    )


def _digest(about: str, arrays: dict[str, NDArray[Any]]) -> str:
    return hashlib.sha256((about + arrays_sha256(arrays)).encode()).hexdigest()


def require_fit(checkpoint: Checkpoint, config: Config, spec: EnvironmentSpec) -> None:
    """Raise UsageError if the weights are not those of the policy for this environment.

    Raises:
        UsageError: Their number is another one.
        UnsuitablePolicyError: The user's policy cannot be used.
    """
    try:
        make_policy(architecture_of(config, spec)).load(checkpoint.weights)
    except ValueError as error:
        update, environment = checkpoint.progress.updates, config.environment.id
        raise UsageError(
            f"the checkpoint after update {update} is of no use here: {error}; the spaces of "
            f"environment.id = {environment!r}, or the policy's class, are not what they were when "
            "it was made: go back to that version of your code, or begin a new run"
        ) from None

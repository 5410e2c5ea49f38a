"""One checkpoint: the state of a run, as a safetensors file with its own digest."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reinforce.cluster.errors import UsageError
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_store.stored_environment import oddity_of
from reinforce.cluster.run_store.tracking_state import TrackingState
from reinforce.cluster.typed_json import Count, parse_json
from reinforce.configs.config import Config
from reinforce.learner.make_policy import make_policy, require_num_weights
from reinforce.learner.policies.seeds import SEED_SCHEME
from reinforce.learner.policies.weights import Weights, arrays_sha256
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.rollout_worker import architecture_of

_AHEAD = "ahead.weights"


class CorruptCheckpointError(Exception):
    """A checkpoint cannot be read, or its content does not match its digest."""


@dataclass(frozen=True)
class PlayedAhead:
    """With ``cluster.lookahead`` 1, the batch fixed before the learner's last update.

    Attributes:
        episodes: Its size.
        weights: The weights that play it, one version before the learner's.
    """

    episodes: int
    weights: Weights


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after an update: enough to continue as if it had never stopped.

    Attributes:
        learner: Weights, optimizer, scales and baselines.
        progress: Counters.
        ahead: The batch that must keep its older weights, if there is one.
        config: The resolved configuration, section by section.
        tracking: Content of ``tracking.json``: the MLflow run that follows.
        files: Digest of the files of the job that made it; None outside of jobs.
        environment: Description for the policy, so that it can act without its run directory.
        seed_scheme: Version of the seeds of the program that made it (``learner.policies.seeds``).
    """

    learner: LearnerState
    progress: Progress
    ahead: PlayedAhead | None = None
    config: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    files: str | None = None
    environment: EnvironmentSpec | None = None
    seed_scheme: int = SEED_SCHEME

    @property
    def weights(self) -> Weights:
        """The policy's weights at this version."""
        return Weights(self.learner.version, self.learner.arrays["weights"])


@dataclass(frozen=True)
class _AboutAhead:
    episodes: Annotated[int, Field(ge=1, lt=2**63)]
    version: Count


@dataclass(frozen=True)
class _About:
    """Types of everything in a file besides the arrays."""

    version: Count
    progress: Progress
    ahead: _AboutAhead | None
    config: dict[str, Any]
    tracking: TrackingState
    files: str | None = None  # those of an older version do not say
    environment: EnvironmentSpec | None = None
    seed_scheme: Count = 1  # neither


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
            "environment": asdict(checkpoint.environment) if checkpoint.environment else None,
            "seed_scheme": checkpoint.seed_scheme,
        }
    )
    arrays = state.arrays | ({_AHEAD: ahead.weights.values} if ahead else {})
    return save(arrays, {"about": about, "sha256": _digest(about, arrays)})


def decode(content: bytes, name: str) -> Checkpoint:
    """Parse the content of a checkpoint file.

    Args:
        content: The file's content.
        name: The file's name, for the message.

    Raises:
        CorruptCheckpointError: It is torn, or was altered.
    """
    try:
        arrays = load(content)
        # safetensors: eight bytes that tell the length of a header in JSON, then the tensors.
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError, LookupError, MemoryError) as error:
        raise CorruptCheckpointError(f"{name} cannot be read: {error}") from error
    about = metadata.get("about", "")
    if metadata.get("sha256") != _digest(about, arrays):
        raise CorruptCheckpointError(f"{name} does not match its own digest")
    try:
        return _checkpoint(parse_json(about, _About), arrays)
    except (ValueError, LookupError) as error:  # a digest keeps nobody from writing nonsense
        raise CorruptCheckpointError(f"{name} is not a checkpoint: {error}") from error


def _checkpoint(about: _About, arrays: dict[str, NDArray[Any]]) -> Checkpoint:
    ahead = None
    if about.ahead:
        weights = Weights(about.ahead.version, arrays.pop(_AHEAD))
        ahead = PlayedAhead(about.ahead.episodes, weights)
    Weights(about.version, arrays["weights"])  # refuses what is none
    oddity = oddity_of(about.environment) if about.environment else ""
    if oddity:
        raise ValueError(oddity)
    tracking = about.tracking.model_dump(exclude_unset=True)
    state = LearnerState(about.version, arrays)
    return Checkpoint(
        *(state, about.progress, ahead, about.config, tracking, about.files, about.environment),
        seed_scheme=about.seed_scheme,
    )


def _digest(about: str, arrays: dict[str, NDArray[Any]]) -> str:
    return hashlib.sha256((about + arrays_sha256(arrays)).encode()).hexdigest()


def require_fit(
    checkpoint: Checkpoint, config: Config, spec: EnvironmentSpec, *, is_known: bool = True
) -> None:
    """Raise UsageError if the weights do not fit the policy for this environment.

    They are counted before a network is created, because a stranger's settings may ask for more
    than any memory. A user's class is counted only for untrusted settings (``is_known`` is False):
    counting creates it again on a device without memory, and a class that caches a tensor would
    keep one from that device.

    Raises:
        UsageError: Their number differs.
        UnsuitablePolicyError: The user's policy cannot be used.
    """
    architecture, num_weights = architecture_of(config, spec), len(checkpoint.weights.values)
    try:
        if not (is_known and ":" in architecture.kind):
            require_num_weights(architecture, num_weights)
        make_policy(architecture).load(checkpoint.weights)
    except ValueError as error:
        update, environment = checkpoint.progress.updates, config.environment.id
        raise UsageError(
            f"the checkpoint after update {update} does not fit: {error}; the spaces of "
            f"environment.id = {environment!r}, or the policy's class, have changed since: return "
            "to that version of your code, or start a new run"
        ) from None

"""Runs that are changed on purpose while they train (``resume --change``).

A change is a checkpoint: the one that the run goes on from is written again, under the new
configuration and without what does not fit it. So whatever happens next, every later start goes on
from it, and what was made before it keeps its own configuration (``configs.roles.config_at``).
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.configs.config import Config
from reinforce.configs.experiment import Change
from reinforce.configs.loading import with_overrides
from reinforce.configs.roles import changes_between, flat, role_of
from reinforce.configs.section import Role
from reinforce.learner.policies.architecture import differences
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.rollout_worker import architecture_of

_PART_OF = {
    "learner.optimizer": "optimizer",
    "learner.baseline": "baseline",
    "learner.value_horizon_steps": "baseline",
}
"""Which part of a learner starts fresh under another value of a setting."""

_ARRAYS_OF = {"optimizer": ("optimizer.",), "baseline": ("estimator.linear", "estimator.value.")}
"""By part: how the names of its arrays begin."""

_MEASURED_BY = ("environment.", "evaluation.")
"""Settings without which evaluations before and after a change cannot be compared."""


def missed_changes(
    before: Config, config: Config, *, said: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """Return (old, new) of each setting that was changed before, which ``config.yaml`` lacks.

    Its process was killed before it wrote that, or the file went with a machine.

    Args:
        before: The configuration of its checkpoint, with all changes so far.
        config: How it is to go on.
        said: Settings that the user gives on purpose now, which are none of these.
    """
    values = flat(config.model_dump(mode="json"))
    missed: dict[str, tuple[Any, Any]] = {}
    for change in before.run.changes[len(config.run.changes) :]:
        for name, (old, new) in change.settings.items():
            if values[name] == old and name not in said:
                missed[name] = (missed[name][0] if name in missed else old, new)
                values[name] = new
    return missed


def changed(
    checkpoint: Checkpoint, before: Config, config: Config, *, on_purpose: bool
) -> tuple[Checkpoint, Config]:
    """Return the checkpoint to go on from under a configuration, which then lists all changes.

    Args:
        checkpoint: Where the run stands.
        before: The configuration that it was made under.
        config: How it is to go on, with what ``missed_changes`` found.
        on_purpose: It may go on with other settings that decide what is computed.

    Raises:
        ConfigError: A setting differs that this run keeps.
    """
    config = with_overrides(config, {"run.changes": before.run.changes})
    differing = changes_between(before, config, on_purpose=on_purpose)
    settings = {name: both for name, both in differing.items() if role_of(name) is Role.RESULT}
    if not settings:
        return checkpoint, config
    change = Change(update=checkpoint.progress.updates, settings=settings)
    config = with_overrides(config, {"run.changes": [*before.run.changes, change]})
    return carried_over(checkpoint, config, change), config


def carried_over(checkpoint: Checkpoint, config: Config, change: Change) -> Checkpoint:
    """Return a checkpoint without what does not fit a changed configuration."""
    state, progress = checkpoint.learner, checkpoint.progress
    fresh = tuple(start for part in _fresh_parts(change) for start in _ARRAYS_OF[part])
    arrays = {name: array for name, array in state.arrays.items() if not name.startswith(fresh)}
    progress = replace(progress, batch_size=progress.batch_size.under(config.learner))
    if is_measured_anew(change):
        progress = replace(progress, best_return=None, best_update=None)
    return replace(checkpoint, learner=LearnerState(state.version, arrays), progress=progress)


def is_measured_anew(change: Change) -> bool:
    """Return whether evaluations before and after a change cannot be compared."""
    return any(name.startswith(_MEASURED_BY) for name in change.settings)


def consequences(change: Change) -> Iterator[str]:
    """Yield what a change means for the run, a sentence each."""
    yield (
        f"changed on purpose {change}: the result is no longer that of either configuration, and "
        "comparisons and MLflow's groups count this run apart"
    )
    for part in _fresh_parts(change):
        yield f"the {part} starts fresh"
    if is_measured_anew(change):
        yield "the best evaluation so far is forgotten: later ones measure something else"


def _fresh_parts(change: Change) -> list[str]:
    return sorted({_PART_OF[name] for name in _PART_OF.keys() & change.settings})


def require_same_spaces(run: RunDirectory, config: Config, spec: EnvironmentSpec) -> None:
    """Raise if a changed environment is not what the run's weights are for.

    Raises:
        UsageError: Its spaces are others.
        RunDirectoryError: Nobody noted what they were.
    """
    before = architecture_of(config, read_environment(run.environment_file))
    differing = differences(before, architecture_of(config, spec))
    if differing:
        raise UsageError(
            f"the environment of {run.path} cannot be changed to one with other spaces:{differing}"
        )

"""Deliberate changes of runs (``resume --change``).

A change is a checkpoint: the one that the run continues from is written again, with the new
configuration and without what does not fit it. So every later start continues from it, whatever
happens, and everything before keeps its own configuration (``configs.roles.config_at``).
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
from reinforce.configs.learning import SHAPE_OF_VALUES
from reinforce.configs.loading import with_overrides
from reinforce.configs.roles import changes_between, flat, role_of
from reinforce.configs.section import Role
from reinforce.learner.policies.architecture import differences
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.rollout_worker import architecture_of

_PART_OF = {
    "learner.optimizer": "optimizer",
    **{f"learner.{name}": "baseline" for name in SHAPE_OF_VALUES},
}
"""The part of a learner that starts fresh if a setting changes."""

_ARRAYS_OF = {"optimizer": ("optimizer.",), "baseline": ("estimator.linear", "estimator.value.")}
"""Prefixes of array names, by part."""

_MEASURED_BY = ("environment.", "evaluation.")
"""Settings whose change makes earlier evaluations incomparable."""


def missed_changes(
    before: Config, config: Config, *, said: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """Return (old, new) of each earlier change that ``config.yaml`` lacks.

    The process was killed before it wrote the file, or the file was lost with a machine.

    Args:
        before: The checkpoint's configuration, with all changes so far.
        config: The configuration to continue with.
        said: Settings that the user changes now, which do not count.
    """
    values = flat(config.model_dump(mode="json"))
    missed: dict[str, tuple[Any, Any]] = {}
    for change in before.run.changes[len(config.run.changes) :]:
        for name, (old, new) in change.settings.items():
            may_change = name in values and role_of(name) is Role.RESULT  # as in ``changed``
            if may_change and values[name] == old and name not in said:
                missed[name] = (missed[name][0] if name in missed else old, new)
                values[name] = new
    return missed


def changed(
    checkpoint: Checkpoint, before: Config, config: Config, *, on_purpose: bool
) -> tuple[Checkpoint, Config]:
    """Return the checkpoint to continue from, with a configuration that lists all changes.

    Args:
        checkpoint: The run's checkpoint.
        before: The configuration with which it was made.
        config: The configuration to continue with, including ``missed_changes``.
        on_purpose: Settings that decide what is computed may change.

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
    """Return a checkpoint without parts that do not fit a changed configuration."""
    state, progress = checkpoint.learner, checkpoint.progress
    fresh = tuple(start for part in _fresh_parts(change) for start in _ARRAYS_OF[part])
    arrays = {name: array for name, array in state.arrays.items() if not name.startswith(fresh)}
    progress = replace(progress, batch_size=progress.batch_size.under(config.learner))
    if is_measured_anew(change):
        progress = replace(progress, best_return=None, best_update=None)
    return replace(checkpoint, learner=LearnerState(state.version, arrays), progress=progress)


def is_measured_anew(change: Change) -> bool:
    """Return whether a change makes earlier evaluations incomparable."""
    return any(name.startswith(_MEASURED_BY) for name in change.settings)


def consequences(change: Change) -> Iterator[str]:
    """Yield the consequences of a change for the run, one sentence each."""
    yield (
        f"changed on purpose {change}: the result no longer belongs to either configuration, and "
        "comparisons and MLflow's groups keep this run apart"
    )
    for part in _fresh_parts(change):
        yield f"the {part} starts fresh"
    if is_measured_anew(change):
        yield "the best evaluation so far is forgotten: later ones measure something else"


def _fresh_parts(change: Change) -> list[str]:
    return sorted({_PART_OF[name] for name in _PART_OF.keys() & change.settings})


def require_same_spaces(run: RunDirectory, config: Config, spec: EnvironmentSpec) -> None:
    """Raise an error if the run's weights do not fit a changed environment.

    Raises:
        UsageError: Its spaces differ.
        RunDirectoryError: The old spaces were not recorded.
    """
    before = architecture_of(config, read_environment(run.environment_file))
    differing = differences(before, architecture_of(config, spec))
    if differing:
        raise UsageError(
            f"the environment of {run.path} cannot be changed to one with other spaces:{differing}"
        )

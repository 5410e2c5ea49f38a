"""The places of trained policies, and their names.

==================================  ==================================================
``RUN_DIR``                         a run directory
``DIR``, ``s3://bucket/DIR``        a folder of checkpoints, as ``checkpoint.directory``
                                    has one per run
``…/update-000000012.safetensors``  one of its files
``BUNDLE``                          a folder that ``reinforce export`` has made
``zoo:NAME``                        an agent that comes with this package, or was pulled
``models:/NAME@ALIAS``              a model in MLflow, or ``models:/NAME/VERSION``,
                                    ``models:/m-ID``, ``runs:/RUN_ID/best``
==================================  ==================================================

After the first two, ``@best`` or ``@UPDATE`` picks a version other than the newest. All of them
hold checkpoints: safetensors and JSON, read without importing anything.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reinforce.cluster.background_call import call_within
from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.run_store.checkpoint import Checkpoint, CorruptCheckpointError
from reinforce.cluster.run_store.checkpoints import (
    PORTABLE_CHECKPOINT,
    CheckpointReader,
    Checkpoints,
)
from reinforce.cluster.run_store.chosen_version import chosen_version
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.cluster.run_store.trust import CHECKPOINTS, is_known, require_trust
from reinforce.cluster.run_store.version_names import place_and_version
from reinforce.cluster.zoo.names import ZOO, find_agent, shipped_names
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.loading import load_config
from reinforce.configs.quoting import shown
from reinforce.configs.secret_names import lacks_secrets
from reinforce.workers.environment import EnvironmentSpec

_TIMEOUT_S = 120.0
"""Time limit for a store to find and send one policy, in seconds."""

_IN_MLFLOW = ("models:/", "runs:/")
_NO_PLACE = (*_IN_MLFLOW, ZOO)
_REGISTERED = re.compile(r"(models:/[^/@]+)[@/]([^/@]+)")
_OF_RUN = re.compile(r"(runs:/[^/]+/(?:best|last))(?:-update-(\d+))?")


@dataclass(frozen=True, eq=False)
class StoredPolicy:
    """One version of a policy, and everything known about it.

    Attributes:
        source: A name that identifies exactly this version.
        checkpoint: Its weights and counters.
        config: The resolved configuration that it was trained with.
        spec: Its environment's description.
        is_known: Whether it comes from a run that the user has made or trusted.
    """

    source: str
    checkpoint: Checkpoint
    config: Config
    spec: EnvironmentSpec
    is_known: bool = False

    def trained(
        self, *, trust: bool, plays: bool = True, changes: Mapping[str, Any] = MappingProxyType({})
    ) -> TrainedPolicy:
        """Return the policy to act with; arguments and errors as for ``TrainedPolicy.load``."""
        return TrainedPolicy.without_run(
            *(self.source, self.config, self.spec, self.checkpoint),
            trust=trust,
            plays=plays,
            changes=changes,
        )

    def require_arguments(self) -> None:
        """Raise UsageError if arguments of the policy's class were left out as secrets."""
        if lacks_secrets(self.config.policy.arguments):
            raise UsageError(
                f"{self.source} has a policy with secrets in policy.arguments, which are not "
                "included: load it from its run directory"
            )


def is_run_directory(source: str) -> bool:
    """Return whether a name means a run, or nothing; otherwise it is a policy without its run.

    Raises:
        UsageError: It is a folder that cannot be read.
    """
    if source.startswith(_NO_PLACE) or "://" in source:
        return False
    where, which = _split(source)
    return not which and _file_in(where) is None and not _has_checkpoints(where)


def find_policy(
    source: str, setting: str, tracking: TrackingConfig, *, trust: bool = False
) -> StoredPolicy:
    """Return the policy with this name.

    Args:
        source: A name as above.
        setting: The setting that names it, for the message.
        tracking: The MLflow store.
        trust: The user trusts its run, if it is in a run directory.

    Raises:
        UsageError: It is missing, cannot be read, or belongs to a run that is not trusted.
    """
    is_remote = source.startswith(_IN_MLFLOW) or "://" in source
    find = partial(_find, source, setting, tracking, trust=trust)
    try:
        return call_within(_TIMEOUT_S, find, source) if is_remote else find()
    except (UsageError, ConfigError, CorruptCheckpointError, OSError) as error:
        raise UsageError(f"{setting} = {shown(source)}: {error}") from None


def load_policy(
    source: Path,
    *,
    best: bool,
    trust: bool = False,
    plays: bool = True,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> TrainedPolicy:
    """Load the policy of a run, or ``zoo:NAME``; the rest is as for ``TrainedPolicy.load``."""
    if not str(source).startswith(ZOO):
        if str(source) in shipped_names() and not source.exists():
            raise UsageError(f"there is no run {source} here; did you mean '{ZOO}{source}'?")
        return TrainedPolicy.load(source, best=best, trust=trust, plays=plays, changes=changes)
    if best:
        raise UsageError(f"{shown(str(source))} is one version: leave out --best")
    stored = find_policy(str(source), "source", TrackingConfig())
    return stored.trained(trust=trust, plays=plays, changes=changes)


def names_the_same(noted: str, source: str) -> bool:
    """Return whether a name may mean the version recorded under another name of its place.

    A repeated command says ``RUN_DIR`` or ``models:/NAME@ALIAS`` again, and means the version of
    the first time.
    """
    (place, version), (other, which) = _split(noted), _split(source)
    return place == other and not (which.isdigit() and which != version)


def _split(source: str) -> tuple[str, str]:
    """Return the place that a name means, and the selector of a version."""
    if source.startswith(_IN_MLFLOW):
        found = _REGISTERED.fullmatch(source) or _OF_RUN.fullmatch(source)
        return (found[1], found[2] or "") if found else (source, "")
    where, which = place_and_version(source)
    is_local = "://" not in where and not where.startswith(_NO_PLACE)
    return (str(Path(where).absolute()) if is_local else where), which


def _find(source: str, setting: str, tracking: TrackingConfig, *, trust: bool) -> StoredPolicy:
    if source.startswith(_IN_MLFLOW):
        from reinforce.cluster.tracking.registry import load_model_checkpoint

        return self_contained(*load_model_checkpoint(source, tracking))
    if source.startswith(ZOO):
        return self_contained(source, find_agent(source.removeprefix(ZOO))[1])
    where, which = _split(source)
    file = _file_in(where, setting)
    if file:
        if which:
            raise UsageError(f"it is one version: leave out @{which}")
        folder, _, name = file.rpartition("/")
        return self_contained(where, CheckpointReader(folder, setting).read(name))
    if "://" in where or _has_checkpoints(where):
        checkpoint = chosen_version(CheckpointReader(where, setting), which)
        return self_contained(f"{where}@{checkpoint.learner.version}", checkpoint)
    return _of_run(RunDirectory.open(Path(where)), which, trust=trust)


def _of_run(run: RunDirectory, which: str, *, trust: bool) -> StoredPolicy:
    config = load_config(str(run.config_file))
    once = f"trust it once: reinforce.load({str(run.path)!r}, trust=True), or any verb with --trust"
    require_trust(run, config, CHECKPOINTS, trust=trust, way_out=once)
    # Which MLflow run follows may be known only since the checkpoint was written.
    tracking_state = read_tracking_state(run.tracking_file)
    checkpoint = replace(chosen_version(Checkpoints(run, config), which), tracking=tracking_state)
    spec = read_environment(run.environment_file)
    return StoredPolicy(
        *(f"{run.path}@{checkpoint.learner.version}", checkpoint, config, spec),
        is_known=trust or is_known(run, config),
    )


def _file_in(where: str, setting: str = "path") -> str | None:
    """Return the only checkpoint of a place: a file, or that of a bundle."""
    if where.endswith(".safetensors"):
        return where
    if "://" not in where:
        return (
            f"{where}/{PORTABLE_CHECKPOINT}"
            if (Path(where) / PORTABLE_CHECKPOINT).is_file()
            else None
        )
    names = CheckpointReader(where, setting).names()
    return f"{where.rstrip('/')}/{PORTABLE_CHECKPOINT}" if PORTABLE_CHECKPOINT in names else None


def _has_checkpoints(where: str) -> bool:
    return next(Path(where).glob("update-*.safetensors"), None) is not None


def self_contained(source: str, checkpoint: Checkpoint) -> StoredPolicy:
    """Return the policy of a complete checkpoint, or raise UsageError."""
    if checkpoint.environment is None:
        raise UsageError(
            "it does not describe its environment, like those of earlier versions; name the run "
            "directory"
        )
    config = Config.model_validate(checkpoint.config)
    return StoredPolicy(source, checkpoint, config, checkpoint.environment)

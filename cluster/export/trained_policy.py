"""A trained policy from a run directory, which is only read, even while the run trains."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.progress import track

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import TicketFailedError, UsageError
from reinforce.cluster.long_tickets import LongTicketNotice
from reinforce.cluster.run_store.checkpoint import Checkpoint, CorruptCheckpointError, require_fit
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.chosen_version import chosen_version
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.cluster.run_store.trust import (
    CHECKPOINTS,
    CODE,
    POLICY_CLASS,
    is_known,
    require_trust,
    require_trust_in_code,
)
from reinforce.cluster.run_store.version_names import place_and_version
from reinforce.cluster.self_command import search_current_directory
from reinforce.cluster.shown_settings import shown_settings
from reinforce.cluster.waiting import waiting
from reinforce.configs.config import Config
from reinforce.configs.experiment import RUN_NAME, EnvironmentConfig
from reinforce.configs.loading import load_config
from reinforce.configs.plurals import counted
from reinforce.configs.secret_names import lacks_secrets
from reinforce.configs.section import MAX_EPISODES
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import (
    EnvironmentFactory,
    EnvironmentSpec,
    UnsuitableEnvironmentError,
    inspect_environment,
    make_environment,
)
from reinforce.workers.evaluation_environment import require_equal_spaces
from reinforce.workers.rollout_worker import RolloutReport, RolloutWorker
from reinforce.workers.tickets import Purpose, Ticket, draw_tickets

_PORTABLE_SECTIONS = ("environment", "policy", "learner", "workers", "stop", "evaluation")
"""Settings of a policy and its measurements, without the places of its run."""

_IS_NAME = re.compile(RUN_NAME)

_ATTEMPTS = 3
"""Tries to read a checkpoint: a live run may remove one at any moment, but then has a newer one."""


@dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """One version of the weights, with everything needed to act.

    Attributes:
        place: Its source: the path of a run, or another name of a policy.
        name: Name of its run.
        config: The resolved configuration of the run; ``environment`` is the one to play, if the
            policy was loaded for that.
        spec: The environment's description.
        checkpoint: The checkpoint with this version.
        which: ``newest`` or ``best``; empty if there is only one, or if its update was named.
        differs: Settings of the environment that differ from training, without secrets.
    """

    place: str
    name: str
    config: Config
    spec: EnvironmentSpec
    checkpoint: Checkpoint
    which: str = ""
    differs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> Weights:
        """The version of the weights."""
        return self.checkpoint.weights

    @property
    def environment_steps(self) -> int:
        """Training steps so far."""
        return self.checkpoint.progress.environment_steps

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        best: bool,
        trust: bool = False,
        plays: bool = True,
        changes: Mapping[str, Any] = MappingProxyType({}),
    ) -> "TrainedPolicy":
        """Load a version of a run: the newest, unless ``best`` or the path picks another.

        Args:
            path: The run directory, with ``@best`` or ``@UPDATE`` for a version other than the
                newest.
            best: Take the version with the best evaluation.
            trust: Allow the code and places that the directory names, whoever made it.
            plays: Create the environment and check that it has not changed. Otherwise only a
                policy's own class is imported.
            changes: Changes to the environment of the run's evaluations.

        Raises:
            ConfigError, UnsuitableEnvironmentError, UsageError: It cannot be read, or played here.
        """
        place, which = place_and_version(str(path))
        if best and which:
            raise UsageError(f"{str(path)!r} names one version: leave out --best, or @{which}")
        run, which = RunDirectory.open(Path(place)), "best" if best else which
        config = load_config(str(run.config_file))
        own_class = (POLICY_CLASS,) if ":" in config.policy.kind else ()
        uses = (*CHECKPOINTS, *(CODE if plays else own_class))
        require_trust(run, config, uses, trust=trust)
        is_vouched = trust or is_known(run, config)  # as the run was made, whatever is played below
        if plays or own_class:
            search_current_directory()
        checkpoint = _version(Checkpoints(run, config), which)
        checkpoint = replace(checkpoint, tracking=read_tracking_state(run.tracking_file))
        learned_in = partial(read_environment, run.environment_file)
        differs: Mapping[str, Any] = {}
        if plays:
            config, spec, differs = _played(config, learned_in, changes)
        else:
            spec = learned_in()
        require_fit(checkpoint, config, spec, is_known=is_vouched)
        kind = "" if which.isdigit() else which or "newest"
        return cls(str(run.path), run.name, config, spec, checkpoint, kind, differs)

    @classmethod
    def without_run(
        cls,
        place: str,
        config: Config,
        spec: EnvironmentSpec,
        checkpoint: Checkpoint,
        *,
        trust: bool,
        plays: bool = True,
        changes: Mapping[str, Any] = MappingProxyType({}),
    ) -> "TrainedPolicy":
        """Return a version that is stored without its run; arguments and errors as for ``load``.

        Its maker is unknown, so anything that it would import requires trust.
        """
        own_class = (POLICY_CLASS,) if ":" in config.policy.kind else ()
        require_trust_in_code(place, config, CODE if plays else own_class, trust=trust)
        if plays or own_class:
            search_current_directory()
        if plays and lacks_secrets(config.environment.model_dump()):
            raise UsageError(
                f"{place} was trained in an environment with secrets in its settings, which are "
                "not included: play it from its run directory"
            )
        learned_in, differs = spec, dict[str, Any]()
        if plays:
            config, spec, differs = _played(config, lambda: learned_in, changes)
        require_fit(checkpoint, config, spec, is_known=trust)
        return cls(place, config.run.name or place, config, spec, checkpoint, differs=differs)

    def portable(self) -> Checkpoint:
        """Return a checkpoint with only the policy, for others: without secrets."""
        shown = shown_settings(self.config)
        run = {"name": self.name if _IS_NAME.fullmatch(self.name) else None}
        tracking = self.checkpoint.tracking
        return Checkpoint(
            LearnerState(self.weights.version, self.checkpoint.learner.policy_arrays),
            self.checkpoint.progress,
            config={
                "run": {**run, "seed": self.config.run.seed},
                **{section: shown[section] for section in _PORTABLE_SECTIONS},
            },
            tracking={key: tracking[key] for key in ("run_id", "link") if key in tracking},
            environment=self.spec,
        )

    def __str__(self) -> str:
        which = f"{self.which} checkpoint: " if self.which else ""
        return (
            f"{self.place}, {which}update {self.weights.version:,}, "
            f"{counted(self.environment_steps, 'step')}"
        )

    def one_by_one(self) -> "TrainedPolicy":
        """Return the same policy with one lane and one episode per ticket, for steps in order."""
        workers = {"envs_per_worker": 1, "episodes_per_ticket": 1}
        single = {"use_vector_implementation": False}
        sections = {
            "workers": self.config.workers.model_copy(update=workers),
            "environment": self.config.environment.model_copy(update=single),
        }
        return replace(self, config=self.config.model_copy(update=sections))

    def tickets(self, seed: int, episodes: int, *, greedy: bool) -> list[Ticket]:
        """Return tickets with episodes that neither training nor its evaluations play.

        Raises:
            UsageError: The seed is below 0, or the number of episodes below 1 or too high.
        """
        for name, number, least in (("seed", seed, 0), ("episodes", episodes, 1)):
            if number < least:
                raise UsageError(f"{name} = {number} must be >= {least}")
        if episodes > MAX_EPISODES:
            raise UsageError(
                f"episodes = {episodes:,} must be <= {MAX_EPISODES:,}: all returns are kept in "
                "memory, and the interval of 10,000 episodes is ten times narrower than that of 100"
            )
        size = self.config.workers.episodes_per_ticket
        return draw_tickets(seed, Purpose.REVIEW, 0, episodes, size, greedy=greedy)

    def play(
        self, tickets: Sequence[Ticket], make: EnvironmentFactory = make_environment
    ) -> Iterator[tuple[RolloutReport, Trajectories]]:
        """Play tickets in this process, one after the other, and show progress.

        A terminal shows it continuously; elsewhere a line on standard error does, now and then.

        Raises:
            UnsuitableEnvironmentError, UsageError: The additions of ``make`` do not work.
            TicketFailedError: The environment failed.
        """
        worker = RolloutWorker(self.config, self.spec, make)
        console = PlainConsole(stderr=True)
        notice = LongTicketNotice(console)
        shown = track(tickets, "playing", console=console, transient=True)
        in_all, num_played = sum(ticket.num_episodes for ticket in tickets), 0

        def how_far() -> str:
            return f"{num_played:,} of {in_all:,} are over"

        lines = (
            nullcontext() if console.is_terminal else waiting(console, "playing episodes", how_far)
        )
        with closing(worker), lines:
            for ticket in shown if console.is_terminal else tickets:
                try:
                    played = worker.play(ticket, self.weights, partial(notice, ticket))
                except (UnsuitableEnvironmentError, UsageError):  # of ``make``, not of the episode
                    raise
                except Exception as error:
                    raise TicketFailedError.in_review(ticket, error) from error
                num_played += ticket.num_episodes
                yield played


def _played(
    config: Config, learned_in: Callable[[], EnvironmentSpec], changes: Mapping[str, Any]
) -> tuple[Config, EnvironmentSpec, dict[str, Any]]:
    """Return the evaluation environment with changes: configuration, description, differences."""
    training, played = config.environment, config.evaluation_environment.with_changes(changes)
    config, spec = config.played_in(played), inspect_environment(played)
    differs = _differences(training, config)
    if differs:
        require_equal_spaces(training, learned_in(), played, spec)
    return config, spec, differs


def _differences(training: EnvironmentConfig, config: Config) -> dict[str, Any]:
    played = shown_settings(config)["environment"]
    there, here = (each.model_dump(mode="json") for each in (config.environment, training))
    return {name: played[name] for name in here if there[name] != here[name]}


def _version(checkpoints: Checkpoints, which: str) -> Checkpoint:
    if not which:
        return _newest(checkpoints)
    if which == "best":
        return _best(checkpoints)
    try:
        return chosen_version(checkpoints, which, f"; Python's run.at({which}) computes it again")
    except (CorruptCheckpointError, OSError) as error:  # or a live run has just removed it
        raise UsageError(f"{error}; without @{which}, the newest checkpoint is taken") from None


def _newest(checkpoints: Checkpoints) -> Checkpoint:
    """Return the newest intact checkpoint."""
    for _ in range(_ATTEMPTS):
        checkpoint = checkpoints.newest(report=lambda sentence: None)
        if checkpoint:
            return checkpoint
    raise UsageError(
        f"{checkpoints.location} has no readable checkpoint; a run writes its first one after "
        "checkpoint.every_s seconds, and one at its end"
    )


def _best(checkpoints: Checkpoints) -> Checkpoint:
    try:
        checkpoint = checkpoints.best()
    except (CorruptCheckpointError, OSError) as error:
        raise UsageError(f"{error}; without `best`, the newest checkpoint is taken") from None
    if checkpoint is None:
        raise UsageError(
            f"{checkpoints.location} has no best checkpoint yet: it is written after the first "
            "regular evaluation (evaluation.every_updates); without `best`, the newest is taken"
        )
    return checkpoint

"""Plays one ticket of a run again, with the weights and settings of its time."""

import re
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.batches import training_tickets
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.evaluation import evaluation_tickets
from reinforce.cluster.long_tickets import LongTicketNotice
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.run_store.changed_run import is_measured_anew
from reinforce.cluster.run_store.checkpoint import Checkpoint, require_fit
from reinforce.cluster.run_store.journal import BatchEntry, read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.config import Config
from reinforce.configs.roles import config_at
from reinforce.learner.policies.trajectories import Trajectories, step_indices
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import (
    inspect_environment,
    make_environment,
    make_vector_environment,
)
from reinforce.workers.recording import EpisodeCamera
from reinforce.workers.rollout_worker import RolloutReport, RolloutWorker
from reinforce.workers.tickets import Purpose, Ticket

_NAME = re.compile(r"(?:(training|evaluation|confirmation):)?(\d+):(\d+)(?::(\d+))?", re.IGNORECASE)


@dataclass(frozen=True)
class TicketName:
    """A ticket of a run, or an episode of one: ``[PURPOSE:]UPDATE:INDEX[:EPISODE]``.

    Attributes:
        purpose: Its purpose.
        update: The update that waited for it, >= 0.
        index: Its place in the batch, >= 0.
        episode: One of its episodes, >= 0; None: all.
    """

    purpose: Purpose
    update: int
    index: int
    episode: int | None = None

    @classmethod
    def parse(cls, text: str) -> "TicketName":
        """Parse a name.

        Raises:
            UsageError: The text is not such a name.
        """
        match = _NAME.fullmatch(text)
        if not match:
            raise UsageError(
                f"{text!r} is not a ticket such as 12:3 or evaluation:0:3, nor an episode of one "
                "such as 12:3:0"
            )
        purpose = Purpose[(match[1] or "training").upper()]
        episode = None if match[4] is None else int(match[4])
        return cls(purpose, int(match[2]), int(match[3]), episode)

    def __str__(self) -> str:
        purpose = "" if self.purpose is Purpose.TRAINING else f"{self.purpose.name.lower()}:"
        episode = "" if self.episode is None else f":{self.episode}"
        return f"{purpose}{self.update}:{self.index}{episode}"


@dataclass(frozen=True, eq=False)
class PlayedTicket:
    """A replayed ticket.

    Attributes:
        report: Its returns and digest.
        trajectories: Every step of it.
        recorded_sha256: Its digest in the journal; None if there is none.
    """

    report: RolloutReport
    trajectories: Trajectories
    recorded_sha256: str | None

    @property
    def is_as_recorded(self) -> bool | None:
        """Whether it matches the run's record, bit by bit; None if unknown."""
        if self.recorded_sha256 is None:
            return None
        return self.recorded_sha256 == self.report.trajectories_sha256

    def steps(self) -> dict[str, NDArray[Any] | list[Any]]:
        """Return columns with a row per step: numbers from 1, observations, actions, rewards.

        Observations and actions are rows as the policy sees and emits them, log-probabilities in
        nats; ``terminated`` and ``truncated`` hold in the last step of an episode.
        """
        played = self.trajectories
        lengths = played.episode_lengths
        is_last = step_indices(lengths) + 1 == np.repeat(lengths, lengths)
        return {
            "episode": np.repeat(np.arange(len(lengths)), lengths),
            "step": step_indices(lengths) + 1,
            "observation": list(played.observations),
            "action": list(played.actions),
            "reward": played.rewards,
            "log_prob": played.behavior_log_probs,
            "terminated": is_last & np.repeat(played.terminated, lengths),
            "truncated": is_last & np.repeat(played.truncated, lengths),
        }


def play_ticket(
    past: Reconstruction,
    name: TicketName,
    console: PlainConsole,
    camera: EpisodeCamera | None = None,
) -> PlayedTicket:
    """Play a ticket as in the run; errors of the environment pass through.

    Args:
        past: The run.
        name: The name of the ticket or of one of its episodes.
        console: Shows what lasts.
        camera: Films one of its episodes.

    Raises:
        UsageError: There is no such ticket, or the environment cannot be played here.
        NotReproducedError: Its weights cannot be recomputed.
    """
    version = _version_of(past, name)
    past.require_reached(version)
    config = _config_of_its_time(past, name, version, console)
    recorded = _recorded_batch(past, name)
    if recorded or name.purpose is not Purpose.TRAINING:
        # Found out before updates are made again, which may take hours.
        _ticket(config, name, len(recorded.episode_lengths) if recorded else 0)
    checkpoint = past.at(version)
    past.require_same_seeds(checkpoint)
    num_episodes, weights = _batch(checkpoint, name)
    ticket = _ticket(config, name, num_episodes)
    # No preflight: what is looked into may be an environment that would fail it.
    spec = inspect_environment(config.environment)
    require_fit(checkpoint, config, spec)
    make = camera.make if camera else make_environment
    make_vector = camera.make_vector if camera else make_vector_environment
    with closing(RolloutWorker(config, spec, make, make_vector=make_vector)) as worker:
        played = worker.play(ticket, weights, partial(LongTicketNotice(console), ticket))
    digests = recorded.ticket_sha256 if recorded else None
    return PlayedTicket(
        *played, digests[name.index] if digests and name.index < len(digests) else None
    )


def _version_of(past: Reconstruction, name: TicketName) -> int:
    """Return how many updates the run had made when it drew a ticket.

    Regular evaluations play the same seeds with every version; the newest one is taken. With
    lookahead, the state before a batch's own knows it, too.
    """
    if name.purpose is Purpose.EVALUATION:
        if name.update:
            raise UsageError(
                f"there is no ticket {name}: every regular evaluation plays evaluation:0:INDEX, "
                "which is replayed with the newest checkpoint"
            )
        return max(past.checkpoints.versions(), default=past.num_updates)
    is_ahead = name.purpose is Purpose.TRAINING and name.update == past.num_updates + 1
    return name.update - 1 if is_ahead and past.config.cluster.lookahead else name.update


def _config_of_its_time(
    past: Reconstruction, name: TicketName, version: int, console: PlainConsole
) -> Config:
    """Return the settings of an update's tickets; report if a change was near.

    The weights at a change may be evaluated both before and after it.
    """
    config, purpose = past.config, name.purpose
    played_at = version if purpose is Purpose.EVALUATION else name.update
    changes = [change for change in config.run.changes if change.update == played_at]
    changes = [change for change in changes if is_measured_anew(change)]
    if purpose is Purpose.TRAINING or not changes:
        return config_at(config, played_at)
    is_since = _is_measured_since_its_change(past.run, purpose, played_at)
    console.warn(
        f"this run was changed on purpose {'; '.join(map(str, changes))}; according to its "
        f"journal, the ticket is from {'after' if is_since else 'before'} that",
    )
    return config_at(config, played_at if is_since else played_at - 1)


def _is_measured_since_its_change(run: RunDirectory, purpose: Purpose, played_at: int) -> bool:
    """Return whether an evaluation was recorded after the change, or is due now.

    Evaluations before a change are no longer in the journal, which was cut back to the update.
    """
    is_regular = purpose is Purpose.EVALUATION
    metric = "evaluation/return_mean" if is_regular else "evaluation/confirmed_return_mean"
    entries = dropwhile(
        lambda entry: not entry.changes or entry.updates != played_at,
        read_entries(run.journal_file),
    )
    since = list(entries)
    is_recorded = any(
        metric in entry.metrics and (is_regular or entry.updates == played_at) for entry in since
    )
    return is_recorded or bool(since and since[-1].updates == played_at)


def _recorded_batch(past: Reconstruction, name: TicketName) -> BatchEntry | None:
    """Return the batch of a training ticket from the journal."""
    entry = past.entries.get(name.update + 1) if name.purpose is Purpose.TRAINING else None
    return entry.batch if entry else None


def _batch(checkpoint: Checkpoint, name: TicketName) -> tuple[int, Weights]:
    """Return the episodes of a batch of training, and the weights that play a ticket."""
    is_now = name.purpose is Purpose.TRAINING and checkpoint.learner.version == name.update
    if checkpoint.ahead and is_now:
        return checkpoint.ahead.episodes, checkpoint.ahead.weights
    return checkpoint.progress.batch_size.episodes, checkpoint.weights


def _ticket(config: Config, name: TicketName, num_episodes: int) -> Ticket:
    """Return a ticket by its name.

    Args:
        config: Of its time.
        name: Of the ticket, or of an episode of it.
        num_episodes: Of its batch, if that is one of training.

    Raises:
        UsageError: There is none, or no such episode.
    """
    tickets = (
        training_tickets(config, name.update, num_episodes)
        if name.purpose is Purpose.TRAINING
        else evaluation_tickets(config, name.purpose, name.update)
    )
    if name.index >= len(tickets):
        last = len(tickets) - 1
        raise UsageError(f"there is no ticket {name}: the last of its batch is {last}")
    ticket = tickets[name.index]
    if name.episode is not None and name.episode >= ticket.num_episodes:
        last = ticket.num_episodes - 1
        raise UsageError(f"there is no episode {name}: the last of its ticket is {last}")
    return ticket

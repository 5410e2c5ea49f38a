"""``reinforce replay``: plays one ticket of a run again, alone and in this process."""

import re
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from typing import Annotated, Any

import tyro

from reinforce.cluster.batches import training_tickets
from reinforce.cluster.commands.arguments import Command, RunDir, Trust
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.evaluation import evaluation_tickets
from reinforce.cluster.long_tickets import LongTicketNotice
from reinforce.cluster.run_store.changed_run import is_measured_anew
from reinforce.cluster.run_store.checkpoint import Checkpoint, CorruptCheckpointError, require_fit
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.trust import CHECKPOINTS, CODE, require_trust
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config
from reinforce.configs.roles import config_at
from reinforce.learner.policies.seeds import SEED_SCHEME
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import RolloutReport, RolloutWorker
from reinforce.workers.tickets import Purpose, Ticket

_NAME = re.compile(r"(?:(training|evaluation|confirmation):)?(\d+):(\d+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ReplayCommand(Command):
    """Play one ticket of a run again, alone and in this process, where a debugger can follow.

    Attributes:
        run: The run directory.
        ticket: UPDATE:INDEX of a training ticket, or evaluation:UPDATE:INDEX or
            confirmation:UPDATE:INDEX, as the message about a failed ticket gives it.
    """

    run: RunDir
    ticket: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[PURPOSE:]UPDATE:INDEX")]
    trust: Trust = False

    def execute(self) -> int:
        """Play it as it was played in the run; what the environment raises goes on untouched."""
        run = RunDirectory.open(self.run)
        config = load_config(str(run.config_file))
        match = _NAME.fullmatch(self.ticket)
        if not match:
            raise UsageError(f"{self.ticket!r} is not a ticket such as 12:3 or evaluation:0:3")
        require_trust(run, config, (*CODE, *CHECKPOINTS), trust=self.trust)
        purpose = Purpose[(match[1] or "training").upper()]
        update, index = int(match[2]), int(match[3])
        checkpoint = _load(Checkpoints(run, config), config.cluster.lookahead, purpose, update)
        if checkpoint.seed_scheme != SEED_SCHEME:
            raise UsageError(
                f"ticket {self.ticket} was drawn by another version of this program, which makes "
                f"other episodes of run.seed = {config.run.seed}: play it again with the version "
                f"that played it ({run.origin_file} says which)"
            )
        # A run may have been changed on purpose since.
        played_at = checkpoint.learner.version if purpose is Purpose.EVALUATION else update
        config = _config_of_its_time(run, config, purpose, played_at)
        require_trust(run, config, CODE, trust=self.trust)
        tickets, weights = _batch(config, checkpoint, purpose, update)
        if index >= len(tickets):
            last = len(tickets) - 1
            raise UsageError(f"there is no ticket {self.ticket}: the last of its batch is {last}")
        # No preflight: what is looked into may be an environment that would fail it.
        spec = inspect_environment(config.environment)
        require_fit(checkpoint, config, spec)
        with closing(RolloutWorker(config, spec)) as worker:
            notice = LongTicketNotice(PlainConsole(stderr=True))
            report, _ = worker.play(tickets[index], weights, partial(notice, tickets[index]))
        _print(report, read_summary(run.summary_file) or {})
        return 0


def _print(report: RolloutReport, summary: dict[str, Any]) -> None:
    say, ticket = PlainConsole().say, report.ticket
    say(f"ticket {ticket} was played; its {ticket.num_episodes} episodes return")
    say(", ".join(f"{value:g}" for value in report.episode_returns))
    if report.num_cut:
        say(f"{report.num_cut} did not end and were cut (evaluation.max_episode_steps)")
    say(f"sha256 of its trajectories: {report.trajectories_sha256}")
    is_named = re.search(rf"ticket {ticket}\b", str(summary.get("stop_reason")))
    if summary.get("status") == "failed" and is_named:
        say(
            "It ended the run but does not fail alone: an episode of this environment depends on "
            "more than its seed, such as the episodes before it."
        )


def _load(checkpoints: Checkpoints, lookahead: int, purpose: Purpose, update: int) -> Checkpoint:
    """Return the checkpoint with the weights that a ticket is played with.

    The regular evaluation plays the same seeds with every version; the newest one is taken. A batch
    that was sampled ahead is known to the checkpoint before its own, too.
    """
    versions = checkpoints.versions()
    wanted = [max(versions, default=0)] if purpose is Purpose.EVALUATION else [update]
    if purpose is Purpose.TRAINING and lookahead:
        wanted.append(update - 1)
    version = next((v for v in wanted if v in versions), None)
    if version is None:
        there = ", ".join(map(str, versions)) or "none"
        raise UsageError(
            f"the weights that this ticket is played with are in no checkpoint of "
            f"{checkpoints.location} (there are those after update: {there}); a run that fails "
            "writes one, and checkpoint.keep can keep more"
        )
    try:
        return checkpoints.load(version)
    except (CorruptCheckpointError, OSError) as error:
        raise UsageError(str(error)) from None


def _config_of_its_time(
    run: RunDirectory, config: Config, purpose: Purpose, played_at: int
) -> Config:
    """Return the settings with which tickets were played at an update; say so if others were near.

    Weights of the update at which a run is changed may be measured both before and after.
    """
    changes = [change for change in config.run.changes if change.update == played_at]
    changes = [change for change in changes if is_measured_anew(change)]
    if purpose is Purpose.TRAINING or not changes:
        return config_at(config, played_at)
    is_since = _is_measured_since_its_change(run, purpose, played_at)
    PlainConsole().say(
        f"this run was changed on purpose {'; '.join(map(str, changes))}; going by its journal, "
        f"the ticket is one from {'after' if is_since else 'before'} that",
        "yellow",
    )
    return config_at(config, played_at if is_since else played_at - 1)


def _is_measured_since_its_change(run: RunDirectory, purpose: Purpose, played_at: int) -> bool:
    """Return whether an evaluation is recorded since, or its turn is now.

    What was measured before a change is in the journal no more: that was cut back to the update.
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


def _batch(
    config: Config, checkpoint: Checkpoint, purpose: Purpose, update: int
) -> tuple[list[Ticket], Weights]:
    if purpose is not Purpose.TRAINING:
        return evaluation_tickets(config, purpose, update), checkpoint.weights
    episodes, weights = checkpoint.progress.batch_size.episodes, checkpoint.weights
    if checkpoint.ahead and checkpoint.learner.version == update:
        episodes, weights = checkpoint.ahead.episodes, checkpoint.ahead.weights
    return training_tickets(config, update, episodes), weights

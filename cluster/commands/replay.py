"""``reinforce replay``: plays one ticket of a run again, alone and in this process."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reinforce.cluster.batches import training_tickets
from reinforce.cluster.commands.arguments import Command, RunDir
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.evaluation import evaluation_tickets
from reinforce.cluster.run_store.checkpoint import Checkpoint, CorruptCheckpointError, require_fit
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.files import read_json
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config
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

    def execute(self) -> int:
        console, report = PlainConsole(), replay(self.run, self.ticket)
        num_episodes = report.ticket.num_episodes
        console.say(f"ticket {report.ticket} was played; its {num_episodes} episodes return")
        console.say(", ".join(f"{value:g}" for value in report.episode_returns))
        console.say(f"sha256 of its trajectories: {report.trajectories_sha256}")
        if ended_the_run(self.run, report.ticket):
            console.say(
                "It ended the run and does not fail alone: an episode of this environment depends "
                "on more than its seed, such as the episodes before it."
            )
        return 0


def replay(path: Path, name: str) -> RolloutReport:
    """Return the report of a ticket, played as it was in the run.

    Args:
        path: The run directory.
        name: Of the ticket, as ``ReplayCommand`` takes it.

    Raises:
        UsageError: There is no such ticket, or no checkpoint of the weights it was played with.
        Exception: What the environment raises, untouched.
    """
    run = RunDirectory.open(path)
    config = load_config(str(run.config_file))
    match = _NAME.fullmatch(name)
    if not match:
        raise UsageError(f"{name!r} is not a ticket such as 12:3 or evaluation:0:3")
    purpose = Purpose[(match[1] or "training").upper()]
    update, index = int(match[2]), int(match[3])
    checkpoint = _checkpoint(Checkpoints(run, config), config, purpose, update)
    tickets, weights = _batch(config, checkpoint, purpose, update)
    if index >= len(tickets):
        raise UsageError(f"there is no ticket {name}: the last of its batch is {len(tickets) - 1}")
    # No preflight: what is looked into may be an environment that would fail it.
    spec = inspect_environment(config.environment)
    require_fit(checkpoint, config, spec)
    worker = RolloutWorker(config, spec)
    try:
        return worker.play(tickets[index], weights)[0]
    finally:
        worker.close()


def ended_the_run(path: Path, ticket: Ticket) -> bool:
    """Return whether a run has failed, and named this ticket when it did."""
    summary = read_json(RunDirectory.open(path).summary_file) or {}
    named = re.search(rf"ticket {ticket}\b", str(summary.get("stop_reason")))
    return summary.get("status") == "failed" and named is not None


def _checkpoint(
    checkpoints: Checkpoints, config: Config, purpose: Purpose, update: int
) -> Checkpoint:
    """Return the checkpoint in which the weights are that a ticket is played with.

    The regular evaluation plays the same seeds with every version; the newest one is taken. A batch
    that was sampled ahead is known to the checkpoint before its own, too.
    """
    versions = checkpoints.versions()
    wanted = [max(versions, default=0)] if purpose is Purpose.EVALUATION else [update]
    if purpose is Purpose.TRAINING and config.cluster.lookahead:
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


def _batch(
    config: Config, checkpoint: Checkpoint, purpose: Purpose, update: int
) -> tuple[list[Ticket], Weights]:
    if purpose is Purpose.TRAINING:
        episodes, weights = checkpoint.progress.batch_size.episodes, checkpoint.weights
        if checkpoint.ahead and checkpoint.learner.version == update:
            episodes, weights = checkpoint.ahead.episodes, checkpoint.ahead.weights
        return training_tickets(config, update, episodes), weights
    return evaluation_tickets(config, purpose, update), checkpoint.weights

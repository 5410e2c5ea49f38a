"""Finds the episodes of a run that are worth a look, from its journal."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reinforce.cluster.errors import UsageError
from reinforce.cluster.moments.ticket_replay import TicketName
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.loading import load_config
from reinforce.configs.quoting import command_line
from reinforce.workers.tickets import Purpose


@dataclass(frozen=True)
class FoundEpisode:
    """A training episode of a run.

    Attributes:
        name: Name for playing it again.
        episode_return: Undiscounted, in the environment's unit.
        length: In steps.
        log_prob: Mean log-probability of its actions under the policy that played it, in nats; for
            continuous actions, their log-density. None if the journal lacks it.
    """

    name: TicketName
    episode_return: float
    length: int
    log_prob: float | None


def find_episodes(run: RunDirectory, order: str, number: int) -> list[FoundEpisode]:
    """Return the first episodes of a run in some order; among equal ones, earlier ones first.

    Args:
        run: Only its journal is read.
        order: ``worst`` or ``best`` by return, ``longest``, or ``surprising``: with the lowest mean
            log-probability of the actions, which the policy considered unlikely. Evaluations are
            left out: greedy actions are the most probable.
        number: Most episodes to return.

    Raises:
        ConfigError, RunDirectoryError: The run cannot be read.
        UsageError: Its journal has no log-probabilities yet.
    """
    keys: dict[str, Callable[[FoundEpisode], float]] = {
        "worst": lambda episode: episode.episode_return,
        "best": lambda episode: -episode.episode_return,
        "longest": lambda episode: -episode.length,
        "surprising": lambda episode: _log_prob(run, episode),
    }
    return heapq.nsmallest(number, _episodes(run), key=keys[order])


def _log_prob(run: RunDirectory, episode: FoundEpisode) -> float:
    if episode.log_prob is None:
        raise UsageError(
            f"{run.journal_file} has no log-probabilities of {episode.name}: an earlier version "
            f"made the run; `{command_line('replay', run.path, episode.name)}` prints them"
        )
    return episode.log_prob


def _episodes(run: RunDirectory) -> Iterator[FoundEpisode]:
    size = load_config(str(run.config_file)).workers.episodes_per_ticket
    for entry in read_entries(run.journal_file):
        if entry.batch is None:
            continue
        returns, lengths = entry.batch.episode_returns, entry.batch.episode_lengths
        unknown: list[float | None] = [None] * len(returns)
        log_probs = entry.batch.episode_log_probs or unknown
        for place, measured in enumerate(zip(returns, lengths, log_probs, strict=True)):
            index, episode = divmod(place, size)
            name = TicketName(Purpose.TRAINING, entry.updates - 1, index, episode)
            yield FoundEpisode(name, *measured)

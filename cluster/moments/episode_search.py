"""Finds the episodes of a run that one wants to see, by what its journal says of each."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from reinforce.cluster.moments.ticket_replay import TicketName
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.loading import load_config
from reinforce.workers.tickets import Purpose


@dataclass(frozen=True)
class FoundEpisode:
    """An episode that a run has learned from.

    Attributes:
        name: By which it is played again.
        episode_return: Undiscounted, in the environment's unit.
        length: In steps.
    """

    name: TicketName
    episode_return: float
    length: int


def find_episodes(run: RunDirectory, order: str, number: int) -> list[FoundEpisode]:
    """Return the first episodes of a run in an order; of equal ones, the earlier.

    Args:
        run: Only its journal is read.
        order: ``worst`` or ``best`` by return, or ``longest``.
        number: How many, at most.

    Raises:
        ConfigError, RunDirectoryError: The run cannot be read.
    """
    keys = {
        "worst": lambda episode: episode.episode_return,
        "best": lambda episode: -episode.episode_return,
        "longest": lambda episode: -episode.length,
    }
    return heapq.nsmallest(number, _episodes(run), key=keys[order])


def _episodes(run: RunDirectory) -> Iterator[FoundEpisode]:
    size = load_config(str(run.config_file)).workers.episodes_per_ticket
    for entry in read_entries(run.journal_file):
        batch = entry.batch
        pairs = zip(batch.episode_returns, batch.episode_lengths, strict=True) if batch else ()
        for place, (episode_return, length) in enumerate(pairs):
            index, episode = divmod(place, size)
            name = TicketName(Purpose.TRAINING, entry.updates - 1, index, episode)
            yield FoundEpisode(name, episode_return, length)

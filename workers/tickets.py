"""Tickets: the episodes of a batch, named by their seeds before anything is played.

That every trajectory is a function of the weights and its ticket is what makes the number of
workers a matter of speed alone: a lost ticket is played again, arrival order is irrelevant, and no
generator has to be checkpointed.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a ticket's episodes are for. The number enters their seeds, so none is shared."""

    TRAINING = 0
    EVALUATION = 1
    CONFIRMATION = 2
    REVIEW = 3  # what is played with a finished policy: `reinforce evaluate` and the like


@dataclass(frozen=True)
class Ticket:
    """Episodes to play, all of them to the end.

    Attributes:
        purpose: Training episodes are learned from, the others only measured.
        update: The update that waits for it, >= 0.
        index: Its place among the tickets of that update, >= 0.
        episode_seeds: One 64-bit seed per episode; all chance of the episode follows from it. An
            environment with a vector implementation plays rounds of episodes, and the seed of the
            first of a round decides the chance of them all.
        greedy: Take the most probable action instead of sampling one.
    """

    purpose: Purpose
    update: int
    index: int
    episode_seeds: tuple[int, ...]
    greedy: bool = False

    def __post_init__(self) -> None:
        if not self.episode_seeds:
            raise ValueError(f"ticket {self} names no episodes")

    @property
    def num_episodes(self) -> int:
        """Episodes that it names."""
        return len(self.episode_seeds)

    def place(self, episode: int, step: int) -> str:
        """Return words for a step of one of its episodes; 0 is the reset."""
        seed = environment_seed(self.episode_seeds[episode])
        where = f"step {step}" if step else "the reset"
        return f"{where} of episode {episode} of ticket {self}, which began with reset(seed={seed})"

    def __str__(self) -> str:
        return f"{self.purpose.name.lower()} {self.update}:{self.index}"


def draw_tickets(
    run_seed: int,
    purpose: Purpose,
    update: int,
    num_episodes: int,
    episodes_per_ticket: int,
    *,
    greedy: bool = False,
    first_index: int = 0,
) -> list[Ticket]:
    """Return the tickets of one batch; together they name exactly ``num_episodes`` episodes.

    The seed of an episode is drawn from (run seed, purpose, update, ticket, episode) by
    ``numpy.random.SeedSequence`` and from nothing else: not from a worker, a clock or a history.

    Args:
        run_seed: >= 0.
        purpose: Part of the seeds.
        update: >= 0, part of the seeds.
        num_episodes: >= 1.
        episodes_per_ticket: >= 1; the last ticket holds what is left.
        greedy: Passed on to the tickets.
        first_index: Index of the first ticket, >= 0: behind those that are drawn already.
    """
    tickets = []
    starts = range(0, num_episodes, episodes_per_ticket)
    for index, start in enumerate(starts, start=first_index):
        count = min(episodes_per_ticket, num_episodes - start)
        seeds = tuple(
            int(
                np.random.SeedSequence(
                    run_seed, spawn_key=(purpose, update, index, episode)
                ).generate_state(1, np.uint64)[0]
            )
            for episode in range(count)
        )
        tickets.append(Ticket(purpose, update, index, seeds, greedy))
    return tickets


def environment_seed(episode_seed: int) -> int:
    """Return the seed of an environment's reset: 31 bits, which every simulator accepts."""
    return int(np.random.SeedSequence(episode_seed, spawn_key=(0,)).generate_state(1)[0]) >> 1


def action_generator(episode_seed: int) -> np.random.Generator:
    """Return the generator of the numbers that decide the actions."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(episode_seed, spawn_key=(1,)))
    )

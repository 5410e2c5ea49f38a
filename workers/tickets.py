"""Tickets: the episodes of a batch, fixed by their seeds before anything is played."""

from dataclasses import dataclass
from enum import IntEnum

from reinforce.workers.seeds import environment_seed, episode_seed


class Purpose(IntEnum):
    """The purpose of a ticket's episodes. Its number is part of their seeds, so none is shared."""

    TRAINING = 0
    EVALUATION = 1
    CONFIRMATION = 2
    REVIEW = 3  # what is played with a finished policy: `reinforce evaluate` and the like


@dataclass(frozen=True)
class Ticket:
    """Episodes to play, each to its end.

    Attributes:
        purpose: Training episodes are used for learning, the others only for measuring.
        update: The update that waits for it, >= 0.
        index: Its place among the tickets of that update, >= 0.
        episode_seeds: One 64-bit seed per episode, which determines all its random numbers. An
            environment with a vector implementation plays rounds of episodes, and the seed of a
            round's first episode determines those of all.
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
        """Number of episodes."""
        return len(self.episode_seeds)

    def place(self, episode: int, step: int) -> str:
        """Describe a step of one of its episodes; 0 is the reset."""
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
    """Return the tickets of one batch; together they name exactly ``num_episodes`` episodes, >= 1.

    The last one holds the rest. ``first_index``, >= 0, is the index of the first, after the tickets
    already drawn.
    """
    starts = range(0, num_episodes, episodes_per_ticket)
    tickets = []
    for index, start in enumerate(starts, start=first_index):
        episodes = range(min(episodes_per_ticket, num_episodes - start))
        seeds = (episode_seed(run_seed, purpose, update, index, episode) for episode in episodes)
        tickets.append(Ticket(purpose, update, index, tuple(seeds), greedy))
    return tickets

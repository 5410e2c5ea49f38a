"""The batches of a run, which are fixed before they are played."""

from collections.abc import Callable

from reinforce.cluster.backends.backend import Backend, Batch, WeightsHandle
from reinforce.cluster.errors import TrajectoriesLostError
from reinforce.cluster.run_store.checkpoint import Checkpoint, PlayedAhead
from reinforce.configs.config import Config
from reinforce.learner.state import LearnerState, UpdateReport
from reinforce.workers.tickets import Purpose, Ticket, draw_tickets

_MAX_BATCH_ATTEMPTS = 3
"""How often a batch may vanish on its way to the learner."""


def training_tickets(config: Config, update: int, num_episodes: int) -> list[Ticket]:
    """Return the batch of an update, before it is played."""
    return draw_tickets(
        config.run.seed,
        Purpose.TRAINING,
        update,
        num_episodes,
        config.workers.episodes_per_ticket,
    )


class Batches:
    """Fixes batches, lets the pool play them, and passes them to the learner.

    With ``cluster.lookahead`` 1, the batch of update k is always played with version k - 1, while
    the learner makes version k from the batch before. The first two are played with version 0.
    """

    def __init__(
        self,
        config: Config,
        backend: Backend,
        start: Checkpoint | None,
        warn: Callable[[str], None],
    ) -> None:
        self._config, self._warn = config, warn
        self._pool, self._learner = backend.pool, backend.learner
        self._num_submitted = start.progress.updates if start else 0
        self._fixed: tuple[int, WeightsHandle] | None = None
        """Size and weights of the last fixed batch."""
        self._before: tuple[int, WeightsHandle] | None = None
        """With lookahead, size and weights of the batch after the last update."""
        if start and start.ahead:
            self._before = start.ahead.episodes, self._learner.share(start.ahead.weights)
            self._submit_up_to(start.progress.updates, *self._before)

    def fix(self, update: int, num_episodes: int, weights: WeightsHandle) -> None:
        """Fix the batch of an update and, with lookahead, that of the next one."""
        self._submit_up_to(update + self._config.cluster.lookahead, num_episodes, weights)
        self._fixed = num_episodes, weights

    def collect(self, update: int) -> Batch:
        """Wait for every ticket of a batch and return it, in ticket order."""
        return self._pool.collect(Purpose.TRAINING, update)

    def learn(self, batch: Batch) -> tuple[Batch, UpdateReport, WeightsHandle]:
        """Update the learner; a batch that vanishes with a node is played again."""
        num_lost = 0
        while True:
            try:
                report, weights = self._learner.update(batch.trajectories)
            except TrajectoriesLostError as error:
                num_lost += 1
                if num_lost == _MAX_BATCH_ATTEMPTS:
                    raise
                self._warn(f"a batch is played again: {error}")
                self._pool.submit(batch.tickets, batch.weights)
                batch = self.collect(batch.tickets[0].update)
            else:
                self._before = self._fixed
                return batch, report, weights

    def snapshot(self) -> tuple[LearnerState, PlayedAhead | None]:
        """Return the learner's state, and the batch that must keep its older weights."""
        looks_ahead = self._config.cluster.lookahead
        episodes, before = self._before if self._before and looks_ahead else (0, None)
        state, weights = self._learner.snapshot(before)
        return state, PlayedAhead(episodes, weights) if weights else None

    def _submit_up_to(self, update: int, num_episodes: int, weights: WeightsHandle) -> None:
        last = min(update, self._config.stop.max_updates - 1)
        while self._num_submitted <= last:
            tickets = training_tickets(self._config, self._num_submitted, num_episodes)
            self._pool.submit(tickets, weights)
            self._num_submitted += 1

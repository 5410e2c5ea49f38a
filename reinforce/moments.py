"""A moment of a run: its policy after some update, and the tickets drawn there."""

import pandas as pd

from reinforce.arguments import checked
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import NotReproducedError
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.moments.ticket_replay import TicketName, play_ticket
from reinforce.cluster.run_store.stored_environment import read_environment
from reinforce.configs.config import Config
from reinforce.policy import Policy


class Moment:
    """A run after some update, from a checkpoint or computed again; the run is only read.

    Attributes:
        update: Updates applied.
        weights_sha256: Digest of the weights at this moment.
    """

    def __init__(self, past: Reconstruction, update: int, console: PlainConsole) -> None:
        """Restore the moment; errors as for ``Run.at``."""
        self.update = update
        self._past, self._console = past, console
        self._checkpoint = past.at(self.update)
        self.weights_sha256 = self._checkpoint.weights.sha256

    def policy(self) -> Policy:
        """Return the policy with these weights."""
        run, checkpoint = self._past.run, self._checkpoint
        config = Config.model_validate(checkpoint.config)
        spec = checkpoint.environment or read_environment(run.environment_file)
        return Policy(TrainedPolicy(str(run.path), run.name, config, spec, checkpoint))

    @checked
    def play(self, ticket: int = 0) -> pd.DataFrame:
        """Play a ticket of the batch drawn at this moment, and return a row per step.

        With ``cluster.lookahead`` 1 the batch was played with the weights before these, and so is
        the ticket. Columns: update, ticket, episode, step (from 1 on), observation and action (as
        the policy sees and emits them), reward, log_prob (nats), terminated, truncated.

        Raises:
            UsageError: There is no such ticket.
            NotReproducedError: The ticket differs from what the journal recorded.
            Exception: Whatever the environment raises.
        """
        name = TicketName.parse(f"{self.update}:{ticket}")
        played = play_ticket(self._past, name, self._console)
        if played.is_as_recorded is False:
            raise NotReproducedError(
                f"ticket {name} has the digest {played.report.trajectories_sha256}, and "
                f"{played.recorded_sha256} in the journal: this is not what the run played"
            )
        return pd.DataFrame({"update": self.update, "ticket": name.index, **played.steps()})

    def __repr__(self) -> str:
        return f"<Moment {str(self._past.run.path)!r}, update {self.update}>"

"""``reinforce pretrain``: initial weights that imitate recorded actions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reinforce.cluster import STARTED_S
from reinforce.cluster.commands.arguments import CheckedCommand
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.pretraining import Fit, pretrain_run


@dataclass(frozen=True, kw_only=True)
class PretrainCommand(CheckedCommand):
    """Fit a policy to recorded actions by maximum likelihood, and make a run directory.

    `reinforce train ... --run.start_from RUN_DIR` continues from there with REINFORCE. Learning
    rate, optimizer and gradient norm come from learner, the seed from run.

    Attributes:
        data: NumPy file, .npz: observations, actions, and optionally action_masks and
            episode_lengths (page Tools, pretrain, of the docs).
        epochs: Passes over the data, >= 1.
        batch_steps: Pairs per gradient, >= 1.
        held_out: Share of the data to hold out for judging the result.
    """

    data: Annotated[
        str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA", help_behavior_hint="(required)")
    ] = ""
    epochs: int = 20
    batch_steps: int = 256
    held_out: float = 0.1

    def execute(self) -> int:
        if not self.data:
            raise UsageError(
                "`reinforce pretrain` needs data after the preset, such as `reinforce pretrain "
                "cartpole expert.npz`"
            )
        console = PlainConsole(quiet_when_unread=True)
        fit = Fit(self.epochs, self.batch_steps, self.held_out)
        pretrain_run(self.config, Path(self.data), fit, console, STARTED_S, self.remarks)
        return 0

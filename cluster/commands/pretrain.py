"""``reinforce pretrain``: weights that imitate recorded actions, to begin a run with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from reinforce.cluster import STARTED_S
from reinforce.cluster.commands.arguments import ConfiguredCommand
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.pretraining import Fit, pretrain_run


@dataclass(frozen=True, kw_only=True)
class PretrainCommand(ConfiguredCommand):
    """Fit a policy to recorded actions, by maximum likelihood, and make a run directory of it.

    `reinforce train ... --run.start_from RUN_DIR` goes on from there with REINFORCE. Step size,
    optimizer, gradient norm and seed are those of learner and run.

    Attributes:
        data: Arrays of NumPy, .npz: observations, actions, and perhaps action_masks and
            episode_lengths (docs/tools.md).
        epochs: How often all of the data is seen, >= 1.
        batch_steps: Pairs per gradient, >= 1.
        held_out: Share of the data that is not learned from and judges the result.
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
                "`reinforce pretrain` needs data behind the preset, such as `reinforce pretrain "
                "cartpole expert.npz`"
            )
        console = PlainConsole(quiet_when_unread=True)
        fit = Fit(self.epochs, self.batch_steps, self.held_out)
        pretrain_run(self.config, Path(self.data), fit, console, STARTED_S)
        return 0

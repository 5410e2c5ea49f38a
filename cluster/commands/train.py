"""``reinforce train``: starts a run in a new directory, or continues an existing one."""

from dataclasses import dataclass
from typing import Literal

from reinforce.cluster import STARTED_S
from reinforce.cluster.commands.arguments import CallbackNames, CheckedCommand, LogFormat


@dataclass(frozen=True, kw_only=True)
class TrainCommand(CheckedCommand):
    """Train in a new run directory, run.directory/run.name; settings change the preset.

    Attributes:
        resume: auto: continue the run of this name if there is one, or else start it.
        callback: Your module:function or 'module:Class(arguments)', called after each update and
            each evaluation. May be repeated.
    """

    resume: Literal["auto"] | None = None
    callback: CallbackNames = ()
    log_format: LogFormat = "text"

    def execute(self) -> int:
        # Not above: what a run needs takes longer to import than a mistake to refuse.
        from reinforce.cluster.callbacks import callback_named
        from reinforce.cluster.console import console_of_a_run
        from reinforce.cluster.new_run import run_training, train_or_resume

        run = train_or_resume if self.resume else run_training
        with console_of_a_run(self.log_format) as console:
            callbacks = [*map(callback_named, self.callback)]
            return run(self.config, console, STARTED_S, callbacks, self.remarks)

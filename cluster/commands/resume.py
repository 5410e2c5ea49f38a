"""``reinforce resume``: continues from the newest intact checkpoint, as if nothing had happened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from reinforce.cluster import STARTED_S
from reinforce.cluster.commands.arguments import (
    CallbackNames,
    CheckedCommand,
    Flag,
    LogFormat,
    Trust,
)
from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config


@dataclass(frozen=True, kw_only=True)
class ResumeCommand(CheckedCommand):
    """Continue a run from its newest intact checkpoint, as if nothing had happened.

    Settings that decide what is computed can be changed only with --change.

    Attributes:
        source: The run directory.
        change: Continue with other settings on purpose: from here on the run belongs to neither
            configuration, and comparisons keep it apart.
        callback: Your module:function or 'module:Class(arguments)', called after each update and
            each evaluation. May be repeated.
    """

    is_new: ClassVar[bool] = False
    needs: ClassVar[str] = "a run directory, such as `reinforce {verb} runs/NAME`"

    source: Annotated[
        str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR", help_behavior_hint="(required)")
    ]
    trust: Trust = False
    change: Flag = False
    callback: CallbackNames = ()
    log_format: LogFormat = "text"

    @classmethod
    def base(cls, source: str) -> Config:
        try:
            run = RunDirectory.open(Path(source))
        except RunDirectoryError as error:
            if Path(source).exists():
                raise
            end = "" if str(error).endswith("?") else "."
            raise RunDirectoryError(
                f"{error}{end} If its checkpoints are elsewhere, `reinforce train PRESET_OR_YAML "
                "--run.name NAME --checkpoint.directory URL --resume auto` continues from them"
            ) from None
        return load_config(str(run.config_file))

    def execute(self) -> int:
        from reinforce.cluster.callbacks import callback_named
        from reinforce.cluster.console import console_of_a_run
        from reinforce.cluster.resumed_run import Consent, go_on

        run = RunDirectory.open(Path(self.source))
        with console_of_a_run(self.log_format) as console:
            callbacks = [*map(callback_named, self.callback)]
            return go_on(
                *(run, self.config, console, STARTED_S, callbacks, self.remarks),
                forget_requests=True,
                consent=Consent(self.said, self.change, self.trust),
            )

"""``reinforce sync``: sends what MLflow and other trackers missed of a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from reinforce.cluster.commands.arguments import Command, RunDir, Trust
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.files import write_json
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.tracking_state import (
    loss_in_words,
    place_in_words,
    read_tracking_state,
)
from reinforce.cluster.run_store.trust import (
    CHECKPOINTS,
    TRACKING,
    WANDB,
    is_known,
    note_own,
    require_trust,
)
from reinforce.cluster.tracking.other_trackers import sends_of_rest
from reinforce.cluster.tracking.store_of_run import state_at
from reinforce.cluster.waiting import waiting
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config, with_overrides
from reinforce.configs.quoting import command_line


@dataclass(frozen=True, kw_only=True)
class SyncCommand(Command):
    """Send what MLflow and the run's other trackers missed of it.

    Attributes:
        run: A run directory; the run may still be training.
        uri: MLflow's address from now on, instead of one that has changed or was mistyped; it
            replaces the run's tracking.uri.
    """

    run: RunDir
    uri: str | None = None
    trust: Trust = False

    def execute(self) -> int:
        run = RunDirectory.open(self.run)
        config = load_config(str(run.config_file))
        said = () if self.uri is None else ("tracking.uri",)
        others = sends_of_rest(run, config)
        is_for_mlflow = config.tracking.enabled or not others
        uses = (*(TRACKING if is_for_mlflow else ()), *WANDB, *CHECKPOINTS)
        require_trust(run, config, uses, trust=self.trust, said=said)
        if self.uri is not None:
            _give_address(run, config, self.uri)
        sends: dict[str, Callable[[], None]] = {}
        if is_for_mlflow:
            sends["MLflow"] = partial(sync_run_directory, run)
        if not is_being_written(run.journal_file):  # else they are on it
            sends |= others
        self._send(sends)
        return 0

    def _send(self, sends: Mapping[str, Callable[[], None]]) -> None:
        """Send to all, even if some refuse.

        Raises:
            UsageError: Some refused.
        """
        refusals = {}
        for name, send in sends.items():
            try:
                stage = f"waiting for {name} to take what it missed"
                with waiting(PlainConsole(stderr=True), stage):
                    send()
            except UsageError as error:
                refusals[name] = str(error)
        if taken := [name for name in sends if name not in refusals]:
            PlainConsole().say(f"{self.run} is complete in {' and '.join(taken)}")
        if "MLflow" in taken:
            for line in place_in_words(read_tracking_state(RunDirectory(self.run).tracking_file)):
                PlainConsole().say(line)
        if refusals:
            raise UsageError("\n".join(refusals.values()))
        if not sends:
            PlainConsole().say(
                f"{self.run} is still training, and its trackers follow it by themselves"
            )


def _give_address(run: RunDirectory, config: Config, uri: str) -> None:
    """Write another ``tracking.uri`` into a run's files.

    Raises:
        ConfigError: It is none.
        UsageError: The run is sent to its own still, or is in a store that is not there.
    """
    if is_being_written(run.journal_file):
        raise UsageError(
            f"{run.path} is still training, and sends to the address that it was started with; "
            "give it another one when it is over, or `reinforce stop` it first"
        )
    changed = with_overrides(config, {"tracking.uri": uri})
    state, is_own = state_at(run, changed.tracking), is_known(run, config)
    run.write_config(changed)
    if is_own:
        note_own(run, changed, PlainConsole(stderr=True).warn)
    if state:
        write_json(run.tracking_file, state)


def sync_run_directory(run: RunDirectory) -> None:
    """Send what MLflow missed of a run, or raise UsageError."""
    # Imported late: MLflow takes seconds.
    from reinforce.cluster.tracking.follower import Follower, NotSentError

    follower = Follower(run, is_over=lambda wait_s: True, timeout_s=0.0)
    try:
        if is_being_written(run.journal_file):
            follower.send_rest()
        else:
            follower.follow()
        loss = loss_in_words(read_tracking_state(run.tracking_file))
        if loss:
            raise UsageError(
                f"MLflow: {loss}\nMetrics and status have arrived; "
                f"`{command_line('sync', run.path)}` tries again"
            )
    except NotSentError as error:
        raise UsageError(
            f"{error}\nNothing is lost: call `reinforce sync` again, with --uri if MLflow has "
            "another address"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{run.path} cannot be written ({error.strerror}: {error.filename}), but `sync` "
            "records there which MLflow run it belongs to; make it writable, or copy it and sync "
            "the copy"
        ) from None

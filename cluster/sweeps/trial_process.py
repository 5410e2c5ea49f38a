"""One run of a trial: ``reinforce train`` in a process of its own, so that its end is its own."""

import subprocess
from pathlib import Path
from typing import Any

from cluster.own_command import own_command, own_environment
from cluster.records.run_directory import RunDirectory, read_json
from cluster.sweeps.ledger import TrialRun
from configs.config import Config
from configs.loading import to_yaml

_STOP_PATIENCE_S = 120.0
"""For a run that was told to stop: it writes a checkpoint first."""


class TrialProcess:
    """A run that goes on, or that had come to its end before.

    Args:
        trial: Number of the trial.
        settings: What it tries.
        config: What is run.
        folder: That of the sweep; configuration and output are kept there.
    """

    def __init__(self, trial: int, settings: dict[str, Any], config: Config, folder: Path) -> None:
        self.trial, self.seed = trial, config.run.seed
        self.settings = settings
        name = str(config.run.name)
        self._run = RunDirectory(config.run.directory / name)
        self._log = folder / "logs" / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        if self._summary()["status"] == "finished":
            return
        file = folder / "configs" / f"{name}.yaml"
        for path in (file, self._log):
            path.parent.mkdir(exist_ok=True)
        file.write_text(to_yaml(config), encoding="utf-8")
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                own_command("train", str(file), "--resume", "auto"),
                env=own_environment(),
                stdout=output,
                stderr=output,
                # Out of the terminal's group: Ctrl-C reaches it once, through us.
                start_new_session=True,
            )

    def is_over(self) -> bool:
        """Return whether it has come to its end, whatever that is."""
        return self._process is None or self._process.poll() is not None

    def tell_to_stop(self) -> None:
        """Have it write a checkpoint and end."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end, after it was told to stop; not for ever."""
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def outcome(self) -> TrialRun:
        """Return what came of a run that is over."""
        about = self.trial, self.seed, self.settings
        summary = self._summary()
        if summary["status"] == "finished":
            score = summary["evaluation"]["return_mean"]
            return TrialRun(*about, "finished", score, self._run.name)
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return TrialRun(*about, "failed", None, self._run.name, (said or ["nothing"])[-1])

    def _summary(self) -> dict[str, Any]:
        return read_json(self._run.summary_file) or {"status": "none"}

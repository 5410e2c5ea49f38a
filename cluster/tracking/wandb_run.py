"""Weights & Biases: a run's metrics as one of its runs, by its own client."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import wandb

from reinforce.cluster.files import read_json, write_json
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.shown_settings import shown_settings
from reinforce.configs.config import Config


@dataclass(frozen=True)
class _State:
    """What is noted in ``wandb.json``: which run of W&B this is, so that a resumption goes on."""

    id: str


class WandbRun:
    """Logs a row per number of environment steps, which is W&B's own step.

    The client takes account, server and mode from its own environment variables, such as
    ``WANDB_API_KEY`` and ``WANDB_MODE``; its files lie in the folder ``wandb`` of the directory.

    Raises:
        Exception: There is no account, or the server does not take the run.
    """

    def __init__(self, run: RunDirectory, config: Config) -> None:
        settings = config.tracking.wandb
        assert settings is not None  # noqa: S101  (only then is this made)
        run.require_inside(run.path / "wandb")
        file = run.path / "wandb.json"
        state = read_json(file, _State) or _State(uuid.uuid4().hex[:16])
        write_json(file, asdict(state))
        self._run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            id=state.id,
            name=run.name,
            resume="allow",
            dir=run.path,
            config=shown_settings(config),
            # Code, command line and git are those of the process that follows, and say nothing.
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_save_requirements=False,
            ),
        )
        self._held_steps = self._run.starting_step - 1
        self._step, self._row = -1, dict[str, float]()

    def log(self, entry: JournalEntry) -> None:
        """Take an entry; a row goes out when no other entry can belong to it."""
        if entry.environment_steps != self._step:
            self._send()
        self._step = entry.environment_steps
        self._row |= {**entry.metrics, "_timestamp": entry.timestamp_ms / 1000}

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Send the last row and the result; a run that did not finish is shown as failed."""
        self._send()
        result = summary or {"status": "failed", "stop_reason": "its process was lost"}
        for name in ("status", "stop_reason", "weights_sha256"):
            if name in result:
                self._run.summary[name] = result[name]
        self._run.finish(exit_code=0 if result["status"] == "finished" else 1)

    def _send(self) -> None:
        if self._row and self._step > self._held_steps:
            self._run.log(self._row, step=self._step)
            self._held_steps = self._step
        self._row = {}

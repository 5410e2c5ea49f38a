"""Sweeps that take a moment, and what anyone else reads of them, such as optuna-dashboard."""

import os
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import optuna
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from reinforce.cluster.cli import main
from reinforce.cluster.files import read_json

BASE = {
    "environment": {"id": "fake_environments:Countdown-v0"},
    "stop": {"max_updates": 1},
    "policy": {"hidden_sizes": []},
    "learner": {"episodes_per_update": 4},
    "cluster": {"backend": "inline"},
    "evaluation": {"episodes": 5, "every_updates": None},
    "tracking": {"enabled": False},
}


class _InThisProcess:
    """Stands for the process of a run, which is over when it has been started."""

    stdin = None

    def __init__(self, command, *, stdout, **_):
        with (
            os.fdopen(os.dup(stdout.fileno()), "w") as log,
            redirect_stdout(log),
            redirect_stderr(log),
        ):
            self._code = main(command[command.index("train") :])

    def poll(self):
        return self._code

    def wait(self, timeout_s=None):
        return self._code


IN_THIS_PROCESS = SimpleNamespace(Popen=_InThisProcess, PIPE=subprocess.PIPE)
"""In place of ``subprocess``: processes cost seconds."""


def write_sweep(folder, sweep, **base):
    """Write sweep.yaml and its base; return the folder that the sweep will have."""
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, **base}))
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"base": "base.yaml", **sweep}))
    return folder / "sweeps" / "sweep"


def rows_of(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "study.jsonl")))
    return optuna.load_study(study_name="sweep", storage=storage).trials


def states_of(folder):
    return [(row.user_attrs["trial"], row.state.name) for row in rows_of(folder)]


def summary_of(folder, number, seed=0):
    return read_json(folder / "runs" / f"trial-{number:04d}-seed-{seed}" / "summary.json")


def text_of(folder):
    return (folder / "study.jsonl").read_text()

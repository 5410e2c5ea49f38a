"""How far a trial is to be trained, which its run directory does not say while it is at a rung."""

from pathlib import Path

from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.config import Config
from reinforce.configs.loading import load_config, with_overrides

RUNG_SETTING = "stop.max_environment_steps"
"""The limit of a run that a rung stands in for."""


def configuration_file(folder: Path, name: str) -> Path:
    """Return the file that holds the configuration of a trial's run, without any rung."""
    return folder / "configs" / f"{name}.yaml"


def with_own_limit(run: RunDirectory, config: Config) -> Config:
    """Return the configuration of a run; if a sweep has it stop at a rung, without that.

    A limit that somebody has raised since is kept.
    """
    folder = run.path.absolute().parent.parent
    file = configuration_file(folder, run.name)
    if not ((folder / "study.jsonl").is_file() and file.is_file()):
        return config
    own = load_config(str(file)).stop.max_environment_steps
    at_rung = config.stop.max_environment_steps
    is_short = at_rung is not None and at_rung < (own or float("inf"))
    return with_overrides(config, {RUNG_SETTING: own}) if is_short else config

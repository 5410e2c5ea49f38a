"""What MLflow shows of a run in words: params, tags and the note on its page."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

from reinforce.cluster.evaluation import in_words
from reinforce.cluster.number_format import mean_and_interval
from reinforce.cluster.run_store.summary import ending_in_words
from reinforce.cluster.shown_settings import shown_settings
from reinforce.configs.config import Config
from reinforce.configs.plurals import counted
from reinforce.configs.roles import decides_the_result, flat
from reinforce.configs.secret_names import HIDDEN, SECRET_NAME

_DIRTY = {
    True: ("true", " with uncommitted changes"),
    False: ("false", ""),
    None: ("unknown", ", perhaps with uncommitted changes: git did not say in time"),
}
"""The tag and the words of the note, by ``git.is_dirty``."""

_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


def status_of(summary: Mapping[str, Any] | None) -> str:
    """Return MLflow's status of a run that is over: FAILED if it left no summary."""
    return _STATUS.get(summary["status"], "FAILED") if summary else "FAILED"


def params_of(config: Config) -> dict[str, str]:
    """Return every setting as ``section.field``, resolved."""
    return {name: str(value) for name, value in flat(shown_settings(config)).items()}


def group_of(config: Config) -> str:
    """Return a digest that runs share which differ in seed, name, workers and machines only."""
    settings = flat(config.model_dump(mode="json"))
    decisive = {name: value for name, value in settings.items() if decides_the_result(name)}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]


def tags_of(config: Config, run_directory: str, origin: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a run; those that begin with ``mlflow.`` are shown by MLflow's UI."""
    tags = {
        "mlflow.user": origin["user"],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": "reinforce",
        "environment": config.environment.id,
        "seed": str(config.run.seed),
        "group": group_of(config),
        "host": origin["host"],
        "run_directory": run_directory,
        **{f"version.{name}": version for name, version in origin["versions"].items()},
    }
    git = origin["git"]
    if git:
        tags |= {
            "mlflow.source.git.commit": git["commit"],
            "mlflow.source.git.branch": git["branch"] or "",
            "mlflow.source.git.repoURL": git["remote"] or "",
            "git.is_dirty": _DIRTY[git["is_dirty"]][0],
        }
    return tags


RESULT_TAGS = frozenset({"stop_reason", "weights_sha256", "return", "return_mean"})
"""Tags that say how a run ended, until it is resumed."""


def result_tags(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a run that is over: how it ended, and its final evaluation, if any."""
    kept = ("stop_reason", "weights_sha256")
    tags = {name: str(summary[name]) for name in kept if name in summary}
    evaluation = summary.get("evaluation")
    if evaluation:
        means = {"return": evaluation["return_mean"], **evaluation.get("metrics", {})}
        tags |= {f"{name}_mean": str(mean) for name, mean in means.items()}
        tags["return"] = mean_and_interval(evaluation["return_mean"], *evaluation["return_ci95"])
    return tags


def note_of(
    config: Config,
    origin: Mapping[str, Any],
    history: list[dict[str, Any]],
    summary: Mapping[str, Any] | None,
) -> str:
    """Return the note on the run's page, in Markdown.

    ``origin`` is what ``describe_provenance`` made, ``history`` holds an entry per start of the
    run, and ``summary`` is None while it runs.
    """
    git, environment = origin["git"], config.environment.id
    code = (
        f"at commit `{git['commit'][:12]}`{_DIRTY[git['is_dirty']][1]}"
        if git
        else "outside a git repository"
    )
    # Mappings may hold something called a secret.
    words = [HIDDEN if SECRET_NAME.search(word) else word for word in origin["command"]]
    size = config.learner.episodes_per_update
    episodes = counted(size, "episode") if isinstance(size, int) else "as many episodes as needed"
    lines = [
        f"**What.** REINFORCE on `{environment}`, seed {config.run.seed}, {episodes} per update.",
        f"**Result.** {_result(summary)}",
        _how_to_repeat(config),
    ]
    if words:
        lines.append(f"It was started as `reinforce {shlex.join(words)}` {code}.")
    if config.run.start_from_sha256:
        start = f"`{config.run.start_from or 'recorded actions'}`"
        link = config.run.start_from_link
        lines.append(
            f"**Start.** It began with the weights of {f'[{start}]({link})' if link else start}, "
            f"sha256 `{config.run.start_from_sha256}`."
        )
    if len(history) > 1:
        starts = ", ".join(str(start.get("from_update", 0)) for start in history)
        lines.append(f"**Starts.** {len(history)}, from the updates {starts}.")
    return "\n\n".join(lines)


def _how_to_repeat(config: Config) -> str:
    if config.run.changes:
        changes = "; ".join(map(str, config.run.changes))
        return (
            f"**Changed on purpose.** {changes} (`reinforce resume --change`)."
            " The result is that of no single configuration: params show the first one, tags "
            "`changed.SETTING` and the artifact `config.yaml` the last one."
        )
    return (
        "**How to repeat it.** With the artifact `config.yaml`, `reinforce train config.yaml "
        "--run.name NEW_NAME` gives the same weights, bit by bit on one type of machine."
    )


def _result(summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        return "It is running, or its machine was lost; the tag `heartbeat` says when it was last."
    text = ending_in_words(summary)
    evaluation = summary.get("evaluation")
    if evaluation:
        result = mean_and_interval(evaluation["return_mean"], *evaluation["return_ci95"])
        text += (
            f": mean return **{result}** over {evaluation['episodes']} fresh episodes after "
            f"{counted(summary['environment_steps'], 'step')} and "
            f"{summary['training_time_s']:.1f} s"
        )
        metrics = in_words(evaluation)
        text += f"; {metrics}" if metrics else ""
    return text + "."

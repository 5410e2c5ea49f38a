"""Views of MLflow's list of runs: its columns, and the order of its charts.

MLflow saves a view as a tag of the experiment. Nothing says how such a tag is written, so
``tests/browser`` opens each in the pages of the MLflow that is installed
(docs/decisions/0118-mlflow-pages.md).
"""

import json
from collections.abc import Sequence
from typing import Any

RUNS = "reinforce"
"""Id and name of the view of all runs."""

_SECTIONS = ("sweep", "batch", "evaluation", "learner", "progress", "time", "tickets", "cluster")
_CURVES = ("return_mean", "is_success_mean", "success_mean", "episode_length_mean")
_COLUMNS = (
    *("metrics.`evaluation/return_best`", "metrics.`batch/return_mean`"),
    *("metrics.`progress/environment_steps`", "tags.`stop_reason`", "tags.`environment`"),
    *("params.`run.seed`", "attributes.`Models`"),
)
_COLUMN_PIXELS = 180


def tag_of_view(view_id: str) -> str:
    """Return the name of the tag of an experiment that holds a view."""
    return f"mlflow.sharedViewState.{view_id}"


def runs_view() -> str:
    """Return the view of all runs, newest first: how good they are, and what it took."""
    charts = [_chart("batch", "LINE", metricKey=f"batch/{name}") for name in _CURVES]
    return _view(RUNS, 0, {**_columns(_COLUMNS), "compareRunCharts": charts})


def sweep_view(
    name: str,
    created_ms: int,
    run_id: str,
    metrics: Sequence[str],
    settings: Sequence[str],
    *,
    is_ascending: bool,
) -> str:
    """Return the view of the trials of a sweep: each a row and a bar, the best first.

    Args:
        name: What it is called in the menu.
        created_ms: Unix time, by which the menu is sorted.
        run_id: Id of the run of the sweep.
        metrics: Names of what its trials are judged by; they are sorted by the first.
        settings: What is varied, as ``section.field``.
        is_ascending: The lowest is the best.
    """
    scores = [f"metrics.`{metric}`" for metric in metrics]
    columns = [*scores, *(f"params.`{setting}`" for setting in settings), "tags.`trial_state`"]
    charts = [_chart("sweep", "BAR", metricKey=metric) for metric in metrics]
    about = {"selectedParams": list(settings), "selectedMetrics": list(metrics)}
    charts.append(_chart("sweep", "PARALLEL", **about, showAllRuns=True))
    rows = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{run_id}'",
        "orderByKey": scores[0],
        "orderByAsc": is_ascending,
        "runsHiddenMode": "SHOW_ALL",
    }
    return _view(name, created_ms, {**rows, **_columns(columns), "compareRunCharts": charts})


def _view(name: str, created_ms: int, state: dict[str, Any]) -> str:
    sections = [
        # New charts come last in a section that counts as reordered, and else anywhere.
        {"uuid": section, "name": section, "display": True, "isReordered": True}
        for section in (*_SECTIONS, "Model metrics", "System metrics")
    ]
    state |= {"compareRunSections": sections, "isAccordionReordered": True}
    return json.dumps({"name": name, "createdAt": created_ms, "state": json.dumps(state)})


def _columns(columns: Sequence[str]) -> dict[str, Any]:
    widths = dict.fromkeys(columns, _COLUMN_PIXELS)
    return {"selectedColumns": columns, "columnOrder": columns, "columnWidths": widths}


def _chart(section: str, kind: str, **what: Any) -> dict[str, Any]:
    key = what.get("metricKey", "")
    about = {"uuid": f"{section}-{kind}-{key}", "metricSectionId": section, "type": kind}
    return {
        **about,
        "displayName": key.rpartition("/")[2] or None,
        "runsCountToCompare": 100,
        **what,
    }

"""Views of MLflow's list of runs: its columns, and the order of its charts.

MLflow saves a view as a tag of the experiment. Nothing says how such a tag is written, so
``tests/browser`` opens each in the pages of the MLflow that is installed
(docs/decisions/0118-mlflow-pages.md).
"""

import json
from collections.abc import Sequence
from typing import Any

from reinforce.configs.sweep import SweepConfig

RUNS = "reinforce"
"""Id and name of the view of all runs."""

_SECTIONS = ("batch", "evaluation", "learner", "progress", "tickets", "time", "System metrics")
"""Those that every run has; others, such as ``cluster``, come last."""

_CURVES = ("return_mean", "is_success_mean", "success_mean", "episode_length_mean")
_COLUMNS = (
    *("metrics.`evaluation/return_best`", "metrics.`batch/return_mean`"),
    *("metrics.`progress/environment_steps`", "tags.`stop_reason`", "tags.`environment`"),
    *("params.`run.seed`", "attributes.`Models`"),
)
_BY_TRIAL = {
    "aggregateFunction": "average",
    "groupByKeys": [{"mode": "tag", "groupByData": "trial"}],
}


def score_name(objective: str) -> str:
    """Return the name in MLflow of what a trial of a sweep is worth."""
    return f"sweep/{objective}"


def tag_of_view(view_id: str) -> str:
    """Return the name of the tag of an experiment that holds a view."""
    return f"mlflow.sharedViewState.{view_id}"


def runs_view() -> str:
    """Return the view of all runs, newest first: how good they are, and what it took."""
    charts = [_chart("batch", "LINE", metricKey=f"batch/{name}") for name in _CURVES]
    return _view(RUNS, 0, _SECTIONS, {**_columns(_COLUMNS), "compareRunCharts": charts})


def sweep_view(name: str, created_ms: int, run_id: str, sweep: SweepConfig) -> str:
    """Return the view of the trials of a sweep: each a row and a bar, the best first.

    Args:
        name: What it is called in the menu.
        created_ms: Unix time, by which the menu is sorted.
        run_id: Id of the run of the sweep.
        sweep: What is tried. Several runs of a trial, with a seed each, are shown as a group.
    """
    metrics = [score_name(objective.metric) for objective in sweep.objectives]
    settings = list(sweep.settings)
    columns = [f"metrics.`{metric}`" for metric in metrics]
    rows = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{run_id}'",
        "orderByKey": columns[0],
        "orderByAsc": sweep.objectives[0].direction == "minimize",
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": _BY_TRIAL if len(sweep.seeds) > 1 else None,
    }
    columns += [*(f"params.`{setting}`" for setting in settings), "tags.`trial_state`"]
    charts = [_chart("sweep", "BAR", metricKey=metric) for metric in metrics]
    axes = {"selectedParams": settings, "selectedMetrics": metrics, "showAllRuns": True}
    charts.append(_chart("sweep", "PARALLEL", **axes))
    state = {**rows, **_columns(columns), "compareRunCharts": charts}
    return _view(name, created_ms, ("sweep", *_SECTIONS), state)


def _view(name: str, created_ms: int, names: Sequence[str], state: dict[str, Any]) -> str:
    # Whatever has no place yet comes last where the order counts as the user's own.
    about = {"display": True, "isReordered": True}
    sections = [{"uuid": section, "name": section, **about} for section in names]
    state |= {"compareRunSections": sections, "isAccordionReordered": True}
    return json.dumps({"name": name, "createdAt": created_ms, "state": json.dumps(state)})


def _columns(columns: Sequence[str]) -> dict[str, Any]:
    pixels = {column: max(110, 5 * len(column)) for column in columns}
    return {"selectedColumns": columns, "columnOrder": columns, "columnWidths": pixels}


def _chart(section: str, kind: str, **what: Any) -> dict[str, Any]:
    place = {"uuid": f"{section}-{kind}-{what.get('metricKey')}", "metricSectionId": section}
    as_all = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True, "runsCountToCompare": 100}
    return {"type": kind, **place, **as_all, **what}

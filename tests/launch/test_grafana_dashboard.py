"""The dashboard asks for metrics that there are."""

import json
import re
from pathlib import Path

from runs import train

from reinforce.cluster.backends.ray.metrics import metric_name

DASHBOARD = Path(__file__).parent.parent.parent / "cluster" / "launch" / "grafana.json"


def expressions():
    dashboard = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_every_metric_of_ours_in_the_dashboard_is_one_that_a_run_records(make_config):
    _, records, _ = train(
        make_config(environment={"id": "CartPole-v1"}, evaluation={"every_updates": 1})
    )
    recorded = {"ray_" + metric_name(name) for record in records for name in record.metrics}

    asked_for = {name for text in expressions() for name in re.findall(r"ray_reinforce_\w+", text)}

    assert len(asked_for) > 10
    assert asked_for <= recorded | {"ray_reinforce_progress_environment_steps"}


def test_every_panel_has_a_place_of_its_own_and_says_what_to_read_from_it():
    panels = json.loads(DASHBOARD.read_text())["panels"]

    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert all(panel["description"] for panel in panels)

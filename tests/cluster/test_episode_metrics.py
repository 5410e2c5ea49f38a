"""Metrics from ``info`` in journal, evaluations, summary and verbs, and as the goal of a run."""

import json

import numpy as np
import pytest
from runs import RecordingDisplay, train
from talkative_corridor import LENGTH, METRICS

from reinforce.cluster.cli import main
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import MissingMetricError
from reinforce.cluster.files import read_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.new_run import run_training
from reinforce.cluster.run_store.journal import JournalEntry, read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.summary import print_summary
from reinforce.configs.loading import with_overrides

CORRIDOR = {
    "environment": {
        "id": "talkative_corridor:Corridor-v0",
        "use_vector_implementation": False,
        "info_metrics": METRICS,
    },
    "stop": {"max_updates": 4},
    "learner": {"episodes_per_update": 12, "learning_rate": 0.05},
    "workers": {"envs_per_worker": 2, "episodes_per_ticket": 2, "ticket_timeout_s": 60.0},
    "evaluation": {"episodes": 6, "every_updates": 2, "greedy": False},
}


def corridor(make_config, name="test", *, num_workers=1, **environment):
    sections = {
        **CORRIDOR,
        "run": {"name": name, "seed": 1},
        "environment": {**CORRIDOR["environment"], **environment},
        "workers": {**CORRIDOR["workers"], "num_workers": num_workers},
    }
    return make_config(**sections)


def of_info(records):
    """What the journal holds of metrics from ``info``, but for their order of arrival."""
    names = (*METRICS, "is_success")
    return [
        (
            record.updates,
            record.batch and record.batch.episode_metrics,
            {k: v for k, v in record.metrics.items() if any(f"{n}_" in k for n in names)},
        )
        for record in records
    ]


def test_the_journal_has_each_episode_and_the_means_over_those_that_have_the_metric(make_config):
    outcome, records, _ = train(corridor(make_config))

    for record in records:
        if record.batch is None:
            continue
        metrics = record.batch.episode_metrics
        assert metrics.keys() == {*METRICS, "is_success"}
        # The return is 0.1 per place gained, and the energy 0.1 a step and 0.3 more per step ahead.
        assert metrics["is_success"] == [float(place == LENGTH) for place in metrics["place"]]
        lengths = np.array(record.batch.episode_lengths)
        ahead = (np.array(metrics["energy"]) - 0.1 * lengths) / 0.3
        np.testing.assert_allclose(ahead, np.round(ahead), atol=1e-9)
        assert metrics["bonus"] == [
            7.0 if success and length % 2 == 0 else None
            for success, length in zip(metrics["is_success"], lengths, strict=True)
        ]
        assert record.metrics["rollout/is_success_mean"] == np.mean(metrics["is_success"])
        num_bonuses = 12 - metrics["bonus"].count(None)
        assert record.metrics.get("rollout/bonus_episodes", 0) == num_bonuses
        assert ("rollout/bonus_mean" in record.metrics) == (num_bonuses > 0)
        assert "rollout/is_success_episodes" not in record.metrics
    evaluation, confirmed = outcome.evaluation, records[-1].metrics
    assert confirmed["evaluation/confirmed_is_success_mean"] == evaluation.metrics["is_success"]
    assert evaluation.as_json()["metrics"]["is_success"] in [number / 6 for number in range(7)]
    assert records[0].metrics.keys() >= {"evaluation/is_success_mean", "evaluation/energy_mean"}


@pytest.mark.ray
def test_workers_and_tickets_that_are_played_again_change_nothing(make_config, actors, tmp_path):
    undisturbed, expected, _ = train(corridor(make_config, "inline"))
    kwargs = {"once_marker": str(tmp_path / "once")}

    one, from_one, _ = train(corridor(make_config, "one"), open_backend=actors.backend)
    config = corridor(make_config, "three", num_workers=3, kwargs=kwargs)
    three, from_three, _ = train(config, open_backend=actors.backend)

    assert three.progress.tickets.reissued == 1
    assert of_info(from_one) == of_info(from_three) == of_info(expected)
    assert one.evaluation == three.evaluation == undisturbed.evaluation


def test_a_run_that_was_interrupted_has_the_metrics_of_one_that_was_not(make_config):
    _, expected, _ = train(corridor(make_config, "undisturbed"))
    interrupts = Interrupts()
    display = RecordingDisplay(lambda entry: entry.updates == 3 and interrupts._on_signal(15, None))
    config = corridor(make_config)
    _, _, run = train(config, display, interrupts)

    _, records, _ = train(config, run=run)

    assert of_info(records) == of_info(expected)


def test_a_shaped_reward_is_learned_from_and_the_true_one_is_the_goal(make_config):
    """No mean return reaches 0.9: the corridor pays at most 0.5. Arriving is what ends the run."""
    stop = {"max_updates": 60, "target_metric": "is_success", "target_return": 0.9}
    config = make_config(
        **{**CORRIDOR, "stop": stop, "evaluation": {"episodes": 30, "every_updates": 2}}
    )

    outcome, records, _ = train(config)

    assert outcome.stop_reason == "target_return"
    assert outcome.evaluation.metrics["is_success"] >= 0.9
    assert outcome.evaluation.return_max <= 0.5 + 1e-6
    regular = [r.metrics for r in records if "evaluation/is_success_mean" in r.metrics]
    assert regular[0]["evaluation/is_success_mean"] < 0.9
    best = max(metrics["evaluation/is_success_mean"] for metrics in regular)
    assert outcome.progress.best_return == regular[-1]["evaluation/is_success_best"] == best
    assert "evaluation/return_best" not in regular[-1]


def test_a_goal_that_no_episode_has_ends_the_run_before_anything_is_learned(make_config, display):
    config = make_config(stop={"target_metric": "success"}, evaluation={"every_updates": 1})

    with pytest.raises(MissingMetricError, match=r"'success': none of the 6 episodes of the first"):
        train(config, display)

    assert display.records == []
    assert display.warnings == [], "the error says it all"


def test_what_is_missing_is_said_once_per_run(make_config, display):
    metrics = {"speed": "mean", "noise": "max"}
    config = corridor(make_config, info_metrics=metrics, kwargs={"noise": "nan"})

    train(config, display)

    faults = sorted(display.warnings)
    assert len(faults) == 2
    assert faults[1].startswith("no episode of an evaluation has 'speed' in info")
    assert faults[0].startswith("info['noise'] is float nan in ticket evaluation 0:")


def test_a_journal_without_metrics_is_read(make_config):
    _, records, _ = train(make_config())
    line = json.loads(records[0].line())

    del line["batch"]["episode_metrics"]

    assert JournalEntry.parse(json.dumps(line)) == records[0]


def test_summary_and_verbs_show_the_metrics(with_plots, make_config, tmp_path, capsys):
    config = corridor(make_config)
    run_training(config, PlainConsole(quiet=True), 0.0)
    run = RunDirectory(tmp_path / "runs" / "test")
    summary = read_json(run.summary_file)
    confirmed = list(read_entries(run.journal_file))[-1].metrics
    means = summary["evaluation"]["metrics"]
    assert means["energy"] == confirmed["evaluation/confirmed_energy_mean"]
    assert {p.name for p in run.plots.iterdir()} >= {"episode_metrics.png", "overview.png"}

    print_summary(PlainConsole(), run, summary)
    assert f"is_success {means['is_success']:.4g}" in capsys.readouterr().out
    assert main(["evaluate", str(run.path), "--episodes", "20", "--sampled", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["metrics"].keys() == means.keys() | evaluated["metric_episodes"].keys()
    assert main(["evaluate", str(run.path), "--episodes", "20", "--sampled"]) == 0
    assert f"energy {evaluated['metrics']['energy']:.4g}" in capsys.readouterr().out


def test_pictures_can_be_left_out_and_drawn_later(with_plots, make_config, tmp_path):
    config = corridor(make_config)
    config = with_overrides(config, {"run.pictures": False})

    run_training(config, PlainConsole(quiet=True), 0.0)

    run = RunDirectory(tmp_path / "runs" / "test")
    assert not list(run.plots.iterdir())
    assert main(["plot", str(run.path)]) == 0
    assert (run.plots / "overview.png").exists()

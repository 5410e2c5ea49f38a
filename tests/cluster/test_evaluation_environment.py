"""Evaluations in another environment than training, wherever an evaluation is played.

A countdown pays 1 per step: it lasts 3 steps in training and 5 in evaluations.
"""

import json

import pytest
from fake_environments import Countdown
from free_port import free_port
from runs import RecordingDisplay, train

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.files import read_json
from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.new_run import run_training

OF_FIVE = {"kwargs": {"shortest": 5, "longest": 5}}


def countdown(make_config, name="test", *, environment=OF_FIVE):
    return make_config(
        run={"name": name},
        stop={"max_updates": 4},
        evaluation={"every_updates": 2, "environment": environment},
    )


def evaluations_of(records):
    names = ("evaluation/return_mean", "evaluation/confirmed_return_mean")
    return [record.metrics[name] for record in records for name in names if name in record.metrics]


def batches_of(records):
    return [record.metrics["rollout/return_mean"] for record in records if record.batch]


def test_evaluations_are_played_there_and_the_weights_are_what_they_were(make_config):
    usual, _, _ = train(countdown(make_config, "usual", environment={}))

    outcome, records, _ = train(countdown(make_config))

    assert outcome.progress.best_return == 5.0
    assert evaluations_of(records) == [5.0, 5.0, 5.0, 5.0]  # before 0, after 2 and 4; the last
    assert batches_of(records) == [3.0, 3.0, 3.0, 3.0]
    assert (usual.evaluation.return_mean, outcome.evaluation.return_mean) == (3.0, 5.0)
    assert outcome.weights_sha256 == usual.weights_sha256


def test_a_run_that_goes_on_evaluates_where_it_did(make_config):
    interrupts = Interrupts()
    display = RecordingDisplay(lambda entry: entry.updates == 3 and interrupts._on_signal(15, None))
    config = countdown(make_config)
    _, before, run = train(config, display, interrupts)

    outcome, records, _ = train(config, run=run)

    assert len(evaluations_of(before)) == 2
    assert evaluations_of(records) == [5.0, 5.0, 5.0, 5.0]
    assert outcome.evaluation.return_mean == 5.0


@pytest.mark.parametrize("wrappers", [(), ["user_wrappers:Doubled"]])
def test_lanes_are_vectors_where_that_environment_has_them(make_config, wrappers):
    """With these rewards CartPole pays -1 at the end of an episode; wrapped, there is no vector."""
    kwargs = {"sutton_barto_reward": True}
    config = make_config(
        environment={"id": "CartPole-v1"},
        evaluation={"environment": {"kwargs": kwargs, "wrappers": wrappers}},
    )

    outcome, records, _ = train(config)

    expected = -2.0 if wrappers else -1.0
    assert outcome.evaluation.return_mean == expected
    assert min(batches_of(records)) > 5.0


@pytest.fixture
def run(make_config, tmp_path):
    """A finished run of a countdown from four that is filmed, and evaluated for two steps."""
    config = make_config(
        environment={"id": "fake_environments:Drawn-v0"},
        evaluation={"environment": {"max_episode_steps": 2}},
    )
    run_training(config, PlainConsole(quiet=True), 0.0)
    return tmp_path / "runs" / "test"


def evaluated(capsys, *words):
    assert main(["evaluate", *map(str, words), "--episodes", "5", "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_verbs_play_there_too_or_where_they_are_told(run, capsys):
    assert read_json(run / "summary.json")["evaluation"]["return_mean"] == 2.0

    there = evaluated(capsys, run)
    assert (there["return_mean"], there["environment"]) == (2.0, {"max_episode_steps": 2})
    assert evaluated(capsys, run, "--environment.max_episode_steps", 3)["return_mean"] == 3.0
    doubled = evaluated(capsys, run, "--environment.wrappers", "['user_wrappers:Doubled']")
    assert doubled["return_mean"] == 4.0
    countdown = ["--environment.id", "fake_environments:Countdown-v0"]
    for word in ("1", "2"):
        kwargs = f"{{shortest: {word}, longest: {word}}}"
        told = evaluated(capsys, run, *countdown, "--environment.kwargs", kwargs)
        assert told["return_mean"] == float(word)

    assert main(["evaluate", str(run), "--episodes", "5"]) == 0
    assert "not as in training: max_episode_steps 2" in capsys.readouterr().out
    assert main(["record", str(run), "--episodes", "1"]) == 0
    assert capsys.readouterr().out.strip().endswith("_return_2.0.mp4")
    for ticket, returns in (
        ("evaluation:0:0", "2, 2"),
        ("confirmation:2:0", "2, 2"),
        ("training:2:0", "4, 4"),
    ):
        assert main(["replay", str(run), ticket]) == 0
        assert returns in capsys.readouterr().out.splitlines()


def test_python_says_the_same(run):
    mine = reinforce.load(run)

    assert mine.evaluate(episodes=5).mean == 2.0
    assert mine.evaluate(episodes=5, environment={"max_episode_steps": 1}).mean == 1.0
    with pytest.raises(reinforce.ConfigError, match=r"did you mean 'environment\.kwargs'"):
        mine.evaluate(episodes=5, environment={"kwrgs": {}})
    with pytest.raises(reinforce.UsageError, match="'Drawn-v0': give a mapping of what differs"):
        mine.evaluate(episodes=5, environment="Drawn-v0")


def test_python_may_give_a_class_that_only_evaluations_play(tmp_path):
    class Short(Countdown):
        def __init__(self):
            super().__init__(shortest=2, longest=2)

    few = {"stop.max_updates": 1, "evaluation.episodes": 5, "tracking.enabled": False}
    mine = reinforce.train(
        environment=Countdown,
        overrides={**few, "evaluation.environment": {"id": Short}},
        backend="inline",
        directory=tmp_path,
        name="mine",
        progress=False,
    )

    assert mine.config.evaluation.environment == {"id": "python:Short"}
    assert mine.evaluation["return_mean"] == 2.0
    again = reinforce.load(mine.path, evaluation_environment=Short)
    assert again.evaluate(episodes=5).mean == 2.0
    assert again.evaluate(episodes=5, environment={"id": Countdown}).mean == 3.0
    assert again.evaluate(episodes=5, environment=Countdown).mean == 3.0
    with pytest.raises(reinforce.ConfigError, match="which can be imported: leave the object out"):
        reinforce.load(mine.path, environment=Countdown)


def test_other_spaces_are_refused_with_both(run, capsys):
    assert main(["evaluate", str(run), "--environment.id", "CartPole-v1"]) == 2

    said = capsys.readouterr().err
    assert "one policy acts in training and in evaluations, but the observations are not" in said
    assert "'fake_environments:Drawn-v0' has (kind numbers, shape (2,)) in training" in said
    assert "'CartPole-v1' has (kind numbers, shape (4,)) in evaluations" in said


@pytest.mark.ray
@pytest.mark.case
def test_two_workers_on_ray_change_nothing_and_no_two_instances_have_one_port(
    make_config, runs_on_local_ray
):
    """Each worker holds four instances: two lanes of training, which pays 5, and two that pay 4."""
    metrics = {"worker": "last", "of": "last", "instance": "last"}
    environment = {"id": "ports:PortEach", "kwargs": {"port": free_port()}, "info_metrics": metrics}

    def config(name, backend):
        return make_config(
            run={"name": name},
            environment=environment,
            learner={"episodes_per_update": 24},
            workers={"num_workers": 2},
            evaluation={"environment": {"max_episode_steps": 4}},
            cluster={"backend": backend},
        )

    inline, alone, _ = train(config("alone", "inline"))
    outcome, records, _ = train(config("two", "ray"))

    assert outcome.weights_sha256 == inline.weights_sha256
    assert outcome.evaluation.return_mean == inline.evaluation.return_mean == 4.0
    for played, workers in ((alone, [{0}, {1}]), (records, [{0, 1}, {2}])):
        said = [record.batch.episode_metrics for record in played if record.batch]
        assert {number for each in said for number in each["worker"]} <= workers[0]
        assert {number for each in said for number in each["of"]} == workers[1]
        assert {number for each in said for number in each["instance"]} == {0, 1}
    assert outcome.evaluation.metrics["instance"] == 2.5

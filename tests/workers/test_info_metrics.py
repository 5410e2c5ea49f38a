"""Numbers in ``info`` become metrics of episodes: counted by hand, one by one and as a vector."""

import numpy as np
import pytest
from talkative_corridor import METRICS, by_hand

from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.info_metrics import InfoMetrics
from reinforce.workers.preflight import preflight
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets


def corridor(make_config, metrics=METRICS, **environment):
    named = {"id": "talkative_corridor:Corridor-v0", "info_metrics": metrics}
    workers = {"envs_per_worker": 3, "episodes_per_ticket": 32}
    return make_config(environment={**named, **environment}, workers=workers)


def play(config, num_episodes=32):
    spec = inspect_environment(config.environment)
    size = architecture_of(config, spec).num_parameters
    worker = RolloutWorker(config, spec)
    ticket = draw_tickets(0, Purpose.TRAINING, 0, num_episodes, num_episodes)[0]
    return worker.play(ticket, Weights(0, np.zeros(size, np.float32)))


WAYS = {
    "single": {"use_vector_implementation": False},
    "wrapped": {"wrappers": ["OrderEnforcing"]},
    **{mode: {"kwargs": {"mode": mode}} for mode in ("NEXT_STEP", "SAME_STEP", "DISABLED")},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_info_says_of_an_episode_is_what_one_counts_by_hand(make_config, way):
    config = corridor(make_config, **WAYS[way])

    report, trajectories = play(config)

    expected = by_hand(trajectories)
    assert report.metric_faults == {}
    assert report.episode_metrics.keys() == expected.keys()
    for name, values in report.episode_metrics.items():
        np.testing.assert_array_equal(values, expected[name])
    assert 0 < report.episode_metrics["is_success"].mean() < 1
    for name in ("bonus", "height"):
        assert 0 < np.isnan(report.episode_metrics[name]).sum() < 32


@pytest.mark.parametrize("mode", ["single", "NEXT_STEP", "SAME_STEP"])
def test_a_metric_that_was_no_finite_number_even_once_is_missing_and_that_is_said(
    make_config, mode
):
    kwargs = {"noise": "nan", "mode": mode}
    is_vector = mode != "single"

    report, _ = play(
        corridor(make_config, {"noise": "min"}, kwargs=kwargs, use_vector_implementation=is_vector)
    )

    assert report.episode_metrics.keys() == {"is_success"}
    assert report.metric_faults == {"noise": "float nan" if mode == "single" else "float64 nan"}


@pytest.mark.parametrize("noise", ["a word", [1.0, 2.0], None])
def test_texts_and_lists_count_as_missing(make_config, noise):
    kwargs = {"noise": noise, "mode": "NEXT_STEP"}

    report, _ = play(corridor(make_config, {"noise": "max"}, kwargs=kwargs))

    assert report.episode_metrics.keys() == {"is_success"}
    assert len(report.metric_faults) == (noise is not None)


def test_every_way_to_make_one_number_of_the_steps():
    steps = [{"x": np.float32(2.0)}, {}, {"x": True}, {"x": np.array(-4)}, {"y": 9.0}]
    ways = {"last": None, "sum": -1.0, "mean": -1 / 3, "min": -4.0, "max": 2.0}
    for way, expected in ways.items():
        metrics = InfoMetrics({"x": way, "y": way}, 2)
        for number, info in enumerate(steps):
            metrics.add(1, info, ended=number == len(steps) - 1)

        values = metrics.values()

        np.testing.assert_array_equal(values["y"], [np.nan, 9.0])
        if expected is None:
            assert "x" not in values  # the last step has none
        else:
            np.testing.assert_array_equal(values["x"], [np.nan, expected])


def test_a_number_too_large_is_missing():
    metrics = InfoMetrics({"x": "sum"}, 1)

    metrics.add(0, {"x": 10**400}, ended=False)
    metrics.add(0, {"x": 1.0}, ended=True)

    assert metrics.values() == {}
    assert metrics.faults["x"].startswith("int 1000")


def test_a_text_is_quoted_as_one():
    metrics = InfoMetrics({"x": "sum"}, 1)

    metrics.add(0, {"x": "yes"}, ended=True)

    assert metrics.faults == {"x": "the string 'yes'"}


def test_the_preflight_says_which_metrics_a_random_episode_lacks(make_config):
    metrics = {"energy": "sum", "height": "min", "speed": "mean", "bonus": "last"}
    kwargs = {"mode": "NEXT_STEP"}

    (warning,) = preflight(corridor(make_config, metrics, kwargs=kwargs)).warnings

    assert (
        "'speed' and 'bonus' did not appear in the info of an episode of random actions" in warning
    )
    assert "which has energy, place, " in warning
    assert preflight(corridor(make_config, {"energy": "sum"}, kwargs=kwargs)).warnings == ()

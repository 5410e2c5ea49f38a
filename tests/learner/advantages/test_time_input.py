"""A value function that sees the time: of every kind of observation, normalised or not."""

import numpy as np
import pytest
from played_batches import POLICIES, played_by
from sample_spaces import OBSERVATION_SPACES

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.time_input import TimeInput
from reinforce.learner.learner import Learner
from reinforce.workers.spaces import observation_layout

SETTINGS = {"baseline": "value", "value_horizon_steps": 40}


def make_learner(architecture, **config):
    return Learner(LearnerConfig(**{**SETTINGS, **config}), architecture, seed=0)


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_the_time_is_the_last_number_and_all_else_stays(name):
    layout = observation_layout(OBSERVATION_SPACES[name])
    dtype, shape = layout.row_type
    num_bytes = 3 * np.dtype((dtype, shape)).itemsize
    seen = np.random.default_rng(0).integers(0, 2, num_bytes, np.uint8)
    observations = np.frombuffer(seen.tobytes(), np.dtype((dtype, shape)), 3)
    time = TimeInput(layout, 4)

    rows = time.rows(observations, np.array([0, 1, 6]))

    vector = time.layout.vector(rows)
    np.testing.assert_array_equal(vector[:, -1], [0.0, 0.25, 1.5])
    np.testing.assert_array_equal(vector[:, :-1], layout.vector(observations))
    images = time.layout.pixels(rows)
    assert list(images) == list(layout.pixels(observations))
    for image, expected in zip(images.values(), layout.pixels(observations).values(), strict=True):
        np.testing.assert_array_equal(image, expected)


def test_normalising_leaves_the_time_as_it_is():
    time = TimeInput(observation_layout(OBSERVATION_SPACES["discrete"]), 4)
    means, inverses = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]

    found = time.statistics(np.array([*means, *inverses], np.float32))

    np.testing.assert_array_equal(found, [*means, 0.0, *inverses, 1.0])


@pytest.mark.parametrize("name", POLICIES)
def test_a_learner_whose_values_see_time_goes_on_bit_by_bit(name):
    learner, restored = make_learner(POLICIES[name]), make_learner(POLICIES[name])
    learner.update([played_by(learner, POLICIES[name])])
    restored.load_state(learner.state())

    for seed in (1, 2):
        batch = played_by(learner, POLICIES[name], seed)
        report, weights = learner.update([batch])
        again, same = restored.update([batch])
        assert same.sha256 == weights.sha256
        assert again.metrics["explained_variance"] == report.metrics["explained_variance"] != 0

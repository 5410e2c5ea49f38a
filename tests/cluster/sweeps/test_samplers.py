"""How settings are chosen: every choice follows from the trial's number and what is known."""

import math

import numpy as np
import pytest

from reinforce.cluster.sweeps.samplers import make_sampler
from reinforce.configs.sweep import SweepConfig
from reinforce.learner.policies.seeds import Stream, seed_sequence

RATE = {"low": 1e-4, "high": 1e-1, "log": True}
DISCOUNT = {"low": 0.0, "high": 1.0}


def sweep_of(method, settings, **fields):
    values = {"base": "cartpole", "method": method, "settings": settings, **fields}
    return SweepConfig.model_validate(values)


def test_a_grid_tries_every_combination_once():
    sweep = sweep_of(
        "grid", {"learner.discount": [0.9, 1.0], "policy.hidden_sizes": [[], [8], [9]]}
    )
    sampler = make_sampler(sweep)

    tried = [tuple(map(str, sampler(trial, []).values())) for trial in range(sweep.num_trials)]

    assert len(tried) == len(set(tried)) == 6


def test_random_draws_keep_to_their_ranges_and_spread_over_orders_of_magnitude():
    settings = {
        "learner.learning_rate": RATE,
        "learner.episodes_per_update": {"low": 2, "high": 4, "integer": True},
        "learner.discount": {"low": 0.5, "high": 1.0},
        "policy.activation": ["tanh", "relu"],
    }
    sweep = sweep_of("random", settings, trials=300)
    sampler = make_sampler(sweep)

    drawn = [sampler(trial, []) for trial in range(sweep.num_trials)]

    rates = [each["learner.learning_rate"] for each in drawn]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert 60 < sum(rate < 1e-3 for rate in rates) < 140  # one order of magnitude of three
    assert {each["learner.episodes_per_update"] for each in drawn} == {2, 3, 4}
    assert all(isinstance(each["learner.episodes_per_update"], int) for each in drawn)
    assert all(0.5 <= each["learner.discount"] <= 1.0 for each in drawn)
    assert {each["policy.activation"] for each in drawn} == {"tanh", "relu"}


def test_random_draws_of_whole_numbers_spread_over_orders_of_magnitude_too():
    settings = {"learner.episodes_per_update": {**RATE, "low": 1, "high": 1000, "integer": True}}
    sampler = make_sampler(sweep_of("random", settings, trials=300))

    drawn = [sampler(trial, [])["learner.episodes_per_update"] for trial in range(300)]

    assert all(isinstance(each, int) and 1 <= each <= 1000 for each in drawn)
    assert 60 < sum(each <= 10 for each in drawn) < 140  # one order of magnitude of three


@pytest.mark.parametrize("method", ["random", "optuna"])
def test_a_draw_is_the_same_again_and_another_with_another_seed(method):
    history = [({"learner.learning_rate": 0.01}, 3.0), ({"learner.learning_rate": 0.02}, 5.0)]
    settings = {"learner.learning_rate": RATE}
    draws = [
        make_sampler(sweep_of(method, settings, trials=9, sampler_seed=seed))(2, history)
        for seed in (0, 0, 1)
    ]

    assert draws[0] == draws[1] != draws[2]


def test_a_trial_draws_from_a_stream_that_no_run_has():
    """With equal seeds the first trial would otherwise have the numbers of a run's first stream."""
    sampler = make_sampler(sweep_of("random", {"learner.discount": DISCOUNT}, trials=9))

    drawn = [sampler(trial, [])["learner.discount"] for trial in range(len(Stream))]

    of_runs = {np.random.default_rng(seed_sequence(0, stream)).uniform() for stream in Stream}
    assert not of_runs & set(drawn)
    own = seed_sequence(0, Stream.SWEEP_TRIALS, 3)
    assert drawn[3] == np.random.default_rng(own).uniform()


def test_optuna_learns_where_the_good_settings_are():
    """The score is highest at 0.01, and the layers matter, too."""
    settings = {"learner.learning_rate": RATE, "policy.hidden_sizes": [[8], [8, 8]]}
    sampler = make_sampler(sweep_of("optuna", settings, trials=60))
    history = []
    for trial in range(60):
        tried = sampler(trial, history)
        assert tried["policy.hidden_sizes"] in ([8], [8, 8])
        score = -abs(math.log10(tried["learner.learning_rate"]) + 2)
        history.append((tried, score - len(tried["policy.hidden_sizes"])))

    early, late = (sum(score for _, score in part) / 20 for part in (history[:20], history[-20:]))
    assert late > early + 0.3

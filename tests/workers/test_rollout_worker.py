import numpy as np
import pytest
from threadpoolctl import threadpool_info

from reinforce.learner.learner import Learner
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.environment_faults import NonFiniteError
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.seeds import environment_seed
from reinforce.workers.tickets import Purpose, draw_tickets


def worker_and_weights(config):
    spec = inspect_environment(config.environment)
    size = architecture_of(config, spec).num_parameters
    return RolloutWorker(config, spec), Weights(0, np.zeros(size, np.float32))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan_reward", "the reward is nan, which would make every return useless"),
        ("inf_observation", r"the observation is inf in component \[0\]"),
    ],
)
def test_a_nan_or_an_infinity_is_named_by_ticket_episode_and_step(make_config, fault, message):
    config = make_config(
        environment={"id": "fake_environments:Faulty-v0", "kwargs": {"fault": fault}}
    )
    worker, weights = worker_and_weights(config)
    ticket = draw_tickets(0, Purpose.TRAINING, 6, 2, 2)[0]

    with pytest.raises(
        NonFiniteError, match=rf"^step 2 \(.*, in Faulty.step\): {message}"
    ) as caught:
        worker.play(ticket, weights)

    seed = environment_seed(ticket.episode_seeds[0])
    assert caught.value.__notes__ == [
        "This was in step 2 of episode 0 of ticket training 6:0, which began with "
        f"reset(seed={seed})."
    ]


def test_images_without_numbers_are_always_finite(make_config):
    kwargs = {"observation": "two images", "action": "discrete"}
    config = make_config(environment={"id": "space_tasks:Samples", "kwargs": kwargs})
    worker, weights = worker_and_weights(config)

    report, _ = worker.play(draw_tickets(0, Purpose.TRAINING, 0, 2, 2)[0], weights)

    assert report.episode_lengths.tolist() == [5, 5]


def test_after_a_fault_the_environments_are_made_anew(make_config, tmp_path):
    kwargs = {"fault": "raise", "once_marker": str(tmp_path / "once")}
    config = make_config(environment={"id": "fake_environments:Faulty-v0", "kwargs": kwargs})
    worker, weights = worker_and_weights(config)
    ticket = draw_tickets(0, Purpose.TRAINING, 0, 4, 4)[0]

    with pytest.raises(ArithmeticError, match="the environment is faulty"):
        worker.play(ticket, weights)
    report, _ = worker.play(ticket, weights)

    assert report.episode_lengths.tolist() == [3, 3, 3, 3]


def test_a_memory_begins_anew_in_lanes_that_end_at_different_times(make_config):
    config = make_config(
        environment={"kwargs": {"shortest": 1, "longest": 9}},
        policy={"kind": "gru", "hidden_sizes": [8, 6]},
        workers={"envs_per_worker": 3, "episodes_per_ticket": 8},
    )
    spec = inspect_environment(config.environment)
    learner = Learner(config.learner, architecture_of(config, spec), 5)
    ticket = draw_tickets(0, Purpose.TRAINING, 0, 8, 8)[0]

    report, trajectories = RolloutWorker(config, spec).play(ticket, learner.weights())

    assert len(set(report.episode_lengths.tolist())) > 2
    assert learner.update([trajectories])[0].metrics["log_prob_drift_max"] < 1e-5


def test_a_worker_uses_one_blas_thread(make_config):
    worker_and_weights(make_config())

    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}

"""The whole sampler, on a real Ray, gives the true gradient: 100,000 episodes, delays, a death."""

import gradient_checks
import numpy as np
import pytest
import ray
from reference_mdp import ARCHITECTURE, as_table, flat_weights

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray.actors import RolloutActor
from reinforce.cluster.backends.ray.capacity import WorkerTarget
from reinforce.cluster.backends.ray.pool import RayPool
from reinforce.configs.config import Config
from reinforce.configs.given_objects import UserProgram
from reinforce.learner.learner import Learner
from reinforce.learner.policies.weights import Weights
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import inspect_environment
from reinforce.workers.tickets import Purpose, draw_tickets

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

NUM_EPISODES, EPISODES_PER_TICKET = 100_000, 500


def test_a_hundred_thousand_episodes_give_the_true_gradient(tmp_path, interrupts):
    config = Config.model_validate(
        {
            **gradient_checks.sampling_config().model_dump(),
            "environment": {
                "id": "fake_environments:DelayedReferenceMDP-v0",
                "kwargs": {"delay_s": 0.001, "kill_marker": str(tmp_path / "killed")},
            },
            "workers": {
                "num_workers": 3,
                "envs_per_worker": 16,
                "episodes_per_ticket": EPISODES_PER_TICKET,
            },
        }
    )
    spec = inspect_environment(config.environment)
    actor = ray.remote(RolloutActor).options(num_cpus=0, max_restarts=0)
    worker_target = WorkerTarget(config, lambda: None)
    program = UserProgram.of_this_process()
    pool = RayPool(
        *(config, worker_target),
        lambda _: actor.remote(config, spec, program),
        Driver(interrupts),
    )
    pool.wait_until_ready()
    tickets = draw_tickets(0, Purpose.TRAINING, 0, NUM_EPISODES, EPISODES_PER_TICKET)

    pool.submit(tickets, Weights(0, flat_weights()))
    batch = pool.collect(Purpose.TRAINING, 0)

    assert [report.ticket for report in batch.reports] == tickets
    assert sum(len(report.episode_returns) for report in batch.reports) == NUM_EPISODES
    assert (pool.counts.reissued, pool.worker_restarts) == (1, 1)
    learner = Learner(config.learner, ARCHITECTURE, seed=0)
    learner.load_state(LearnerState(0, {**learner.state().arrays, "weights": flat_weights()}))
    gradient_checks.assert_unbiased(
        [as_table(learner.gradient([part])) for part in ray.get(batch.trajectories, timeout=60)]
    )
    returns = np.concatenate([report.episode_returns for report in batch.reports])
    assert abs(returns.mean() - 1.0415794) < 4.5 * returns.std() / np.sqrt(NUM_EPISODES)

"""`action_masks()` is obeyed like a mask in `info`, in the preflight and in training."""

import numpy as np
import pytest

from reinforce.learner.policies.weights import Weights
from reinforce.workers.preflight import preflight
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

pytestmark = pytest.mark.case


@pytest.mark.parametrize(
    "environment",
    [
        {"id": "mask_method:Masked"},
        {"id": "mask_method:Masked", "kwargs": {"counts": [2, 3]}},
        {"id": "mask_method:Masked", "kwargs": {"counts": [2, 3], "as_lists": True}},
        {"id": "mask_method:Plain", "wrappers": ["mask_method:Masking", "FlattenObservation"]},
    ],
    ids=["discrete", "multi-discrete", "lists", "wrapper"],
)
def test_what_the_method_forbids_is_never_done(make_config, environment):
    """The environment raises where anything else is done than the one thing that is allowed."""
    config = make_config(environment=environment)
    found = preflight(config)
    size = architecture_of(config, found.spec).num_parameters
    worker = RolloutWorker(config, found.spec)

    report, trajectories = worker.play(
        draw_tickets(0, Purpose.TRAINING, 0, 4, 4)[0], Weights(0, np.zeros(size, np.float32))
    )

    assert found.warnings == ()
    assert found.spec.action_mask == "info"
    assert report.episode_returns.tolist() == [5, 5, 5, 5]
    num_components = len(environment.get("kwargs", {}).get("counts", [1]))
    assert (trajectories.action_masks.sum(axis=1) == num_components).all()
    np.testing.assert_array_equal(trajectories.behavior_log_probs, 0.0)

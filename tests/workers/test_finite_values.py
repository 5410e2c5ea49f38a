"""What is not finite is named where it came first, and no action is made of it."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import poisoned_environments
import pytest

from reinforce.learner.policies.spaces import ObservationLayout, ObservationLeaf
from reinforce.learner.policies.trajectories import Trajectories
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import EnvironmentSpec
from reinforce.workers.environment_faults import NonFiniteError
from reinforce.workers.finite_values import FiniteCheck
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.spaces import action_layout, observation_layout
from reinforce.workers.tickets import Purpose, draw_tickets

TICKET = draw_tickets(0, Purpose.TRAINING, 12, 4, 4)[0]


@pytest.fixture(params=[False, True], ids=["single", "vector"])
def play(request, make_config):
    def play(*, greedy=False, **kwargs):
        is_vector = request.param
        config = make_config(
            environment={
                "id": "poisoned_environments:Poisoned-v0",
                "kwargs": kwargs,
                "use_vector_implementation": is_vector,
            }
        )
        single = poisoned_environments.Poisoned(**kwargs)
        layouts = observation_layout(single.observation_space), action_layout(single.action_space)
        spec = EnvironmentSpec(*layouts, has_vector_implementation=is_vector)
        size = architecture_of(config, spec).num_parameters
        worker = RolloutWorker(config, spec)
        return worker.play(
            replace(TICKET, greedy=greedy), Weights(0, np.full(size, 0.1, np.float32))
        )[0]

    return play


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("action", poisoned_environments.ACTIONS)
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_not_finite_is_named_at_its_step_and_never_acted_on(play, value, action, greedy):
    """The reward that follows is not finite either, as of a NaN in the state."""
    with pytest.raises(
        NonFiniteError,
        match=rf"^step 1 \(.*\): the observation is {value} in "
        r"component \[1\]\nThis was in step 1 of episode 0 of ticket training 12:0",
    ):
        play(action=action, value=value, seen_at=1, paid_at=2, greedy=greedy)


@pytest.mark.parametrize(
    ("seen_at", "paid_at", "says"),
    [
        (0, 1, r"^reset \(.*: the observation is nan in component \[1\]"),
        (3, 2, r"^step 2 \(.*: the reward is nan, which would make every return useless"),
        (2, 2, r"^step 2 \(.*: the observation is nan in component \[1\]"),
        (99, 6, r"^step 6 \(.*: the reward is nan"),
    ],
)
def test_the_first_of_several_is_named(play, seen_at, paid_at, says):
    with pytest.raises(NonFiniteError, match=says):
        play(seen_at=seen_at, paid_at=paid_at)


def test_a_last_observation_that_nothing_follows_and_a_huge_number_pass(play):
    assert play(seen_at=6).episode_lengths.tolist() == [6] * 4
    assert play(value="3e38", seen_at=0, paid_at=0).episode_returns[0] == pytest.approx(1.8e39)


@pytest.mark.parametrize(
    ("terminated", "is_refused"), [((False, False), True), ((False, True), False)]
)
def test_a_truncated_end_that_is_not_finite_is_named_by_ticket_and_episode(terminated, is_refused):
    """It has a value only where the limit of time alone ended the episode."""
    finals = np.zeros((2, 3), np.float32)
    finals[1, 2] = np.nan
    trajectories = Trajectories(
        policy_version=0,
        observations=np.zeros((2, 3), np.float32),
        actions=np.zeros(2, np.int64),
        rewards=np.zeros(2),
        behavior_log_probs=np.zeros(2, np.float32),
        episode_lengths=np.ones(2, np.int64),
        terminated=np.array(terminated),
        truncated=np.ones(2, np.bool_),
        final_observations=finals,
    )
    ticket = draw_tickets(0, Purpose.TRAINING, 6, 2, 2)[0]
    layout = ObservationLayout((ObservationLeaf((), "numbers", (3,)),))

    refused = pytest.raises(
        NonFiniteError,
        match=r"^step 1: the .* nan in component \[2\]\nThis was in step 1 of episode 1 ",
    )
    with refused if is_refused else nullcontext():
        FiniteCheck(ticket, layout, "step {}".format).ends(trajectories)

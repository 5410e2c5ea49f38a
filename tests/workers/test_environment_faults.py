"""An environment that breaks in the middle of a run: what is said, and where it was."""

import traceback

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from late_faults import LateFault

from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import EnvironmentSpec, inspect_environment
from reinforce.workers.environment_faults import (
    EnvironmentFaultError,
    NonFiniteError,
    check_observation,
)
from reinforce.workers.environment_source import where_in
from reinforce.workers.episode_watch import EpisodeWatch
from reinforce.workers.info_metrics import InfoMetrics
from reinforce.workers.observations import ObservationRows
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.seeds import environment_seed
from reinforce.workers.single_lanes import SingleLanes
from reinforce.workers.spaces import action_layout, observation_layout
from reinforce.workers.tickets import Purpose, draw_tickets

TICKET = draw_tickets(0, Purpose.TRAINING, 12, 4, 4)[0]


def failure_of(config, make=None):
    spec = inspect_environment(config.environment)
    size = architecture_of(config, spec).num_parameters
    worker = RolloutWorker(config, spec, *([make] if make else []))
    with pytest.raises(Exception) as caught:  # noqa: PT011  (which one is for the tests to say)
        worker.play(TICKET, Weights(0, np.zeros(size, np.float32)))
    return caught.value


def told(error):
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("raises", ZeroDivisionError, "wheel"),
        ("exits", EnvironmentFaultError, "EnvironmentFaultError: step 5 raises SystemExit: 5\n"),
        (
            "returns nothing",
            EnvironmentFaultError,
            "LateFault.step) returned None, not (observation, ",
        ),
        (
            "shape",
            EnvironmentFaultError,
            "LateFault.step): the observation at 'place.0' has shape (1,), but its space "
            "Box(-1.0, 1.0, (3,), float32) says shape (3,)",
        ),
        (
            "key",
            EnvironmentFaultError,
            "LateFault.step): the observation has the keys ['place'], but its space says ['place', "
            "'speed']",
        ),
        ("dtype", EnvironmentFaultError, "the observation at 'speed' is of dtype <U4, but its"),
        ("nan", NonFiniteError, "the observation at 'speed' is nan in component [1]"),
        (
            "reward",
            EnvironmentFaultError,
            "LateFault.step) returned the reward 'much', not a single number",
        ),
        ("nan reward", NonFiniteError, "the reward is nan"),
        ("flag", EnvironmentFaultError, "LateFault.step) returned terminated = 'yes', not a bool"),
    ],
)
def test_a_fault_is_named_with_its_part_step_episode_and_ticket(make_config, fault, kind, says):
    """Of four episodes in two lanes the first is the first to come to its fifth step."""
    error = failure_of(
        make_config(environment={"id": "late_faults:LateFault", "kwargs": {"fault": fault}})
    )

    assert type(error) is kind
    assert says in told(error)
    assert "During handling of the above exception" not in told(error)
    seed = environment_seed(TICKET.episode_seeds[0])
    place = f"in step 5 of episode 0 of ticket training 12:0, which began with reset(seed={seed})"
    assert place in told(error)
    if "LateFault.step)" in says:
        assert ": step 5 (tests/fakes/late_faults.py:23, in LateFault.step)" in told(error)


def test_a_reset_that_fails_is_said_to_be_one(make_config):
    config = make_config(environment={"id": "late_faults:LateFault"})

    error = failure_of(config, lambda config, placement: LateFault("reset"))

    assert "late_faults.py:18, in LateFault.reset) returned None, not (observation, info)" in told(
        error
    )
    assert "This was in the reset of episode 0 of ticket training 12:0, which" in told(error)


def test_the_line_of_the_environment_that_raised_is_shown(make_config):
    for fault in ("raises", "exits"):
        kwargs = {"fault": fault}
        config = make_config(environment={"id": "late_faults:LateFault", "kwargs": kwargs})

        assert "tests/fakes/late_faults.py" in told(failure_of(config))


class Stretched(gymnasium.Env):
    """Shows too few numbers, or half-bright pixels: what an assignment of NumPy would take."""

    def __init__(self, space, shown):
        self.observation_space, self.action_space = space, Discrete(2)
        self._shown = shown

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample() * 0, {}

    def step(self, action):
        return self._shown, 1.0, True, False, {}


@pytest.mark.parametrize(
    ("space", "shown", "says"),
    [
        (Box(-1.0, 1.0, (3,), np.float32), np.zeros(1, np.float32), "has shape (1,)"),
        (Box(0, 255, (6, 8), np.uint8), np.zeros((1, 8), np.uint8), "has shape (1, 8)"),
        (Box(0, 255, (6, 8), np.uint8), np.full((6, 8), 0.5), "is of dtype float64"),
    ],
)
def test_what_would_be_repeated_or_cut_without_a_word_is_refused(make_config, space, shown, says):
    action = action_layout(Discrete(2))
    spec = EnvironmentSpec(observation_layout(space), action, has_vector_implementation=False)
    config = make_config()
    lanes = SingleLanes([Stretched(space, shown), Stretched(space, shown)], spec)
    policy = make_policy(architecture_of(config, spec))
    policy.load(Weights(0, np.zeros(architecture_of(config, spec).num_parameters, np.float32)))

    with pytest.raises(EnvironmentFaultError) as caught:
        lanes.play(policy, TICKET, InfoMetrics({}, TICKET.num_episodes), EpisodeWatch())

    assert f"Stretched.step): the observation {says}" in str(caught.value)


def test_a_number_without_dimensions_may_be_a_scalar_of_numpy():
    space = Box(-1.0, 1.0, (), np.float32)

    assert check_observation("step", space, np.float32(0.5)) == []
    with pytest.raises(EnvironmentFaultError, match=r"has shape \(\), but its space"):
        check_observation("step", Box(-1.0, 1.0, (1,), np.float32), np.float32(0.5))


def test_of_several_lanes_the_one_that_shows_too_little_is_named(make_config):
    space = Box(-1.0, 1.0, (3,), np.float32)
    spec = EnvironmentSpec(
        observation_layout(space), action_layout(Discrete(2)), has_vector_implementation=False
    )
    lanes = SingleLanes([Stretched(space, np.zeros(size, np.float32)) for size in (3, 3, 1)], spec)
    policy = make_policy(architecture_of(make_config(), spec))
    policy.load(
        Weights(0, np.zeros(architecture_of(make_config(), spec).num_parameters, np.float32))
    )

    with pytest.raises(EnvironmentFaultError) as caught:
        lanes.play(policy, TICKET, InfoMetrics({}, TICKET.num_episodes), EpisodeWatch())

    assert "has shape (1,)" in str(caught.value)
    assert "in step 1 of episode 2 of ticket training 12:0" in told(caught.value)


def test_numbers_of_as_many_lanes_as_an_observation_is_long_do_not_pass_for_one():
    space = Box(-1.0, 1.0, (3,), np.float32)
    spec = EnvironmentSpec(
        observation_layout(space), action_layout(Discrete(2)), has_vector_implementation=False
    )
    rows = ObservationRows(spec, 3)

    assert not rows.write_all([np.float32(0.5)] * 3)
    assert rows.write_all([np.zeros(3, np.float32)] * 3)


@pytest.mark.parametrize(
    ("exits", "says"),
    [
        (False, "ArithmeticError: the vector implementation is faulty"),
        (True, "EnvironmentFaultError: the environment raises SystemExit: 5"),
    ],
)
def test_lanes_of_a_vector_implementation_are_named_together(make_config, exits, says):
    """The episodes 0 and 1 last two and three steps, and 2 and 3 as long: a second round."""
    config = make_config(
        environment={
            "id": "vector_environments:VectorCountdown-v0",
            "kwargs": {"raises_at": 3, "exits": exits},
        }
    )

    said = told(failure_of(config))

    assert says in said
    assert "This was after 2 steps of the episodes 0 to 1 of ticket training 12:0, which" in said


def test_the_user_s_own_wrappers_are_named_after_the_environment(make_config):
    wrappers = ["user_wrappers:Doubled", {"TimeLimit": {"max_episode_steps": 9}}]
    kwargs = {"fault": "nan reward"}
    config = make_config(
        environment={"id": "late_faults:LateFault", "kwargs": kwargs, "wrappers": wrappers}
    )

    assert (
        "step 5 (tests/fakes/late_faults.py:23, in LateFault.step, then "
        "tests/fakes/user_wrappers.py:9, in Doubled.reward): the reward is nan"
    ) in told(failure_of(config))


def test_values_of_a_wrapper_that_are_called_as_its_methods_are_no_code():
    class Scaled(gymnasium.Wrapper):
        observation, reward = np.zeros(2), 0.5

    assert where_in(Scaled(LateFault("nan")), 1) == (
        "step 1 (tests/fakes/late_faults.py:23, in LateFault.step)"
    )

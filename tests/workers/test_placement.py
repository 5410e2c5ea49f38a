"""Where an instance stands: who is told, what has the last word, and what that does to the promise.

The cases are simulators behind ports (`tests/cases/ports.py`).
"""

from contextlib import closing
from functools import partial

import gymnasium
import numpy as np
import pytest
from fake_environments import Countdown
from free_port import free_port
from gymnasium.vector import AutoresetMode, VectorEnv

from reinforce.configs.given_objects import name_of
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import (
    UnsuitableEnvironmentError,
    inspect_environment,
    make_environment,
    make_vector_environment,
)
from reinforce.workers.placement import Placement
from reinforce.workers.preflight import preflight
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets
from reinforce.workers.vector_lanes import VectorLanes

pytestmark = pytest.mark.case

PLACE = Placement(worker_index=3, num_workers=8, instance_index=5)


class Told(Countdown):
    """Keeps what it is told."""

    def __init__(self, size=1, worker_index=None, num_workers=None, *, instance_index=None):
        super().__init__()
        self.told = (worker_index, num_workers, instance_index)


class Quiet(Countdown):
    """Takes whatever it is given, and asks for nothing."""

    def __init__(self, **options):
        super().__init__()
        self.told = options


class Vector(VectorEnv):
    """Keeps what it is told."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs, max_episode_steps=None, worker_index=None, instance_index=None):
        self.told = (worker_index, instance_index)


gymnasium.register("Told-v0", entry_point=Told)
gymnasium.register("ToldAlready-v0", entry_point=Told, kwargs={"worker_index": 7})
gymnasium.register("ToldTogether-v0", entry_point=Countdown, vector_entry_point=Vector)
gymnasium.register("ToldByName-v0", entry_point=f"{__name__}:Told")


def told(make_config, made_by, place=PLACE, **kwargs):
    environment_id = made_by if isinstance(made_by, str) else name_of(made_by)
    config = make_config(environment={"id": environment_id, "kwargs": kwargs}).environment
    return make_environment(config, place).unwrapped.told


def of_size(size, worker_index):
    return Told(size, worker_index)


@pytest.mark.parametrize("made_by", [Told, "Told-v0", "ToldByName-v0"])
def test_a_constructor_that_names_where_it_stands_is_told(make_config, made_by):
    assert told(make_config, made_by, size=2) == (3, 8, 5)


def test_a_function_that_names_a_part_is_told_that_part(make_config):
    assert told(make_config, of_size, size=2) == (3, None, None)


def test_one_that_takes_anything_asks_for_nothing(make_config):
    assert told(make_config, Quiet, size=2) == {"size": 2}


def test_a_vector_implementation_is_told_like_one_instance(make_config):
    config = make_config(environment={"id": "ToldTogether-v0"}).environment

    assert make_vector_environment(config, 4, PLACE).told == (3, 5)


def test_what_is_given_already_stays(make_config):
    assert told(make_config, Told, worker_index=0) == (0, 8, 5)
    assert told(make_config, "ToldAlready-v0") == (7, 8, 5)
    assert told(make_config, partial(Told, instance_index=1)) == (3, 8, 1)


def listening(make_config, environment_id="ports:PortEach", **environment):
    environment = {"id": environment_id, "kwargs": {"port": free_port()}} | environment
    return make_config(environment=environment)


def play(worker, purpose, update=0):
    ticket = draw_tickets(0, purpose, update, 2, 2)[0]
    size = architecture_of(worker._config, worker._spec).num_parameters
    return worker.play(ticket, Weights(0, np.zeros(size, np.float32)))[0]


def test_each_lane_has_a_number_of_its_own_and_so_has_each_of_another_for_evaluations(make_config):
    metrics = {"worker": "last", "of": "last", "instance": "last"}
    config = listening(make_config, info_metrics=metrics)
    config = config.model_copy(
        update={
            "evaluation": config.evaluation.model_copy(
                update={"environment": {"max_episode_steps": 4}}
            )
        }
    )
    place = Placement(worker_index=1, num_workers=2)
    worker = RolloutWorker(config, inspect_environment(config.environment), placement=place)

    training = play(worker, Purpose.TRAINING)
    evaluation = play(worker, Purpose.EVALUATION)
    again = play(worker, Purpose.TRAINING)
    worker.close()

    assert [report.episode_metrics["worker"].tolist() for report in (training, evaluation)] == [
        [1, 1],
        [1, 1],
    ]
    assert training.episode_metrics["instance"].tolist() == [0, 1]
    assert evaluation.episode_metrics["instance"].tolist() == [2, 3]
    assert evaluation.episode_lengths.tolist() == [4, 4]
    assert again.trajectories_sha256 == training.trajectories_sha256


def test_a_vector_implementation_for_evaluations_is_tried_where_no_lane_stands(make_config):
    """Training has ports 0 and 10 while each worker tries and makes its own for evaluations."""
    config = make_config(
        environment={"id": "ports:PortTogether-v0", "kwargs": {"port": free_port()}},
        evaluation={"environment": {"kwargs": {"num_steps": 4}}},
    )
    spec = preflight(config).spec
    workers = [RolloutWorker(config, spec, placement=Placement(index, 2)) for index in (0, 1)]

    for purpose, length in ((Purpose.TRAINING, 5), (Purpose.EVALUATION, 4)):
        for worker in workers:
            assert play(worker, purpose).episode_lengths.tolist() == [length, length]
    assert [type(lanes) for worker in workers for lanes in worker._lanes.values()] == (
        [VectorLanes] * 4
    )
    for worker in workers:
        worker.close()


def test_one_environment_for_both_is_made_once(make_config):
    config = listening(make_config, info_metrics={"instance": "last"})
    worker = RolloutWorker(config, inspect_environment(config.environment))

    for purpose in (Purpose.TRAINING, Purpose.EVALUATION):
        assert play(worker, purpose).episode_metrics["instance"].tolist() == [0, 1]
    worker.close()


def test_a_simulator_of_which_there_can_be_one_passes_the_preflight(make_config):
    config = listening(make_config, "ports:OnePort")

    assert preflight(config).warnings == ()
    with (
        closing(make_environment(config.environment)),
        pytest.raises(UnsuitableEnvironmentError, match="Address already in use"),
    ):
        make_environment(config.environment)


def test_the_promise_is_withdrawn_aloud(make_config):
    (warning,) = preflight(listening(make_config)).warnings

    assert warning.startswith(
        "environment.id = 'ports:PortEach' receives its worker_index, num_workers, instance_index, "
        "so its episodes may depend on that: training continues, but this withdraws the promise "
        "that"
    )
    assert "set environment.seeded_only to true" in warning


def test_and_kept_where_the_user_says_that_seeds_decide_alone(make_config):
    assert preflight(listening(make_config, seeded_only=True)).warnings == ()


def test_and_where_the_user_has_said_where_it_stands(make_config):
    place = {"worker_index": 0, "num_workers": 1, "instance_index": 0}
    kwargs = {"port": free_port(), **place}

    assert preflight(listening(make_config, kwargs=kwargs)).warnings == ()

"""Environments whose `close` raises: nothing is lost by it, and no other stays open."""

from collections import Counter

import numpy as np
import pytest
from close_raises import Simulator

from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import UnsuitableEnvironmentError, inspect_environment
from reinforce.workers.preflight import preflight
from reinforce.workers.recording import frames_per_second
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

pytestmark = pytest.mark.case

TICKET = draw_tickets(0, Purpose.TRAINING, 0, 4, 4)[0]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    return path


def counts(log):
    return Counter(line.split()[0] for line in log.read_text().splitlines())


def simulator(make_config, log, **kwargs):
    kwargs = {"log": str(log), **kwargs}
    return make_config(environment={"id": "close_raises:Simulator", "kwargs": kwargs})


def test_a_dead_simulator_is_replaced_though_it_cannot_be_closed(make_config, log, tmp_path):
    """Two lanes: the other one is closed, too."""
    config = simulator(make_config, log, dies_at=str(tmp_path / "dead"))
    spec = inspect_environment(config.environment)
    size = architecture_of(config, spec).num_parameters
    worker, weights = RolloutWorker(config, spec), Weights(0, np.zeros(size, np.float32))
    log.write_text("")

    with pytest.raises(ConnectionResetError) as caught:
        worker.play(TICKET, weights)
    after_death = counts(log)
    report, _ = worker.play(TICKET, weights)

    (_, complaint, _) = caught.value.__notes__
    assert complaint.startswith("After that, close() of the environment raises BrokenPipeError: no")
    assert after_death == {"open": 2, "close": 2}
    assert report.episode_returns.tolist() == [5, 5, 5, 5]
    worker.close()
    assert counts(log) == {"open": 4, "close": 4}


def test_a_lane_that_cannot_be_made_leaves_none_open(make_config, log):
    def make_first(config, placement):
        if counts(log)["open"]:
            raise OSError("address already in use")
        return Simulator(**config.kwargs)

    config = simulator(make_config, log)
    spec = inspect_environment(config.environment)
    log.write_text("")
    worker = RolloutWorker(config, spec, make_first)
    size = architecture_of(config, spec).num_parameters

    with pytest.raises(OSError, match="address already in use"):
        worker.play(TICKET, Weights(0, np.zeros(size, np.float32)))

    assert counts(log) == {"open": 1, "close": 1}


def test_the_preflight_closes_both_instances_and_says_what_they_raise_once(make_config, log):
    (warning,) = preflight(simulator(make_config, log)).warnings

    assert warning.startswith("close() of the environment raises BrokenPipeError: nobody is there")
    assert counts(log) == {"open": 2, "close": 2}


def test_a_fault_found_by_the_preflight_is_told_and_not_that_of_closing(make_config, log, tmp_path):
    config = simulator(make_config, log, dies_at=str(tmp_path / "dead"))

    with pytest.raises(
        UnsuitableEnvironmentError, match="step 3 raises ConnectionResetError: the simulator is"
    ):
        preflight(config)

    assert counts(log) == {"open": 1, "close": 1}


def test_an_environment_whose_wrapper_cannot_be_made_is_closed(make_config, log):
    config = simulator(make_config, log)
    stacked = {"wrappers": ({"FrameStackObservation": {"stack_size": 0}},)}

    with pytest.raises(UnsuitableEnvironmentError, match="FrameStackObservation cannot be made"):
        inspect_environment(config.environment.model_copy(update=stacked))

    assert counts(log) == {"open": 1, "close": 1}


def test_asking_whether_it_can_be_filmed_is_answered_whatever_closing_raises(make_config, log):
    with pytest.raises(UnsuitableEnvironmentError, match="cannot be filmed"):
        frames_per_second(simulator(make_config, log).environment)

    assert counts(log) == {"open": 1, "close": 1}

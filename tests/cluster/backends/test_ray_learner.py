"""The learner's handle on a real Ray; its recovery in a whole run is in test_recovery."""

import os
import signal
import time

import pytest
import ray

from cluster.backends import ray_learner
from cluster.backends.ray_learner import RayLearner
from cluster.errors import InterruptedRunError, LearnerLostError, TrajectoriesLostError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


class DyingLearner:
    """Ends its process in every update."""

    def state(self):
        return "the state"

    @ray.method(num_returns=3)
    def update(self, trajectories):
        os._exit(1)


class LosingLearner(DyingLearner):
    """Cannot get at the trajectories."""

    @ray.method(num_returns=3)
    def update(self, trajectories):
        raise ray.exceptions.ObjectLostError("00" * 28, None, "")


def learner_of(kind, interrupts):
    make_actor = ray.remote(kind).options(num_cpus=0).remote
    learner = RayLearner(lambda state: make_actor(), None, interrupts)
    ray.wait([learner._state], timeout=60)  # as in a run, which asks for the weights first
    return learner


def test_a_learner_that_dies_in_every_attempt_ends_the_run_with_its_reason(interrupts):
    learner = learner_of(DyingLearner, interrupts)

    with pytest.raises(LearnerLostError, match="lost 4 times in the same update"):
        learner.update([])
    assert learner.restarts == 4
    assert learner.snapshot(None) == ("the state", None)


def test_a_learner_that_no_node_has_room_for_is_said_and_then_given_up(interrupts, monkeypatch):
    monkeypatch.setattr(ray_learner, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(ray_learner, "_TIMEOUT_S", 2.0)
    make_actor = ray.remote(DyingLearner).options(num_cpus=0, num_gpus=1).remote
    learner, told = RayLearner(lambda state: make_actor(), None, interrupts), []
    learner.tell = told.append

    with pytest.raises(LearnerLostError, match="no node had room for the learner"):
        learner.update([])
    ray.kill(learner._actor)

    assert [text.split(":")[0] for text in told] == ["still waiting for room for the learner"]


@ray.remote(num_cpus=0)
def never():
    time.sleep(3600)


def test_a_signal_is_heard_while_a_lost_learner_s_state_does_not_come(interrupts):
    learner = learner_of(DyingLearner, interrupts)
    state = learner._state = never.remote()

    def signal_once_it_waits():
        if learner.restarts:
            interrupts._on_signal(signal.SIGTERM, None)

    learner.while_waiting = signal_once_it_waits
    began_s = time.monotonic()
    try:
        with pytest.raises(InterruptedRunError):
            learner.update([])
    finally:
        ray.cancel(state, force=True)  # others use this Ray, too

    assert learner.restarts == 1
    assert time.monotonic() - began_s < 20


def test_trajectories_that_are_lost_are_told_apart_from_a_learner_that_is(interrupts):
    learner = learner_of(LosingLearner, interrupts)

    with pytest.raises(TrajectoriesLostError):
        learner.update([])
    assert learner.restarts == 0

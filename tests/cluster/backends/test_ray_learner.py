"""The learner's handle on a real Ray; its recovery in a whole run is in test_recovery."""

import os
import signal
import threading
import time

import pytest
import ray

from cluster.backends import ray_learner
from cluster.backends.ray_learner import RayLearner
from cluster.errors import (
    InterruptedRunError,
    LearnerLostError,
    LearnerStateLostError,
    TrajectoriesLostError,
)
from learner.update_report import UpdateReport

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


class FittingLearner:
    """Its state says what was done; a file orders its fits to die, to wait, or nothing."""

    def __init__(self, state, orders):
        self.done, self.to_fit, self.orders = list(state or []), None, orders

    def state(self):
        if self.to_fit:
            order = self.orders.read_text()
            if order == "dies once":
                self.orders.write_text("")
            if order.startswith("dies"):
                os._exit(1)
            while self.orders.read_text() == "waits":
                time.sleep(0.01)
            self.done.append(f"fitted {self.to_fit}")
            self.to_fit = None
        return self.done

    @ray.method(num_returns=3)
    def update(self, trajectories):
        self.state()
        (self.to_fit,) = trajectories
        self.done.append(f"updated {self.to_fit}")
        version = sum(what.startswith("updated") for what in self.done)
        return UpdateReport(version, {}, is_fit_due=True), f"weights {version}", None


TWO_UPDATES = ["updated a", "fitted a", "updated b", "fitted b"]


@pytest.fixture
def orders(tmp_path):
    file = tmp_path / "orders"
    file.write_text("")
    return file


def fitting_learner(interrupts, orders):
    make_actor = ray.remote(FittingLearner).options(num_cpus=0).remote
    learner = RayLearner(lambda state: make_actor(state, orders), None, interrupts)
    ray.wait([learner._state], timeout=60)
    return learner


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


def test_the_new_weights_are_there_before_the_fit_is_done_and_a_checkpoint_waits_for_it(
    interrupts, orders
):
    learner = fitting_learner(interrupts, orders)
    orders.write_text("waits")

    _, weights = learner.update(["a"])

    assert ray.get(weights) == "weights 1"
    assert not ray.wait([learner._state], timeout=0.2)[0]
    threading.Timer(0.2, orders.write_text, [""]).start()
    assert learner.snapshot(None)[0] == ["updated a", "fitted a"]


@pytest.mark.parametrize("first_asked_for", ["an update", "a checkpoint"])
def test_a_learner_that_dies_in_a_fit_repeats_the_update_that_it_was_for(
    interrupts, orders, first_asked_for
):
    learner, told = fitting_learner(interrupts, orders), []
    learner.tell = told.append
    orders.write_text("dies once")

    learner.update(["a"])
    if first_asked_for == "a checkpoint":
        assert learner.snapshot(None)[0] == ["updated a", "fitted a"]
    learner.update(["b"])

    assert learner.snapshot(None)[0] == TWO_UPDATES
    assert learner.restarts == 1
    assert "starts again from its last complete state, and the result is the same" in told[0]


def test_a_learner_that_dies_after_a_fit_repeats_nothing(interrupts, orders):
    learner = fitting_learner(interrupts, orders)
    learner.update(["a"])
    learner.snapshot(None)
    ray.kill(learner._actor)

    learner.update(["b"])

    assert learner.snapshot(None)[0] == TWO_UPDATES
    assert learner.restarts == 1


def test_a_learner_that_dies_in_every_fit_ends_the_run(interrupts, orders):
    learner = fitting_learner(interrupts, orders)
    orders.write_text("dies")
    learner.update(["a"])

    with pytest.raises(LearnerLostError, match="lost 4 times in the same update"):
        learner.update(["b"])


def test_a_signal_while_an_update_is_repeated_leaves_no_checkpoint_of_the_state_before_it(
    interrupts, orders
):
    learner = fitting_learner(interrupts, orders)
    orders.write_text("dies")
    learner.update(["a"])

    def signal_once_it_repeats():
        if learner.restarts:
            interrupts._on_signal(signal.SIGTERM, None)

    learner.while_waiting = signal_once_it_repeats
    with pytest.raises(InterruptedRunError):
        learner.update(["b"])

    with pytest.raises(LearnerStateLostError):
        learner.snapshot(None)


def test_a_checkpoint_that_waits_for_a_fit_asks_nothing_of_the_workers(interrupts, orders):
    """They may have failed, which is why what was learned is saved."""
    learner = fitting_learner(interrupts, orders)
    orders.write_text("waits")
    learner.update(["a"])

    def fail():
        raise LearnerLostError("the workers failed")

    learner.while_waiting = fail
    threading.Timer(0.2, orders.write_text, [""]).start()

    assert learner.snapshot(None)[0] == ["updated a", "fitted a"]

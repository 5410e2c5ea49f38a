"""The learner's handle on a real Ray; its recovery in a whole run is in test_recovery."""

import signal
import threading
import time

import numpy as np
import pytest
import ray
from failing_learners import DyingLearner, FittingLearner, LosingLearner

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.backends.ray import answer_deadlines
from reinforce.cluster.backends.ray import learner as ray_learner
from reinforce.cluster.backends.ray.actors import SIGNS_OF_LIFE, LearnerActor
from reinforce.cluster.backends.ray.learner import RayLearner
from reinforce.cluster.backends.ray.learner import _Start as Start
from reinforce.cluster.batches import training_tickets
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import (
    InterruptedRunError,
    LearnerLostError,
    LearnerStateLostError,
    TrajectoriesLostError,
)
from reinforce.cluster.waiting import waiting
from reinforce.configs.given_objects import UserProgram
from reinforce.learner.learner import Learner
from reinforce.learner.state import LearnerState
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

TWO_UPDATES = ["updated a", "fitted a", "updated b", "fitted b"]


@pytest.fixture
def orders(tmp_path):
    file = tmp_path / "orders"
    file.write_text("")
    return file


@pytest.fixture
def batches(tmp_path):
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.touch()
    return files


def fitting_learner(interrupts, orders, tell=print):
    make_actor = (
        ray.remote(concurrency_groups=SIGNS_OF_LIFE)(FittingLearner).options(num_cpus=0).remote
    )
    learner = RayLearner(
        lambda state: make_actor(state, orders), None, Driver(interrupts, tell=tell)
    )
    ray.wait([learner._starts[0].state], timeout=60)
    return learner


def done_in(learner):
    return learner.snapshot(None)[0].arrays["done"]


def learner_of(kind, interrupts):
    make_actor = ray.remote(concurrency_groups=SIGNS_OF_LIFE)(kind).options(num_cpus=0).remote
    learner = RayLearner(lambda state: make_actor(), None, Driver(interrupts))
    ray.wait(
        [learner._starts[0].state], timeout=60
    )  # as in a run, which asks for the weights first
    return learner


def test_a_learner_that_dies_in_every_attempt_ends_the_run_with_its_reason(interrupts):
    learner = learner_of(DyingLearner, interrupts)

    with pytest.raises(LearnerLostError, match="lost 4 times in the same update"):
        learner.update([])
    assert learner.restarts == 4
    assert learner.snapshot(None)[0].version == 0


def test_a_learner_that_no_node_has_room_for_is_said_and_then_given_up(interrupts, monkeypatch):
    monkeypatch.setattr(ray_learner, "_LOOK_EVERY_S", 0.2)
    actor = ray.remote(concurrency_groups=SIGNS_OF_LIFE)(DyingLearner)
    make_actor = actor.options(num_cpus=0, num_gpus=1).remote
    console = PlainConsole(record=True, width=200)
    driver = Driver(
        interrupts,
        waiting=lambda purpose, hint: waiting(console, purpose, hint, line_after_s=0.8),
    )
    learner = RayLearner(lambda state: make_actor(), None, driver, room_timeout_s=4.0)

    with pytest.raises(LearnerLostError, match=r"no room for 4 s \(cluster.room_timeout_s\)"):
        learner.update([])
    ray.kill(learner._actor)

    first, second, *_ = console.export_text().splitlines()
    assert "starting the learner after 1 s: no room yet, with learner.device cuda" in first
    assert "after 2 s: no room yet" in second


def test_a_learner_whose_runtime_environment_fails_is_given_up_with_its_text(interrupts):
    lost = {"working_dir": "gcs://_ray_pkg_0a62fe483960e4e9.zip"}
    actor = ray.remote(concurrency_groups=SIGNS_OF_LIFE)(DyingLearner)
    make_actor = actor.options(num_cpus=0, runtime_env=lost).remote
    learner = RayLearner(lambda state: make_actor(), None, Driver(interrupts))

    with pytest.raises(LearnerLostError, match=r"fails to start(.|\n)*_ray_pkg_0a62fe483960e4e9"):
        learner.update([])
    assert learner.restarts == 0


@ray.remote(num_cpus=0)
def never():
    time.sleep(3600)


def test_a_signal_is_heard_while_a_lost_learner_s_state_does_not_come(interrupts):
    learner = learner_of(DyingLearner, interrupts)
    state = never.remote()
    learner._starts = [Start(state)]

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
    interrupts, orders, batches
):
    learner = fitting_learner(interrupts, orders)
    orders.write_text("waits")

    _, weights = learner.update(batches[:1])

    assert ray.get(weights) == "weights 1"
    assert not ray.wait([learner._starts[0].state], timeout=0.2)[0]
    threading.Timer(0.2, orders.write_text, [""]).start()
    assert done_in(learner) == TWO_UPDATES[:2]


@pytest.mark.parametrize("first_asked_for", ["an update", "a checkpoint"])
def test_a_learner_that_dies_in_a_fit_repeats_the_update_that_it_was_for(
    interrupts, orders, batches, first_asked_for
):
    told = []
    learner = fitting_learner(interrupts, orders, told.append)
    orders.write_text("dies once")

    learner.update(batches[:1])
    if first_asked_for == "a checkpoint":
        assert done_in(learner) == TWO_UPDATES[:2]
    learner.update(batches[1:])

    assert done_in(learner) == TWO_UPDATES
    assert learner.restarts == 1
    assert "starts again from its last complete state, and the result is the same" in told[0]


def test_a_learner_that_is_killed_while_it_is_made_is_made_again(interrupts, orders, batches):
    orders.write_text("dies at once")
    told = []
    learner = fitting_learner(interrupts, orders, told.append)

    learner.update(batches[:1])
    learner.update(batches[1:])

    assert done_in(learner) == TWO_UPDATES
    assert learner.restarts == len(told) == 1


def test_a_learner_that_dies_after_a_fit_repeats_nothing(interrupts, orders, batches):
    learner = fitting_learner(interrupts, orders)
    learner.update(batches[:1])
    done_in(learner)
    ray.kill(learner._actor)

    learner.update(batches[1:])

    assert done_in(learner) == TWO_UPDATES
    assert learner.restarts == 1


def test_a_learner_that_hangs_in_a_fit_is_replaced_when_a_checkpoint_is_due(
    interrupts, orders, batches, monkeypatch
):
    learner = fitting_learner(interrupts, orders)
    orders.write_text("waits")
    learner.update(batches[:1])
    make_actor = learner._make_actor

    def make_another_with_patience(state):
        monkeypatch.undo()
        orders.write_text("")
        return make_actor(state)

    learner._make_actor = make_another_with_patience
    monkeypatch.setattr(ray_learner, "_TIMEOUT_S", 0.5)

    assert done_in(learner) == TWO_UPDATES[:2]
    assert learner.restarts == 1


@pytest.mark.parametrize("place", ["an update", "its constructor"])
def test_a_learner_that_hangs_is_replaced_after_a_time_of_its_own(
    interrupts, orders, batches, monkeypatch, place
):
    """Long before what one may take of which nothing is known."""
    monkeypatch.setattr(answer_deadlines, "_SHORTEST_S", 0.5)
    monkeypatch.setattr(ray_learner, "_CONSTRUCTOR_TIMEOUT_S", 0.5)
    learner = fitting_learner(interrupts, orders)
    make_actor = learner._make_actor

    def make_another_with_patience(state):
        monkeypatch.setattr(ray_learner, "_CONSTRUCTOR_TIMEOUT_S", 60.0)
        monkeypatch.setattr(answer_deadlines, "_SHORTEST_S", 60.0)
        orders.write_text("")
        return make_actor(state)

    learner._make_actor = make_another_with_patience
    learner.update(batches[:1])
    learner.update(batches[1:])
    orders.write_text("waits" if place == "an update" else "waits at once")
    if place == "its constructor":
        learner._actor, learner._is_up = make_actor(None), False
        learner._starts = [Start(ray.put(LearnerState(0, {"done": []})))]
        learner._version = 0
        assert ray.get(learner.weights(), timeout=60) == "weights 0"
    else:
        learner.update(batches[:1])
        assert done_in(learner) == [*TWO_UPDATES, *TWO_UPDATES[:2]]
    assert learner.restarts == 1


@pytest.mark.parametrize("order", ["halts once", "halts in its fit once"])
def test_a_process_that_is_halted_is_replaced_though_nobody_knows_how_long_it_takes(
    interrupts, orders, batches, monkeypatch, order
):
    """In the first update, or in the fit that it was followed by."""
    monkeypatch.setattr(answer_deadlines, "_SHORTEST_S", 0.5)
    monkeypatch.setattr(answer_deadlines, "_PULSE_PAUSE_S", 0.1)
    told = []
    learner = fitting_learner(interrupts, orders, told.append)
    # It has answered: one that is halted before that "has not started".
    learner._wait_for_the_constructor(is_saving=False)
    make_actor = learner._make_actor

    def make_another_with_patience(state):
        monkeypatch.setattr(answer_deadlines, "_SHORTEST_S", 60.0)
        return make_actor(state)

    learner._make_actor = make_another_with_patience
    orders.write_text(order)

    learner.update(batches[:1])
    assert done_in(learner) == TWO_UPDATES[:2]
    assert learner.restarts == 1
    assert "has given no sign of life for 1 s; it starts again" in told[0]


def test_a_first_fit_may_take_long_as_long_as_its_process_lives(
    interrupts, orders, batches, monkeypatch
):
    monkeypatch.setattr(answer_deadlines, "_SHORTEST_S", 1.0)
    monkeypatch.setattr(answer_deadlines, "_PULSE_PAUSE_S", 0.1)
    learner = fitting_learner(interrupts, orders)
    learner.update(batches[:1])
    orders.write_text("waits")
    timer = threading.Timer(3.0, orders.write_text, [""])
    timer.start()

    assert done_in(learner) == TWO_UPDATES[:2]
    assert learner.restarts == 0
    timer.join()


def test_a_learner_that_dies_in_every_fit_ends_the_run(interrupts, orders, batches):
    learner = fitting_learner(interrupts, orders)
    orders.write_text("dies")
    learner.update(batches[:1])

    with pytest.raises(LearnerLostError, match="lost 4 times in the same update"):
        learner.update(batches[1:])


@pytest.mark.parametrize("first_asked_for", ["an update", "a checkpoint"])
def test_an_update_that_cannot_be_repeated_is_not_left_out(
    interrupts, orders, batches, first_asked_for
):
    """Not even where the failure to write a checkpoint is survived."""
    learner = fitting_learner(interrupts, orders)
    orders.write_text("dies once")
    learner.update(batches[:1])
    batches[0].unlink()

    if first_asked_for == "a checkpoint":
        with pytest.raises(LearnerStateLostError, match="what the learner's state is made from"):
            learner.snapshot(None)
    with pytest.raises(LearnerStateLostError, match="what the learner's state is made from"):
        learner.update(batches[1:])


def test_a_signal_while_an_update_is_repeated_leaves_the_state_after_it(
    interrupts, orders, batches, monkeypatch
):
    monkeypatch.setattr(ray_learner, "_FIT_TIMEOUT_S", 60.0)  # a busy machine starts one in that
    learner = fitting_learner(interrupts, orders)
    orders.write_text("dies once")
    learner.update(batches[:1])

    def signal_once_it_repeats():
        if learner.restarts:
            interrupts._on_signal(signal.SIGTERM, None)

    learner.while_waiting = signal_once_it_repeats
    with pytest.raises(InterruptedRunError):
        learner.update(batches[1:])

    assert done_in(learner) == TWO_UPDATES[:2]


def test_a_signal_does_not_wait_long_for_a_fit(interrupts, orders, batches, monkeypatch):
    monkeypatch.setattr(ray_learner, "_FIT_TIMEOUT_S", 0.5)
    learner = fitting_learner(interrupts, orders)
    orders.write_text("waits")
    learner.update(batches[:1])
    interrupts._on_signal(signal.SIGTERM, None)

    began_s = time.monotonic()
    with pytest.raises(LearnerStateLostError, match="has not answered 'state'"):
        learner.snapshot(None)
    assert time.monotonic() - began_s < 5
    orders.write_text("")


def test_a_checkpoint_that_waits_for_a_fit_asks_nothing_of_the_workers(interrupts, orders, batches):
    """They may have failed, which is why what was learned is saved."""
    learner = fitting_learner(interrupts, orders)
    orders.write_text("waits")
    learner.update(batches[:1])

    def fail():
        raise LearnerLostError("the workers failed")

    learner.while_waiting = fail
    threading.Timer(0.2, orders.write_text, [""]).start()

    assert done_in(learner) == TWO_UPDATES[:2]


def test_the_real_learner_killed_in_its_fit_goes_on_as_if_nothing_had_happened(
    interrupts, make_config
):
    config = make_config(learner={"baseline": "value", "episodes_per_update": 16})
    spec = inspect_environment(config.environment)
    undisturbed = Learner(config.learner, architecture_of(config, spec), config.run.seed)
    worker, batches, weights = RolloutWorker(config, spec), [], undisturbed.weights()
    for update in range(3):
        batches.append([worker.play(t, weights)[1] for t in training_tickets(config, update, 16)])
        _, weights = undisturbed.update(batches[-1])
    make_actor = (
        ray.remote(concurrency_groups=SIGNS_OF_LIFE)(LearnerActor).options(num_cpus=0).remote
    )
    program = UserProgram.of_this_process()
    learner = RayLearner(
        lambda state: make_actor(config, spec, state, program), None, Driver(interrupts)
    )

    for batch in batches:
        _, made = learner.update([ray.put(part) for part in batch])
        ray.kill(learner._actor)
    state, _ = learner.snapshot(None)

    assert learner.restarts == 3
    assert ray.get(made).sha256 == weights.sha256
    for name, array in undisturbed.state().arrays.items():
        np.testing.assert_array_equal(state.arrays[name], array, err_msg=name)

"""Several learners on a real Ray; whole runs with them are in test_recovery."""

import time

import numpy as np
import pytest
import ray
import torch
from failing_gradients import FailingGradientActor
from processes import wait_for

from reinforce.cluster.backends.ray import other_learners
from reinforce.cluster.backends.ray.other_learners import OtherLearners, kind_of_here
from reinforce.cluster.batches import training_tickets
from reinforce.configs.given_objects import UserProgram
from reinforce.learner.gradient import PolicyPasses
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.policies.trajectories import concatenate
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.fixture
def orders(tmp_path):
    file = tmp_path / "orders"
    file.write_text("")
    return file


class Sharing:
    """A policy whose gradient is computed alone and with others, for one batch."""

    def __init__(self, config, orders, number, **options):
        spec = inspect_environment(config.environment)
        architecture = architecture_of(config, spec)
        network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))
        actor = ray.remote(FailingGradientActor).options(num_cpus=0, **options)
        arguments = orders, config, spec, UserProgram.of_this_process()
        self.others = OtherLearners(lambda: actor.remote(*arguments), number, kind_of_here("cpu"))
        self.num_lost = 0
        self.alone = PolicyPasses(config.learner, architecture, network)
        self.together = PolicyPasses(config.learner, architecture, network, share=self.others)
        self.parameters = list(network.parameters())
        worker = RolloutWorker(config, spec)
        weights = Weights(0, network.flat_weights())
        tickets = training_tickets(config, 0, 16)
        self.batch = concatenate([worker.play(ticket, weights)[1] for ticket in tickets])
        self.advantages = np.random.default_rng(0).normal(size=self.batch.num_steps)
        self.expected = self.gradient_of(self.alone)

    def gradient_of(self, passes):
        metrics = passes.differentiate(self.batch, self.advantages, 0.01)
        return [metrics, *(parameter.grad.tolist() for parameter in self.parameters)]

    def check(self):
        assert self.gradient_of(self.together) == self.expected
        news = self.others.news()
        self.num_lost += news.num_lost
        return list(news.sentences)

    def until(self, words):
        """Share gradients until this is said, and return all that was."""
        told = []
        wait_for(lambda: told.extend(self.check()) or any(words in text for text in told))
        return told


@pytest.fixture
def sharing(make_config, orders):
    return lambda number=1, **options: Sharing(make_config(), orders, number, **options)


def test_learners_that_share_a_gradient_arrive_at_the_same_bits(sharing):
    several = sharing(3)

    assert several.until("share") == ["4 learners share each gradient from now on"]
    assert several.check() == []
    assert several.num_lost == 0


def test_one_that_dies_is_replaced_and_its_share_is_not_lost(sharing, orders):
    several = sharing(2)
    several.until("3 learners share")
    orders.write_text("die")

    told = several.check()
    orders.write_text("")

    assert told == [
        f"learner {number} of 3 was lost (the process was killed, or crashed, or memory ran out); "
        "another is being started, and the result is the same"
        for number in (2, 3)
    ]
    assert several.num_lost == 2
    assert several.until("share") == ["3 learners share each gradient from now on"]


def test_those_that_hang_are_replaced_after_a_time_that_all_have_together(
    sharing, orders, monkeypatch
):
    several = sharing(2)
    several.until("3 learners share")
    monkeypatch.setattr(other_learners, "_SHORTEST_S", 4.0)
    orders.write_text("wait")
    began_s = time.monotonic()

    told = several.check()
    took_s = time.monotonic() - began_s
    orders.write_text("")

    assert len(told) == 2
    assert "was lost (it has not answered in time)" in told[0]
    assert 4 <= took_s < 8
    several.until("3 learners share")


def test_one_that_fails_says_why(sharing, orders):
    several = sharing()
    several.until("2 learners share")
    orders.write_text("raise")

    (told,) = several.check()

    assert told.startswith("learner 2 of 2 was lost (MemoryError: no room on the GPU")


def test_one_that_would_round_otherwise_is_not_used(sharing, orders):
    orders.write_text("differ")
    several = sharing()

    (told,) = several.until("is not used")

    assert "its node has torch 0.1 instead of" in told
    assert several.num_lost == 0


def test_one_that_dies_each_time_is_given_up(sharing, orders):
    several = sharing()
    orders.write_text("die")

    told = several.until("no other is started")

    assert sum("another is being started" in text for text in told) == 2
    assert several.check() == []
    assert several.num_lost == 3


def test_one_without_a_place_keeps_nobody_waiting_and_is_told_once(sharing, monkeypatch):
    monkeypatch.setattr(other_learners, "_START_PATIENCE_S", 0.0)
    several = sharing(num_gpus=1)

    (told,) = several.until("has not started")

    assert told.startswith("learner 2 of 2 has not started for 0 s: no node has room, or a GPU")
    assert several.check() == []

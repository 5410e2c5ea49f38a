"""Passes over a batch in several threads: the same bits, and only for networks that can share."""

import os
import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from played_batches import POLICIES, played_by
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.gradient import Differentiator, PolicyPasses
from reinforce.learner.learner import Learner
from reinforce.learner.networks.network import PolicyNetwork


def passes_of(architecture, num_threads=None, share=None, **config):
    network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))
    settings = LearnerConfig(**{"micro_batch_steps": 16, **config})
    return PolicyPasses(settings, architecture, network, num_threads, share), network


def a_batch(architecture):
    return played_by(Learner(LearnerConfig(), architecture, seed=0), architecture)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", POLICIES)
def test_the_number_of_threads_changes_no_bit(kind, precision):
    architecture = POLICIES[kind]
    batch = a_batch(architecture)
    advantages = np.random.default_rng(1).normal(size=batch.num_steps)

    def found(num_threads):
        passes, network = passes_of(architecture, num_threads, precision=precision, max_kl=0.1)
        metrics = passes.differentiate(batch, advantages, 0.01)
        policies = passes.distributions(batch, passes.compared_states(batch))
        metrics["entropies"] = [policy.entropy().tolist() for policy in policies]
        gradients = [parameter.grad.numpy() for parameter in network.parameters()]
        return metrics, gradients, passes.log_probs(batch)

    metrics, gradients, log_probs = found(1)
    for num_threads in (2, 5):
        others = found(num_threads)
        assert others[0] == metrics
        assert all(map(np.array_equal, others[1], gradients))
        assert np.array_equal(others[2], log_probs)


def sent(thing):
    """Send something to another process, where arrays cannot be written to and start anywhere."""
    buffers = []
    message = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    moved = [b"." * (4 * index) + buffer.raw().tobytes() for index, buffer in enumerate(buffers)]
    views = [memoryview(place)[4 * index :] for index, place in enumerate(moved)]
    return pickle.loads(message, buffers=views)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("entropy_coefficient", [0.0, 0.01])
@pytest.mark.parametrize("kind", [*POLICIES, "a user's own"])
def test_the_number_of_learners_changes_no_bit(kind, entropy_coefficient, precision):
    own = replace(POLICIES["mlp"], kind=f"{__name__}:TransitionRecorder")
    architecture = POLICIES.get(kind, own)
    batch = a_batch(architecture)
    advantages = np.random.default_rng(1).normal(size=batch.num_steps)
    num_shares = []

    def found(num_learners):
        def share(task, passes):
            own, *others = task.shares(num_learners)
            num_shares.append(1 + len(others))
            groups = passes.gradients(own)
            for other in others:
                settings = LearnerConfig(micro_batch_steps=16, precision=precision)
                helper = Differentiator(settings, architecture)
                groups += passes.received(
                    sent(helper.gradients(sent(other), sent(passes.flat_weights())))
                )
            return groups

        use = share if num_learners else None
        passes, network = passes_of(architecture, 1, use, precision=precision)
        metrics = passes.differentiate(batch, advantages, entropy_coefficient)
        reached = [p.grad.numpy() for p in network.parameters() if p.grad is not None]
        return metrics, reached

    metrics, gradients = found(0)
    for num_learners in (1, 2, 3, 4, 8, 20):
        others = found(num_learners)
        assert others[0] == metrics
        assert all(map(np.array_equal, others[1], gradients))
    assert num_shares == [1, 2, 3, 4, 8, 8]


def test_an_operation_in_a_thread_of_the_pool_is_one_thread():
    """Whatever the process was told before the thread was there."""
    passes, _ = passes_of(POLICIES["gru"], 2)
    with threadpool_limits(2):
        found = passes._pool.submit(threadpool_info).result()

    of_torch = [lib for lib in found if lib["user_api"] == "openmp" and "torch" in lib["filepath"]]
    assert [library["num_threads"] for library in of_torch] == [1]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_network_of_ours_is_called_in_threads_unless_the_batch_is_small():
    passes, network = passes_of(POLICIES["mlp"])
    small, network_of_small = passes_of(POLICIES["mlp"], micro_batch_steps=4096)
    batch = a_batch(POLICIES["mlp"])
    found = {}
    for one, its_network in ((passes, network), (small, network_of_small)):
        threads = set()
        its_network.register_forward_hook(lambda *_, to=threads: to.add(threading.get_ident()))
        one.differentiate(batch, np.ones(batch.num_steps), 0.0)
        found[one] = threads

    assert threading.get_ident() not in found[passes]
    assert found[small] == {threading.get_ident()}


callers = set()


class TransitionRecorder(nn.Module):
    """A user's policy that notes in which thread it is called, and does not need all it holds."""

    def __init__(self, observation_shapes, num_outputs):
        super().__init__()
        self.layer = nn.Linear(observation_shapes["observation"][0], num_outputs)
        self.unused = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.ones(num_outputs), requires_grad=False)

    def forward(self, observation):
        callers.add(threading.get_ident())
        return self.layer(observation["observation"]) * self.frozen


def test_a_users_network_is_called_in_one_thread_and_may_hold_what_no_gradient_reaches():
    """It may keep something from one call to the next."""
    architecture = replace(POLICIES["mlp"], kind=f"{__name__}:TransitionRecorder")
    batch = a_batch(architecture)
    callers.clear()
    passes, network = passes_of(architecture)

    passes.differentiate(batch, np.ones(batch.num_steps), 0.0)
    passes.log_probs(batch)

    assert callers == {threading.get_ident()}
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    assert reached == {"body.module.layer.weight", "body.module.layer.bias"}

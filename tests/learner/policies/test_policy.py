import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reinforce.learner.networks.network import PolicyNetwork, TorchPolicy
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.distributions import Categorical
from reinforce.learner.policies.policy import MLPPolicy
from reinforce.learner.policies.spaces import (
    VECTOR,
    ActionLayout,
    ActionLeaf,
    ObservationLayout,
    ObservationLeaf,
)
from reinforce.learner.policies.weights import Weights


def policy_and_network(activation="tanh", hidden_sizes=(16, 8), observation_size=4, num_actions=3):
    architecture = PolicyArchitecture.mlp(observation_size, hidden_sizes, activation, num_actions)
    network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.3)
    policy = MLPPolicy(architecture)
    policy.load(Weights(1, network.flat_weights()))
    return policy, network


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden_sizes", [(), (16,), (16, 8)])
@pytest.mark.parametrize("num_lanes", [1, 8, 256])
def test_numpy_and_torch_compute_the_same_logits(activation, hidden_sizes, num_lanes):
    policy, network = policy_and_network(activation, hidden_sizes)
    observations = np.random.default_rng(0).normal(size=(num_lanes, 4)).astype(np.float32)

    with torch.no_grad():
        expected = network(torch.from_numpy(observations)).numpy()

    np.testing.assert_allclose(policy.parameters(observations), expected, atol=1e-5)


def test_several_threads_may_ask_one_policy_for_other_numbers_of_rows():
    architecture = PolicyArchitecture.mlp(4, (64,), "tanh", 3)
    architecture = replace(architecture, normalize_observations=True)
    weights = Weights(1, np.ones(architecture.num_parameters, np.float32))
    interval_s = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-6)
        for _ in range(200):
            policy = MLPPolicy(architecture)
            policy.load(weights)
            observations = [np.zeros((num, 4), np.float32) for num in (640, 200, 300, 5000)]
            with ThreadPoolExecutor(len(observations)) as threads:
                shapes = [found.shape for found in threads.map(policy.parameters, observations)]
            assert shapes == [(640, 3), (200, 3), (300, 3), (5000, 3)]
    finally:
        sys.setswitchinterval(interval_s)


SMALL_IMAGE, LARGE_IMAGE = (
    ObservationLeaf(("eye",), "pixels", shape) for shape in ((9, 12, 3), (40, 52, 3))
)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "gru"])
@pytest.mark.parametrize("hidden_sizes", [(6,), (5, 7)])
@pytest.mark.parametrize("normalize_observations", [False, True])
@pytest.mark.parametrize("images", [(), (SMALL_IMAGE,), (LARGE_IMAGE,)])
def test_weights_are_counted_without_a_network(kind, hidden_sizes, normalize_observations, images):
    numbers = ObservationLeaf(("speed",), "numbers", (3,))
    gaussians = ActionLeaf((), "gaussian", (2,), "float32", low=(-1, -1), high=(1, 1))
    architecture = PolicyArchitecture(
        *(ObservationLayout((numbers, *images)), ActionLayout((gaussians,)), hidden_sizes, "tanh"),
        kind=kind,
        normalize_observations=normalize_observations,
    )

    network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))

    assert architecture.num_parameters == len(network.flat_weights())


@pytest.mark.parametrize("key", ["vector", "eye"])
def test_an_image_is_divided_by_255_under_any_name(key):
    image = ObservationLeaf((key,), "pixels", (4, 4))
    layout = ObservationLayout((image, ObservationLeaf(("speed",), "numbers", (2,))))
    architecture = replace(PolicyArchitecture.mlp(1, (5,), "tanh", 3), observation=layout)
    network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))
    policy = MLPPolicy(architecture)
    policy.load(Weights(1, network.flat_weights()))
    rows = layout.empty(6)
    generator = np.random.default_rng(0)
    rows[key] = generator.integers(0, 256, (6, 4, 4), np.uint8)
    rows[VECTOR] = generator.normal(size=(6, 2))

    with torch.no_grad():
        expected = network(rows).numpy()

    seen = np.concatenate([rows[VECTOR], rows[key].reshape(6, 16) / np.float32(255)], axis=1)
    np.testing.assert_array_equal(layout.flat(rows), seen)
    np.testing.assert_allclose(policy.parameters(rows), expected, atol=1e-6)


def test_the_behavior_log_probs_are_those_that_the_learner_recomputes():
    policy, network = policy_and_network()
    generator = np.random.default_rng(0)
    observations = generator.normal(size=(500, 4)).astype(np.float32)

    actions, parameters = policy.act(observations, generator.random(500))

    distribution = torch.distributions.Categorical(logits=network(torch.from_numpy(observations)))
    expected = distribution.log_prob(torch.from_numpy(actions)).detach().numpy()
    np.testing.assert_allclose(Categorical().log_prob(parameters, actions), expected, atol=1e-5)


def test_actions_come_with_the_probabilities_of_the_policy():
    policy, network = policy_and_network()
    observation = np.full((1, 4), 0.5, np.float32)
    uniforms = (np.arange(10_000) + 0.5) / 10_000  # every quantile once: no chance in this test

    actions, _ = policy.act(np.repeat(observation, 10_000, axis=0), uniforms)

    expected = network(torch.from_numpy(observation)).softmax(dim=1).detach().numpy()[0]
    np.testing.assert_allclose(np.bincount(actions, minlength=3) / 10_000, expected, atol=2e-4)


@given(st.floats(0, 1, exclude_max=True))
def test_any_uniform_gives_a_valid_action(uniform):
    policy, _ = policy_and_network()

    actions, parameters = policy.act(np.zeros((1, 4), np.float32), np.array([uniform]))

    assert 0 <= actions[0] < 3
    assert np.isfinite(Categorical().log_prob(parameters, actions)).all()


def test_an_action_of_no_probability_is_never_taken():
    architecture = PolicyArchitecture.mlp(1, (), "tanh", 3)
    policy = MLPPolicy(architecture)
    biases = [-200.0, 0.0, -200.0]  # exp(-200) is 0 in float32
    policy.load(Weights(0, np.array([0.0, 0.0, 0.0, *biases], np.float32)))

    actions, _ = policy.act(np.zeros((3, 1), np.float32), np.array([0.0, 0.5, 1 - 2**-53]))

    np.testing.assert_array_equal(actions, [1, 1, 1])


def test_greedy_is_the_most_probable_action():
    policy, network = policy_and_network()
    observations = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)

    expected = network(torch.from_numpy(observations)).argmax(dim=1).numpy()
    np.testing.assert_array_equal(policy.act_greedily(observations), expected)


def test_observations_of_any_shape_are_flattened():
    policy, _ = policy_and_network()
    observations = np.random.default_rng(2).normal(size=(5, 2, 2)).astype(np.float32)

    np.testing.assert_array_equal(
        policy.parameters(observations), policy.parameters(observations.reshape(5, 4))
    )


def test_weights_of_another_architecture_are_refused():
    policy, _ = policy_and_network()

    with pytest.raises(ValueError, match="7 weights do not fit"):
        policy.load(Weights(0, np.zeros(7, np.float32)))


def test_a_fresh_policy_is_nearly_uniform():
    architecture = PolicyArchitecture.mlp(4, (64, 64), "tanh", 2)
    network = PolicyNetwork(architecture, torch.Generator().manual_seed(3))
    observations = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))

    probabilities = network(observations).softmax(dim=1)

    assert (probabilities - 0.5).abs().max() < 0.02


def test_random_buffers_of_a_user_s_module_are_part_of_the_weights():
    """The seed of the learner is not that of the worker, which knows the weights alone."""
    architecture = replace(PolicyArchitecture.mlp(4, (), "tanh", 3), kind="user_package:Projecting")
    network = PolicyNetwork(architecture, torch.Generator().manual_seed(7))
    policy = TorchPolicy(architecture)
    observations = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)

    policy.load(Weights(1, network.flat_weights()))

    with torch.no_grad():
        expected = network(observations).numpy()
    np.testing.assert_allclose(policy.parameters(observations), expected, atol=1e-6)

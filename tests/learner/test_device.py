"""The learner on a GPU, in bfloat16, and compiled, each against the plain one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from played_batches import LENGTHS, POLICIES, played_by

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.device import MAX_DRIFT, NoGPUError
from reinforce.learner.learner import Learner, PolicyMismatchError
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.networks.torch_distributions import make_torch_distribution
from reinforce.learner.optimizer import Optimizer

TRAINED = 50.0
"""As if so much longer than at the start were the last layer's weights: its choices are clear."""


@pytest.fixture(params=POLICIES)
def architecture(request):
    return POLICIES[request.param]


def experienced(architecture, **config):
    """A learner whose policy is as sure of its actions as a trained one."""
    learner = Learner(LearnerConfig(micro_batch_steps=32, **config), architecture, seed=0)
    state, network = learner.state(), PolicyNetwork(architecture, torch.Generator())
    network.load_flat_weights(state.arrays["weights"])
    with torch.no_grad():
        [*network.body.modules()][-1].weight.mul_(TRAINED)
    state.arrays["weights"] = network.flat_weights()
    learner.load_state(state)
    return learner


def cosine(first, second):
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


def test_bfloat16_moves_log_probabilities_a_little_and_the_gradient_hardly_turns(architecture):
    exact = experienced(architecture)
    batch = played_by(exact, architecture)
    rounded = experienced(architecture, precision="bfloat16")

    # A relu switches where rounding changes the sign of what it is given.
    least = 0.98 if architecture.activation == "relu" else 0.999
    assert least < cosine(exact.gradient([batch]), rounded.gradient([batch])) < 1 - 1e-7
    drift = rounded.update([batch])[0].metrics["log_prob_drift_max"]
    assert 1e-4 < drift < 0.1
    assert exact.update([batch])[0].metrics["log_prob_drift_max"] < 1e-5


def test_whatever_is_kept_is_float32_with_bfloat16_too(architecture):
    learner = experienced(architecture, precision="bfloat16", baseline="value")
    batch = played_by(learner, architecture)

    learner.update([batch])

    exact = experienced(architecture, baseline="value")
    exact.update([batch])
    kept, kept_exactly = learner.state().arrays, exact.state().arrays
    types = {name: array.dtype for name, array in kept.items()}
    assert types == {name: array.dtype for name, array in kept_exactly.items()}


def test_importance_weights_are_not_rounded(architecture):
    """They are products over an episode, of ratios to what workers computed in float32."""
    learners = [experienced(architecture, precision=name) for name in ("float32", "bfloat16")]
    batch = played_by(learners[0], architecture)
    state = replace(learners[0].state(), version=1)
    state.arrays["weights"] = state.arrays["weights"] * np.float32(1.01)
    metrics = []

    for learner in learners:
        learner.load_state(state)
        metrics.append(learner.update([batch])[0].metrics)

    for name in ("effective_sample_size", "advantage_std"):
        assert metrics[0][name] == metrics[1][name]
    assert metrics[0]["effective_sample_size"] < len(LENGTHS)
    assert metrics[0]["surrogate_loss"] != metrics[1]["surrogate_loss"]


def test_another_policy_than_the_one_that_acted_is_refused_with_bfloat16_too():
    architecture = POLICIES["mlp"]
    learner = experienced(architecture, precision="bfloat16")
    batch = played_by(learner, architecture)
    other = replace(batch, behavior_log_probs=batch.behavior_log_probs - np.float32(0.7))

    with pytest.raises(PolicyMismatchError, match=r"limit 0.5 for learner.precision bfloat16"):
        learner.update([other])


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("name", "precision"),
    [("mlp", "float32"), ("mlp", "bfloat16"), ("cnn", "bfloat16"), ("gru", "float32")],
)
def test_what_torch_compiles_is_the_same_function_and_goes_on_after_a_resumption(name, precision):
    """With a bonus for entropy, for which one graph is differentiated twice."""
    architecture = POLICIES[name]
    options = {"precision": precision, "entropy_coefficient": 0.01}
    plain = experienced(architecture, **options)
    compiled, resumed = (experienced(architecture, **options, compile=True) for _ in range(2))
    first = played_by(plain, architecture)
    limit = 1 - 1e-6 if precision == "float32" else 0.98

    assert cosine(plain.gradient([first]), compiled.gradient([first])) > limit
    drift = compiled.update([first])[0].metrics["log_prob_drift_max"]
    assert drift < (1e-4 if precision == "float32" else 0.1)
    resumed.load_state(compiled.state())
    second = played_by(compiled, architecture, seed=1)
    assert compiled.update([second])[1].sha256 == resumed.update([second])[1].sha256


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_tensor_follows_the_policy_to_another_device(architecture, optimizer):
    """Torch's device without numbers refuses tensors of the CPU, as a GPU does."""
    batch = played_by(experienced(architecture), architecture)
    network = PolicyNetwork(architecture, torch.Generator(), "meta")
    actions = torch.from_numpy(batch.actions).to("meta")

    parameters = network(batch.observations, batch.episode_lengths)
    policy = make_torch_distribution(architecture.action, parameters)
    (policy.log_prob(actions) + policy.entropy() + policy.kl_from(policy)).sum().backward()
    Optimizer(optimizer, network.parameters()).step(0.1)

    assert {parameter.grad.device.type for parameter in network.parameters()} == {"meta"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_a_learner_on_one_says_what_to_do():
    with pytest.raises(NoGPUError, match=r"learner.device = 'cuda', .* use learner.device cpu"):
        Learner(LearnerConfig(device="cuda"), POLICIES["mlp"], seed=0)


on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


@on_a_gpu
@pytest.mark.parametrize("precision", MAX_DRIFT)
def test_on_a_gpu_the_policy_is_the_one_that_acted(architecture, precision):
    exact = experienced(architecture)
    batch = played_by(exact, architecture)
    there = experienced(architecture, device="cuda", precision=precision)

    assert cosine(exact.gradient([batch]), there.gradient([batch])) > 0.98
    drift = there.update([batch])[0].metrics["log_prob_drift_max"]
    assert drift < (1e-4 if precision == "float32" else 0.1)


@on_a_gpu
def test_on_a_gpu_the_same_batches_give_the_same_bits(architecture):
    digests = set()
    for _ in range(2):
        learner = experienced(architecture, device="cuda", baseline="value")
        for update in range(3):
            _, weights = learner.update([played_by(learner, architecture, seed=update)])
        digests.add(weights.sha256)

    assert len(digests) == 1


@on_a_gpu
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_state_goes_to_a_gpu_and_back_bit_by_bit(architecture, optimizer):
    settings = {"optimizer": optimizer, "baseline": "value"}
    here = experienced(architecture, **settings)
    here.update([played_by(here, architecture)])
    there = experienced(architecture, device="cuda", **settings)

    there.load_state(here.state())

    arrays = there.state().arrays
    for name, array in here.state().arrays.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    batch = played_by(here, architecture, seed=1)
    np.testing.assert_allclose(
        there.update([batch])[1].values, here.update([batch])[1].values, atol=1e-4
    )

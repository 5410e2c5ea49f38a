"""NumPy samples, Torch differentiates, ``torch.distributions`` is the judge of both."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_spaces import ACTION_SPACES
from torch import distributions as judge

from reinforce.learner.networks.torch_distributions import make_torch_distribution
from reinforce.learner.policies.distributions import make_distribution, masked
from reinforce.learner.policies.spaces import components_of
from reinforce.workers.spaces import action_layout

LAYOUTS = {name: action_layout(space) for name, space in ACTION_SPACES.items()}
by_space = pytest.mark.parametrize("name", LAYOUTS)
MASKED = [name for name, layout in LAYOUTS.items() if layout.num_choices]


def parameters_of(layout, num_rows=200, seed=0):
    generator = np.random.default_rng(seed)
    width = layout.num_outputs + layout.num_gaussians
    return generator.normal(size=(num_rows, width)).astype(np.float32)


def noise_of(layout, num_rows=200, seed=1):
    shape = (num_rows,) if layout.is_one_choice else (num_rows, layout.num_uniforms)
    return make_distribution(layout).noise(np.random.default_rng(seed).random(shape))


def some_masks(layout, num_rows=200):
    """Forbid about half of the choices of each component, never all."""
    masks = np.random.default_rng(2).random((num_rows, layout.num_choices)) < 0.5
    for component in components_of(layout):
        masks[:, component.outputs.start] |= ~masks[:, component.outputs].any(axis=1)
    return masks


def judges_of(layout, parameters):
    """(columns of the actions, torch distribution) of each component."""
    tensor = torch.from_numpy(parameters).double()
    for part in components_of(layout):
        outputs = tensor[:, part.outputs]
        if part.leaf.kind == "categorical":
            yield part, judge.Categorical(logits=outputs)
        elif part.leaf.kind == "binary":
            yield part, judge.Independent(judge.Bernoulli(logits=outputs), 1)
        else:
            normal = judge.Normal(outputs, tensor[:, part.log_stds].exp())
            yield part, judge.Independent(normal, 1)


def log_prob_of_the_judge(part, distribution, values):
    """The density of the environment's action, through torch's own transforms."""
    if part.leaf.kind != "gaussian":
        return distribution.log_prob(values)
    normal, total = distribution.base_dist, 0.0
    for i, is_squashed in enumerate(part.leaf.is_squashed):
        one = judge.Normal(normal.loc[:, i], normal.scale[:, i])
        total = total + one.log_prob(values[:, i])
        if is_squashed:
            half = 0.5 * (part.leaf.high[i] - part.leaf.low[i])
            tanh = judge.transforms.TanhTransform()
            squashed = tanh(values[:, i])
            total = total - tanh.log_abs_det_jacobian(values[:, i], squashed) - math.log(half)
    return total


@by_space
def test_the_log_probabilities_of_worker_learner_and_torch_are_one(name):
    layout = LAYOUTS[name]
    parameters = parameters_of(layout)

    ours = make_distribution(layout)
    actions = ours.sample(parameters.copy(), noise_of(layout))
    log_probs = ours.log_prob(parameters.copy(), actions)
    learned = make_torch_distribution(layout, torch.from_numpy(parameters)).log_prob(
        torch.from_numpy(actions)
    )

    flat = torch.from_numpy(actions.reshape(200, -1)).double()
    expected = sum(
        log_prob_of_the_judge(part, one, flat[:, part.actions])
        for part, one in judges_of(layout, parameters)
    )
    np.testing.assert_allclose(log_probs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(learned.numpy(), expected, rtol=1e-5, atol=1e-5)


@by_space
def test_entropies_and_divergences_are_those_of_torch(name):
    layout = LAYOUTS[name]
    before, after = parameters_of(layout), parameters_of(layout, seed=5)
    ours = [make_torch_distribution(layout, torch.from_numpy(p)) for p in (before, after)]

    pairs = list(zip(judges_of(layout, before), judges_of(layout, after), strict=True))
    expected = sum(judge.kl_divergence(old, new) for (_, old), (_, new) in pairs)
    np.testing.assert_allclose(ours[1].kl_from(ours[0]), expected, rtol=1e-4, atol=1e-5)
    if not any(any(leaf.is_squashed) for leaf in layout.leaves if leaf.kind == "gaussian"):
        expected = sum(one.entropy() for _, one in judges_of(layout, before))
        np.testing.assert_allclose(ours[0].entropy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 1.0, -3.0])
@pytest.mark.parametrize("std", [0.05, 0.6, 1.0, 2.0])
def test_the_entropy_of_a_squashed_gaussian_is_that_of_numerical_integration(mean, std):
    layout = LAYOUTS["bounded box"]
    parameters = torch.tensor([[mean, mean, math.log(std), math.log(std)]])
    u = np.linspace(mean - 12 * std, mean + 12 * std, 200_001)
    density = np.exp(-0.5 * ((u - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    log_slope = 2 * (math.log(2) - u - np.logaddexp(0, -2 * u))
    one = -np.trapezoid(density * (np.log(np.maximum(density, 1e-300)) - log_slope), u)

    found = make_torch_distribution(layout, parameters).entropy()

    # two components, of width 2 and 5
    assert float(found[0]) == pytest.approx(2 * one + math.log(1.0) + math.log(2.5), abs=2 * 1e-3)


@by_space
def test_samples_come_with_the_probabilities_of_the_policy(name):
    """Means over many samples, against the means of torch's distributions."""
    layout, count = LAYOUTS[name], 40_000
    parameters = np.repeat(parameters_of(layout, 1), count, axis=0)

    actions = make_distribution(layout).sample(parameters.copy(), noise_of(layout, count))

    flat = actions.reshape(count, -1).astype(np.float64)
    for part, one in judges_of(layout, parameters[:1]):
        found = flat[:, part.actions]
        if part.leaf.kind == "categorical":
            found = np.eye(part.outputs.stop - part.outputs.start)[found.astype(int)]
            expected = one.probs[0].numpy()
            deviations = np.sqrt(expected * (1 - expected))
        else:
            expected, deviations = one.mean[0].numpy(), one.variance[0].sqrt().numpy()
            np.testing.assert_allclose(found.std(axis=0), deviations, rtol=0.05, atol=1e-3)
        errors = np.abs(found.mean(axis=0) - expected) / (deviations / math.sqrt(count) + 1e-9)
        assert errors.max() < 5


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_forbids_and_both_sides_recompute_under_it(name):
    layout = LAYOUTS[name]
    parameters, masks = parameters_of(layout), some_masks(layout)
    sampler = make_distribution(layout)

    allowed = masked(parameters, masks)
    actions = sampler.sample(allowed, noise_of(layout))
    log_probs = sampler.log_prob(allowed, actions)

    ours = make_torch_distribution(layout, torch.from_numpy(parameters), torch.from_numpy(masks))
    np.testing.assert_allclose(
        ours.log_prob(torch.from_numpy(actions)), log_probs, rtol=1e-5, atol=1e-5
    )
    expected_parameters = np.where(masks, parameters, -np.inf).astype(np.float32)
    expected = 0.0
    for part, one in judges_of(layout, expected_parameters):
        for chosen in (actions, sampler.mode(allowed)):
            choices = chosen.reshape(200, -1)[:, part.actions]
            assert masks[np.arange(200), part.outputs.start + choices].all()
        p = one.probs
        expected = expected - (p * torch.where(p > 0, p, 1.0).log()).sum(dim=1)
    np.testing.assert_allclose(ours.entropy(), expected, rtol=1e-5, atol=1e-5)


def test_a_forbidden_choice_has_a_finite_gradient_of_zero():
    logits = torch.zeros(1, 3, requires_grad=True)
    ours = make_torch_distribution(LAYOUTS["discrete"], logits, torch.tensor([[True, False, True]]))

    (ours.log_prob(torch.tensor([0])) + ours.entropy()).sum().backward()

    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 1] == 0.0


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_any_uniforms_give_finite_numbers(first, second):
    ours, parameters = make_distribution(LAYOUTS["bounded box"]), np.zeros((1, 4), np.float32)

    actions = ours.sample(parameters, ours.noise(np.array([[first, second]])))

    assert np.isfinite(actions).all()
    assert np.isfinite(ours.log_prob(parameters, actions)).all()


@by_space
def test_the_noise_of_many_steps_is_that_of_each(name):
    """Workers make it of 128 steps of a lane; what they record may not depend on that."""
    ours, layout = make_distribution(LAYOUTS[name]), LAYOUTS[name]
    shape = () if layout.is_one_choice else (layout.num_uniforms,)
    uniforms = np.random.default_rng(0).random((128, *shape))

    at_once = ours.noise(uniforms)

    for count in (1, 3, 16):
        for start in range(0, 128, count):
            steps = slice(start, start + count)
            np.testing.assert_array_equal(at_once[steps], ours.noise(uniforms[steps]))


@by_space
def test_sampling_leaves_the_parameters_as_they_were(name):
    """They may share their memory with the state of a recurrent policy."""
    layout = LAYOUTS[name]
    parameters = parameters_of(layout)
    before = parameters.copy()

    actions = make_distribution(layout).sample(parameters, noise_of(layout))
    make_distribution(layout).log_prob(parameters, actions)

    np.testing.assert_array_equal(parameters, before)


@by_space
def test_greedy_actions_are_modes_and_means(name):
    layout = LAYOUTS[name]
    parameters = parameters_of(layout)

    greedy = make_distribution(layout).mode(parameters.copy()).reshape(200, -1)

    for part, one in judges_of(layout, parameters):
        if part.leaf.kind == "categorical":
            expected = one.probs.argmax(dim=1)
        else:
            expected = one.mean if part.leaf.kind == "gaussian" else one.mean > 0.5
        np.testing.assert_allclose(greedy[:, part.actions], expected, rtol=1e-6)

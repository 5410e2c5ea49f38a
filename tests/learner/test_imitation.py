"""Behaviour cloning: its gradient is that of the mean log-likelihood, its minibatches are all."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reinforce.configs.errors import ConfigError
from reinforce.configs.learning import LearnerConfig
from reinforce.learner.imitation import Imitation, held_out, minibatches
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.spaces import ActionLayout, ActionLeaf
from reinforce.learner.policies.trajectories import Trajectories, select

CONFIG = LearnerConfig(learning_rate=0.03, micro_batch_steps=5)
GAUSSIAN = ActionLeaf((), "gaussian", (2,), "float32", low=(-1.0, -np.inf), high=(1.0, np.inf))


def architecture(kind="mlp", *, gaussian=False, normalized=False):
    plain = PolicyArchitecture.mlp(3, (6,), "tanh", 4)
    action = ActionLayout((GAUSSIAN,)) if gaussian else plain.action
    return replace(plain, kind=kind, action=action, normalize_observations=normalized)


def demonstrations(lengths=(4, 1, 7, 2), *, gaussian=False, seed=0):
    generator, num = np.random.default_rng(seed), sum(lengths)
    observations = generator.normal(size=(num, 3)).astype(np.float32)
    actions = generator.normal(size=(num, 2)).astype(np.float32)
    return Trajectories(
        policy_version=0,
        observations=observations,
        actions=actions if gaussian else (observations.argmax(axis=1) % 4).astype(np.int64),
        rewards=np.zeros(num),
        behavior_log_probs=np.zeros(num, np.float32),
        episode_lengths=np.array(lengths),
        terminated=np.ones(len(lengths), bool),
        truncated=np.zeros(len(lengths), bool),
        final_observations=observations[: len(lengths)],
    )


def slow_log_likelihood(imitation, data, *, gaussian):
    """Step by step and in float64, by Torch's own distributions."""
    network = imitation._network.double()
    total = torch.zeros((), dtype=torch.float64)
    memory = torch.zeros(1, network.state_size, dtype=torch.float64)
    begins = {0, *np.cumsum(data.episode_lengths)[:-1].tolist()}
    for row in range(data.num_steps):
        if row in begins:
            memory = torch.zeros_like(memory)
        seen = {"(vector)": torch.from_numpy(data.observations[row : row + 1]).double()}
        if network.state_size:
            outputs, memory = network.body.step(seen, memory)
        else:
            outputs = network.body(seen)
        action = torch.from_numpy(data.actions[row : row + 1])
        if not gaussian:
            total = total + torch.distributions.Categorical(logits=outputs).log_prob(action)[0]
            continue
        normal = torch.distributions.Normal(outputs, network.log_stds.exp())
        slope = torch.log(1 - torch.tanh(action[:, 0].double()) ** 2)  # the other has no bounds
        total = total + normal.log_prob(action.double()).sum() - slope.sum()
    return total / data.num_steps


@pytest.mark.parametrize(("kind", "gaussian"), [("mlp", False), ("mlp", True), ("gru", False)])
def test_the_gradient_is_that_of_a_slow_oracle(kind, gaussian):
    data = demonstrations(gaussian=gaussian)
    imitation = Imitation(CONFIG, architecture(kind, gaussian=gaussian), 0, data)

    loss = imitation.gradient(data)
    found = [parameter.grad.clone() for parameter in imitation._network.parameters()]
    imitation._network.zero_grad()
    expected = -slow_log_likelihood(imitation, data, gaussian=gaussian)
    expected.backward()

    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for gradient, parameter in zip(found, imitation._network.parameters(), strict=True):
        torch.testing.assert_close(gradient.double(), parameter.grad, rtol=1e-4, atol=1e-6)


def test_equal_seeds_give_equal_weights_and_others_do_not():
    data = demonstrations([1] * 60)

    def digest(seed):
        imitation = Imitation(CONFIG, architecture(normalized=True), seed, data)
        assert len(list(imitation.epochs(data, 3, 16))) == 3
        return imitation.state().arrays["weights"].tobytes()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_the_data_is_learned_and_the_likelihood_is_the_mean_over_its_steps():
    data = demonstrations([1] * 200)
    imitation = Imitation(CONFIG, architecture(), 0, data)
    before = imitation.likelihood(data)

    *_, last = imitation.epochs(data, 30, 32)

    after = imitation.likelihood(data)
    assert after.log_likelihood > last - 0.1 > before.log_likelihood + 0.5
    assert after.accuracy > 0.95
    # Before, all four choices are nearly equally likely.
    assert before.log_likelihood == pytest.approx(-np.log(4), abs=0.02)


def test_statistics_of_the_observations_are_those_of_the_data():
    data = demonstrations([1] * 50)
    state = Imitation(CONFIG, architecture(normalized=True), 0, data).state()

    means, inverses = np.split(state.arrays["weights"][-6:], 2)
    np.testing.assert_allclose(means, data.observations.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(1 / inverses, data.observations.std(axis=0), rtol=1e-5)
    assert state.arrays["statistics.count"] == [50]


def test_numbers_have_a_likelihood_and_no_accuracy():
    data = demonstrations(gaussian=True)

    assert Imitation(CONFIG, architecture(gaussian=True), 0, data).likelihood(data).accuracy is None


def test_minibatches_hold_each_episode_once_whole_and_in_an_order_of_the_seed():
    lengths = np.array([3, 1, 4, 1, 5, 9, 2, 6])

    batches = minibatches(lengths, 8, np.random.SeedSequence(0))

    assert sorted(np.concatenate(batches).tolist()) == list(range(8))
    # Of about eight steps: whole episodes, of which the last begins before the eighth.
    assert [int(lengths[batch].sum()) for batch in batches] != [31]
    assert max(lengths[batch][:-1].sum() for batch in batches) < 16
    assert [b.tolist() for b in batches] == [
        b.tolist() for b in minibatches(lengths, 8, np.random.SeedSequence(0))
    ]
    assert [b.tolist() for b in batches] != [
        b.tolist() for b in minibatches(lengths, 8, np.random.SeedSequence(1))
    ]


def test_what_is_held_out_is_not_learned_from():
    data = demonstrations([1] * 40)

    learned, judge = held_out(data, 0.25, seed=0)

    assert (learned.num_episodes, judge.num_episodes) == (30, 10)
    rows = np.concatenate([learned.observations, judge.observations])
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, data.observations.tolist()))
    with pytest.raises(ConfigError, match="one must be held out"):
        held_out(demonstrations([5]), 0.1, seed=0)


def test_selected_episodes_are_whole_and_in_the_order_asked_for():
    data = demonstrations((2, 1, 3))

    some = select(data, np.array([2, 0]))

    assert some.episode_lengths.tolist() == [3, 2]
    np.testing.assert_array_equal(some.observations, data.observations[[3, 4, 5, 0, 1]])
    np.testing.assert_array_equal(some.final_observations, data.final_observations[[2, 0]])


def test_a_memory_needs_to_know_where_episodes_begin():
    with pytest.raises(ConfigError, match="add the array 'episode_lengths'"):
        Imitation(CONFIG, architecture("gru"), 0, demonstrations([1] * 4))

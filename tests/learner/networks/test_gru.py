import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reinforce.learner.micro_batches import episode_groups, micro_batches, some_states
from reinforce.learner.networks.gru import packing
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.policies.architecture import PolicyArchitecture

lengths_strategy = st.lists(st.integers(1, 9), min_size=1, max_size=12).map(np.array)


@given(lengths_strategy)
def test_packing_is_a_permutation_without_padding(lengths):
    order, inverse, widths = packing(lengths)

    rows = np.arange(lengths.sum())
    np.testing.assert_array_equal(np.sort(order.numpy()), rows)
    np.testing.assert_array_equal(order.numpy()[inverse.numpy()], rows)
    np.testing.assert_array_equal(
        widths.numpy(), [(lengths > t).sum() for t in range(max(lengths))]
    )


@pytest.mark.parametrize("lengths", [[1], [3, 3], [1, 5, 2, 5, 4]])
def test_whole_episodes_at_once_equal_step_after_step(lengths):
    architecture = PolicyArchitecture.mlp(3, (8, 5), "tanh", 2)
    architecture = PolicyArchitecture(
        architecture.observation, architecture.action, (8, 5), "tanh", kind="gru"
    )
    network = PolicyNetwork(architecture, torch.Generator().manual_seed(0))
    seen = np.random.default_rng(0).normal(size=(sum(lengths), 3)).astype(np.float32)

    with torch.no_grad():
        whole = network(seen, np.array(lengths))
        stepwise, start = [], 0
        for length in lengths:
            states = torch.zeros(1, network.state_size)
            for row in range(start, start + length):
                outputs, states = network.step(seen[row : row + 1], states)
                stepwise.append(outputs)
            start += length

    torch.testing.assert_close(whole, torch.cat(stepwise), atol=1e-6, rtol=1e-5)


@given(lengths_strategy, st.integers(1, 20), st.booleans())
def test_micro_batches_cover_every_step_once_and_may_keep_episodes_whole(lengths, steps, whole):
    parts = [
        part
        for group in episode_groups(len(lengths))
        for part in micro_batches(lengths, group, steps, whole_episodes=whole)
    ]

    rows = np.concatenate([np.arange(part.rows.start, part.rows.stop) for part in parts])
    np.testing.assert_array_equal(rows, np.arange(lengths.sum()))
    if whole:
        np.testing.assert_array_equal(np.concatenate([p.episode_lengths for p in parts]), lengths)
    for part in parts:
        is_one_long_episode = whole and len(part.episode_lengths) == 1
        assert part.rows.stop - part.rows.start <= steps or is_one_long_episode


@given(lengths_strategy, st.integers(1, 20))
def test_some_states_are_spread_over_the_batch(lengths, steps):
    total = lengths.sum()
    rows = np.arange(total)[some_states(lengths, steps, whole_episodes=False).rows]
    assert 1 <= len(rows) <= steps + 1
    chosen = some_states(lengths, steps, whole_episodes=True)
    assert len(chosen.rows) == chosen.episode_lengths.sum()

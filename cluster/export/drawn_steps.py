"""Random observations from a policy's space and its actions, for checking exports.

The environment is not created. Observations of every kind occur, and more kinds of actions than in
the few states of a good policy's episodes.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.distributions import Masks
from reinforce.learner.policies.seeds import Stream, seed_sequence
from reinforce.learner.policies.spaces import ObservationLeaf
from reinforce.workers.observations import observation_rows
from reinforce.workers.rollout_worker import architecture_of
from reinforce.workers.spaces import MASK_KEY, ActionDecoder, nested, unbatched

_EPISODE_STEPS = 20
"""Steps per episode, enough for a memory to matter."""


class Step(NamedTuple):
    """An observation and the action for it, both in the environment's form.

    Attributes:
        observation: The observation.
        action: The most probable action.
        mask: The action mask in ``info``; None if there is none.
        begins: Whether it is the first step of an episode.
    """

    observation: Any
    action: Any
    mask: Any = None
    begins: bool = False


def drawn_steps(policy: TrainedPolicy, num_steps: int, seed: int) -> list[Step]:
    """Return steps of invented episodes, the same for the same seed.

    Args:
        policy: The policy, whose memory lasts from step to step of an episode.
        num_steps: Number of steps, >= 1.
        seed: Seed of the observations, >= 0.
    """
    spec = policy.spec
    generator = np.random.default_rng(seed_sequence(seed, Stream.EXPORTED_STEPS))
    actor = make_policy(architecture_of(policy.config, spec))
    actor.load(policy.weights)
    decoder = ActionDecoder(spec.action)
    num_episodes = -(-num_steps // _EPISODE_STEPS)
    actor.begin(num_episodes)
    episodes: list[list[Step]] = [[] for _ in range(num_episodes)]
    for time in range(_EPISODE_STEPS):
        observations = _observations(policy, num_episodes, generator)
        masks = _masks(policy, num_episodes, generator)
        rows = observation_rows(spec.observation, observations)
        actions = decoder.singles(actor.act_greedily(rows, masks))
        for index, observation in enumerate(unbatched(observations, num_episodes)):
            mask = None if masks is None else masks[index]
            if spec.action_mask == "observation":
                observation[MASK_KEY], mask = mask, None
            episodes[index].append(Step(observation, actions[index], mask, begins=time == 0))
    return [step for episode in episodes for step in episode][:num_steps]


def _observations(policy: TrainedPolicy, num: int, generator: np.random.Generator) -> Any:
    """Return a batch of observations in the form of Gymnasium's vector environments."""
    layout = policy.spec.observation
    statistics = np.repeat(np.array([0.0, 1.0], np.float32), layout.vector_size)
    if policy.config.policy.normalize_observations and layout.vector_size:  # of pixels are none
        statistics = policy.weights.values[-2 * layout.vector_size :]
    means, inverses = np.split(statistics, 2)
    values, start = {}, 0
    for leaf in layout.leaves:
        columns = slice(start, start + leaf.size)
        if leaf.kind == "numbers":
            # Small ones and large ones: what is typical, nobody has said.
            size = 10.0 ** generator.uniform(-1, 1, (num, 1))
            drawn = means[columns] + size / inverses[columns] * generator.normal(
                size=(num, leaf.size)
            )
            values[leaf.path] = drawn.astype(np.float32).reshape(num, *leaf.shape)
        else:
            values[leaf.path] = _counted(leaf, num, generator)
        start += leaf.size if leaf.kind != "pixels" else 0
    return nested(values)


def _counted(leaf: ObservationLeaf, num: int, generator: np.random.Generator) -> NDArray[Any]:
    if leaf.kind == "pixels":
        return generator.integers(0, 256, (num, *leaf.shape), np.uint8)
    categories = generator.integers(leaf.counts, size=(num, len(leaf.counts))) + leaf.starts
    return categories.reshape(num, *leaf.shape)


def _masks(policy: TrainedPolicy, num: int, generator: np.random.Generator) -> Masks:
    """Return [num, num_choices] masks that allow at least one choice of each component."""
    layout = policy.spec.action
    if policy.spec.action_mask is None:
        return None
    masks = generator.random((num, layout.num_choices)) < 0.5
    sizes = np.diff([*layout.choice_starts, layout.num_choices])
    for start, size in zip(layout.choice_starts, sizes, strict=True):
        masks[np.arange(num), start + generator.integers(size, size=num)] = True
    return masks

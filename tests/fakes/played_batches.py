"""Policies of every kind, and batches that a worker could have played with them."""

import numpy as np
import torch

from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.distributions import make_distribution, masked
from reinforce.learner.policies.spaces import (
    ActionLayout,
    ActionLeaf,
    ObservationLayout,
    ObservationLeaf,
)
from reinforce.learner.policies.trajectories import Trajectories

NUMBERS = ObservationLayout((ObservationLeaf((), "numbers", (5,)),))
IMAGE = ObservationLayout((ObservationLeaf((), "pixels", (4, 36, 36)),))
CHOICE = ActionLayout((ActionLeaf((), "categorical", (), "int64", counts=(3,), starts=(0,)),))
BOUNDED = ActionLayout((ActionLeaf((), "gaussian", (2,), "float32", low=(-1, -1), high=(1, 1)),))

POLICIES = {
    "mlp": PolicyArchitecture(NUMBERS, CHOICE, (32, 32), "tanh"),
    "mlp, Gaussian": PolicyArchitecture(NUMBERS, BOUNDED, (32, 32), "tanh"),
    "mlp, normalised": PolicyArchitecture(
        NUMBERS, BOUNDED, (32,), "tanh", normalize_observations=True
    ),
    "cnn": PolicyArchitecture(IMAGE, CHOICE, (32,), "relu", kind="cnn"),
    "gru": PolicyArchitecture(NUMBERS, CHOICE, (16,), "tanh", kind="gru"),
}
LENGTHS = np.array([40, 3, 25, 1, 30, 12, 9, 20])


def played_by(learner, architecture, seed=0, masks=None):
    """What a worker would send: played on the CPU, in float32."""
    generator, num_steps = np.random.default_rng(seed), int(LENGTHS.sum())
    dtype, shape = architecture.observation.row_type
    observations = generator.normal(size=(num_steps, *shape))
    if architecture.observation.pixel_leaves:
        observations = generator.integers(0, 256, (num_steps, *shape))
    observations = observations.astype(dtype)
    network = PolicyNetwork(architecture, torch.Generator())
    network.load_flat_weights(learner.weights().values)
    with torch.no_grad():
        parameters = masked(network(observations, LENGTHS).numpy(), masks)
    distribution = make_distribution(architecture.action)
    action = architecture.action
    columns = () if action.is_one_choice else (action.num_uniforms,)
    noise = distribution.noise(generator.random((num_steps, *columns)))
    actions = distribution.sample(parameters, noise)
    return Trajectories(
        policy_version=learner.version,
        observations=observations,
        actions=actions,
        rewards=generator.normal(size=num_steps),
        behavior_log_probs=distribution.log_prob(parameters, actions),
        episode_lengths=LENGTHS,
        terminated=np.ones(len(LENGTHS), np.bool_),
        truncated=np.zeros(len(LENGTHS), np.bool_),
        final_observations=np.zeros((len(LENGTHS), *shape), dtype),
        action_masks=masks,
    )

"""Policies of all kinds, for all pairs of spaces, act the same as a program and as an ONNX graph.

The policies are not trained: weights far from where they begin say more than two updates do.
"""

import importlib.util
import itertools

import numpy as np
import onnxruntime
import pytest
import torch
from gymnasium.spaces import Box
from sample_spaces import ACTION_SPACES, OBSERVATION_SPACES

from reinforce.cluster.errors import UsageError
from reinforce.cluster.export.bundle import write_bundle
from reinforce.cluster.export.drawn_steps import drawn_steps
from reinforce.cluster.export.onnx_graph import write_onnx
from reinforce.cluster.export.onnx_ports import input_ports, output_ports
from reinforce.cluster.export.onnx_replay import different_steps
from reinforce.learner.networks.exported import UnexportableNetworkError
from reinforce.learner.networks.network import TorchPolicy
from reinforce.workers.rollout_worker import architecture_of

KINDS = ("mlp", "cnn", "gru", "user_package:Attentive")
PAIRS = [
    (KINDS[i % 4], *pair)  # each pair once, and each kind with a quarter of them
    for i, pair in enumerate(itertools.product(OBSERVATION_SPACES, ACTION_SPACES))
]
EACH_ONCE = [
    (KINDS[i % 4], list(OBSERVATION_SPACES)[i % 10], action)
    for i, action in enumerate(ACTION_SPACES)
]
WITH_MASKS = [
    ("gru", "box", "discrete from 7", "info"),
    ("user_package:Attentive", "dict", "discrete", "observation"),
]


def check(policy, folder, num_steps):
    steps = drawn_steps(policy, num_steps, seed=0)

    about = write_bundle(folder, policy, steps, onnx=True)

    assert different_steps(folder / "policy.onnx", about, steps) == []
    description = importlib.util.spec_from_file_location("predict", folder / "predict.py")
    program = importlib.util.module_from_spec(description)
    description.loader.exec_module(program)
    assert program.main() == 0
    replayed = program.Policy()
    parameters = [replayed.parameters(step.observation) for step in steps[:20]]
    assert np.ptp(parameters, axis=0).max() > 1e-3  # what is seen decides
    return steps


@pytest.mark.parametrize(("kind", "observation", "action"), EACH_ONCE)
def test_each_kind_of_observation_and_action_leaves(kind, observation, action, untrained, tmp_path):
    steps = check(untrained(kind, observation, action), tmp_path, 100)

    assert len({str(step.action) for step in steps}) > 1


@pytest.mark.parametrize(("kind", "observation", "action", "masks"), WITH_MASKS)
def test_what_is_not_allowed_is_not_done(kind, observation, action, masks, untrained, tmp_path):
    check(untrained(kind, observation, action, masks), tmp_path, 100)


REFUSED = {
    "Branching": (
        "cannot be exported by torch.export",
        "must not depend on the values of tensors",
    ),
    "Rare": ("the operator 'aten::special_bessel_j0' to ONNX", "without the graph, predict.py and"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_cannot_write_down_is_refused_by_name_in_one_message(
    name, untrained, tmp_path, capfd
):
    policy = untrained(f"user_package:{name}", "box", "discrete")
    steps = drawn_steps(policy, 1, seed=0)

    with pytest.raises(UnexportableNetworkError) as refusal:
        write_bundle(tmp_path, policy, steps, onnx=True)

    assert f"policy.kind = 'user_package:{name}'" in str(refusal.value)
    assert all(words in str(refusal.value) for words in REFUSED[name])
    assert capfd.readouterr() == ("", "")


def test_rounding_grows_with_the_bounds_of_an_action(untrained, tmp_path, monkeypatch):
    monkeypatch.setitem(ACTION_SPACES, "wide box", Box(-5000.0, 5000.0, (2,), np.float32))

    check(untrained("mlp", "box", "wide box"), tmp_path, 1000)


def test_programs_and_graphs_take_any_number_of_observations(untrained, tmp_path):
    policy = untrained("user_package:Counter", "box", "bounded box")
    write_bundle(tmp_path, policy, drawn_steps(policy, 1, seed=0), onnx=True)
    generator = np.random.default_rng(0)
    numbers, memory = generator.normal(size=(2, 5, 3)).astype(np.float32)
    network = torch.export.load(tmp_path / "policy.pt2").module()
    session = onnxruntime.InferenceSession(str(tmp_path / "policy.onnx"))

    parameters, next_memory = network(*map(torch.from_numpy, (numbers, memory)))
    inputs = {"observation": numbers, "memory": memory}
    found = session.run(["parameters", "next_memory", "action"], inputs)

    expected = TorchPolicy(architecture_of(policy.config, policy.spec))
    expected.load(policy.weights)
    expected._states = torch.from_numpy(memory)
    np.testing.assert_allclose(parameters.detach(), expected.parameters(numbers), atol=1e-6)
    np.testing.assert_allclose(found[0], parameters.detach(), atol=1e-6)
    np.testing.assert_allclose(found[1], next_memory.detach(), atol=1e-6)
    assert found[2].shape == (5, 2)


def test_parts_named_like_another_input_or_output_have_a_longer_name():
    leaf = {"kind": "numbers", "shape": [2]}
    action = {"kind": "categorical", "path": [], "shape": [], "counts": [3], "dtype": "int64"}
    about = {
        "observation": [{**leaf, "path": [key]} for key in ("action", "mask", "memory", "speed")],
        "action": [action],
        "action_mask": "info",
        "memory": 4,
    }

    assert [port.name for port in input_ports(about)] == [
        *("observation.action", "observation.mask", "observation.memory", "speed"),
        *("mask", "memory"),
    ]
    assert [port.name for port in output_ports(about)] == ["action", "logits", "next_memory"]


def test_two_parts_of_an_action_under_one_name_are_refused(tmp_path):
    choice = {"kind": "categorical", "shape": [], "counts": [3], "starts": [0], "dtype": "int64"}
    about = {
        "observation": [{"kind": "numbers", "path": [], "shape": [2]}],
        "action": [{**choice, "path": path} for path in (["arm", "grip"], ["arm.grip"])],
        "action_mask": None,
        "memory": 0,
        "program": None,
    }

    with pytest.raises(UsageError, match=r"two outputs named 'action\.arm\.grip'"):
        write_onnx(tmp_path / "policy.onnx", about, {}, None)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "observation", "action"), PAIRS)
def test_every_pair_of_spaces_leaves(kind, observation, action, untrained, tmp_path):
    check(untrained(kind, observation, action), tmp_path, 200)

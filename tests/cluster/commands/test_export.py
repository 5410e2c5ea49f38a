"""The bundle acts as the policy did, without this project, or it is refused."""

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file

from reinforce.cluster.cli import main
from reinforce.cluster.commands.export import write_checked
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import ExportError
from reinforce.cluster.export.drawn_steps import drawn_steps
from reinforce.cluster.export.trained_policy import TrainedPolicy
from reinforce.cluster.new_run import run_training
from reinforce.learner.make_policy import make_policy
from reinforce.learner.policies.policy import MLPPolicy
from reinforce.workers.environment import make_environment
from reinforce.workers.observations import row_writer
from reinforce.workers.rollout_worker import architecture_of


@pytest.fixture(scope="module")
def bundle(trained_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "CartPole für alle"
    options = ["--output", str(folder), "--steps", "200", "--onnx"]
    assert main(["export", str(trained_run), *options]) == 0
    return folder


def program_of(folder):
    """The module predict.py of a bundle."""
    description = importlib.util.spec_from_file_location("predict", folder / "predict.py")
    program = importlib.util.module_from_spec(description)
    description.loader.exec_module(program)
    return program


def test_the_bundle_holds_what_its_readme_says(bundle):
    names = {path.name for path in bundle.iterdir()}

    assert names == {
        *("README.md", "predict.py", "policy.safetensors", "policy.json", "policy.onnx"),
        *("steps.jsonl", "checkpoint.safetensors"),
    }
    readme = (bundle / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in names - {"README.md"})


def test_the_program_knows_nothing_of_this_project_nor_of_torch(bundle):
    script = (
        "import sys; sys.path.insert(0, '.'); import predict; code = predict.main(); "
        "strangers = {'torch', 'gymnasium', 'ray', 'mlflow', 'cluster', 'learner', 'workers'}; "
        "assert not strangers & set(sys.modules), strangers & set(sys.modules); sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=bundle,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    steps = len((bundle / "steps.jsonl").read_text().splitlines())
    assert result.stdout == f"{steps} of {steps} recorded actions are equal\n"


def test_a_changed_weight_is_found_by_the_bundle_itself(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "policy.safetensors")
    tensors["layers.2.bias"] = tensors["layers.2.bias"] + np.array([1, 0], np.float32)
    save_file(tensors, tmp_path / "policy.safetensors")

    result = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "predict.py")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert "the first that differs is in line" in result.stdout


def test_one_wrong_action_refuses_the_export(trained_run, tmp_path):
    policy = TrainedPolicy.load(trained_run, best=False, plays=False)
    steps = drawn_steps(policy, 50, seed=0)
    steps[7] = steps[7]._replace(action=1 - steps[7].action)

    for onnx, who in ((False, r"predict.py acts differently: \d+ of"), (True, "policy.onnx acts")):
        folder = tmp_path / who[:6]
        folder.mkdir()
        with pytest.raises(ExportError, match=who):
            write_checked(folder, policy, steps, onnx=onnx)


def test_logits_of_program_graph_and_worker_agree(bundle, trained_run):
    policy = TrainedPolicy.load(trained_run, best=False)
    worker_policy = MLPPolicy(architecture_of(policy.config, policy.spec))
    worker_policy.load(policy.weights)
    observations = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    expected = worker_policy.parameters(observations.copy())

    program = program_of(bundle).Policy()
    session = onnxruntime.InferenceSession(str(bundle / "policy.onnx"))
    actions, logits = session.run(["action", "logits"], {"observation": observations})

    np.testing.assert_allclose(program.outputs(observations), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(actions, expected.argmax(axis=1))


def test_sampled_actions_follow_the_softmax_of_the_logits(bundle):
    policy = program_of(bundle).Policy()
    leaf = {"kind": "categorical", "path": [], "shape": [], "counts": [3], "starts": [5]}
    policy.about["action"] = [leaf]
    generator = np.random.default_rng(0)
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))

    actions = [policy.decode(logits, generator) for _ in range(4000)]

    shares = [actions.count(action) / 4000 for action in (5, 6, 7)]
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.03)


def test_nested_observations_and_actions_of_every_kind_are_translated(bundle):
    policy = program_of(bundle).Policy()
    policy.about["observation"] = [
        {"kind": "numbers", "path": ["place"], "shape": [2]},
        {"kind": "categories", "path": ["kind"], "shape": [], "counts": [3], "starts": [1]},
    ]
    box = {"kind": "gaussian", "path": ["a", 0], "shape": [3], "dtype": "float32"}
    policy.about["action"] = [
        {**box, "low": [-2, 0, None], "high": [2, None, None]},
        {"kind": "binary", "path": ["a", 1], "shape": [2], "dtype": "int8"},
    ]

    policy._tensors["log_std"] = np.zeros(3, np.float32)

    flat = policy.encode({"place": [0.5, -1.0], "kind": 2})
    action = policy.decode(np.array([0.5, -0.7, 9.0, 0.1, -0.1], np.float32))

    assert flat.tolist() == [0.5, -1.0, 0.0, 1.0, 0.0]
    numbers, decisions = action["a"]
    np.testing.assert_allclose(numbers, [2 * np.tanh(0.5), 0.0, 9.0], rtol=1e-6)
    assert decisions.tolist() == [1, 0]


BAD = {
    "no output": (["RUN"], "--output"),
    "existing output": (["RUN", "--output", "."], "'.' exists already; choose"),
    "unwritable output": (["RUN", "--output", "/proc/x/y"], "cannot write '/proc/x/y'"),
    "no run": (["none", "--output", "new"], "none does not exist"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_exported_is_said_once_and_leaves_nothing(
    case, trained_run, tmp_path, monkeypatch, capsys
):
    arguments, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    words = [str(trained_run) if word == "RUN" else word for word in arguments]

    assert main(["export", *words]) == 2

    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_actions_start_where_the_environment_counts_from(make_config, tmp_path):
    environment = {"id": "fake_environments:Countdown-v0", "kwargs": {"start": 3}}
    run_training(make_config(environment=environment), PlainConsole(quiet=True), 0.0)

    folder = tmp_path / "bundle"
    arguments = ["--output", str(folder), "--onnx"]
    assert main(["export", str(tmp_path / "runs" / "test"), *arguments]) == 0

    lines = Path(folder / "steps.jsonl").read_text().splitlines()
    assert {json.loads(line)["action"] for line in lines} <= {3, 4}


ONE_IMAGE = {"id": "space_tasks:BrightQuarter"}
MASKED = {"id": "space_tasks:Samples"}
PLAIN = {"id": "space_tasks:PlainPictures"}
CHANNELS_FIRST = {**PLAIN, "kwargs": {"shape": [4, 3, 36, 40], "brightest": 255}}
NARROW = {**PLAIN, "kwargs": {"shape": [6, 20], "brightest": 255}}
FRAMES = {"wrappers": [{"FrameStackObservation": {"stack_size": 3}}]}

PLAYED = {
    "numbers": ({"id": "Pendulum-v1"}, {"normalize_observations": True}),
    "categories": ({"id": "FrozenLake-v1"}, {}),
    "normalised": ({"id": "Acrobot-v1"}, {"normalize_observations": True}),
    "tuple of categories": ({"id": "Blackjack-v1"}, {}),
    "flat image": (ONE_IMAGE, {"activation": "relu"}),
    "image": (ONE_IMAGE, {"kind": "cnn", "activation": "relu"}),
    "large image": ({"id": "space_tasks:Pictures"}, {"kind": "cnn"}),
    "frames": ({"id": "space_tasks:Pictures", **FRAMES}, {"kind": "cnn"}),
    "frames, channels first": (CHANNELS_FIRST, {"kind": "cnn"}),
    "many channels": ({"id": "one_hot_image:Planes"}, {"kind": "cnn"}),
    "channels as named": (
        {"id": "one_hot_image:Planes", "kwargs": {"sides": [5, 7]}},
        {"kind": "cnn", "channels": "last"},
    ),
    "narrow image": (NARROW, {"kind": "cnn"}),
    "memory": ({"id": "space_tasks:Recall"}, {"kind": "gru", "hidden_sizes": [8, 6]}),
    "memory of images": (ONE_IMAGE, {"kind": "gru"}),
    "masks beside": ({**MASKED, "kwargs": {"masks": "info"}}, {}),
    "masks among": ({**MASKED, "kwargs": {"masks": "observation"}}, {}),
    "masks of parts": ({"id": "space_tasks:MaskedParts", "kwargs": {"space": "tuple"}}, {}),
    "everything, flat": (MASKED, {"normalize_observations": True}),
    "everything": (
        MASKED,
        # Images of noise drive hyperbolic tangents to their ends.
        {"kind": "cnn", "normalize_observations": True, "activation": "relu"},
    ),
    "everything, with memory": (MASKED, {"kind": "gru"}),
}


@pytest.mark.parametrize("case", PLAYED)
def test_policies_of_all_kinds_and_spaces_act_the_same_in_the_bundle(case, make_config, tmp_path):
    environment, policy = PLAYED[case]
    if environment["id"] == "space_tasks:Samples":
        masks = environment.get("kwargs", {})
        pair = {"observation": "all", "action": "all"}
        pair = {"observation": "discrete", "action": "discrete"} if masks else pair
        environment = {**environment, "kwargs": {**pair, **masks}}
    config = make_config(
        environment={**environment, "max_episode_steps": 40},
        policy={"hidden_sizes": [8], **policy},
        learner={"learning_rate": 0.001},  # more, and units of the network are stuck at their ends
        run={"name": "test", "seed": 1},
    )
    run_training(config, PlainConsole(quiet=True), 0.0)

    folder = tmp_path / "bundle"
    arguments = ["--output", str(folder), "--onnx", "--steps", "200"]
    assert main(["export", str(tmp_path / "runs" / "test"), *arguments]) == 0

    assert len((folder / "steps.jsonl").read_text().splitlines()) > 0
    found, expected = logits_of(program_of(folder).Policy(), tmp_path / "runs" / "test")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (
        np.ptp(expected, axis=0).max() > 1e-3
    )  # what is seen decides: equality is not for nothing


def logits_of(program, run):
    """[steps, num_parameters] of the program and of the worker's policy, for an episode of all that
    can be seen: some of the environments above show the same again and again."""
    trained = TrainedPolicy.load(run, best=False)
    policy = make_policy(architecture_of(trained.config, trained.spec))
    policy.load(trained.weights)
    policy.begin(1)
    space = make_environment(trained.config.environment).observation_space
    space.seed(0)
    rows, found, expected = trained.spec.observation.empty(1), [], []
    for _ in range(8):
        observation = space.sample()
        row_writer(trained.spec.observation, rows)(0, observation)
        expected.append(policy.parameters(rows.copy())[0])
        found.append(program.parameters(observation))
    return np.array(found), np.array(expected)


def test_a_policy_that_forgets_to_begin_acts_differently(make_config, tmp_path):
    config = make_config(environment={"id": "space_tasks:Recall"}, policy={"kind": "gru"})
    run_training(config, PlainConsole(quiet=True), 0.0)
    folder = tmp_path / "bundle"
    assert main(["export", str(tmp_path / "runs" / "test"), "--output", str(folder)]) == 0
    policy = program_of(folder).Policy()
    observation = policy.encode(0)[None]

    first, second = policy.outputs(observation), policy.outputs(observation)
    policy.begin()

    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(policy.outputs(observation), first)
    assert "policy.begin()" in (folder / "README.md").read_text()


def test_a_network_of_ones_own_leaves_without_its_class_and_without_a_pickle(make_config, tmp_path):
    config = make_config(
        environment={
            "id": "space_tasks:Samples",
            "kwargs": {"observation": "box", "action": "bounded box"},
        },
        policy={"kind": "user_package:Counter", "normalize_observations": True},
    )
    run_training(config, PlainConsole(quiet=True), 0.0)
    run, folder = tmp_path / "runs" / "test", tmp_path / "bundle"
    arguments = ["--output", str(folder), "--onnx"]

    assert main(["export", str(run), *arguments]) == 0

    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "predict.py", "policy.pt2", "policy.json", "policy.onnx", "steps.jsonl"),
        "checkpoint.safetensors",
    }
    assert pickles_of(folder / "policy.pt2") == []
    program = program_of(folder).Policy()
    found, expected = logits_of(program, run)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3


def pickles_of(file):
    """The members of a .pt2 archive that hold what only pickle reads."""
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    return [
        name
        for name, content in contents.items()
        if content[:1] == b"\x80" or content[:2] == b"PK" or b'"use_pickle": true' in content
    ]

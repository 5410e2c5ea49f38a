"""Models of every kind of policy act as the policy does, loaded by MLflow and fed as documented."""

import json
import os
import subprocess
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.export.drawn_steps import drawn_steps
from reinforce.cluster.export.onnx_replay import inputs_of
from reinforce.cluster.export.predict import at, is_equal
from reinforce.cluster.new_run import run_training
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.model_files import save_model, write_checked_bundle

MODELS = {
    "one array, one choice": ("mlp", "box", "discrete", ""),
    "images": ("cnn", "image", "multi-discrete grid", ""),
    "a memory": ("gru", "box", "bounded box", ""),
    "a memory and masks in info": ("gru", "multi-discrete", "discrete from 7", "info"),
    "masks among what is seen": ("mlp", "tuple", "discrete", "observation"),
    "nested both ways": ("mlp", "dict", "dict", ""),
    "a module of one's own": ("user_package:Attentive", "dict", "tuple", ""),
    "one with a memory": ("user_package:Counter", "box", "unbounded box", ""),
}


@pytest.fixture
def saved(untrained, store_uri, tmp_path):
    """A function that saves a model and returns its folder, its description and its policy."""
    client = MlflowClient(store_uri)
    experiment_id = client.create_experiment("models", (tmp_path / "artifacts").as_uri())

    def save(name):
        policy = untrained(*MODELS[name])
        about = write_checked_bundle(tmp_path / "bundle", policy)
        logged = client.create_logged_model(experiment_id, "policy")
        save_model(tmp_path / "model", tmp_path / "bundle", about, policy, logged)
        return tmp_path / "model", about, policy

    return save


def by_time(steps):
    """Return for each time the steps of all episodes, which are of one length."""
    starts = [number for number, step in enumerate(steps) if step.begins]
    return [list(row) for row in zip(*(steps[i : i + 20] for i in starts), strict=True)]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_takes_rows_by_name_and_acts_as_the_policy(name, saved):
    folder, about, policy = saved(name)
    model = mlflow.pyfunc.load_model(str(folder))
    outputs = {port.name: port for port in model.metadata.signature.outputs.inputs}
    num = 3
    memory = np.zeros((num, about["memory"]), np.float32)

    for steps in by_time(drawn_steps(policy, 20 * num, seed=5)):
        rows = [inputs_of(about, step, memory[:1]) for step in steps]
        inputs = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
        if about["memory"]:
            inputs["memory"] = memory
        is_plain = list(inputs) == ["observation"]
        found = model.predict(inputs["observation"] if is_plain else inputs)
        if about["memory"]:
            memory = found["next_memory"]
        for leaf in about["action"]:
            path = leaf["path"]
            acted = (
                found[".".join(map(str, ["action", *path]))] if isinstance(found, dict) else found
            )
            for row, step in enumerate(steps):
                assert is_equal(leaf, acted[row], at(step.action, path))
    expected = {"next_memory"} if about["memory"] else set()
    assert {*outputs} - expected == ({None} if outputs.keys() == {None} else {*found} - expected)


def test_a_model_comes_with_an_example_that_it_takes(saved):
    folder, _, _ = saved("nested both ways")
    model = mlflow.pyfunc.load_model(str(folder))

    found = model.predict(model.input_example)

    assert found["action.arm.joints"].shape == (2, 3)
    assert found["action.gear"].dtype == np.int64


def test_a_table_is_as_good_as_arrays(saved):
    """One column per number, or per part of the observation a column of lists."""
    folder, _, _ = saved("one array, one choice")
    model = mlflow.pyfunc.load_model(str(folder))
    observations = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)

    found = model.predict(pd.DataFrame(observations, columns=["x", "y", "z"]))

    np.testing.assert_array_equal(found, model.predict(observations))
    assert found.shape == (6,)


WITHOUT_US = """
import sys
sys.modules["reinforce"] = None  # as if it were not installed
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
found = model.predict(model.input_example)
print(sorted(found), {"torch", "gymnasium"} & set(sys.modules))
"""


def test_a_model_needs_neither_this_project_nor_a_pickle(saved, tmp_path):
    folder, _, _ = saved("a memory and masks in info")

    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, str(folder)],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "['action', 'next_memory'] set()"
    requirements = (folder / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in requirements] == ["mlflow", "numpy", "safetensors"]


def test_a_network_that_cannot_be_written_down_is_named_once(make_config, store_uri, capsys):
    config = make_config(
        environment={"id": "CartPole-v1"},
        policy={"kind": "user_package:Branching", "hidden_sizes": []},
        stop={"max_updates": 1},
    )
    run_training(config, PlainConsole(quiet=True), 0.0)
    run = RunDirectory(config.run.directory / "test")
    capsys.readouterr()

    sync_run_directory(run)

    told = capsys.readouterr().err
    assert (
        told.count("policy.kind = 'user_package:Branching' cannot be exported by torch.export") == 1
    )
    tracked = json.loads(run.tracking_file.read_text())
    assert MlflowClient(store_uri).search_logged_models([tracked["experiment_id"]]) == []

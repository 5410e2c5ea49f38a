"""The best and the last policy as models: found by their metrics, loaded without unpickling."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from mlflow import MlflowClient

from cluster.cli import main
from cluster.commands.sync import sync_run_directory
from cluster.records.checkpoint import encode, load_checkpoint
from cluster.records.run_directory import RunDirectory, read_json

LOAD = """
import json, sys
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
observations = np.array(json.loads(sys.argv[3]), dtype=np.float32)
print(json.dumps([model.predict(observations).tolist(), "torch" in sys.modules]))
"""

OBSERVATIONS = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


@pytest.fixture
def run(tmp_path, monkeypatch, store_uri):
    """A short run, registered under a name, with another version as its best."""
    monkeypatch.chdir(tmp_path)
    arguments = ["--cluster.backend", "inline", "--stop.max_updates", "4", "--run.name", "mine"]
    options = ["--tracking.enabled", "false", "--tracking.register_as", "balancer"]
    assert main(["train", "cartpole", *arguments, *options]) == 0
    run = RunDirectory(tmp_path / "runs" / "mine")
    (last,) = run.checkpoints.glob("update-*.safetensors")
    checkpoint = load_checkpoint(last)
    best = replace(
        checkpoint,
        learner=replace(checkpoint.learner, version=3),
        progress=replace(checkpoint.progress, updates=3),
    )
    (run.checkpoints / "best.safetensors").write_bytes(encode(best))
    sync_run_directory(run)
    return run


def models_of(store_uri, run):
    state = read_json(run.tracking_file)
    found = MlflowClient(store_uri).search_logged_models([state["experiment_id"]])
    return {model.tags["kind"]: model for model in found if model.source_run_id == state["run_id"]}


def expected_actions(run):
    from configs.loading import load_config
    from learner.policy import MLPPolicy
    from learner.weights import Weights
    from workers.environment import inspect_environment
    from workers.rollout_worker import architecture_of

    config = load_config(str(run.config_file))
    policy = MLPPolicy(architecture_of(config, inspect_environment(config.environment)))
    (last,) = run.checkpoints.glob("update-*.safetensors")
    policy.load(Weights(4, load_checkpoint(last).learner.arrays["weights"]))
    return policy.act_greedily(OBSERVATIONS).tolist()


@pytest.mark.parametrize("name", ["models:/balancer@champion", "models:/{last}"])
def test_a_clean_process_loads_it_with_unpickling_forbidden_and_acts_alike(
    store_uri, run, tmp_path_factory, name
):
    model_id = models_of(store_uri, run)["last"].model_id
    result = subprocess.run(
        [
            *[sys.executable, "-c", LOAD, store_uri, name.format(last=model_id)],
            json.dumps(OBSERVATIONS.tolist()),
        ],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    actions, has_torch = json.loads(result.stdout.splitlines()[-1])
    assert actions == expected_actions(run)
    assert len(set(actions)) == 2
    assert not has_torch


def test_models_carry_signature_step_metrics_and_the_run_they_come_from(store_uri, run):
    models = models_of(store_uri, run)

    assert models["best"].name == "best-update-000000003"
    assert models["last"].name == "last-update-000000004"
    metrics = {metric.key: metric.value for metric in models["best"].metrics}
    assert metrics.keys() == {
        *("evaluation/return_mean", "evaluation/return_best"),
        *("evaluation/return_ci_low", "evaluation/return_ci_high"),
    }
    stored = MlflowClient(store_uri).get_run(read_json(run.tracking_file)["run_id"])
    steps = {output.model_id: output.step for output in stored.outputs.model_outputs}
    assert steps.keys() == {model.model_id for model in models.values()}
    assert all(step > 0 for step in steps.values())
    best_first = MlflowClient(store_uri).search_logged_models(
        [stored.info.experiment_id],
        "metrics.`evaluation/return_mean` > 0",
        order_by=[{"field_name": "metrics.evaluation/return_mean", "ascending": False}],
    )
    assert best_first[0].model_id == models["best"].model_id


def test_the_champion_is_the_best_and_sending_again_makes_no_other(store_uri, run):
    before = models_of(store_uri, run)

    sync_run_directory(run)

    client = MlflowClient(store_uri)
    champion = client.get_model_version_by_alias("balancer", "champion")
    assert champion.source == f"models:/{before['best'].model_id}"
    assert len(client.search_model_versions("name = 'balancer'")) == 1
    after = models_of(store_uri, run)
    assert {model.model_id for model in after.values()} == {
        model.model_id for model in before.values()
    }


def test_a_later_version_takes_the_place_of_its_kind(store_uri, run):
    (last,) = run.checkpoints.glob("update-*.safetensors")
    checkpoint = load_checkpoint(last)
    later = replace(checkpoint, learner=replace(checkpoint.learner, version=9))
    (run.checkpoints / "update-000000009.safetensors").write_bytes(encode(later))

    sync_run_directory(run)

    names = sorted(model.name for model in models_of(store_uri, run).values())
    assert names == ["best-update-000000003", "last-update-000000009"]


def test_a_torn_checkpoint_is_told_and_does_not_keep_the_run_from_its_status(
    store_uri, run, capsys
):
    (run.checkpoints / "best.safetensors").write_bytes(b"torn")

    sync_run_directory(run)

    assert "left out: the best policy" in capsys.readouterr().err
    stored = MlflowClient(store_uri).get_run(read_json(run.tracking_file)["run_id"])
    assert stored.info.status == "FINISHED"


def test_torn_lines_of_the_journal_keep_back_neither_models_nor_status(store_uri, run):
    """A loss of power leaves a line that the next one was appended to, or one that ends early."""
    with run.journal_file.open("a") as journal:
        journal.write('{"updates": 5, "env{"updates": 6}\n{"updates": 7, "environ')
    for model in models_of(store_uri, run).values():
        MlflowClient(store_uri).delete_logged_model(model.model_id)

    sync_run_directory(run)

    models = models_of(store_uri, run)
    assert models.keys() == {"best", "last"}
    assert models["best"].metrics
    stored = MlflowClient(store_uri).get_run(read_json(run.tracking_file)["run_id"])
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["tracking.num_refused"] == "1"

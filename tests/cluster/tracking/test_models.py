"""The best and the last policy as models: found by their metrics, loaded without unpickling."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir
from dataclasses import replace

import numpy as np
import pytest
from faulty_proxy import FaultyProxy
from mlflow import MlflowClient
from mlflow.models import Model
from mlflow_server import MLflowServer
from runs import load_checkpoint

from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.checkpoint import encode
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.loading import load_config
from reinforce.workers.environment import inspect_environment

LOAD = """
import json, sys
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
observations = np.array(json.loads(sys.argv[3]), dtype=np.float32)
print(json.dumps([model.predict(observations).tolist(), "torch" in sys.modules]))
"""

OBSERVATIONS = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run that is to be registered under a name: made once, copied for each test."""
    folder = tmp_path_factory.mktemp("trained")
    arguments = ["--cluster.backend", "inline", "--stop.max_updates", "4", "--run.name", "mine"]
    options = ["--tracking.enabled", "false", "--tracking.register_as", "balancer"]
    with chdir(folder):
        assert main(["train", "cartpole", *arguments, *options]) == 0
    return folder / "runs"


@pytest.fixture
def run(trained, tmp_path, monkeypatch, store_uri):
    """That run in the store, with another version as its best."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "runs")
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


def all_models_of(store_uri, run):
    """READY or not."""
    state = read_json(run.tracking_file)
    found = MlflowClient(store_uri).search_logged_models([state["experiment_id"]])
    return [model for model in found if model.source_run_id == state["run_id"]]


def models_of(store_uri, run):
    return {model.tags["kind"]: model for model in all_models_of(store_uri, run)}


def delete_models(store_uri, run):
    for model in all_models_of(store_uri, run):
        MlflowClient(store_uri).delete_logged_model(model.model_id)


def stored_run(store_uri, run):
    return MlflowClient(store_uri).get_run(read_json(run.tracking_file)["run_id"])


def expected_actions(run):
    from reinforce.learner.policies.policy import MLPPolicy
    from reinforce.learner.policies.weights import Weights
    from reinforce.workers.rollout_worker import architecture_of

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
    signature = Model.load(models["best"].artifact_location.removeprefix("file://")).signature
    (observations,), (actions,) = signature.inputs.inputs, signature.outputs.inputs
    assert (observations.type, observations.shape) == (np.float32, (-1, 4))
    assert (actions.type, actions.shape) == (np.int64, (-1,))
    metrics = {metric.key: metric.value for metric in models["best"].metrics}
    assert metrics.keys() == {
        *("evaluation/return_mean", "evaluation/return_best"),
        *("evaluation/return_ci_low", "evaluation/return_ci_high"),
    }
    stored = stored_run(store_uri, run)
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


def test_sending_an_old_run_again_leaves_the_champion_to_the_newer_one(store_uri, run):
    client = MlflowClient(store_uri)
    other = client.create_logged_model(read_json(run.tracking_file)["experiment_id"], "of-another")
    newer = client.create_model_version("balancer", f"models:/{other.model_id}")
    client.set_registered_model_alias("balancer", "champion", newer.version)

    sync_run_directory(run)

    champion = client.get_model_version_by_alias("balancer", "champion")
    assert champion.version == newer.version


def test_a_store_that_only_the_configuration_names_gets_the_champion(
    store_uri, run, monkeypatch, capsys
):
    """MLflow itself looks for the model of a version in the store that the environment names."""
    delete_models(store_uri, run)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    settings = run.config_file.read_text().replace("uri: null", f"uri: {store_uri}")
    run.config_file.write_text(settings)

    sync_run_directory(run)

    assert "left out" not in capsys.readouterr().err
    champion = MlflowClient(store_uri).get_model_version_by_alias("balancer", "champion")
    assert champion.source == f"models:/{models_of(store_uri, run)['best'].model_id}"
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_a_torn_checkpoint_is_told_and_keeps_back_neither_status_nor_champion(
    store_uri, run, capsys
):
    """The last policy, which may be far worse, must not step in for the best."""
    best = models_of(store_uri, run)["best"]
    (run.checkpoints / "best.safetensors").write_bytes(b"torn")

    sync_run_directory(run)

    assert "left out: the best policy" in capsys.readouterr().err
    assert stored_run(store_uri, run).info.status == "FINISHED"
    client = MlflowClient(store_uri)
    assert len(client.search_model_versions("name = 'balancer'")) == 1
    champion = client.get_model_version_by_alias("balancer", "champion")
    assert champion.source == f"models:/{best.model_id}"
    assert models_of(store_uri, run)["best"].model_id == best.model_id


def test_without_evaluations_the_last_policy_is_the_champion(store_uri, run):
    (run.checkpoints / "best.safetensors").unlink()

    sync_run_directory(run)

    champion = MlflowClient(store_uri).get_model_version_by_alias("balancer", "champion")
    assert champion.source == f"models:/{models_of(store_uri, run)['last'].model_id}"


def test_when_no_checkpoint_can_be_read_the_run_gets_its_status(store_uri, run, capsys):
    for checkpoint in run.checkpoints.iterdir():
        checkpoint.write_bytes(b"torn")

    sync_run_directory(run)

    assert "left out: the last policy: none of the checkpoints" in capsys.readouterr().err
    assert stored_run(store_uri, run).info.status == "FINISHED"


def test_a_server_that_refuses_models_or_their_registry_gets_the_rest(
    store_uri, run, tmp_path, monkeypatch, capsys
):
    delete_models(store_uri, run)
    server = MLflowServer(tmp_path, store_uri)
    try:
        with FaultyProxy(server.start().port) as proxy:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
            for part, what in (
                ("logged-models", "the models"),
                ("registered-models", "tracking.register_as = 'balancer'"),
            ):
                proxy.fault = f"without {part}"

                sync_run_directory(run)

                assert f"left out: {what}: " in capsys.readouterr().err
                stored = stored_run(store_uri, run)
                assert stored.info.status == "FINISHED"
                assert stored.data.tags["tracking.num_refused"] == "1"
    finally:
        server.kill()
    assert models_of(store_uri, run).keys() == {"best", "last"}


def test_a_policy_that_cannot_be_a_model_leaves_no_trace_however_often_it_is_sent(
    store_uri, run, capsys
):
    delete_models(store_uri, run)
    settings = run.config_file.read_text().replace("kind: mlp", "kind: gru")
    run.config_file.write_text(settings)

    for _ in range(2):
        sync_run_directory(run)

    assert "the best policy: ValueError: 4610 weights do not fit" in capsys.readouterr().err
    assert all_models_of(store_uri, run) == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("python:Net", "policy.kind = 'python:Net' was given from Python"),
        ("user_package:Attentive", "you have neither made nor trusted this run"),
    ],
)
@pytest.mark.parametrize(("asked_for", "num_refused"), [("balancer", 1), ("null", 0)])
def test_what_can_be_no_model_is_a_loss_only_where_one_was_asked_for(
    run, capsys, kind, reason, asked_for, num_refused
):
    settings = run.config_file.read_text()
    for before, after in {"kind: mlp": f"kind: {kind}", "as: bal": f"as: {asked_for} #"}.items():
        assert before in settings
        settings = settings.replace(before, after)
    run.config_file.write_text(settings)

    sync_run_directory(run)

    told = capsys.readouterr().err
    assert told.count("no policy becomes a model in MLflow: ") == 1
    assert reason in told
    assert told.count("left out") == num_refused
    assert read_json(run.tracking_file)["num_refused"] == num_refused


def test_what_an_attempt_that_was_broken_off_left_behind_is_removed(store_uri, run):
    state = read_json(run.tracking_file)
    MlflowClient(store_uri).create_logged_model(
        *(state["experiment_id"], "half-made", state["run_id"], {"kind": "best"})
    )

    sync_run_directory(run)

    assert len(all_models_of(store_uri, run)) == 2


def test_models_that_a_user_logs_to_the_run_are_left_alone(store_uri, run):
    client, state = MlflowClient(store_uri), read_json(run.tracking_file)
    where = {"experiment_id": state["experiment_id"], "source_run_id": state["run_id"]}
    mine = client.create_logged_model(name="mine", **where)
    client.finalize_logged_model(mine.model_id, "READY")
    client.create_logged_model(name="being-made", tags={"kind": "other"}, **where)
    client.set_terminated(state["run_id"], "FAILED")

    sync_run_directory(run)

    names = {model.name for model in all_models_of(store_uri, run)}
    ours = {"best-update-000000003", "last-update-000000004"}
    assert names == {"mine", "being-made", *ours}
    assert stored_run(store_uri, run).info.status == "FINISHED"


def test_models_are_made_where_the_project_runs_from_a_folder(store_uri, run, monkeypatch):
    """A job of Ray brings the project as files: no package of that name is installed."""
    from importlib import metadata

    installed = metadata.version

    def version(name):
        if name == "distributed-reinforce":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    delete_models(store_uri, run)

    sync_run_directory(run)

    assert models_of(store_uri, run).keys() == {"best", "last"}


def test_torn_lines_of_the_journal_keep_back_neither_models_nor_status(store_uri, run):
    """A loss of power leaves a line that the next one was appended to, or one that ends early."""
    with run.journal_file.open("a") as journal:
        journal.write('{"updates": 5, "env{"updates": 6}\n{"updates": 7, "environ')
    delete_models(store_uri, run)

    sync_run_directory(run)

    models = models_of(store_uri, run)
    assert models.keys() == {"best", "last"}
    assert models["best"].metrics
    stored = stored_run(store_uri, run)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["tracking.num_refused"] == "1"

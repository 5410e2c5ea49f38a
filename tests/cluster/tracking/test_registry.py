"""Policies that MLflow keeps are loaded, and started from, by their names there."""

import json
import shutil
import socket
import time
from contextlib import chdir
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow import MlflowClient

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.commands.sync import sync_run_directory
from reinforce.cluster.policy_sources import names_the_same
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.run_description import note_of

QUICK = {
    "learner.episodes_per_update": 8,
    "evaluation.episodes": 6,
    "evaluation.every_updates": 2,
    "stop.max_updates": 3,
    "stop.target_return": None,
    "tracking.enabled": False,
    "cluster.backend": "inline",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, empty_store):
    """A folder with a store, and a run whose best policy is registered there as balancer."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_store, folder / "mlflow.db")
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        overrides = {**QUICK, "tracking.register_as": "balancer"}
        run = reinforce.train("cartpole", overrides, name="mine", progress=False)
        sync_run_directory(RunDirectory(run.path))
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    return reinforce.load("runs/mine")


def tracked(run):
    return json.loads((run.path / "tracking.json").read_text())


def model_id_of(run):
    found = MlflowClient().search_logged_models([tracked(run)["experiment_id"]])
    return next(model.model_id for model in found if model.tags["kind"] == "best")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("models:/balancer@champion", "models:/balancer/1"),
        ("models:/balancer/1", "models:/balancer/1"),
        ("models:/balancer/latest", "models:/balancer/1"),
        ("models:/{model_id}", "models:/{model_id}"),
        ("runs:/{run_id}/best", "runs:/{run_id}/best-update-{update:09d}"),
    ],
)
def test_every_name_of_a_model_is_loaded(run, name, canonical):
    best = run.policy(best=True)
    names = {"model_id": model_id_of(run), "run_id": tracked(run)["run_id"], "update": best.update}

    loaded = reinforce.load(name.format(**names))

    assert isinstance(loaded, reinforce.SavedPolicy)
    assert loaded.source == canonical.format(**names)
    assert names_the_same(loaded.source, name.format(**names))
    assert loaded.weights_sha256 == best.weights_sha256
    assert loaded.config.policy == run.config.policy
    observation = np.array([0.1, -0.2, 0.05, 0.3])
    assert loaded.policy().act(observation)[0] == best.act(observation)[0]
    ours = run.evaluate(10, seed=7, best=True)
    np.testing.assert_array_equal(loaded.evaluate(10, seed=7).returns, ours.returns)


def test_the_store_that_mlflow_was_told_of_is_asked(run, folder, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    try:
        assert reinforce.load("models:/balancer@champion").source == "models:/balancer/1"
    finally:
        mlflow.set_tracking_uri(None)


def test_a_run_starts_from_a_registered_model_and_says_so(run, tmp_path):
    def at_once(event):
        event.stop("at once")

    overrides = {**QUICK, "run.start_from": "models:/balancer@champion"}
    options = {"directory": tmp_path, "progress": False, "callbacks": [at_once]}
    warm = reinforce.train("cartpole", overrides, **options)

    digest, link = run.policy(best=True).weights_sha256, tracked(run)["link"]
    assert warm.weights_sha256 == digest
    assert warm.config.run.start_from == "models:/balancer/1"
    assert warm.config.run.start_from_sha256 == digest
    start = {"source": "models:/balancer/1", "weights_sha256": digest, "mlflow": link}
    assert warm.summary["start_from"] == start
    note = note_of(warm.config, {"git": None, "command": []}, [], None)
    assert f"It began with the weights of [`models:/balancer/1`]({link}), sha256 `{digest}`" in note


@pytest.mark.parametrize(
    "name",
    [
        *("models:/balancer@champion", "models:/balancer/1", "models:/{model_id}"),
        *("runs:/{run_id}/best", "runs:/{run_id}/best-update-{update:09d}"),
    ],
)
def test_the_same_command_goes_on_wherever_the_name_points_by_then(name, run, tmp_path):
    update = run.policy(best=True).update
    names = {"model_id": model_id_of(run), "run_id": tracked(run)["run_id"], "update": update}
    words = [f"--{name}={'None' if value is None else value}" for name, value in QUICK.items()]
    command = ["train", "cartpole", "--resume=auto", *words, "--tracking.enabled=false"]
    command += ["--run.name=warm", f"--run.directory={tmp_path}"]
    command += [f"--run.start_from={name.format(**names)}"]

    assert main([*command, "--stop.max_updates=1"]) == 0
    assert main(command) == 0

    assert len(reinforce.load(tmp_path / "warm").updates) == 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("models:/balancer@nobody", "'balancer' has no alias 'nobody'; there are: 'champion'$"),
        ("models:/balancer/7", "the model 'balancer' has no version 7; there are: 1$"),
        ("models:/nothing@champion", "registered model 'nothing' .* there are: 'balancer'$"),
        ("models:/nothing/latest", "registered model 'nothing' .* there are: 'balancer'$"),
        ("models:/m-0123", "the store has no model m-0123$"),
        ("runs:/0123/best", "the store has no run 0123$"),
        ("models:/balancer", "give models:/NAME@ALIAS"),
        ("runs:/{run_id}/other", "the run has no model 'other'; there are: '"),
    ],
)
def test_what_is_not_there_is_said_in_one_message(run, name, reason):
    name = name.format(run_id=tracked(run)["run_id"])

    with pytest.raises(reinforce.UsageError, match=reason) as refused:
        reinforce.load(name)

    assert str(refused.value).startswith(f"source = '{name}': ")
    assert "\n" not in str(refused.value)


def test_another_version_of_a_run_s_model_is_another():
    noted = "runs:/abc/best-update-000000002"

    assert not names_the_same(noted, "runs:/abc/best-update-000000003")
    assert not names_the_same(noted, "runs:/abc/last")
    assert not names_the_same(noted, "runs:/abd/best")


def test_a_model_that_is_too_large_is_not_fetched(run, monkeypatch):
    def fetched(*words, **options):
        raise AssertionError("it is fetched")

    memory = SimpleNamespace(total=2000)
    monkeypatch.setattr("reinforce.cluster.tracking.registry.psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fetched)

    with pytest.raises(reinforce.UsageError, match="its policy is larger than 1,000 bytes"):
        reinforce.load("models:/balancer@champion")


def test_a_model_of_somebody_else_holds_no_policy(run):
    client = MlflowClient()
    model = client.create_logged_model(tracked(run)["experiment_id"], "other", tags={"kind": "x"})
    client.finalize_logged_model(model.model_id, "READY")

    with pytest.raises(reinforce.UsageError, match="it holds no policy that can be read"):
        reinforce.load(f"models:/{model.model_id}")


def test_no_store_is_made_by_looking_for_one(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(reinforce.UsageError, match="there is no store of MLflow at"):
        reinforce.load("models:/balancer@champion")

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr("reinforce.cluster.policy_sources._TIMEOUT_S", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        started_s = time.monotonic()

        with pytest.raises(reinforce.UsageError, match=r"has not answered for 0\.5 s"):
            reinforce.load("models:/balancer@champion")

    assert time.monotonic() - started_s < 10


def test_the_program_of_a_model_is_not_run(run, tmp_path):
    (program,) = run.path.parent.parent.glob(
        f"mlartifacts/**/{model_id_of(run)}/**/policy_model.py"
    )
    before = program.read_text()
    program.write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\n{before}")
    try:
        reinforce.load("models:/balancer@champion").policy().act(np.zeros(4))
    finally:
        program.write_text(before)

    assert not (tmp_path / "was-run").exists()


def test_the_champion_of_a_registered_model_is_an_agent(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert main(["zoo", "list", "--place", "mlflow"]) == 0
    assert "balancer" in capsys.readouterr().out
    assert main(["zoo", "pull", "balancer", "--place", "mlflow"]) == 0

    champion = reinforce.load("models:/balancer@champion").weights_sha256
    assert reinforce.load("zoo:balancer").weights_sha256 == champion
    assert main(["zoo", "push", str(run.path), "--place", "mlflow", "--name", "other"]) == 2
    assert "--tracking.register_as other" in capsys.readouterr().err

"""Secrets planted wherever a user may have some, and looked for in everything a run leaves."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

PLANTED = {
    "MLFLOW_TRACKING_USERNAME": "planted-user-1f",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-2e",
    "MLFLOW_TRACKING_TOKEN": "planted-token-3d",
    "AWS_ACCESS_KEY_ID": "planted-aws-id-4c",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-key-5b",
    "WANDB_API_KEY": "planted-api-key-6a",
    "RAY_AUTH_TOKEN": "planted-ray-token-70123456789012345",
}


@pytest.fixture
def repository(tmp_path):
    """A repository whose remote's address holds a token, as those cloned by machines do."""
    remote = "https://x-access-token:planted-git-token-8@example.org/a/b.git"
    for words in (
        ["init", "--quiet"],
        ["remote", "add", "origin", remote],
        [
            *["-c", "user.name=n", "-c", "user.email=n@example.org"],
            *["commit", "--quiet", "--allow-empty", "-m", "first"],
        ],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def command_lines(process):
    """The arguments of a process and of its children, as everybody on the machine sees them."""
    lines = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            status = (path.parent / "status").read_text()
            if f"PPid:\t{process.pid}\n" in status or path.parent.name == str(process.pid):
                lines += path.read_bytes()
        except OSError:  # it has ended
            continue
    return lines


def test_no_secret_is_found_in_the_store_the_run_directory_or_the_process_list(
    repository, empty_store
):
    (repository / "mlflow.db").write_bytes(empty_store.read_bytes())
    (repository / "uncommitted.txt").write_text("planted-in-a-file")
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "reinforce", "train", "cartpole", "--run.name", "mine"],
            *["--cluster.backend", "inline", "--stop.max_updates", "2"],
        ],
        cwd=repository,
        env={**os.environ, **PLANTED, "MLFLOW_TRACKING_URI": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    seen = b""
    while process.poll() is None:
        seen += command_lines(process)
        time.sleep(0.1)
    said = process.stdout.read()
    process.stdout.close()

    assert process.returncode == 0, said
    assert b"reinforce.cluster.tracking.follower" in seen
    assert b"planted" not in seen
    assert b"planted" not in said
    left = [path for path in repository.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert {"mlflow.db", "MLmodel", "origin.json", "tracking.log"} <= {path.name for path in left}
    for path in left:
        if path.name != "uncommitted.txt":
            assert b"planted" not in path.read_bytes(), path


def test_settings_that_are_called_secrets_stay_in_the_run_directory(
    make_config, store_uri, tmp_path, monkeypatch
):
    """An environment's own password must be in config.yaml, or the run could not be resumed; in
    the store, which others read, it is not."""
    from mlflow import MlflowClient
    from written_runs import records, write_end, write_run

    from reinforce.cluster.commands.sync import sync_run_directory
    from reinforce.cluster.files import read_json

    monkeypatch.chdir(tmp_path)
    environment = {
        "kwargs": {"server": {"private_key": "planted-9"}, "length": 3},
        "wrappers": [{"TimeAwareObservation": {"license_key": "planted-10"}}],
    }
    run = write_run(make_config(environment=environment), records(1, 2))
    write_end(run)

    sync_run_directory(run)

    run_id = read_json(run.tracking_file)["run_id"]
    params = MlflowClient(store_uri).get_run(run_id).data.params
    assert params["environment.kwargs"] == "{'server': {'private_key': '***'}, 'length': 3}"
    assert params["environment.wrappers"] == "[{'TimeAwareObservation': {'license_key': '***'}}]"
    assert b"planted" not in (tmp_path / "mlflow.db").read_bytes()
    artifacts = [path for path in tmp_path.rglob(f"{run_id}/**/*") if path.is_file()]
    assert "config.yaml" in {path.name for path in artifacts}
    for path in artifacts:
        assert b"planted" not in path.read_bytes()


def test_a_refused_model_does_not_quote_the_password_of_its_address(
    trained_run, store_uri, tmp_path, monkeypatch, capsys
):
    from faulty_proxy import FaultyProxy
    from mlflow_server import MLflowServer

    from reinforce.cluster.commands.sync import sync_run_directory
    from reinforce.cluster.run_store.run_directory import RunDirectory

    run = RunDirectory(Path(shutil.copytree(trained_run, tmp_path / "runs" / "trained")))
    server = MLflowServer(tmp_path, store_uri)
    try:
        with FaultyProxy(server.start().port) as proxy:
            proxy.fault = "without models"
            uri = proxy.uri.replace("//", "//bob:planted-11@")
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            sync_run_directory(run)
    finally:
        server.kill()

    said = capsys.readouterr().err
    assert "left out: the last policy: 403 Client Error" in said
    assert f"for url: {proxy.uri}/" in said
    assert "planted" not in said
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"planted" not in path.read_bytes(), path

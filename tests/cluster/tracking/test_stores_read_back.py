"""Everything that is logged is read back equal to the journal, from each kind of store."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import postgres_server
import pytest
from mlflow import MlflowClient
from mlflow_server import MLflowServer
from postgres_server import PASSWORD, PostgresServer
from written_runs import shown_points_of, stored_points

from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.journal import JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.run_description import params_of
from reinforce.configs.loading import load_config

on_postgres = [
    pytest.mark.tracking,
    pytest.mark.skipif(
        bool(postgres_server.missing_part()), reason=postgres_server.missing_part() or "-"
    ),
]


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def server_on_postgres(postgres, tmp_path_factory):
    server = MLflowServer(tmp_path_factory.mktemp("server"), postgres.uri)
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def store(request, tmp_path, empty_store):
    """(address, address without password) of a SQLite file, a PostgreSQL, or a server on it."""
    if request.param == "sqlite":
        shutil.copy(empty_store, tmp_path / "mlflow.db")
        return f"sqlite:///{tmp_path}/mlflow.db"
    if request.param == "postgres":
        return request.getfixturevalue("postgres").uri
    return request.getfixturevalue("server_on_postgres").uri


def train(folder, uri, name):
    result = subprocess.run(
        [
            *[sys.executable, "-m", "reinforce", "train", "cartpole", "--run.name", name],
            *["--cluster.backend", "inline", "--stop.max_updates", "7"],
            # The files of an experiment are where its maker keeps them: each store has its own.
            *["--tracking.experiment", uri.partition(":")[0]],
        ],
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    how = "MLflow: open\n" if uri.startswith("http") else "MLflow: run `reinforce ui`, then open\n"
    assert how in result.stdout, result.stdout
    assert PASSWORD not in result.stdout + result.stderr
    return RunDirectory(folder / "runs" / name)


@pytest.mark.parametrize(
    "store",
    [
        "sqlite",
        pytest.param("server", marks=on_postgres),
        pytest.param("postgres", marks=on_postgres),
    ],
    indirect=True,
)
def test_a_run_is_read_back_equal_to_its_journal(store, tmp_path):
    run = train(tmp_path, store, "mine")

    client, state = MlflowClient(store), read_json(run.tracking_file)
    stored = client.get_run(state["run_id"])
    records = [JournalEntry.parse(line) for line in run.journal_file.read_bytes().splitlines()]
    config = load_config(str(run.config_file))
    assert stored_points(store, state["run_id"]) == shown_points_of(records)
    assert len(stored.data.metrics) <= 60
    assert stored.data.params == params_of(config)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == run.name
    assert stored.data.tags["seed"] == "0"
    assert "mean return **" in stored.data.tags["mlflow.note.content"]
    artifacts = {item.path for item in client.list_artifacts(state["run_id"])}
    assert artifacts == {"config.yaml", "packages.txt", "plots", "summary.json"}
    fetched = client.download_artifacts(state["run_id"], "summary.json", str(tmp_path))
    summary = json.loads(Path(fetched).read_text())
    assert summary["weights_sha256"] == stored.data.tags["weights_sha256"]
    for path in run.path.rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes()

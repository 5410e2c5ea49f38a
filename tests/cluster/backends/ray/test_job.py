"""Which cluster a run in a Ray job takes; test_launching.py runs one in a real job."""

import json

import pytest
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

from reinforce.cluster.backends.ray.job import JOB_CONFIG, as_in_its_job, warn_of_its_folder
from reinforce.cluster.cli import main
from reinforce.configs.config import Config


@pytest.fixture
def in_job(monkeypatch):
    """Have this process look like the driver of a job of the cluster at 10.0.0.7:6379."""
    folder = {"runtime_env": {"working_dir": "gcs://_ray_pkg_0a62fe483960e4e9.zip"}}
    monkeypatch.setenv(JOB_CONFIG, json.dumps({**folder, "metadata": {}}))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")


def address_in_job(**cluster):
    return as_in_its_job(Config.model_validate({"cluster": cluster})).cluster.address


def test_a_job_is_told_by_the_variable_that_ray_sets():
    assert JOB_CONFIG == RAY_JOB_CONFIG_JSON_ENV_VAR


@pytest.mark.usefixtures("in_job")
def test_a_job_takes_its_own_cluster_unless_the_configuration_says_otherwise():
    assert address_in_job() == "10.0.0.7:6379"
    assert address_in_job(address="10.0.0.8:6379") == "10.0.0.8:6379"
    assert address_in_job(address="auto") == "auto"
    assert address_in_job(backend="inline") is None


def test_an_address_alone_makes_no_job(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")

    assert address_in_job() is None


@pytest.mark.usefixtures("in_job")
def test_a_job_of_a_cluster_that_nothing_names_is_refused_at_once(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.chdir(tmp_path)

    assert main(["train", "cartpole"]) == 2

    assert "this is a Ray job" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("in_job")
def test_a_run_in_the_folder_of_a_job_is_warned_of(monkeypatch, tmp_path):
    def warning(directory):
        return warn_of_its_folder(Config.model_validate({"run": {"directory": str(directory)}}))

    monkeypatch.chdir(tmp_path)

    assert str(tmp_path / "runs") in warning("runs")
    assert warning(tmp_path.parent / "elsewhere") is None
    assert warning("../elsewhere") is None
    monkeypatch.setenv(JOB_CONFIG, '{"runtime_env": {}, "metadata": {}}')
    assert warning("runs") is None

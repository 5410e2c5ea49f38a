"""A cluster that was started without a token is refused by a driver that has one."""

import re
import tempfile
from pathlib import Path

import pytest
from ray_nodes import ray_nodes

from reinforce.cluster.cli import main

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def open_head():
    with (
        tempfile.TemporaryDirectory(prefix="r") as folder,
        ray_nodes(Path(folder), workers=0, settings={"RAY_AUTH_MODE": "disabled"}) as nodes,
    ):
        yield nodes


def test_a_cluster_without_a_token_is_refused_at_once(open_head, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    code = main(["train", "cartpole", "--cluster.address", open_head.address])

    said = capsys.readouterr().err
    assert code == 2
    assert f"the cluster at {open_head.address} uses no token and this machine does" in said
    assert "RAY_AUTH_MODE=token" in said
    assert not list(tmp_path.iterdir())


def test_submit_warns_of_a_cluster_without_a_token(open_head, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    address = open_head.dashboard.removeprefix("http://")  # also without its scheme

    code = main(["submit", "cartpole", "--address", address, "--detach"])

    assert code == 0
    printed = capsys.readouterr()
    said = printed.err
    assert "warning: MLFLOW_TRACKING_URI of this shell is not sent" in said
    assert re.search(r"`RAY_AUTH_MODE=token ray job logs \S+ --address \S+ --follow`", printed.out)
    assert f"warning: anyone who reaches {open_head.dashboard} can run programs" in said

"""The whole system learns. `make prove-learning` asks ten seeds on both backends; here, three."""

import pytest

from reinforce.cluster.cli import main
from reinforce.cluster.files import read_json

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cartpole_reaches_475_within_400_000_steps(with_plots, tmp_path, monkeypatch, seed):
    """Ten seeds of ten did, the slowest in 106,838 steps (docs/results.md)."""
    monkeypatch.chdir(tmp_path)
    options = ["--cluster.backend", "inline", "--tracking.enabled", "false", "--run.name", "it"]

    assert main(["train", "cartpole", "--run.seed", str(seed), *options]) == 0

    summary = read_json(tmp_path / "runs" / "it" / "summary.json")
    assert summary["status"] == "finished"
    assert summary["stop_reason"] == "target_return"
    assert summary["evaluation"]["return_mean"] >= 475.0
    assert summary["evaluation"]["episodes"] == 100
    assert summary["environment_steps"] <= 400_000
    assert summary["tickets"]["dropped"] == 0
    assert (tmp_path / "runs" / "it" / "plots" / "episode_length.png").stat().st_size > 10_000

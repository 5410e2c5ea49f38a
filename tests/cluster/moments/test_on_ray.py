"""A run that Ray's workers have played is made again in one process, bit by bit."""

import pytest
from small_runs import train

import reinforce


@pytest.mark.slow
def test_a_run_on_ray_is_verified_and_replayed_without_it(tmp_path, runs_on_local_ray):
    sections = {"workers.num_workers": 2, "cluster.lookahead": 1, "learner.baseline": "value"}
    train(tmp_path, sections, backend="ray")
    run = reinforce.load(tmp_path / "a")

    certificate = run.verify("all", progress=False)
    steps = run.at(4, progress=False).play(ticket=2)
    recorded = run.episodes.query("update == 4 and ticket == 2")

    assert certificate.findings == ()
    assert certificate.made_again == ((1, 6),)
    assert steps.groupby("episode")["reward"].sum().tolist() == recorded["return"].tolist()

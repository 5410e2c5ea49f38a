"""A run whose learner is on a GPU, where there is one: `make gpu-check`. Elsewhere on the CPU."""

import subprocess
import sys

import pytest
import torch

from reinforce.cluster.files import read_json

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.ray
@pytest.mark.slow
def test_both_backends_give_the_same_weights_and_a_resumed_run_too(tmp_path):
    def summary_of(name, *words):
        subprocess.run(
            [sys.executable, "-m", "reinforce", *words, "--tracking.enabled", "false"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=240,
        )
        return read_json(tmp_path / "runs" / name / "summary.json")

    def trained(name, backend, updates):
        device = ["--learner.device", DEVICE, "--learner.baseline", "value"]
        where = ["--run.name", name, "--cluster.backend", backend]
        return summary_of(
            name, "train", "cartpole", *device, *where, "--stop.max_updates", str(updates)
        )

    inline, on_ray = trained("inline", "inline", 4), trained("ray", "ray", 4)
    trained("resumed", "inline", 2)
    resumed = summary_of("resumed", "resume", "runs/resumed", "--stop.max_updates", "4")

    assert inline["updates"] == 4
    assert inline["weights_sha256"] == on_ray["weights_sha256"] == resumed["weights_sha256"]

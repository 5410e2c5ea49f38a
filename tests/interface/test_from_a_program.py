"""Classes of a program that nobody can import reach Ray's workers, and the weights are the same."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Not behind `if __name__ == "__main__"`, and with a module beside it that only its folder holds.
PROGRAM = """
import sys
import gymnasium, numpy as np, torch
import reinforce
from beside import DISTANCE, Base

class Line(Base):
    observation_space = gymnasium.spaces.Box(-8, 8, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.place += 1 if action else -1
        self.steps += 1
        seen = np.array([self.place], np.float32)
        return seen, float(self.place > DISTANCE), self.steps == 8, False, {}

class Net(torch.nn.Module):
    def __init__(self, shapes, num_outputs):
        super().__init__()
        self.layer = torch.nn.Linear(1, num_outputs)

    def forward(self, observations):
        return self.layer(observations["observation"])

settings = {"learner.episodes_per_update": 8, "workers.episodes_per_ticket": 2,
            "workers.num_workers": 2, "stop.max_updates": 3, "evaluation.episodes": 5,
            "tracking.enabled": False}
for backend in ("inline", "ray"):
    run = reinforce.train(environment=Line, policy=Net, overrides=settings, backend=backend,
                          name=backend, progress=False)
    print(run.config.environment.id, run.config.policy.kind, run.weights_sha256)
"""


def test_ray_that_was_imported_first_is_an_error_with_a_way_out(tmp_path):
    program = "import ray, reinforce; reinforce.train('cartpole', backend='ray', progress=False)"
    own = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "UsageError: Ray was imported before reinforce" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_they_are_sent_by_value(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    beside = "import gymnasium\nDISTANCE = 2\nclass Base(gymnasium.Env):\n    pass\n"
    (folder / "beside.py").write_text(beside)
    (folder / "program.py").write_text(PROGRAM)

    result = subprocess.run(
        [sys.executable, str(folder / "program.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    inline, ray = result.stdout.splitlines()
    assert inline.startswith("python:Line python:Net ")
    assert inline == ray

    words = ["evaluate", str(tmp_path / "runs" / "ray"), "--episodes", "5"]
    later = subprocess.run(
        [sys.executable, "-m", "reinforce", *words], capture_output=True, text=True, check=False
    )
    assert later.returncode == 2
    assert "python:Line is an object from another Python process" in later.stderr

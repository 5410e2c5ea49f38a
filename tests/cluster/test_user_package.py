"""What docs/environments.md and docs/policies.md tell a user to write, in a folder of their own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reinforce.cluster.files import read_json

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture
def folder(tmp_path):
    environment = (DOCS / "environments.md").read_text()
    policy = (DOCS / "policies.md").read_text()
    code = re.search(r"cat > corridor.py <<'END'\n(.*?)\nEND\n", environment, re.DOTALL)
    (tmp_path / "corridor.py").write_text(code.group(1))
    code = re.search(r"```python\n# my_policy.py\n(.*?)```", policy, re.DOTALL)
    (tmp_path / "my_policy.py").write_text(code.group(1))
    return tmp_path


USERS_POLICY = ["--policy.kind", "my_policy:Wide"]


@pytest.mark.parametrize(
    ("backend", "policy"),
    [
        pytest.param("inline", [], id="mlp"),
        pytest.param("inline", USERS_POLICY, id="user's"),
        pytest.param("ray", USERS_POLICY, id="user's on Ray", marks=pytest.mark.ray),
    ],
)
def test_an_environment_and_a_policy_of_the_user_train_from_their_folder(folder, backend, policy):
    """On Ray learner and workers are processes of their own, which have to find the folder."""
    result = subprocess.run(
        [
            *[sys.executable, "-m", "reinforce", "train", "cartpole", *policy],
            *["--environment.id", "corridor:Corridor", "--stop.target_return", "0.9"],
            *["--cluster.backend", backend, "--tracking.enabled", "false", "--run.name", "mine"],
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    summary = read_json(folder / "runs" / "mine" / "summary.json")
    assert summary["stop_reason"] == "target_return"
    assert summary["evaluation"]["return_mean"] >= 0.9

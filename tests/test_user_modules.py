"""A user's own ``configs``, ``learner``, ``workers`` and ``cluster`` and ours never meet."""

import subprocess
import sys

import pytest

from reinforce.cluster.files import read_json

NAMES = ("configs", "learner", "workers", "cluster")
SITE_PACKAGES = next(path for path in sys.path if path.endswith("site-packages"))

ENVIRONMENT = """
import importlib
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
import torch

def who_answers():
    answers = set()
    for name in ("configs", "learner", "workers", "cluster"):
        try:
            answers.add(importlib.import_module(name).OWNER)
        except ModuleNotFoundError:
            answers.add("nobody")
    return answers

class Mine(CartPoleEnv):
    def __init__(self, owner, **options):
        assert who_answers() == {owner}, who_answers()
        super().__init__(**options)

class Policy(torch.nn.Linear):
    def __init__(self, observation_shapes, num_outputs, owner):
        assert who_answers() == {owner}, who_answers()
        super().__init__(4, num_outputs)

    def forward(self, observations):
        return super().forward(observations["observation"])
"""


@pytest.fixture(scope="module")
def wheel_python(wheel_file, tmp_path_factory):
    """The Python of an environment in which the wheel is installed, and what it depends on."""
    folder = tmp_path_factory.mktemp("installed")

    def module(*words):
        command = [sys.executable, "-m", *map(str, words)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)

    module("venv", "--without-pip", folder / "venv")
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    module("pip", "install", "--no-deps", "--target", site, wheel_file)
    (site / "dependencies.pth").write_text(SITE_PACKAGES)  # its own .pth files are not read
    return str(folder / "venv" / "bin" / "python")


@pytest.fixture(params=["editable", "wheel"])
def python(request):
    """Run a program of the user's in a folder, with ours installed in one of two ways."""
    path = (
        sys.executable if request.param == "editable" else request.getfixturevalue("wheel_python")
    )

    def run(folder, *words):
        result = subprocess.run(
            [path, *words],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


@pytest.fixture(params=["user", "nobody"])
def owner(request, tmp_path):
    """Whose modules of the four names there are in the user's folder."""
    (tmp_path / "mine.py").write_text(ENVIRONMENT)
    if request.param == "user":
        for name in ("configs", "cluster"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("OWNER = 'user'")
        for name in ("learner", "workers"):
            (tmp_path / f"{name}.py").write_text("OWNER = 'user'")
    return request.param


def test_a_script_imports_its_own_modules_and_ours(python, tmp_path, owner):
    (tmp_path / "script.py").write_text(
        "import reinforce.cluster.cli, reinforce.learner.learner, reinforce.workers.preflight\n"
        f"import mine\nassert mine.who_answers() == {{{owner!r}}}, mine.who_answers()\n"
        "print(reinforce.__file__)\n"
    )

    assert python(tmp_path, "script.py").strip().endswith("reinforce/__init__.py")


@pytest.mark.slow
@pytest.mark.parametrize(  # each pair of ways once
    ("python", "owner", "backend"),
    [
        ("editable", "nobody", "inline"),
        ("wheel", "user", "inline"),
        pytest.param("editable", "user", "ray", marks=pytest.mark.ray),
        pytest.param("wheel", "nobody", "ray", marks=pytest.mark.ray),
    ],
    indirect=["python", "owner"],
)
def test_driver_worker_learner_and_follower_import_the_user_s_modules(
    python, tmp_path, owner, backend
):
    """The environment looks wherever it is made, the policy wherever it acts or learns."""
    words = [
        *["-P", "-m", "reinforce", "train", "cartpole", "--environment.id", "mine:Mine"],
        *["--environment.kwargs", f"{{owner: {owner}}}", "--environment.max_episode_steps", "20"],
        *["--policy.kind", "mine:Policy", "--policy.arguments", f"{{owner: {owner}}}"],
        *["--stop.max_updates", "1", "--stop.target_return", "None"],
        *["--cluster.backend", backend, "--run.name", "mine"],
    ]

    python(tmp_path, *words)

    run = tmp_path / "runs" / "mine"
    assert read_json(run / "summary.json")["status"] == "finished"
    assert "Error" not in (run / "tracking.log").read_text()

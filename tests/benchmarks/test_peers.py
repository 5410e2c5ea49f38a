"""Timings are no tests; that each peer trains, and that a stopped comparison goes on, is."""

import json
import subprocess
import sys
import time
from pathlib import Path

import programs
import psutil
import pytest
import results
import run as comparison

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
OLDER_PYTHON = ROOT / ".venv-peers-older" / "bin" / "python"
SPEED = ["--time-limit-s", "1", "--task"]


def report_of(python, words, folder):
    """Return what a peer says of a run of some hundred steps."""
    command = [str(python), str(PEERS / words[0]), *words[1:], "--max-steps", "600"]
    # Its libraries are not the ones whose paths our tests have set up.
    variables = {"HOME": str(folder), "PYTHONPATH": ""}
    output, _ = programs.finish(command, folder, variables, 200)
    return json.loads(output.splitlines()[-1])


@pytest.mark.parametrize("program", ["article.py", "pytorch_example.py"])
def test_a_peer_that_needs_nothing_else_trains(program, tmp_path):
    report = report_of(sys.executable, [program], tmp_path)

    assert report["environment_steps"] >= 600
    assert report["outcome"] == "budget used up"
    assert set(report["versions"]) == {"python", "torch", "gymnasium"}


@pytest.mark.benchmarks
@pytest.mark.parametrize(
    "words",
    [
        ["sb3.py", "ppo"],
        ["sb3.py", "a2c"],
        ["tianshou_reinforce.py"],
        ["rllib_ppo.py"],
        ["purejaxrl_ppo.py"],
        ["purejaxrl_ppo.py", "--environments", "64"],
        ["cleanrl_ppo.py"],
        ["sample_factory_appo.py"],
        ["torchrl_dqn.py"],
        ["sb3.py", "ppo", *SPEED, "LunarLander-v3"],
        ["sb3.py", "a2c", *SPEED, "HalfCheetah-v5"],
        ["tianshou_reinforce.py", *SPEED, "LunarLander-v3"],
        ["tianshou_mujoco.py", *SPEED, "HalfCheetah-v5"],
        ["rllib_ppo.py", *SPEED, "HalfCheetah-v5"],
        ["cleanrl_ppo.py", *SPEED, "HalfCheetah-v5"],
        ["sample_factory_appo.py", *SPEED, "LunarLander-v3"],
        ["torchrl_ppo.py", *SPEED, "HalfCheetah-v5"],
    ],
    ids=" ".join,
)
def test_the_peer_trains(words, tmp_path):
    python = OLDER_PYTHON if words[0] == "sample_factory_appo.py" else PEERS_PYTHON
    if not python.exists():
        pytest.skip(f"the peers are not installed: make {python.parts[-3]}/.installed")

    report = report_of(python, words, tmp_path)

    assert report["environment_steps"] >= 600
    assert report["environment_steps_per_s"] > 0
    assert "gymnasium" in report["versions"]


def test_what_was_measured_is_not_measured_again(tmp_path):
    row = {"program": "the article's listing", "seed": 0}
    path = results.write("peers", [row], "make bench-peers", folder=tmp_path)
    before = path.read_bytes()

    result = subprocess.run(
        [
            *(sys.executable, str(PEERS / "run.py"), "--seeds", "1", "--output", str(tmp_path)),
            *("--tables", "peers", "--only", "the article's listing"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert path.read_bytes() == before


def test_every_task_is_planned_with_ours_and_theirs():
    planned = [plan for plan in comparison.planned(["peers_tasks"], 2) if plan.seed == 1]

    tasks = {plan.task: [p.program for p in planned if p.task == plan.task] for plan in planned}
    assert list(tasks) == ["LunarLander-v3", "HalfCheetah-v5"]
    for played in tasks.values():
        assert played[:3] == ["ours, Ray", "ours, inline", "Stable-Baselines3 PPO"]
        assert len(set(played)) == len(played)
    assert set(tasks["HalfCheetah-v5"]) - set(tasks["LunarLander-v3"]) == {"TorchRL PPO"}


def test_a_program_that_takes_too_long_is_ended_with_all_it_started(tmp_path):
    script = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )

    with pytest.raises(RuntimeError, match="not over after 3 s"):
        programs.finish([sys.executable, "-c", script], tmp_path, {}, 3)

    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_program_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="no such luck"):
        programs.finish(
            [sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path, {}, 60
        )


def test_every_measured_program_has_one_thread(tmp_path):
    script = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['XLA_FLAGS'])"

    output, seconds = programs.finish([sys.executable, "-c", script], tmp_path, {}, 60)

    assert output.startswith("1 --xla_cpu_multi_thread_eigen=false")
    assert seconds > 0

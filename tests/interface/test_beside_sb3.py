"""The two scripts of docs/python.md do the same task, and ours is no longer than the other."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import reinforce
from reinforce.configs.roles import flat

ROOT = Path(__file__).parents[2]
OURS, THEIRS = re.findall(
    r"```python\n(.*?)```",
    (ROOT / "docs" / "python.md").read_text().partition("## Beside Stable-Baselines3")[2],
    re.DOTALL,
)


def lines_of(script):
    return [line for line in script.splitlines() if line.strip()]


def test_ours_has_no_more_lines_and_theirs_is_a_program():
    compile(THEIRS, "theirs", "exec")
    assert "stable_baselines3" in THEIRS
    assert len(lines_of(OURS)) <= len(lines_of(THEIRS))


def test_a_search_with_optuna_finds_a_trial(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "python.md").read_text().partition("## Search settings")[2]
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    short = {"n_trials=20": "n_trials=2", "False}": "False, 'stop.max_updates': 1}"}
    for long, few in short.items():
        assert long in program
        program = program.replace(long, few)
    monkeypatch.chdir(tmp_path)
    names = {}

    exec(program, names)

    assert len(names["study"].trials) == 2
    assert names["study"].best_value > 0


def test_every_setting_of_the_table_exists():
    table = (ROOT / "docs" / "python.md").read_text().partition("| there | here |")[2]
    known = flat(reinforce.Config().model_dump())

    named = re.findall(r"`((?:\w+)\.(?:\w+))`", table.partition("\n\n")[0])

    assert len(named) > 15
    assert [name for name in named if name not in known] == []


@pytest.mark.slow
def test_ours_learns_and_is_loaded_again(tmp_path):
    example = (ROOT / "examples" / "own_environment.py").read_text()
    (lift,) = (node for node in ast.parse(example).body if isinstance(node, ast.ClassDef))
    module = f"import gymnasium\nimport numpy as np\n{ast.get_source_segment(example, lift)}\n"
    (tmp_path / "lift.py").write_text(module)
    (tmp_path / "ours.py").write_text(OURS)

    result = subprocess.run(
        [sys.executable, "ours.py"],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    measured, arrived = result.stdout.splitlines()[-2:]
    assert float(measured.rpartition(" ")[2]) > 0.9
    assert arrived == "arrived True"

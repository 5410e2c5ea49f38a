"""Consoles in the documents show what the verbs print, except for the numbers.

The tests run the verbs of docs/tools.md that look at runs, the steps of docs/tutorial.md that take
seconds, and the training in README.md.
"""

import io
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import chain
from pathlib import Path

import pytest
from processes import wait_for

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.run_requests import RunRequests
from reinforce.cluster.run_store.recent_returns import recent_returns

DOCS = Path(__file__).parents[3] / "docs"
TOOLS, TUTORIAL, README = DOCS / "tools.md", DOCS / "tutorial.md", DOCS.parent / "README.md"
SECTIONS = ("status and stop", "replay and show", "verify", "diff")
STEPS = ("2.", "3.", "4.", "5.", "6.")
NOT_RUN = ("ui",)
"""It serves pages until somebody stops it."""

PATTERNS = {"digest": "[0-9a-f]{30,}", "number": r"-?\d[\d,.:]*(?:e-?\d+)?", "rest": ".*"}
VARIES = re.compile("(?P<digest>{digest})|(?P<number>{number})|(?P<rest>…)".format_map(PATTERNS))


def sessions():
    """Yield (command, what is shown of its output) of each console in the sections, in order."""
    for section in SECTIONS:
        (console,) = blocks(section_of(TOOLS, section), "console")
        yield from commands_of(console)


def section_of(document, beginning):
    """Return the text below a heading of the second level."""
    pattern = rf"^## {re.escape(beginning)}.*?\n(.*?)(?=^## |\Z)"
    return re.search(pattern, document.read_text(), re.M | re.S)[1]


def blocks(text, language):
    """Return the blocks of code in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands_of(console):
    """Yield (command, what is shown of its output) of a console."""
    for shown in console.split("$ reinforce ")[1:]:
        command, _, output = shown.partition("\n")
        yield command, output


def pattern_of(output):
    """What matches an output with other numbers; a line of … stands for any lines."""
    lines = []
    for line in output.splitlines():
        pieces, end = [], 0
        for found in VARIES.finditer(line):
            pieces += [re.escape(line[end : found.start()]), PATTERNS[found.lastgroup]]
            end = found.end()
        pattern = "".join([*pieces, re.escape(line[end:])])
        lines.append(re.sub(r"(\\ )+", r" +", pattern) + " *\n" if line != "…" else "(?:.*\n)*")
    return "".join(lines)


@contextmanager
def endless_run(folder, settings):
    """A run that another process trains, until somebody stops it."""
    forever = {"stop.target_return": None, "stop.max_environment_steps": None}
    own = {"run.name": "endless", "run.directory": folder, "cluster.backend": "inline"}
    words = [f"--{name}={value}" for name, value in {**settings, **forever, **own}.items()]
    command = [sys.executable, "-m", "reinforce", "train", "cartpole", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: recent_returns(folder / "endless" / "metrics.jsonl").newest)
        yield
    finally:
        RunRequests.change(folder / "endless" / "control.json", stop=True)
        assert process.wait(60) == 128 + signal.SIGTERM


def output_of(command):
    """Run a command in this process and return all that it prints, and a terminal keeps."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        main(shlex.split(command))
    return re.sub(r"reinforce \w+: loading\n", "", said.getvalue())


def test_the_consoles_are_what_the_verbs_print(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"backend": "inline", "directory": "runs", "progress": False}
    quick = {"tracking.enabled": False, "evaluation.episodes": 10}
    reinforce.train("cartpole", quick, name="demo", **options)
    faster = {"learner.learning_rate": 0.02, "stop.max_updates": 3}
    reinforce.train("cartpole", {**quick, **faster}, name="faster", **options)

    with endless_run(tmp_path / "runs", quick):
        for command, shown in sessions():
            said = output_of(command)
            assert re.fullmatch(pattern_of(shown), said), f"{command}\n{said}"


@pytest.mark.slow
@pytest.mark.ray
def test_the_tutorial_goes_as_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (program,) = [each for each in blocks(TUTORIAL.read_text(), "python") if "class Lift" in each]
    (tmp_path / "lift.py").write_text(program)
    (settings,) = blocks(TUTORIAL.read_text(), "yaml")
    (tmp_path / "lift.yaml").write_text(settings)

    for step in STEPS:
        text, said = section_of(TUTORIAL, step), ""
        for command, shown in chain(*map(commands_of, blocks(text, "console"))):
            if command not in NOT_RUN:
                said = output_of(command)
                assert re.search(pattern_of(shown), said), f"{command}\n{said}"
        for shown in blocks(text, "text"):
            assert re.search(pattern_of(shown), said), f"{step}\n{said}"

    digests = {run: reinforce.load(f"runs/{run}").weights_sha256 for run in ("one", "two", "none")}
    assert len(set(digests.values())) == 1
    assert reinforce.load("runs/lift").summary["stop_reason"] == "target_return"


@pytest.mark.slow
def test_training_ends_as_the_readme_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (shown,) = blocks(README.read_text(), "text")

    said = output_of("train cartpole --cluster.backend inline")

    lines = (pattern_of(f"{line}\n") for line in shown.splitlines())
    assert re.search("(?:.*\n)*".join(lines), said), said  # a pipe shows updates in between

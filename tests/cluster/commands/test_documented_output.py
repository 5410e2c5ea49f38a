"""What docs/tools.md shows of verbs that look at runs is what they print, but for the numbers."""

import io
import re
import shlex
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from processes import wait_for

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.run_requests import RunRequests
from reinforce.cluster.run_store.journal import newest_update

TOOLS = Path(__file__).parents[3] / "docs" / "tools.md"
SECTIONS = ("status and stop", "replay and show", "verify", "diff")

PATTERNS = {"digest": "[0-9a-f]{30,}", "number": r"-?\d[\d,.:]*(?:e-?\d+)?", "rest": ".*"}
VARIES = re.compile("(?P<digest>{digest})|(?P<number>{number})|(?P<rest>…)".format_map(PATTERNS))


def sessions():
    """Yield (command, what is shown of its output) of each console in the sections, in order."""
    for section in SECTIONS:
        text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", TOOLS.read_text(), re.M | re.S)[1]
        (console,) = re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)
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
def endless_run(folder, settings, options):
    """A run that another thread trains, until somebody stops it."""
    forever = {"stop.target_return": None, "stop.max_environment_steps": None}

    def train():
        with pytest.raises(SystemExit):
            reinforce.train("cartpole", {**settings, **forever}, name="endless", **options)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        wait_for(lambda: newest_update(folder / "endless" / "metrics.jsonl"))
        yield
    finally:
        RunRequests.change(folder / "endless" / "control.json", stop=True)
        thread.join()


def test_the_consoles_are_what_the_verbs_print(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"backend": "inline", "directory": "runs", "progress": False}
    quick = {"tracking.enabled": False, "evaluation.episodes": 10}
    reinforce.train("cartpole", quick, name="demo", **options)
    faster = {"learner.learning_rate": 0.02, "stop.max_updates": 3}
    reinforce.train("cartpole", {**quick, **faster}, name="faster", **options)

    with endless_run(tmp_path / "runs", quick, options):
        for command, shown in sessions():
            said = io.StringIO()
            with redirect_stdout(said), redirect_stderr(said):
                main(shlex.split(command))
            is_as_shown = re.fullmatch(pattern_of(shown), said.getvalue()) is not None
            assert is_as_shown, f"{command}\n{said.getvalue()}"

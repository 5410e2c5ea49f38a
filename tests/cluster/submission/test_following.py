"""What a person sees who follows a job: Ctrl-C, its status, a stop, a cluster that goes away."""

import json
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from ray_nodes import ray_nodes

from reinforce.cluster.cli import main
from reinforce.cluster.files import read_json
from reinforce.cluster.submission.jobs import _ShownOnce

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# The command, which takes a cluster for lost after ten seconds instead of a minute.
IMPATIENT = """
import sys
from reinforce.cluster.cli import main
from reinforce.cluster.submission import jobs

jobs._QUIET_S, jobs._LOST_AFTER_S = 3.0, 10.0
sys.exit(main(sys.argv[1:]))
"""

ENDLESS = [
    *["cartpole", "--run.name", "endless", "--cluster.backend", "inline"],
    *["--stop.target_return", "None", "--stop.max_environment_steps", "None"],
    *["--tracking.enabled", "false"],
]


@pytest.fixture(scope="module")
def head():
    with (
        tempfile.TemporaryDirectory(prefix="r") as folder,  # short: Ray puts Unix sockets below it
        ray_nodes(Path(folder), workers=0) as nodes,
    ):
        yield nodes


@contextmanager
def follower(head, folder):
    """Submit, or follow again, and wait for the first update."""
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, "submit", *ENDLESS, "--address", head.dashboard],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        process.said = ""
        while not re.search(r"^update", process.said, re.MULTILINE):
            line = process.stdout.readline()
            assert line, process.said
            process.said += line
        yield process
    finally:
        process.kill()
        process.communicate()


def end_of(process):
    rest, _ = process.communicate(timeout=60)
    process.said += rest
    return process.returncode


def test_a_job_is_followed_through_ctrl_c_and_a_stop_until_its_cluster_goes_away(
    head, tmp_path, capsys
):
    show = ["status", "--address", head.dashboard, "--json"]
    with follower(head, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        assert end_of(process) == 130
    assert "no longer following; the job continues" in process.said
    assert "Traceback" not in process.said
    (stop,) = re.findall(r"`reinforce (stop .*)` stops it", process.said)
    job = stop.split()[1]

    with follower(head, tmp_path) as process:
        assert " (running)\n" in process.said
        assert main(show) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["name"], row["state"]) == (job, "running")
        assert row["note"] == f"job {job}, starting, no update yet"
        assert main(["submit", *ENDLESS, "--run.seed", "7", "--address", head.dashboard]) == 2
        assert f"the run endless is live as {job}, with other settings" in capsys.readouterr().err
        assert main(stop.split()) == 0
        assert f"{job} was interrupted (Job was intentionally stopped.)" in capsys.readouterr().out
        assert end_of(process) == 143
    assert main(show) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "interrupted"
    assert main(stop.split()) == 2
    assert f"{job} is not live: it was interrupted at 20" in capsys.readouterr().err
    run = head.home / "runs" / "endless"
    assert read_json(run / "summary.json")["status"] == "interrupted"
    assert len(list((run / "checkpoints").iterdir())) > 0

    with follower(head, tmp_path) as process:
        first_update = int(re.search(r"^update +(\d+)", process.said, re.MULTILINE)[1])
        head.lose_power()
        assert end_of(process) == 1
    assert first_update > 0  # it has gone on
    assert "has not answered for 10 s" in process.said
    assert "give the same command again" in process.said
    assert "Traceback" not in process.said


def test_a_log_that_is_told_anew_is_shown_once():
    shown = []
    log = _ShownOnce(shown.append)

    for connection in (["one ", "two "], ["one two ", "three "], ["o", "ne two three four"]):
        log.begin()
        for text in connection:
            log.add(text)

    assert "".join(shown) == "one two three four"

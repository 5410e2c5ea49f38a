"""The head of a cluster dies while a run goes on: the run says so, and can be continued."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from processes import wait_for
from ray_nodes import ray_nodes

from reinforce.cluster.files import read_json
from reinforce.cluster.run_requests import RunRequests
from reinforce.cluster.run_store.recent_returns import recent_returns
from reinforce.cluster.run_store.run_status import status_of
from reinforce.configs.quoting import command_line

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TRAIN = """
import sys
from reinforce.cluster.backends.ray import head
from reinforce.cluster.cli import main

head._PATIENCE_S, head._LOST_AFTER_S = 2.0, 8.0
sys.exit(main(sys.argv[1:]))
"""


def process_of(nodes, name):
    """The head's process of this name, whose end its `ray start` does not notice."""
    head = nodes.processes[0]
    os.kill(head.pid, signal.SIGSTOP)
    found = subprocess.run(
        ["pgrep", "--pgroup", str(head.pid), name], capture_output=True, text=True, check=True
    )
    return int(found.stdout)


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_whose_head_dies_says_so_and_can_be_continued(tmp_path, paused):
    run = tmp_path / "runs" / "orphan"
    train = ["train", "cartpole", "--run.name", "orphan", "--tracking.enabled", "false"]
    train += ["--environment.id", "fake_environments:ShortOrLong-v0"]
    train += ["--environment.kwargs", "{step_s: 0.003}", "--stop.max_environment_steps", "None"]
    with (
        tempfile.TemporaryDirectory(prefix="r") as folder,
        ray_nodes(Path(folder), workers=1) as nodes,
    ):
        process = subprocess.Popen(
            [sys.executable, "-c", TRAIN, *train, "--cluster.address", nodes.address],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(lambda: recent_returns(run / "metrics.jsonl").newest)
        if paused:
            RunRequests.change(run / "control.json", paused=True)
            wait_for(lambda: list((run / "checkpoints").glob("update-*")))
        os.kill(process_of(nodes, "gcs_server"), signal.SIGKILL)
        began_s = time.monotonic()
        wait_for(lambda: status_of(run).note.startswith("the head of the cluster at"))
        said, _ = process.communicate(timeout=100)
        took_s = time.monotonic() - began_s
        nodes.lose_power()  # without a head they would wait for it

    assert process.returncode == 1, said
    assert took_s < 40, "Ray itself takes 60 s"
    assert f"still waiting for the head of the cluster at {nodes.address} after " in said
    assert re.search(r"the run ends in \d s, after a checkpoint, unless it answers", said)
    way_on = f"`{command_line('resume', run)} --cluster.address HOST:PORT`"
    assert f"to continue, start a cluster, then {way_on}" in said
    assert f"the run failed; it is in {run}\n" in said
    assert "Traceback" not in said
    assert read_json(run / "summary.json")["status"] == "failed"
    checkpoints = [path for path in (run / "checkpoints").iterdir() if re.search(r"\d", path.name)]
    assert checkpoints

"""Prometheus, with the configuration that ships, finds a real cluster and scrapes a real run."""

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from free_port import free_port
from processes import wait_for
from ray_nodes import ray_nodes

LAUNCH = Path(__file__).parents[2] / "cluster" / "launch"

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed"),
]


@contextmanager
def ended(*words, **options):
    process = subprocess.Popen(words, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(90)


def shipped_configuration(folder, nodes):
    """That of docker-compose.yml, with a head and a token of this machine."""
    text = (LAUNCH / "monitoring" / "prometheus.yml").read_text()
    for there, here in (
        ("http://ray-head:8265", nodes.dashboard),
        ("/run/secrets/ray_token", str(nodes.token_file)),
    ):
        assert there in text
        text = text.replace(there, here)
    file = folder / "prometheus.yml"
    file.write_text(text)
    return file


def answer_of(server, query):
    url = f"{server}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]
    except OSError as error:
        if getattr(error, "code", 503) != 503:
            raise
        return []  # it starts


def targets_that_are_up(server):
    """Return all targets if each of them answered when it was last asked, else none."""
    targets = answer_of(server, "up")
    return targets if len(targets) >= 3 and {row["value"][1] for row in targets} == {"1"} else []


def test_every_panel_of_the_dashboard_has_data_while_a_run_trains(tmp_path):
    dashboard = json.loads((LAUNCH / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    server = f"http://127.0.0.1:{free_port()}"
    train = [
        *[sys.executable, "-m", "reinforce", "train", "cartpole", "--run.name", "watched"],
        # Its workers rest, so that Ray's own processes can go on on a small machine.
        *["--environment.id", "fake_environments:ShortOrLong-v0"],
        *["--environment.kwargs", "{step_s: 0.003}"],
        *["--stop.max_environment_steps", "None", "--stop.target_return", "None"],
        *["--stop.max_updates", "1000000", "--tracking.enabled", "false"],
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        tempfile.TemporaryDirectory(prefix="r") as folder,
        ray_nodes(Path(folder), settings={}) as nodes,
        ended(
            *["prometheus", f"--config.file={shipped_configuration(tmp_path, nodes)}"],
            *[f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={server[7:]}"],
            **quiet,
        ),
        ended(*train, "--cluster.address", nodes.address, cwd=tmp_path, **quiet),
    ):
        for expression in expressions:
            query = expression.replace("$run", "watched")
            for row in wait_for(partial(answer_of, server, query)):
                assert row["metric"].get("run") == ("watched" if "$run" in expression else None)
        assert wait_for(partial(targets_that_are_up, server)), "the head and both nodes"

"""On a real cluster of three nodes with a token: train, submit, doctor, and common mistakes."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from ray_nodes import ray_nodes

from cluster.run_directory import read_json

pytestmark = pytest.mark.ray

SHORT = ["--stop.max_updates", "1", "--evaluation.episodes", "5", "--tracking.enabled", "false"]


@pytest.fixture(scope="module")
def nodes():
    # A short path: Ray puts Unix sockets below it.
    with tempfile.TemporaryDirectory(prefix="r") as folder, ray_nodes(Path(folder)) as nodes:
        yield nodes


def variables(nodes):
    return {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(nodes.token_file),
        "RAY_metrics_report_interval_ms": "1000",
    }


@pytest.fixture
def reinforce(nodes, tmp_path):
    def run(*arguments, **environment):
        # The deadline of a test that would hang; what a person waits for is seconds.
        return subprocess.run(
            [sys.executable, "-m", "cluster", *arguments],
            cwd=tmp_path,
            env=variables(nodes) | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def weights_in(said):
    (line,) = [line for line in said.splitlines() if line.startswith("weights")]
    return line


def test_a_submitted_run_gives_the_weights_of_the_same_run_here(nodes, reinforce, tmp_path):
    (tmp_path / "mine.yaml").write_text("environment: {id: my_environment:Mine-v0}\n")
    (tmp_path / "my_environment.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:CartPoleEnv', "
        "max_episode_steps=50)\n"
    )
    (tmp_path / "runs").mkdir()

    here = reinforce("train", "mine.yaml", *SHORT, "--cluster.backend", "inline")
    there = reinforce("submit", "mine.yaml", "--address", nodes.dashboard, *SHORT)

    assert here.returncode == 0, here.stderr
    assert there.returncode == 0, there.stdout + there.stderr
    assert "sends 2 files" in there.stdout
    assert "leaves out " in there.stdout
    assert weights_in(there.stdout) == weights_in(here.stdout)
    (summary,) = nodes.home.glob("runs/mine-v0-*/summary.json")
    assert str(summary.parent) in there.stdout
    assert nodes.token not in there.stdout + there.stderr


def test_the_same_command_again_follows_the_job_that_was_submitted(nodes, reinforce):
    command = ["submit", "cartpole", "--address", nodes.dashboard, "--run.name", "once", *SHORT]

    detached = reinforce(*command, "--detach")
    followed = reinforce(*command)

    assert detached.returncode == 0, detached.stderr
    assert "update" not in detached.stdout
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert "this command is reinforce-once-" in followed.stdout
    assert "status      finished (max_updates)" in followed.stdout
    assert read_json(nodes.home / "runs" / "once" / "summary.json")["updates"] == 1


def test_a_job_that_failed_gives_its_exit_code_and_is_run_anew_when_asked_again(nodes, reinforce):
    command = ["submit", "cartpole", "--address", nodes.dashboard, *SHORT]
    command += ["--environment.id", "Nowhere-v0", "--run.name", "wrong"]

    first, second = reinforce(*command), reinforce(*command)

    assert (first.returncode, second.returncode) == (2, 2)
    assert "environment.id = 'Nowhere-v0' does not exist here" in first.stdout
    assert "submitted reinforce-wrong-" in first.stdout
    assert "submitted reinforce-wrong-" in second.stdout


def test_training_from_a_node_takes_workers_of_the_cluster(nodes, reinforce, tmp_path):
    # On a machine with one node, `auto` finds it; here others may run, too.
    command = ["train", "cartpole", "--cluster.address", "auto", *SHORT]

    result = reinforce(*command, RAY_ADDRESS=nodes.address)

    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("runs/*/summary.json"))) == 1
    assert nodes.token not in result.stdout + result.stderr


def test_the_doctor_looks_at_every_node(nodes, reinforce):
    result = reinforce("doctor", "cartpole", "--cluster.address", nodes.address)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "the cluster asks for a token, and ours was accepted" in result.stdout
    assert "ok       room for workers 2 now" in result.stdout
    assert "the same on 3 nodes as here" in result.stdout
    assert result.stdout.count("can be made") == 4
    assert nodes.token not in result.stdout


def metrics_with(nodes, name):
    deadline_s = time.monotonic() + 120
    while name not in (text := nodes.metrics()):
        assert time.monotonic() < deadline_s, f"{name} was not exported"
        time.sleep(1)
    return text


@pytest.mark.tracking  # minutes: Ray's agents export metrics rarely; `make test-tracking` runs it
def test_metrics_and_logs_of_a_run_are_where_prometheus_and_a_reader_look(nodes, tmp_path):
    (tmp_path / "my_environment.py").write_text(
        "import gymnasium, logging\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Loud(CartPoleEnv):\n"
        "    def __init__(self, **kwargs):\n"
        "        logging.getLogger('mine').warning('made a loud one')\n"
        "        super().__init__(**kwargs)\n"
        "gymnasium.register('Loud-v0', Loud, max_episode_steps=50)\n"
    )

    run = subprocess.Popen(
        [
            *[sys.executable, "-m", "cluster", "train", "cartpole", "--run.name", "loud"],
            *["--cluster.address", nodes.address, "--environment.id", "my_environment:Loud-v0"],
            *["--stop.max_environment_steps", "None", "--tracking.enabled", "false"],
        ],
        cwd=tmp_path,
        env=variables(nodes) | {"REINFORCE_LOG_FORMAT": "json"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        exported = metrics_with(nodes, "ray_reinforce_progress_updates{")
    finally:
        run.terminate()
        run.wait(90)

    assert 'run="loud"' in exported
    lines = [line for line in nodes.worker_logs().splitlines() if "made a loud one" in line]
    assert lines
    assert {"actor_id", "node_id", "job_id", "levelname"} <= set(json.loads(lines[0]))


def test_the_job_api_answers_nobody_without_the_token(nodes):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{nodes.dashboard}/api/jobs/", timeout=10)
    refused.value.close()

    assert refused.value.code == 401


def test_no_process_is_started_with_the_token_among_its_arguments(nodes):
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:
            continue

    assert any(b"gcs_server" in line for line in lines)
    assert not any(nodes.token.encode() in line for line in lines)


WRONG_TOKENS = {
    "wrong": ({"RAY_AUTH_TOKEN": "0" * 64}, "the token of RAY_AUTH_TOKEN is not the cluster's"),
    "missing": ({"RAY_AUTH_TOKEN_PATH": "", "HOME": "/nonexistent"}, "it asks for a token"),
    "switched off": ({"RAY_AUTH_MODE": "disabled"}, "it asks for a token"),
}


@pytest.mark.parametrize(("environment", "message"), WRONG_TOKENS.values(), ids=WRONG_TOKENS)
def test_a_token_that_does_not_fit_is_one_clear_message(
    nodes, reinforce, tmp_path, environment, message
):
    command = ["train", "cartpole", "--cluster.address", nodes.address, *SHORT]

    result = reinforce(*command, **environment)

    assert_refused(result, message, tmp_path)


def test_a_token_that_does_not_fit_is_one_clear_message_to_submit(nodes, reinforce, tmp_path):
    environment, message = WRONG_TOKENS["wrong"]

    result = reinforce("submit", "cartpole", "--address", nodes.dashboard, *SHORT, **environment)

    assert_refused(result, message, tmp_path)


def assert_refused(result, message, folder):
    assert result.returncode == 2
    assert message in result.stderr
    assert "must share a token" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(folder.iterdir()) == []


def test_the_dashboard_as_the_clusters_address_is_told_apart(nodes, reinforce):
    address = nodes.dashboard.removeprefix("http://")

    result = reinforce("train", "cartpole", "--cluster.address", address, *SHORT)

    assert result.returncode == 2
    assert (
        f"cluster.address = '{address}' is a web server, such as Ray's dashboard" in result.stderr
    )


def test_the_cluster_as_the_dashboards_address_is_told_apart(nodes, reinforce):
    result = reinforce("submit", "cartpole", "--address", f"http://{nodes.address}", *SHORT)

    assert result.returncode == 2
    assert "answers, but not as a Ray dashboard does; its port is usually 8265" in result.stderr


def test_a_server_that_says_nothing_is_given_up_in_seconds(reinforce):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        result = reinforce("train", "cartpole", "--cluster.address", address, *SHORT)

    assert result.returncode == 2
    assert "answers, but not as a Ray cluster does" in result.stderr


def test_a_worker_that_fits_on_no_node_is_said_at_once(nodes, reinforce, tmp_path):
    command = ["--cluster.address", nodes.address, "--cluster.cpus_per_worker", "64", *SHORT]

    result = reinforce("train", "cartpole", *command)

    assert result.returncode == 2
    assert "no worker fits: cluster.cpus_per_worker = 64, the largest of 3 nodes" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_that_fewer_workers_fit_than_are_asked_for(nodes, reinforce):
    result = reinforce(
        *["doctor", "cartpole", "--cluster.address", nodes.address],
        *["--workers.num_workers", "50", "--environment.id", "Nowhere-v0"],
    )

    assert result.returncode == 1
    assert "workers.num_workers = 50, and the cluster has CPUs for 2" in result.stdout
    assert result.stdout.count("environment.id = 'Nowhere-v0' does not exist here") == 4


CLAIM_OTHER_VERSIONS = """
import json, sys
from ray._raylet import GcsClient

client = GcsClient(address=sys.argv[1])
key, namespace = b"CLUSTER_METADATA", b"cluster"
before = client.internal_kv_get(key, namespace=namespace)
after = {**json.loads(before), **json.loads(sys.argv[2])}
client.internal_kv_put(key, json.dumps(after).encode(), True, namespace=namespace)
print(before.decode())
"""


def test_a_cluster_of_other_versions_is_one_clear_message(nodes, reinforce):
    """The cluster is a real one, whose record of its own versions was changed."""

    def claim(values):
        result = subprocess.run(
            [sys.executable, "-c", CLAIM_OTHER_VERSIONS, nodes.address, json.dumps(values)],
            env=variables(nodes),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return json.loads(result.stdout)

    before = claim({"ray_version": "2.40.0", "python_version": "3.9.1"})
    try:
        result = reinforce("train", "cartpole", "--cluster.address", nodes.address, *SHORT)
    finally:
        claim(before)

    assert result.returncode == 2
    assert "runs other versions: Ray 2.40.0 there, " in result.stderr
    assert "Python 3.9.1 there, " in result.stderr

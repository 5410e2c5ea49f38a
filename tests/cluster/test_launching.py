"""On a real cluster of three nodes with a token: train, submit, doctor, and common mistakes."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from ray._raylet import GcsClient
from ray_nodes import QUICK_METRICS, ray_nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SHORT = ["--stop.max_updates", "1", "--evaluation.episodes", "5", "--tracking.enabled", "false"]


@pytest.fixture(scope="module")
def nodes():
    # A short path: Ray puts Unix sockets below it.
    with tempfile.TemporaryDirectory(prefix="r") as folder, ray_nodes(Path(folder)) as nodes:
        yield nodes


# The command, whose doctor waits as long as a machine needs where others are at work, too.
PATIENT = """
import sys
from reinforce.cluster.cli import main
from reinforce.cluster.commands import doctor
from reinforce.cluster.doctor import cluster_checks

doctor._ENVIRONMENT_TIMEOUT_S = 60.0
cluster_checks._REPORT_TIMEOUT_S, cluster_checks._HTTP_TIMEOUT_S = 100.0, 30.0
sys.exit(main(sys.argv[1:]))
"""


def run_in(folder, *arguments, **environment):
    """Run the command as somebody does who has set nothing but what is given here."""
    unset = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    return subprocess.run(
        [sys.executable, "-c", PATIENT, *arguments],
        cwd=folder,
        env=unset | environment,
        capture_output=True,
        text=True,
        timeout=240,  # of a test that would hang; what a person waits for is seconds
        check=False,
    )


@pytest.fixture
def reinforce(nodes, tmp_path):
    return partial(run_in, tmp_path)


@dataclass(frozen=True)
class Submitted:
    """A run that was submitted, made in one process meanwhile, and then submitted again."""

    folder: Path
    detached: "subprocess.CompletedProcess[str]"
    here: "subprocess.CompletedProcess[str]"
    followed: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def submitted(nodes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "mine.yaml").write_text("environment: {id: my_environment:Mine-v0}\n")
    (folder / "my_environment.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:CartPoleEnv', "
        "max_episode_steps=50)\n"
    )
    (folder / "runs").mkdir()
    command = ["submit", "mine.yaml", "--address", nodes.dashboard, *SHORT]
    detached = run_in(folder, *command, "--detach")
    here = run_in(folder, "train", "mine.yaml", *SHORT, "--cluster.backend", "inline")
    result = Submitted(folder, detached, here, run_in(folder, *command))
    for process in (detached, here, result.followed):
        assert process.returncode == 0, process.stdout + process.stderr
    return result


def weights_in(said):
    (line,) = [line for line in said.splitlines() if line.startswith("weights")]
    return line


def test_a_submitted_run_gives_the_weights_of_the_same_run_here(nodes, submitted):
    assert "sends 2 files" in submitted.detached.stdout
    assert "leaves out runs" in submitted.detached.stdout
    assert "update" not in submitted.detached.stdout
    assert weights_in(submitted.followed.stdout) == weights_in(submitted.here.stdout)


def test_the_same_command_again_follows_the_job_that_was_submitted(nodes, submitted):
    assert "this command is already reinforce-run-" in submitted.followed.stdout
    (summary,) = nodes.home.glob("runs/mine-v0-*/summary.json")
    assert str(summary.parent) in submitted.followed.stdout


def test_a_job_that_failed_gives_its_exit_code_and_is_run_anew_when_asked_again(nodes, reinforce):
    command = ["submit", "cartpole", "--address", nodes.dashboard, *SHORT]
    command += ["--environment.id", "Nowhere-v0", "--run.name", "wrong"]

    first, second = reinforce(*command), reinforce(*command, "--detach")

    assert (first.returncode, second.returncode) == (2, 0)
    assert "environment.id = 'Nowhere-v0' does not exist here" in first.stdout
    (digest,) = re.findall(r"submitted reinforce-wrong-(\w+)-1 ", first.stdout)
    assert f"submitted reinforce-wrong-{digest}-2 " in second.stdout
    nodes.wait_for_jobs()  # it has the cores that the next test needs


def test_training_from_a_node_gives_the_same_weights_without_a_job(nodes, submitted):
    # On a machine with one node, `auto` finds it; here others may run, too.
    command = ["train", "mine.yaml", "--cluster.address", "auto", *SHORT]

    result = run_in(submitted.folder, *command, RAY_ADDRESS=nodes.address)

    assert result.returncode == 0, result.stderr
    assert weights_in(result.stdout) == weights_in(submitted.here.stdout)


def test_the_doctor_looks_at_every_node(nodes, reinforce):
    result = reinforce("doctor", "cartpole", "--cluster.address", nodes.address)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "the cluster requires a token and accepted ours" in result.stdout
    assert "ok       room for workers 2 now" in result.stdout
    assert "the same on 3 nodes as here" in result.stdout
    assert result.stdout.count("created, played, and suitable for the policy") == 4
    (seconds,) = re.findall(r"0 failures, .* in (\d+) s", result.stdout)
    assert int(seconds) < 60, "it is ten seconds where nobody else is at work"


def test_nodes_that_do_not_answer_the_doctor_are_told_apart_and_not_ok(nodes, tmp_path):
    hurried = PATIENT.replace(
        "_REPORT_TIMEOUT_S, ", "_REPORT_TIMEOUT_S, cluster_checks._TOLD_AFTER_S, "
    )
    hurried = hurried.replace("= 100.0, 30.0", "= 0.9, 0.3, 30.0")
    command = ["doctor", "cartpole", "--cluster.address", nodes.address]

    result = subprocess.run(
        [sys.executable, "-c", hurried, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert result.returncode == 1
    assert "not checked: 0 of 3 nodes answered" in result.stdout
    assert "still waiting for 3 nodes to answer" in result.stderr
    assert "clocks" not in result.stdout
    silent = re.findall(r"failure +node +(.*): no answer for 0.9 s\n +-> busy, or", result.stdout)
    assert len(set(silent)) == 3
    assert all(re.fullmatch(r"\S+ \([\d.]+, [0-9a-f]{8}\)", name) for name in silent)


def test_a_job_of_rays_own_trains_on_the_cluster_that_it_is_a_job_of(nodes, submitted):
    command = [Path(sys.executable).parent / "ray", "job", "submit", "--address", nodes.dashboard]
    command += ["--working-dir", ".", "--", "reinforce", "train", "mine.yaml", *SHORT]

    result = subprocess.run(
        command,
        cwd=submitted.folder,
        env=os.environ | {"RAY_AUTH_MODE": "token"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "this is a Ray job: it trains on the job's own cluster" in result.stdout
    assert "joined the Ray cluster at" in result.stdout
    assert "lies in the folder of this Ray job" in result.stdout
    assert weights_in(result.stdout) == weights_in(submitted.here.stdout)


def test_a_runtime_environment_that_fails_ends_the_run_with_its_reason(nodes, reinforce):
    lost = "gcs://_ray_pkg_0a62fe483960e4e9.zip"
    job = json.dumps({"runtime_env": {"working_dir": lost}, "metadata": {}})
    began_s = time.monotonic()

    result = reinforce(
        *["train", "cartpole", *SHORT], RAY_JOB_CONFIG_JSON_ENV_VAR=job, RAY_ADDRESS=nodes.address
    )

    assert result.returncode == 1
    assert time.monotonic() - began_s < 120, "it is 14 s, and were 321 s"
    assert "it did not start: OSError: Failed to download runtime_env file" in result.stdout
    assert "rollout workers fail to start: Failed to set up runtime environment" in result.stderr
    assert lost in result.stderr


HERE_THERE_AND_HERE = """
import sys
import reinforce
settings = {"stop.max_updates": 1, "evaluation.episodes": 5, "tracking.enabled": False}
for address in (None, sys.argv[1], None):
    settings["cluster.address"] = address
    print(reinforce.train("cartpole", settings, backend="ray", progress=False).weights_sha256)
"""


def test_one_process_trains_here_and_on_a_cluster_with_another_token(nodes, tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(nodes.token)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    result = subprocess.run(
        [sys.executable, "-c", HERE_THERE_AND_HERE, nodes.address],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    digests = result.stdout.split()
    assert len(digests) == 3, result.stderr
    assert len(set(digests)) == 1


def metrics_with(nodes, *names):
    deadline_s = time.monotonic() + 120
    while missing := [name for name in names if name not in (text := nodes.metrics())]:
        assert time.monotonic() < deadline_s, f"{missing} were not exported"
        time.sleep(1)
    return text


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
            *[sys.executable, "-m", "reinforce", "train", "cartpole", "--run.name", "loud"],
            *["--cluster.address", nodes.address, "--environment.id", "my_environment:Loud-v0"],
            *["--stop.max_environment_steps", "None", "--stop.max_updates", "1000000"],
            *["--tracking.enabled", "false"],
        ],
        cwd=tmp_path,
        env=os.environ | QUICK_METRICS | {"REINFORCE_LOG_FORMAT": "json"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        exported = metrics_with(
            nodes,
            "ray_reinforce_progress_environment_steps{",
            "ray_reinforce_learner_gradient_norm{",
            "ray_reinforce_evaluation_return_mean{",
        )
        shown = run_in(tmp_path, "status", "--address", nodes.dashboard, "--json")
    finally:
        run.terminate()
        run.wait(90)

    assert 'run="loud"' in exported
    assert shown.returncode == 0, shown.stderr
    (row,) = [row for row in json.loads(shown.stdout) if row["state"] == "running"]
    assert (row["name"], row["path"]) == ("loud", str(tmp_path / "runs" / "loud"))
    assert row["updates"] > 0
    assert row["return_mean"] > 0
    assert row["environment_steps_per_s"] > 0
    assert row["workers"] >= 1
    said = "\n".join(nodes.logs("worker-*").values())
    lines = [line for line in said.splitlines() if "made a loud one" in line]
    assert lines
    assert {"actor_id", "node_id", "job_id", "levelname"} <= set(json.loads(lines[0]))


def status_of(url):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10)
    refused.value.close()
    return refused.value.code


def test_nobody_is_answered_without_the_token(nodes):
    assert status_of(f"{nodes.dashboard}/api/jobs/") == 401
    assert status_of(f"{nodes.dashboard}/api/v0/nodes") == 401
    for port in nodes.agent_ports:
        assert status_of(f"http://127.0.0.1:{port}/api/job_agent/jobs/") == 401


def test_the_token_is_in_no_argument_no_log_and_nothing_that_is_kept_of_a_job(nodes, submitted):
    arguments = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            arguments.append(path.read_bytes())
    logs, jobs = nodes.logs("*"), nodes.ask("/api/jobs/")

    assert any(b"gcs_server" in line for line in arguments)
    assert not any(nodes.token.encode() in line for line in arguments)
    assert "Running entrypoint for job" in "".join(logs.values())
    assert not [path for path, text in logs.items() if nodes.token in text]
    assert "RAY_JOB_STOP_WAIT_TIME_S" in jobs  # the environment that a job was given
    assert nodes.token not in jobs
    files = [path for path in nodes.home.rglob("*") if path.is_file()]
    assert "summary.json" in {path.name for path in files}
    assert not [path for path in files if nodes.token.encode() in path.read_bytes()]


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
    assert result.stderr.startswith("reinforce: ")
    assert result.stderr.count("\n") == 1
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
    assert "answers, but not like a Ray dashboard, whose port is 8265" in result.stderr


# The command, with the patience of milliseconds.
IMPATIENT = """
import sys
from reinforce.cluster.backends.ray import probe
from reinforce.cluster.cli import main

probe._CONNECT_TIMEOUT_S = probe._ANSWER_TIMEOUT_S = 0.2
sys.exit(main(sys.argv[1:]))
"""


def test_a_server_that_says_nothing_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        result = subprocess.run(
            [sys.executable, "-c", IMPATIENT, "train", "cartpole", "--cluster.address", address],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    assert result.returncode == 2
    assert "answers, but not as a Ray cluster does" in result.stderr


def test_a_worker_that_fits_on_no_node_is_said_at_once(nodes, reinforce, tmp_path):
    command = ["--cluster.address", nodes.address, "--cluster.cpus_per_worker", "64", *SHORT]

    result = reinforce("train", "cartpole", *command)

    assert result.returncode == 2
    assert result.stderr.startswith("reinforce: no worker fits: cluster.cpus_per_worker = 64, the")
    assert list(tmp_path.iterdir()) == []


def test_a_learner_that_needs_a_gpu_where_no_node_has_one_is_said_at_once(
    nodes, reinforce, tmp_path
):
    command = ["--cluster.address", nodes.address, "--learner.device", "cuda", *SHORT]

    result = reinforce("train", "cartpole", *command)

    assert result.returncode == 2
    assert "the learner fits nowhere: learner.device = 'cuda', none of 3 nodes" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_that_fewer_workers_fit_than_are_asked_for(nodes, reinforce):
    result = reinforce(
        *["doctor", "cartpole", "--cluster.address", nodes.address],
        *["--workers.num_workers", "50", "--environment.id", "Nowhere-v0"],
    )

    assert result.returncode == 1
    assert "workers.num_workers = 50, and the cluster has CPUs for 2" in result.stdout
    assert result.stdout.count("environment.id = 'Nowhere-v0' does not exist here") == 4


def test_a_cluster_of_other_versions_is_one_clear_message(nodes, reinforce):
    """The cluster is a real one, whose record of its own versions was changed."""
    client = GcsClient(address=nodes.address)
    key, namespace = b"CLUSTER_METADATA", b"cluster"
    before = client.internal_kv_get(key, namespace=namespace)
    other = json.loads(before) | {"ray_version": "2.40.0", "python_version": "3.9.1"}
    client.internal_kv_put(key, json.dumps(other).encode(), overwrite=True, namespace=namespace)
    try:
        result = reinforce("train", "cartpole", "--cluster.address", nodes.address, *SHORT)
    finally:
        client.internal_kv_put(key, before, overwrite=True, namespace=namespace)

    assert result.returncode == 2
    assert "runs other versions: Ray 2.40.0 there, " in result.stderr
    assert "Python 3.9.1 there, " in result.stderr

"""Each check of the doctor by itself: what it sees, and what it says to do."""

import os
import socket
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
import torch

from reinforce.cluster.backends.ray.capacity import Capacity
from reinforce.cluster.backends.ray.job import JOB_CONFIG
from reinforce.cluster.cli import main
from reinforce.cluster.commands.doctor import check_token
from reinforce.cluster.doctor import finding, machine_checks
from reinforce.cluster.doctor.cluster_checks import (
    check_authentication,
    check_clocks,
    check_gpus,
    check_object_stores,
    check_room,
    check_versions,
)
from reinforce.cluster.doctor.machine_checks import (
    check_artifacts,
    check_checkpoints,
    check_machine,
    check_own_gpu,
    check_run_directory,
    check_tracking,
    check_user_files,
)
from reinforce.cluster.doctor.node_report import report_of_this_machine
from reinforce.cluster.tracking.store import TrackingStore
from reinforce.configs.config import Config

ROOMY = {"shared_memory_bytes": 1 << 30, "free_disk_bytes": 4 << 30}
HERE = replace(report_of_this_machine(Config(), ".", 60.0), **ROOMY)


@pytest.fixture
def _on_a_roomy_machine(monkeypatch):
    """Whatever else lies on the disk of the one that runs the tests."""
    monkeypatch.setattr(
        "reinforce.cluster.commands.doctor.report_of_this_machine",
        lambda *arguments: replace(report_of_this_machine(*arguments), **ROOMY),
    )


def config(**sections):
    return Config.model_validate(sections)


def test_a_machine_that_has_everything_has_no_failure():
    assert {finding.level for finding in check_machine(HERE)} <= {"ok", "warning"}


@pytest.mark.parametrize(
    ("change", "subject", "level", "advice"),
    [
        ({"versions": {"ray": "2.60.0"}}, "packages", "failure", "install this project there"),
        ({"shared_memory_bytes": 64 << 20}, "shared memory", "warning", "set shm_size"),
        ({"free_disk_bytes": 1 << 20}, "disk", "failure", "--temp-dir"),
        ({"environment_problem": "no"}, "environment", "failure", "refuses it, too"),
    ],
)
def test_what_a_machine_lacks_is_found(change, subject, level, advice):
    (found,) = [
        finding for finding in check_machine(replace(HERE, **change)) if finding.level != "ok"
    ]

    assert (found.subject, found.level) == (subject, level)
    assert advice in found.advice


@pytest.mark.case
def test_how_convolutions_read_an_image_is_shown():
    images = config(
        environment={"id": "one_hot_image:Planes"},
        policy={"kind": "cnn"},
    )
    report = replace(report_of_this_machine(images, ".", 60.0), **ROOMY)

    (found,) = [finding for finding in check_machine(report) if finding.subject == "image"]

    assert found.level == "ok"
    assert "'observation' of shape (7, 7, 20) is 20 channels of 7 x 7 pixels" in found.line()


def test_the_speed_of_a_vector_implementation_is_shown_and_no_reason_to_fail():
    shown = [finding for finding in check_machine(HERE) if finding.subject == "vector"]

    assert [finding.level for finding in shown] == ["ok"]
    assert "lanes, single environments" in shown[0].message
    countdown = config(environment={"id": "fake_environments:Countdown-v0"})
    assert report_of_this_machine(countdown, ".", 60.0).vector_speed is None


def test_workers_that_fit_nowhere_are_a_failure_and_fewer_than_wanted_a_warning():
    nodes = Capacity(node_cpus=(0.0, 2.0), autoscaler_cpus=None)

    assert check_room(config(), nodes).level == "ok"
    assert check_room(config(workers={"num_workers": 3}), nodes).level == "warning"
    assert check_room(config(cluster={"cpus_per_worker": 3}), nodes).level == "failure"


def test_with_an_autoscaler_there_is_room_for_what_it_can_start():
    growing = Capacity(node_cpus=(0.0,), autoscaler_cpus=64.0)

    found = check_room(config(workers={"num_workers": 50}), growing)

    assert found.level == "ok"
    assert "up to 64 CPUs" in found.message


def test_a_gpu_that_is_asked_for_is_looked_for_on_all_nodes():
    asked = config(learner={"device": "cuda"})
    without = Capacity(node_cpus=(2.0, 2.0), autoscaler_cpus=None, node_gpus=(0.0, 0.0))
    one = replace(without, node_gpus=(0.0, 1.0))
    growing = replace(without, autoscaler_gpus=4.0)

    assert check_gpus(asked, without).level == "failure"
    assert "none of 2 nodes has a GPU" in check_gpus(asked, without).message
    assert "use learner.device cpu" in check_gpus(asked, without).advice
    assert (check_gpus(asked, one).level, check_gpus(asked, one).message) == ("ok", "1 now")
    assert check_gpus(asked, growing).message == "none now, more with the autoscaler"


def test_a_gpu_that_is_not_asked_for_is_a_warning_where_images_are_seen():
    one = Capacity(node_cpus=(2.0,), autoscaler_cpus=None, node_gpus=(1.0,))

    assert check_gpus(config(), one).level == "ok"
    found = check_gpus(config(policy={"kind": "cnn"}), one)
    assert (found.level, found.subject) == ("warning", "GPU")
    assert "--learner.device cuda" in found.advice


def test_without_a_gpu_a_learner_on_one_is_a_failure_here():
    found = check_own_gpu(config(learner={"device": "cuda"}))

    if torch.cuda.is_available():
        assert found.level == "ok"
    else:
        assert (found.subject, found.level) == ("GPU", "failure")
        assert found.advice.startswith("use learner.device cpu")
    assert check_own_gpu(config()).level == "ok"


def test_a_small_object_store_is_a_warning():
    node = {"NodeManagerHostname": "a", "Alive": True}
    small, large = ({"object_store_memory": size << 20} for size in (64, 512))

    assert check_object_stores([{**node, "Resources": large}]).level == "ok"
    of_one_machine = [{**node, "Resources": small}, {**node, "Resources": large}]
    assert check_object_stores(of_one_machine).level == "warning"


def test_clocks_are_compared_with_ours_at_the_time_of_the_answer():
    early, late = (replace(HERE, unix_time_s=time_s) for time_s in (90.0, 105.0))

    assert check_clocks([late], 100.0, 106.0).level == "ok"
    assert "off: " in check_clocks([early], 100.0, 106.0).message


def test_other_versions_on_a_node_are_a_warning():
    other = replace(HERE, versions={**HERE.versions, "torch": "1.0"})

    assert check_versions(HERE, [HERE, HERE], 2).level == "ok"
    assert "torch 1.0 there" in check_versions(HERE, [HERE, other], 2).message
    assert check_versions(HERE, [HERE], 2).level == "failure"


def test_a_run_directory_that_cannot_be_written_is_a_failure(tmp_path):
    (tmp_path / "file").write_text("")
    good, bad = (config(run={"directory": tmp_path / name}) for name in ("runs", "file"))

    assert check_run_directory(good).level == "ok"
    assert check_run_directory(bad).level == "failure"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_checkpoints_are_written_and_read_where_they_will_go(tmp_path):
    (tmp_path / "file").write_text("")

    for name, level in (("store", "ok"), ("file", "failure")):
        found = check_checkpoints(config(checkpoint={"directory": str(tmp_path / name)}))
        assert found.level == level
    assert list((tmp_path / "store").iterdir()) == []


def test_a_locked_store_of_mlflow_is_a_failure(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        assert check_tracking(config(tracking={"uri": uri}).tracking).level == "ok"
        connection.execute("BEGIN EXCLUSIVE")
        found = check_tracking(config(tracking={"uri": uri}).tracking)

    assert found.level == "failure"
    assert "locked" in found.message


@pytest.mark.parametrize("has_store", [True, False])
def test_a_store_of_mlflow_that_cannot_be_written_is_a_failure_that_says_so(has_store, as_nobody):
    with TemporaryDirectory() as folder:  # where others may look into it
        if has_store:
            with closing(sqlite3.connect(f"{folder}/mlflow.db")) as connection:
                connection.execute("CREATE TABLE t (x)")
        Path(folder).chmod(0o555)
        as_nobody()
        found = check_tracking(config(tracking={"uri": f"sqlite:///{folder}/mlflow.db"}).tracking)
        os.seteuid(os.getuid())
        Path(folder).chmod(0o755)

    assert found.level == "failure"
    assert f"Permission denied: it cannot be written: '{folder}'" in found.message


def test_a_server_that_is_not_there_is_a_failure_that_hides_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hidden@127.0.0.1:9")

    found = check_tracking(config().tracking)

    assert found.level == "failure"
    assert "hidden" not in found.line()


def test_a_server_of_mlflow_that_does_not_answer_is_a_failure_after_seconds(monkeypatch):
    monkeypatch.setattr(finding, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = check_tracking(config(tracking={"uri": uri}).tracking)

    assert found.level == "failure"
    assert "the server has not answered for 0.1 s" in found.message


def test_mlflow_that_is_slow_with_a_file_is_a_warning_and_no_server_is_spoken_of(
    store_uri, monkeypatch
):
    assert check_tracking(config().tracking).level == "ok"
    monkeypatch.setattr(machine_checks, "LOCAL_TIMEOUT_S", 0.01)
    both_were_looked_at, client_of = Event(), TrackingStore.client

    def late(store):
        both_were_looked_at.wait(60)
        return client_of(store)

    monkeypatch.setattr(TrackingStore, "client", late)

    tracking = check_tracking(config().tracking)
    artifacts = check_artifacts(config().tracking, finding.ok("tracking", ""))
    both_were_looked_at.set()

    for found in (tracking, artifacts):
        assert found.level == "warning"
        assert "MLflow was not ready within 0.01 s" in found.message
        assert "server" not in found.line()


@contextmanager
def server_that_answers(status, body=""):
    """Yield the address of a server that answers whoever asks, and whatever is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "message", "advice"),
    [
        (401, "", "answers HTTP 401", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (403, "", "answers HTTP 403", "or you may not write to this experiment"),
        (403, "Invalid Host header", "answers HTTP 403", "MLFLOW_SERVER_ALLOWED_HOSTS"),
        (404, "", "answers HTTP 404", "see the server's log"),
        (
            200,
            "<html>a page of somebody else</html>",
            "a page of somebody else",
            "correct the address",
        ),
    ],
)
def test_a_server_that_would_not_take_a_run_is_a_failure(status, body, message, advice):
    with server_that_answers(status, body) as address:
        found = check_tracking(config(tracking={"uri": f"http://{address}"}).tracking)

    assert (found.subject, found.level) == ("tracking", "failure")
    assert address in found.message
    assert message in found.message
    assert advice in found.advice
    assert "`reinforce sync` sends them later" in found.advice


def test_a_server_that_takes_a_tag_is_fine():
    experiment = '{"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}}'
    with server_that_answers(200, experiment) as address:
        found = check_tracking(config(tracking={"uri": f"http://{address}"}).tracking)

    assert (found.level, found.message) == ("ok", f"http://{address} can be written")


def test_a_cluster_that_lets_anyone_in_is_a_failure():
    with server_that_answers(200) as address:
        found = check_authentication(address)

    assert found.level == "failure"
    assert "can join the cluster" in found.message


def test_a_module_of_the_users_that_would_hide_this_project_is_a_warning(tmp_path):
    for name in ("workers", "configs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    assert check_user_files(tmp_path).level == "ok"
    assert check_user_files(Path(__file__).parents[3]).level == "ok"  # this project itself
    (tmp_path / "reinforce.py").write_text("")

    assert check_user_files(tmp_path).level == "warning"


def test_the_token_is_named_by_its_place_and_never_shown(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "very-secret")

    assert check_token().message == "from RAY_AUTH_TOKEN"

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert check_token().level == "failure"


@pytest.mark.parametrize(
    ("home", "folder", "file", "level"),
    [
        (0o755, 0o755, 0o644, "warning"),
        (0o755, 0o750, 0o640, "warning"),
        (0o755, 0o755, 0o600, "ok"),
        (0o755, 0o700, 0o644, "ok"),
        (0o700, 0o755, 0o644, "ok"),
        (0o755, 0o750, 0o604, "ok"),
    ],
)
def test_a_token_that_other_users_can_read_is_told(home, folder, file, level, monkeypatch):
    """Whom each folder on the way lets pass: the group, or all others."""
    with TemporaryDirectory(dir="/tmp") as place:  # pytest's own folders are closed to others
        token = Path(place) / ".ray" / "auth_token"
        token.parent.mkdir()
        token.write_text("very-secret")
        for path, mode in ((token, file), (token.parent, folder), (Path(place), home)):
            path.chmod(mode)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))

        found = check_token()

    assert found.level == level
    assert (found.advice or "").startswith("`chmod 600 ") == (level == "warning")


@pytest.mark.usefixtures("_on_a_roomy_machine")
def test_the_doctor_ends_with_the_number_of_failures_as_its_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")

    assert main(["doctor"]) == 0
    assert main(["doctor", "cartpole", "--environment.id", "Nowhere-v0"]) == 1
    said = capsys.readouterr().out
    assert "0 failures" in said
    assert "1 failure," in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_on_a_roomy_machine")
def test_a_local_ray_takes_any_number_of_workers_of_any_size(tmp_path, monkeypatch, capsys):
    """As `reinforce train` does; only more workers than cores are worth a word."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")

    assert main(["doctor", "--cluster.cpus_per_worker", "4096"]) == 0
    assert "ok       room for workers" in capsys.readouterr().out
    assert main(["doctor", "--workers.num_workers", "4096"]) == 0
    assert "warning  room for workers 4,096 workers on" in capsys.readouterr().out
    assert main(["doctor", "--cluster.backend", "inline"]) == 0
    assert "none is needed" in capsys.readouterr().out


@pytest.mark.usefixtures("_on_a_roomy_machine")
def test_a_job_whose_cluster_nothing_names_is_one_failure_among_the_other_findings(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv(JOB_CONFIG, "{}")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    assert main(["doctor"]) == 1

    said = capsys.readouterr().out
    assert "failure  cluster          this is a Ray job" in said
    assert "1 failure," in said
    assert "ok       run directory" in said
    assert "a local Ray" not in said


def test_a_store_that_does_not_answer_is_a_failure_after_seconds(monkeypatch):
    monkeypatch.setattr(finding, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"http://127.0.0.1:{silent.getsockname()[1]}/checkpoints"
        found = check_checkpoints(config(checkpoint={"directory": location}))

    assert found.level == "failure"
    assert "the store has not answered for 0.1 s" in found.message


def finding_about(environment_id, folder=".", timeout_s=60.0, **sections):
    environment = {"id": environment_id, **sections.pop("environment", {})}
    trial = config(environment=environment, **sections)
    report = report_of_this_machine(trial, str(folder), timeout_s)
    (found,) = [f for f in check_machine(report) if f.subject == "environment"]
    return found


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("reset raises", "reset raises KeyError"),
        ("never ends", "did not end within"),
        ("step raises", "ZeroDivisionError: wheel"),
        ("shape", "shape"),
        ("nan reward", "nan"),
    ],
)
def test_an_environment_that_train_would_refuse_is_a_failure(fault, message):
    found = finding_about("broken_environment:Broken", environment={"kwargs": {"fault": fault}})

    assert found.level == "failure"
    assert message in found.message
    assert "`reinforce train` refuses it" in found.advice


def test_an_environment_that_train_would_warn_of_is_a_warning():
    found = finding_about(
        "broken_environment:Broken", environment={"kwargs": {"fault": "unseeded"}}
    )

    assert found.level == "warning"
    assert "is not deterministic under a seed" in found.message


def test_a_policy_that_train_would_refuse_is_a_failure(tmp_path):
    (tmp_path / "mine.py").write_text("class Net:\n    pass\n")

    found = finding_about("CartPole-v1", tmp_path, policy={"kind": "mine:Net"})

    assert found.level == "failure"
    assert "mine:Net" in found.message


def test_a_film_that_train_would_refuse_is_a_failure():
    found = finding_about("fake_environments:Countdown-v0", evaluation={"video": True})

    assert found.level == "failure"
    assert "cannot be filmed" in found.message


def test_an_environment_that_takes_longer_than_the_doctor_waits_is_a_warning():
    """`train` waits for it: it may be slow, and need not hang."""
    found = finding_about("fake_environments:Hanging", timeout_s=0.5)

    assert found.level == "warning"
    assert "not finished within 0.5 s" in found.message


USERS_ENVIRONMENTS = """
import os, signal
from gymnasium.envs.classic_control import CartPoleEnv

class SetsHandler(CartPoleEnv):
    def __init__(self, **kwargs):
        print("hello from its constructor")
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        super().__init__(**kwargs)

class Crashes(CartPoleEnv):
    def __init__(self, **kwargs):
        os.abort()
"""


def test_an_environment_is_made_in_a_main_thread_as_a_worker_makes_it(tmp_path):
    (tmp_path / "users.py").write_text(USERS_ENVIRONMENTS)

    assert finding_about("users:SetsHandler", tmp_path).level == "ok"


def test_an_environment_that_ends_its_process_is_a_failure_and_the_doctor_goes_on(tmp_path):
    (tmp_path / "users.py").write_text(USERS_ENVIRONMENTS)

    found = finding_about("users:Crashes", tmp_path)

    assert found.level == "failure"
    assert "its process ended with code -6" in found.message


def test_the_doctor_s_help_says_what_is_looked_at_and_what_its_code_means(capsys):
    assert main(["doctor", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "what would fail later" in said
    assert "The exit code is 1 if there is a failure" in said

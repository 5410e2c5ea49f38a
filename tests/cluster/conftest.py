"""What the tests of the top floor share: displays that keep quiet, and one Ray for many tests."""

import atexit
import os
import resource
import secrets
import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from runs import RecordingDisplay

from reinforce.cluster.cli import main
from reinforce.cluster.interrupts import Interrupts

# Ray reads it once per process; a cluster of one test and the local Ray of another must agree.
_TOKEN_FOLDER = tempfile.TemporaryDirectory(prefix="reinforce-test-token-")
atexit.register(_TOKEN_FOLDER.cleanup)
os.environ["RAY_AUTH_TOKEN_PATH"] = f"{_TOKEN_FOLDER.name}/token"
Path(os.environ["RAY_AUTH_TOKEN_PATH"]).write_text(secrets.token_hex(32))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep in one of pytest-xdist's processes what shares a server, a folder, or Ray.

    A process has one connection to Ray: whoever makes his own does so before the shared one.
    """
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            is_on_ray = {"local_ray", "own_ray"} & set(item.fixturenames)
            group = "ray" if is_on_ray else str(item.path.relative_to(here).with_suffix(""))
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: "own_ray" not in item.fixturenames)


@pytest.fixture
def display():
    return RecordingDisplay()


@pytest.fixture
def interrupts():
    return Interrupts()


@pytest.fixture
def room_for():
    """Return a context in which no file can grow beyond so many bytes, like a disk that is full."""

    @contextmanager
    def limited(num_bytes):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture(scope="session")
def local_ray():
    """The local Ray of this test process, started by the code that users start it with."""
    from reinforce.cluster.backends.ray.session import ray_session
    from reinforce.configs.config import Config

    with ray_session(Config(), Interrupts()):
        yield


@pytest.fixture
def own_ray():
    """Allow a test to connect this process to a Ray of its own."""
    import ray

    assert not ray.is_initialized(), "the shared Ray is there already"
    yield
    ray.shutdown()


@pytest.fixture
def runs_on_local_ray(local_ray, monkeypatch):
    """Have runs of this process use the local Ray that is there, each with its own actors."""
    monkeypatch.setattr(
        "reinforce.cluster.backends.ray.backend.ray_session", lambda *_: nullcontext()
    )


@pytest.fixture(scope="session")
def actors(local_ray):
    """A learner and three workers on the local Ray, for one run after the other."""
    from reused_actors import ReusedActors

    return ReusedActors(num_workers=3)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """A finished run of CartPole, three updates long. Tests that write into it take a copy."""
    folder = tmp_path_factory.mktemp("runs")
    short = ["--stop.max_updates", "3", "--evaluation.episodes", "20", "--checkpoint.keep", "2"]
    options = [*short, "--cluster.backend", "inline", "--tracking.enabled", "false"]
    main(["train", "cartpole", "--run.directory", str(folder), "--run.name", "trained", *options])
    return folder / "trained"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A SQLite store whose tables are made, which takes seconds: copied where one is needed."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store_uri(empty_store, tmp_path, monkeypatch):
    """The address of an empty store in the test's folder, which MLFLOW_TRACKING_URI names."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri

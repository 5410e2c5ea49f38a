"""What the tests of the top floor share: displays that keep quiet, and one Ray for many tests."""

import atexit
import os
import resource
import secrets
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from runs import RecordingDisplay

from reinforce.cluster.backends.backend import Driver
from reinforce.cluster.cli import main
from reinforce.cluster.interrupts import Interrupts

# Ray reads it once per process; a cluster of one test and the local Ray of another must agree.
_TOKEN_FOLDER = tempfile.TemporaryDirectory(prefix="reinforce-test-token-")
atexit.register(_TOKEN_FOLDER.cleanup)
os.environ["RAY_AUTH_TOKEN_PATH"] = f"{_TOKEN_FOLDER.name}/token"
Path(os.environ["RAY_AUTH_TOKEN_PATH"]).write_text(secrets.token_hex(32))


@pytest.fixture
def display():
    return RecordingDisplay()


@pytest.fixture
def interrupts():
    return Interrupts()


@pytest.fixture
def _sweeps_in_this_process(monkeypatch):
    """Processes, which cost seconds, are left to those tests that are about them."""
    from small_sweeps import IN_THIS_PROCESS

    monkeypatch.setattr("reinforce.cluster.sweeps.trial_process.subprocess", IN_THIS_PROCESS)


@pytest.fixture
def write_sweep(tmp_path, monkeypatch):
    """Return a function that writes base.yaml and sweep.yaml into the current directory."""
    from small_sweeps import write_sweep

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    return partial(write_sweep, tmp_path)


@pytest.fixture
def as_nobody():
    """Called in a test that runs as root, which may look into everything: no longer."""
    user = os.geteuid()
    yield lambda: os.seteuid(65534 if user == 0 else user)
    os.seteuid(user)


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


class SharedRay:
    """One local Ray for all tests of this process that do without one of their own."""

    def __init__(self):
        self._actors = None
        self._session = ExitStack()

    def start(self):
        """Start it by the code that users start it with, unless it is there."""
        import ray

        from reinforce.cluster.backends.ray.session import ray_session
        from reinforce.configs.config import Config

        if not ray.is_initialized():  # it never was, or a run in this process has ended it
            self.end()
            self._session.enter_context(ray_session(Config(), Driver(Interrupts())))

    def end(self):
        """End it. A process has one connection to Ray."""
        self._actors = None
        self._session.close()

    @property
    def actors(self):
        """A learner and three workers for one run after the other."""
        from reused_actors import ReusedActors

        if self._actors is None:
            self._actors = ReusedActors(num_workers=3)
        return self._actors


@pytest.fixture
def temporary_folder(monkeypatch):
    """A TMPDIR for what a test starts, short enough for the sockets of Ray."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture(scope="session")
def shared_ray():
    shared = SharedRay()
    yield shared
    shared.end()


@pytest.fixture
def local_ray(shared_ray):
    shared_ray.start()


@pytest.fixture
def without_shared_ray(shared_ray):
    """Let a test connect this process to a Ray of its own, or find none."""
    shared_ray.end()


@pytest.fixture
def actors(local_ray, shared_ray):
    return shared_ray.actors


@pytest.fixture
def runs_on_local_ray(local_ray, monkeypatch):
    """Have runs of this process use the local Ray that is there, each with actors of its own."""
    session = SimpleNamespace(check=lambda: None, check_head=lambda: None)
    monkeypatch.setattr(
        "reinforce.cluster.backends.ray.backend.ray_session", lambda *_: nullcontext(session)
    )


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


@pytest.fixture
def untrained(make_config, trained_run):
    """A function that makes a policy of a kind for a pair of spaces."""
    import torch

    from reinforce.cluster.export.trained_policy import TrainedPolicy
    from reinforce.learner.networks.network import PolicyNetwork
    from reinforce.learner.state import LearnerState
    from reinforce.workers.environment import inspect_environment
    from reinforce.workers.rollout_worker import architecture_of

    trained = TrainedPolicy.load(trained_run, best=False)

    def make(kind, observation, action, masks=""):
        spaces = {"observation": observation, "action": action, "masks": masks}
        config = make_config(
            environment={"id": "space_tasks:Samples", "kwargs": spaces},
            policy={
                "kind": kind,
                "hidden_sizes": [] if ":" in kind else [8, 6],
                "normalize_observations": True,
            },
        )
        spec = inspect_environment(config.environment)
        network = PolicyNetwork(architecture_of(config, spec), torch.Generator().manual_seed(0))
        generator = np.random.default_rng(0)
        for parameter in network.parameters():
            if parameter.ndim > 1:  # biases stay 0, so that what is seen decides
                scale = parameter[0].numel() ** -0.5
                noise = generator.normal(0, scale, parameter.shape).astype(np.float32)
                parameter.data += torch.from_numpy(noise)
        size = spec.observation.vector_size
        statistics = [generator.normal(0, 0.3, size), generator.uniform(0.5, 2, size)]
        network.load_statistics(np.concatenate(statistics).astype(np.float32))
        weights = network.flat_weights()
        checkpoint = replace(trained.checkpoint, learner=LearnerState(1, {"weights": weights}))
        return replace(trained, config=config, spec=spec, checkpoint=checkpoint)

    return make

"""What tests share: the fake environments on every process's path, and small configurations."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from reinforce.cluster.analysis.plots import draw_run
from reinforce.configs.config import Config

# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

_ROOT = str(Path(__file__).parent.parent)
_FAKES = str(Path(__file__).parent / "fakes")
_CASES = str(Path(__file__).parent / "cases")
_BENCHMARKS = str(Path(_ROOT) / "benchmarks")
sys.path[:0] = [_FAKES, _CASES, _BENCHMARKS]
# Ray's workers and the programs that tests start import the fakes, too, and the project's packages
# from wherever these tests did.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [_FAKES, _CASES, _BENCHMARKS, _ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
)

# Which runs are this user's is noted there; tests must not fill the list of whoever starts them.
_STATE = tempfile.TemporaryDirectory(prefix="reinforce-test-state-")
atexit.register(_STATE.cleanup)
os.environ["XDG_STATE_HOME"] = _STATE.name

# Under nohup, or in the background of a script, a process ignores these, and so does all that it
# starts: a test that sends one would wait forever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_SESSION = pytest.StashKey[pytest.Session]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Leave the process when all else that pytest does at its end is done: last in is first out."""
    config.add_cleanup(lambda: _leave(config))


def pytest_sessionfinish(session):
    session.config.stash[_SESSION] = session


def _leave(config):
    """Exit before the C++ libraries are taken down under the threads that Ray leaves behind.

    After many sessions of Ray in one process, threads of the first ones still export metrics, and
    crash it at its end (docs/decisions/0078-tests-leave-before-ray-crashes.md).
    """
    if "ray" in sys.modules and _SESSION in config.stash:
        config.get_terminal_writer().flush()
        atexit._run_exitfuncs()
        os._exit(int(config.stash[_SESSION].exitstatus))


@pytest.fixture(scope="session", autouse=True)
def _without_plots():
    """Have runs of this process draw no pictures, which take half the time of a short one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reinforce.cluster.run_lifecycle.draw_run", lambda *_: [])
        yield


@pytest.fixture
def with_plots(monkeypatch):
    """Have the runs of a test draw their pictures."""
    monkeypatch.setattr("reinforce.cluster.run_lifecycle.draw_run", draw_run)


@pytest.fixture(scope="session")
def wheel_file(tmp_path_factory):
    """Our wheel, built in a copy: a build leaves modules behind that the next one would pack."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("reinforce", "configs", "learner", "workers", "cluster"):
        shutil.copytree(Path(_ROOT, name), checkout / name, symlinks=True, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(Path(_ROOT, name), checkout)
    words = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, checkout]
    subprocess.run(
        [sys.executable, "-m", "pip", *words], check=True, capture_output=True, timeout=300
    )
    (path,) = folder.glob("*.whl")
    return path


def _merged(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in extra.items():
        is_section = isinstance(value, dict) and key != "kwargs"
        result[key] = _merged(result.get(key, {}), value) if is_section else value
    return result


@pytest.fixture
def make_config(tmp_path):
    """Return a function that makes a small inline configuration with some sections changed."""
    base = {
        "run": {"directory": str(tmp_path / "runs"), "name": "test"},
        "environment": {"id": "fake_environments:Countdown-v0"},
        "stop": {"max_updates": 2},
        "policy": {"hidden_sizes": [8]},
        "learner": {"episodes_per_update": 4},
        "workers": {"envs_per_worker": 2, "episodes_per_ticket": 2},
        "cluster": {"backend": "inline"},
        "evaluation": {"episodes": 6, "every_updates": None},
        "tracking": {"enabled": False},
    }
    return lambda **sections: Config.model_validate(_merged(base, sections))

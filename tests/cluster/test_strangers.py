"""Run directories of strangers: whatever they hold, no verb runs it, sends secrets or leaves them.

Each case is a copy of a finished run, changed as somebody would who wants something from whoever
looks at it. A file and a server are the canaries: what runs makes the one, what sends asks the
other.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.commands.ui import UiCommand, what_to_show
from reinforce.cluster.errors import UsageError
from reinforce.cluster.policy_sources import find_policy
from reinforce.cluster.run_store.checkpoint import encode
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.trust import is_known, note_trusted
from reinforce.configs.errors import ConfigError
from reinforce.configs.execution import TrackingConfig
from reinforce.configs.experiment import Change
from reinforce.configs.loading import load_config, with_overrides
from reinforce.configs.roles import flat

SECRET = "the-secret-of-whoever-looks-at-it"

CANARY_MODULE = """
from pathlib import Path
Path({file!r}).touch()

def touch(*arguments, **options):
    Path({file!r}).touch()
"""


class Canaries:
    """A file that code would make, a server that verbs would ask, a folder with a secret."""

    def __init__(self, folder):
        self.file = folder / "canary"
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.secret = self.outside / "secret.png"
        self.secret.write_text(json.dumps({"status": "finished", "stop_reason": SECRET}))
        self.requests = []
        (folder / "canary_module.py").write_text(CANARY_MODULE.format(file=str(self.file)))
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append((self.path, dict(self.headers)))
                self.send_error(404)

            do_POST = do_HEAD = do_PUT = do_GET  # noqa: N815  (as http.server calls them)

            def log_message(self, *words):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def canaries(tmp_path, monkeypatch, store_uri):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "the-token-of-the-user")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = Canaries(tmp_path)
    yield found
    found.close()
    sys.modules.pop("canary_module", None)


@pytest.fixture
def run(trained_run, tmp_path):
    return Path(shutil.copytree(trained_run, tmp_path / "runs" / "theirs"))


def configured(section, **values):
    def change(run, canaries):
        file = run / "config.yaml"
        config = yaml.safe_load(file.read_text())
        filled = json.loads(
            json.dumps(values)
            .replace("CANARY", str(canaries.file))
            .replace("SERVER", canaries.address)
            .replace("OUTSIDE", str(canaries.outside))
        )
        config[section] |= filled
        file.write_text(yaml.safe_dump(config))

    return change


def tracked(**state):
    def change(run, canaries):
        text = json.dumps({"key": "k", "is_default_store": False, "is_server": False, **state})
        text = text.replace("OUTSIDE", str(canaries.outside)).replace("SERVER", canaries.address)
        (run / "tracking.json").write_text(text)

    return change


def linked(name, target=""):
    """Put a link to something outside in place of a file or folder of the run."""

    def change(run, canaries):
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(canaries.outside / target)

    return change


def piped(name):
    """Put a pipe, whose reader waits for ever, in place of a file of the run."""

    def change(run, canaries):
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return change


def huge(name):
    def change(run, canaries):
        (run / name).unlink(missing_ok=True)
        with (run / name).open("wb") as file:
            file.truncate(2**42)  # of nothing

    return change


def begun(start_from):
    """A run without a checkpoint yet: `resume` would look for its first weights."""

    def change(run, canaries):
        configured("run", start_from=start_from)(run, canaries)
        shutil.rmtree(run / "checkpoints")
        (run / "summary.json").unlink()

    return change


def bomb(run, canaries):
    levels = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for one, other in zip("abcdefgh", "bcdefghi", strict=True):
        levels.append(f"{other}: &{other} [{', '.join([f'*{one}'] * 9)}]")
    (run / "config.yaml").write_text("\n".join(levels))


def lying(run, canaries):
    """Claim tensors of petabytes in the headers of checkpoints."""
    header = json.dumps({"weights": {"dtype": "F32", "shape": [2**50], "data_offsets": [0, 2**52]}})
    for file in (run / "checkpoints").iterdir():
        file.write_bytes(len(header).to_bytes(8, "little") + header.encode())


TOUCH = {"args": ["touch", "CANARY"]}
STRANGERS = {
    "function": configured("environment", id="canary_module:touch"),
    "shell": configured("environment", id="subprocess:check_output", kwargs=TOUCH),
    "package": configured("environment", id="canary_module:CartPole-v1"),
    "wrapper": configured("environment", wrappers=["canary_module:touch"]),
    "wrapper with arguments": configured("environment", wrappers=[{"subprocess:call": TOUCH}]),
    "evaluation": configured("evaluation", environment={"id": "canary_module:touch"}),
    "evaluation by a shell": configured(
        "evaluation", environment={"id": "subprocess:check_output", "kwargs": TOUCH}
    ),
    "evaluation in a wrapper": configured(
        "evaluation", environment={"wrappers": ["canary_module:touch"]}
    ),
    "policy": configured("policy", kind="canary_module:touch"),
    "policy with arguments": configured("policy", kind="subprocess:Popen", arguments=TOUCH),
    "tracking server": configured("tracking", uri="http://SERVER"),
    "tracking database": configured("tracking", uri="sqlite:///OUTSIDE/new/mlflow.db"),
    "tracking folder": tracked(directory="OUTSIDE/new", is_default_store=True),
    "tracking link": tracked(
        directory=".", run_id="1", experiment_id="0", is_server=True, link="http://SERVER/#/x"
    ),
    "cluster": configured("cluster", backend="ray", address="SERVER"),
    "checkpoints of a server": configured("checkpoint", directory="http://SERVER/checkpoints"),
    "start at a server": begun("http://SERVER/x@3"),
    "start in a folder at a server": begun("http://SERVER/runs/x"),
    "start at a model": begun("models:/x/1"),
    "start elsewhere": begun("OUTSIDE/new@best"),
    "checkpoints elsewhere": configured("checkpoint", directory="OUTSIDE/new"),
    "checkpoints elsewhere, linked": linked("checkpoints"),
    "store in the run": tracked(directory="runs/theirs", is_default_store=True),
    "plots elsewhere": linked("plots"),
    "secret among plots": linked("plots/overview.png", "secret.png"),
    "secret among videos": linked("videos/step_1.mp4", "secret.png"),
    "secret as summary": linked("summary.json", "secret.png"),
    "journal elsewhere": linked("metrics.jsonl", "journal"),
    "history elsewhere": linked("history.jsonl", "history"),
    "log elsewhere": linked("tracking.log", "log"),
    "temporary file of tracking": linked("tracking.json.tmp", "secret.png"),
    "temporary file of pictures": linked("plots/overview.png.tmp", "secret.png"),
    "temporary file of requests": linked("control.json.tmp", "secret.png"),
    "pipe as summary": piped("summary.json"),
    "pipe as journal": piped("metrics.jsonl"),
    "pipe as requests": piped("control.json"),
    "endless summary": huge("summary.json"),
    "endless journal": huge("metrics.jsonl"),
    "bomb as configuration": bomb,
    "lying checkpoints": lying,
}

VERBS = {
    "sync": ["RUN"],
    "plot": ["RUN"],
    "compare": ["RUN"],
    "export": ["RUN", "--output", "bundle"],
    "evaluate": ["RUN", "--episodes", "5"],
    "record": ["RUN", "--episodes", "1", "--output", "films"],
    "replay": ["RUN", "evaluation:0:0"],
    "verify": ["RUN", "--updates", "1"],
    "diff": ["RUN", "RUN"],
    "show": ["RUN", "--worst", "1"],
    "resume": ["RUN", "--stop.max_updates", "4"],
    "pause": ["RUN"],
    "scale": ["RUN", "2"],
}


def stored_files(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("case", STRANGERS)
def test_nothing_of_a_stranger_s_directory_runs_or_gets_secrets(
    case, canaries, run, tmp_path, capsys
):
    STRANGERS[case](run, canaries)
    before = sorted(canaries.outside.rglob("*"))

    for verb, words in VERBS.items():
        code = main([verb, *(str(run) if word == "RUN" else word for word in words)])

        said = capsys.readouterr()
        assert code in (0, 1, 2), verb
        assert "Traceback" not in said.out + said.err, verb
        assert not canaries.file.exists(), verb
        assert canaries.requests == [], verb

    with suppress(UsageError, ConfigError):  # `ui` would serve what it finds here
        what_to_show(UiCommand(run=run))

    assert canaries.requests == []
    assert sorted(canaries.outside.rglob("*")) == before
    assert SECRET in canaries.secret.read_text()
    assert SECRET.encode() not in stored_files(tmp_path / "mlartifacts")


def test_python_asks_for_trust_as_the_verbs_do(canaries, run):
    STRANGERS["shell"](run, canaries)
    theirs = reinforce.load(run)

    for play in (theirs.evaluate, theirs.record, lambda: theirs.resume({"stop.max_updates": 4})):
        with pytest.raises(UsageError, match="trust=True"):
            play()
    STRANGERS["checkpoints of a server"](run, canaries)
    with pytest.raises(UsageError, match="use 'http"):
        reinforce.train("cartpole", {"run.start_from": str(run)}, backend="inline")
    assert not canaries.file.exists()
    assert canaries.requests == []


@pytest.mark.case
def test_a_start_at_a_place_that_a_stranger_names_is_not_asked(canaries, run, capsys):
    STRANGERS["start at a server"](run, canaries)

    assert main(["resume", str(run)]) == 2

    said = capsys.readouterr().err
    assert f"read weights from 'http://{canaries.address}/x@3' (run.start_from)" in said
    assert canaries.requests == []
    assert main(["resume", str(run), "--trust"]) == 2
    assert "run.start_from = 'http://" in capsys.readouterr().err
    assert canaries.requests


def test_another_start_in_a_trusted_run_s_place_is_not_trusted_in_its_name(run):
    directory, config = RunDirectory.open(run), load_config(str(run / "config.yaml"))
    other = with_overrides(config, {"run.start_from": "models:/x/1"})

    note_trusted(directory, config)

    assert is_known(directory, config)
    assert not is_known(directory, other)


def test_one_version_of_a_run_is_trusted_as_the_run_is(canaries, run):
    configured("environment", id="user_wrappers:cart_pole", kwargs={"gravity": 5.0})(run, canaries)
    best = f"{run}@best"
    with pytest.raises(UsageError, match="import 'user_wrappers:cart_pole'"):
        reinforce.load(best).evaluate(5)

    reinforce.load(run, trust=True)

    ours = reinforce.load(run).evaluate(5, best=True)
    assert list(reinforce.load(best).evaluate(5).returns) == list(ours.returns)


def test_one_version_of_a_run_with_checkpoints_elsewhere_is_had_by_trust(canaries, run, tmp_path):
    shutil.copytree(run / "checkpoints", tmp_path / "elsewhere" / run.name)
    configured("checkpoint", directory=str(tmp_path / "elsewhere"))(run, canaries)
    with pytest.raises(UsageError, match="trust=True") as refused:
        reinforce.train("cartpole", {"run.start_from": f"{run}@best"}, backend="inline")
    advice = f"trust it once: reinforce.load({str(run)!r}, trust=True), or any verb with --trust"
    assert str(refused.value).endswith(advice)

    found = find_policy(f"{run}@best", "source", TrackingConfig(), trust=True)

    assert found.is_known
    options = {"backend": "inline", "name": "warm", "progress": False}
    short = {"stop.max_updates": 1, "evaluation.episodes": 5, "tracking.enabled": False}
    warm = reinforce.train("cartpole", {"run.start_from": f"{run}@best", **short}, **options)
    assert warm.config.run.start_from_sha256 == found.checkpoint.weights.sha256


def test_nothing_is_imported_from_a_run_directory_one_is_in(canaries, run, monkeypatch):
    """Packages look for optional modules, which a stranger may have put there."""
    (run / "uarray.py").write_text(CANARY_MODULE.format(file=str(canaries.file)))

    for words in (["compare", "."], ["evaluate", ".", "--episodes", "5"]):
        found = subprocess.run(
            [sys.executable, "-m", "reinforce", *words], cwd=run, capture_output=True, check=False
        )
        assert found.returncode == 0, found.stderr
    assert not canaries.file.exists()


@pytest.mark.parametrize("verb", ["evaluate", "record", "replay", "verify", "resume"])
@pytest.mark.case
def test_verbs_that_play_say_what_they_would_import(verb, canaries, run, capsys):
    STRANGERS["function"](run, canaries)

    words = [str(run) if word == "RUN" else word for word in VERBS[verb]]
    assert main([verb, *words]) == 2

    said = capsys.readouterr().err
    assert "import 'canary_module:touch' (environment.id)" in said
    assert "add --trust" in said


def test_what_evaluations_play_is_trusted_or_not_like_the_environment(canaries, run, capsys):
    STRANGERS["evaluation"](run, canaries)

    assert main(["evaluate", str(run), "--episodes", "5"]) == 2
    assert "import 'canary_module:touch' (evaluation.environment)" in capsys.readouterr().err
    assert not canaries.file.exists()
    assert main(["evaluate", str(run), "--trust"]) == 2  # it is no environment
    assert canaries.file.exists()
    configured("evaluation", environment={"id": "subprocess:check_output"})(run, canaries)
    assert main(["evaluate", str(run), "--episodes", "5"]) == 2
    assert "--trust" in capsys.readouterr().err.splitlines()[-1]


def test_an_environment_that_the_user_names_asks_for_nothing(run, canaries, capsys):
    same = ["--environment.id", "user_wrappers:cart_pole", "--environment.kwargs", "{gravity: 5}"]

    assert main(["evaluate", str(run), "--episodes", "5", *same]) == 0

    assert "not as in training: id 'user_wrappers:cart_pole'" in capsys.readouterr().out


def test_an_export_says_which_network_s_class_it_would_import(canaries, run, capsys):
    STRANGERS["policy"](run, canaries)
    configured("environment", id="canary_module:touch")(run, canaries)

    assert main(["export", str(run), "--output", "bundle"]) == 2

    said = capsys.readouterr().err
    assert "import 'canary_module:touch' (policy.kind)" in said
    assert "environment.id" not in said  # which is not imported
    assert "add --trust" in said
    assert not canaries.file.exists()


def test_a_run_is_trusted_once_its_user_says_so_and_no_other_in_its_place(canaries, run, capsys):
    configured("environment", id="fake_environments:Countdown-v0")(run, canaries)
    words = ["evaluate", str(run), "--episodes", "5"]
    assert main(words) == 2

    main([*words, "--trust"])  # its weights fit another environment
    assert "the checkpoint after update 3 does not fit" in capsys.readouterr().err
    main(words)
    assert "the checkpoint after update 3 does not fit" in capsys.readouterr().err

    STRANGERS["function"](run, canaries)
    assert main(words) == 2
    assert "--trust" in capsys.readouterr().err
    assert not canaries.file.exists()


def test_runs_of_one_s_own_ask_for_nothing(canaries, tmp_path, capsys):
    options = ["--cluster.backend", "inline", "--stop.max_updates", "1", "--run.name", "mine"]
    small = ["--evaluation.episodes", "5", "--environment.id", "fake_environments:Countdown-v0"]
    assert main(["train", "cartpole", *options, *small, "--tracking.enabled", "false"]) == 0

    assert main(["evaluate", "runs/mine", "--episodes", "5"]) == 0
    assert main(["export", "runs/mine", "--output", "bundle"]) == 0

    listed = tmp_path / "state" / "reinforce"
    assert listed.stat().st_mode & 0o777 == 0o700
    assert "--trust" not in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_file_of_another_user_has_to_be_trusted_by_verbs_that_play(canaries, run, capsys):
    (run / "plots").mkdir(exist_ok=True)
    (run / "plots" / "theirs.png").touch()
    os.chown(run / "plots" / "theirs.png", 65534, 65534)

    assert main(["evaluate", str(run), "--episodes", "5"]) == 2

    assert "theirs.png belongs to" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--episodes", "5", "--trust"]) == 0
    assert main(["evaluate", str(run), "--episodes", "5"]) == 0  # it is remembered
    assert main(["plot", str(run)]) == 0


FORGED = {
    "a wrapper": (
        {"environment.wrappers": ["canary_module:touch"]},
        "import 'canary_module:touch' (environment.wrappers)",
    ),
    "another evaluation": (
        {"evaluation.environment": {"id": "canary_module:touch"}},
        "import 'canary_module:touch' (evaluation.environment)",
    ),
    "what no run changes": ({"environment.id": "canary_module:touch"}, "environment.id"),
    "another store": ({"tracking.uri": "http://SERVER"}, None),
    "no setting": ({}, None),
}


@pytest.mark.parametrize("case", FORGED)
def test_what_a_checkpoint_alone_says_was_changed_imports_and_sends_nothing(
    case, run, canaries, capsys
):
    forged, said = FORGED[case]
    forged = {
        name: json.loads(json.dumps(value).replace("SERVER", canaries.address))
        for name, value in forged.items()
    }
    stored = load_config(str(run / "config.yaml"))
    newest = Checkpoints(RunDirectory(run), stored).newest(print)
    before = flat(stored.model_dump(mode="json"))
    settings = {name: (before[name], value) for name, value in forged.items()}
    change = Change(update=newest.progress.updates, settings=settings or {"no.setting": (1, 2)})
    config = with_overrides(stored, {**forged, "run.changes": [change]})
    (file,) = (run / "checkpoints").glob(f"update-{newest.progress.updates:09d}.*")
    file.write_bytes(encode(replace(newest, config=config.model_dump(mode="json"))))
    (run / "summary.json").unlink()

    code = main(["resume", str(run), "--stop.max_updates", "4"])

    assert code == (2 if said else 0)
    assert (said or "") in capsys.readouterr().err
    assert not canaries.file.exists()
    assert canaries.requests == []

"""The command line as users meet it: what is wrong is said once, clearly, and leaves nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from processes import processes_in, ray_folders, wait_for
from runs import load_checkpoint

from reinforce.cluster.cli import main
from reinforce.cluster.commands.arguments import CHANGED_FIRST
from reinforce.cluster.files import read_json, write_json
from reinforce.configs.config import Config
from reinforce.configs.loading import preset_names


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def reinforce(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "reinforce", *arguments],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["config", "cartpole"]])
def test_a_reader_of_the_output_who_goes_away_is_not_told_of_it(arguments, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)

    result = subprocess.run(
        [sys.executable, "-m", "reinforce", *arguments],
        cwd=tmp_path,
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)

    assert result.stderr == ""
    assert result.returncode in (0, 141)


BAD_INPUT = {
    "unknown preset": (["cartpol"], "there is no preset 'cartpol'; did you mean 'cartpole'?"),
    "an environment as a preset": (
        ["CartPole-v1"],
        "set environment.id on top of a preset, in Python train(environment=...)",
    ),
    "no preset": ([], "needs a preset or a YAML file"),
    "missing file": (["./none.yaml"], "cannot read the configuration file 'none.yaml'"),
    "unknown option": (["cartpole", "--learner.learning_rat", "1"], "--learner.learning_rate"),
    "an option of another library": (
        ["cartpole", "--gamma=0.9"],
        "there is no option --gamma; did you mean --learner.discount?",
    ),
    "an option of another library in a section": (
        ["cartpole", "--workers.n-envs", "4"],
        "there is no option --workers.n_envs; did you mean --workers.envs_per_worker?",
    ),
    "an option of another library that counts something else": (
        ["cartpole", "--n-steps", "128"],
        "did you mean --learner.episodes_per_update? It counts whole episodes, not steps",
    ),
    "an option of another library without one here": (
        ["cartpole", "--learning-starts", "1000"],
        "there is no option --learning_starts; REINFORCE has no replay buffer",
    ),
    "the policy of another library": (
        ["cartpole", "--policy", "MlpPolicy"],
        "there is no option --policy; did you mean --policy.kind? mlp is what other libraries call",
    ),
    "a file that looks like an option": (
        ["-x.yaml"],
        "'-x.yaml' would be an option: write a file whose name begins with '-' as ./-x.yaml",
    ),
    "value out of range": (
        ["cartpole", "--learner.learning_rate", "-1"],
        "learner.learning_rate = -1.0 is refused: it should be greater than 0",
    ),
    "value of another type": (
        ["cartpole", "--run.seed", "x"],
        "reinforce: run.seed = 'x' is refused: it should be an integer run.seed: Seed of",
    ),
    "no mapping": (
        ["cartpole", "--environment.kwargs", "[1]"],
        "environment.kwargs = [1] is refused: it should be a mapping",
    ),
    "environment that does not exist": (
        ["cartpole", "--environment.id", "CartPol-v1"],
        "environment.id = 'CartPol-v1' does not exist here",
    ),
    "action space not supported": (
        ["cartpole", "--environment.id", "fake_environments:WritesText-v0"],
        "the action is the space Text",
    ),
    "unreachable address": (
        ["cartpole", "--cluster.address", "127.0.0.1:9"],
        "cluster.address = '127.0.0.1:9' does not answer (",
    ),
    "no address": (
        ["cartpole", "--cluster.address", "somewhere"],
        "cluster.address = 'somewhere' is not HOST:PORT or 'auto'",
    ),
    "run directory that is a file": (
        ["cartpole", "--run.directory", "file"],
        "cannot write to run.directory = 'file'",
    ),
    "run directory without a name": (
        ["cartpole", "--run.directory", ""],
        "run.directory = '' is refused: it should be the path of a folder",
    ),
    "run directory that no file system takes": (
        ["cartpole", "--run.directory", "a" * 300, "--run.name", "x", "--resume", "auto"],
        ": File name too long",
    ),
    "checkpoints by an unknown protocol": (
        ["cartpole", "--checkpoint.directory", "nowhere://x", "--cluster.backend", "inline"],
        "checkpoint.directory = 'nowhere://x/",
    ),
    "checkpoints by a protocol that cannot be used": (
        ["cartpole", "--checkpoint.directory", "reference://x", "--cluster.backend", "inline"],
        "cannot be used: TypeError: ",
    ),
    "checkpoints by a protocol that nothing can be listed with": (
        ["cartpole", "--checkpoint.directory", "data://x", "--cluster.backend", "inline"],
        "cannot read the checkpoints in data://x/",
    ),
    "checkpoints at no place": (
        ["cartpole", "--checkpoint.directory", "s3://"],
        "checkpoint.directory = 's3://' names no place",
    ),
    "run name that exists": (["cartpole", "--run.name", "taken"], "continues this run"),
    "run name that is no name": (["cartpole", "--run.name", "../up"], "run.name = '../up'"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gets_one_message_and_leaves_nothing(case, tmp_path, capsys):
    arguments, message = BAD_INPUT[case]
    (tmp_path / "file").touch()
    if case == "run name that exists":
        (tmp_path / "runs" / "taken").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))

    assert main(["train", *arguments]) == 2

    # tyro wraps its messages into boxes
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in said
    assert "Traceback" not in said
    assert sorted(tmp_path.rglob("*")) == before
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize("case", ["unknown preset", "unknown option", "unreachable address"])
def test_what_main_returns_and_says_is_how_a_process_ends(case, tmp_path):
    arguments, message = BAD_INPUT[case]

    result = reinforce("train", *arguments, cwd=tmp_path)

    assert result.returncode == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("backend", ["inline", "ray"])
def test_a_learner_on_a_gpu_that_is_not_there_is_refused_before_the_run_begins(
    backend, tmp_path, capsys
):
    asked = ["--learner.device", "cuda", "--cluster.backend", backend]

    assert main(["train", "cartpole", *asked]) == 2

    said = capsys.readouterr().err
    assert said.startswith("reinforce: learner.device = 'cuda', but Torch ")
    assert "use learner.device cpu (in a new run), or a machine with an" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_shared_ray")
def test_a_machine_without_a_cluster_is_told_how_to_start_one(tmp_path, monkeypatch, capsys):
    """Others may run Ray on this machine, too: theirs are not seen here."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", cache(set))

    assert main(["train", "cartpole", "--cluster.address", "auto"]) == 2

    said = capsys.readouterr().err
    assert "cluster.address = 'auto': no Ray node runs on this machine" in said
    assert "`ray start --head` starts a cluster" in said
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused_before_the_environment_is_made(tmp_path, capsys):
    (tmp_path / "taken").mkdir()
    place = ["--run.directory", str(tmp_path), "--run.name", "taken"]

    assert main(["train", "cartpole", *place]) == 2

    said = capsys.readouterr()
    assert "run.name = 'taken': " in said.err
    assert "checking environment" not in said.out


def test_an_unwritable_run_directory_is_refused_by_name(tmp_path, capsys):
    """Root may write anywhere, so the folder is one where nobody can."""
    assert main(["train", "cartpole", "--run.directory", "/proc/runs"]) == 2

    assert "cannot write to run.directory = '/proc/runs'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_that_of_the_distribution(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"reinforce \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_an_unknown_verb_names_the_near_one_and_lists_the_verbs(capsys):
    assert main(["trian"]) == 2
    assert (
        "there is no verb 'trian'; did you mean 'train'? The verbs are: train, pretrain, "
        "resume, scale, pause, unpause, stop, status, replay, show, verify, submit, doctor"
    ) in capsys.readouterr().err
    assert main(["xyz"]) == 2
    assert "there is no verb 'xyz'. The verbs are: train" in capsys.readouterr().err


def test_without_a_verb_the_usage_is_shown(capsys):
    assert main([]) == 2
    assert "Start with: reinforce train cartpole" in capsys.readouterr().out
    assert main(["--help"]) == 0


def test_help_explains_every_setting(capsys):
    assert main(["train", "--help"]) == 0

    shown = capsys.readouterr().out
    for section, field in Config.model_fields.items():
        for name in field.annotation.model_fields:
            assert f"--{section}.{name}" in shown


def test_help_begins_with_the_settings_that_are_changed_first(capsys):
    assert main(["train", "--help"]) == 0
    first = capsys.readouterr().out.partition("positional arguments")[0].splitlines()
    assert main(["doctor", "--help"]) == 0
    assert "\n\nThe most common settings" in capsys.readouterr().out
    assert main(["resume", "--help"]) == 0
    assert "most common settings" not in capsys.readouterr().out

    assert len(CHANGED_FIRST) == 10
    for name in CHANGED_FIRST:
        section, field = name.split(".")
        assert field in Config.model_fields[section].annotation.model_fields
        assert sum(f" --{name} " in line for line in first) == 1
    assert max(map(len, first)) <= 81


def test_a_whole_run_is_read_as_json(tmp_path, capsys):
    settings = [f"--run.directory={tmp_path}", "--stop.max_updates=2", "--cluster.backend=inline"]
    settings += ["--tracking.enabled=false", "--evaluation.greedy=both"]
    assert main(["train", "--log-format", "json", "cartpole", *settings]) == 0

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "message"
    assert kinds[-1] == "summary"
    assert kinds.count("evaluation") == 2
    assert kinds.count("update") >= 1
    summary = events[-1]
    assert json.loads((Path(summary.pop("run")) / "summary.json").read_text()) == {
        name: value for name, value in summary.items() if name != "event"
    }


def test_greedy_and_sampled_returns_of_the_last_weights_stand_side_by_side(tmp_path, capsys):
    settings = [f"--run.directory={tmp_path}", "--stop.max_updates=1", "--cluster.backend=inline"]
    settings += ["--tracking.enabled=false", "--evaluation.greedy=both"]
    assert main(["train", "cartpole", *settings, "--evaluation.every_updates=1"]) == 0

    end = capsys.readouterr().out.partition("status ")[2].splitlines()
    for name, how in (("evaluation", "greedy"), ("sampled", "sampled")):
        (line,) = [line for line in end if line.startswith(f"{name:<12}return ")]
        assert line.endswith(f"100 fresh episodes, {how}")
        assert len(line) <= 80


def test_config_prints_what_the_overrides_give(capsys):
    arguments = ["--run.seed", "7", "--environment.kwargs", "{sutton_barto_reward: true}"]
    assert main(["config", "cartpole", *arguments, "--tracking.enabled", "false"]) == 0

    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["run"]["seed"] == 7
    assert printed["environment"]["kwargs"] == {"sutton_barto_reward": True}
    assert printed["tracking"]["enabled"] is False
    assert printed["learner"]["learning_rate"] == 0.015


def test_what_config_prints_trains_the_same_run(tmp_path, capsys):
    assert main(["config", "cartpole", "--cluster.backend", "inline"]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    short = ["--stop.max_updates", "2", "--tracking.enabled", "false", "--run.name"]

    assert main(["train", "./mine.yaml", *short, "a"]) == 0
    assert main(["train", "cartpole", "--cluster.backend", "inline", *short, "b"]) == 0

    a, b = (read_json(tmp_path / "runs" / name / "summary.json") for name in "ab")
    assert a["weights_sha256"] == b["weights_sha256"]


def test_presets_are_listed_with_what_they_are_for(capsys):
    assert main(["presets"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == preset_names()
    assert all(len(line.split()) > 3 for line in lines)


def test_a_failing_run_says_why_and_its_directory_keeps_it(tmp_path, capsys):
    code = main(
        [
            *["train", "cartpole", "--cluster.backend", "inline", "--run.name", "faulty"],
            *["--environment.id", "fake_environments:Faulty-v0"],
            *["--environment.kwargs", "{fault: raise, after_episodes: 8}"],
            *["--tracking.enabled", "false"],
        ]
    )

    assert code == 1
    captured = capsys.readouterr()
    said = captured.err
    _, remark, training, *_ = captured.out.splitlines()
    assert remark.startswith("stop.target_return = 475 is dropped")
    assert training == (
        "training on fake_environments:Faulty-v0, seed 0, until 1,000 updates or 400,000 steps"
    )
    assert said.startswith("reinforce: ticket training 2:0 failed:\nTraceback (most recent call ")
    assert "fake_environments.py" in said
    *_, error, place, way_out, way_on, left_out = said.splitlines()
    assert left_out.endswith(
        "stack frames of libraries and of this program omitted; --traceback full shows all"
    )
    assert error == "ArithmeticError: the environment is faulty"
    assert place.startswith("This was in step 2 of episode ")
    assert " of ticket training 2:0, which began with reset(seed=" in place
    assert way_out == (
        f"`reinforce replay {tmp_path}/runs/faulty training:2:0` plays it (32 episodes of the "
        "batch of update 3) alone, in one process, where a debugger can follow"
    )
    assert way_on == (
        f"`reinforce resume {tmp_path}/runs/faulty` continues the run once that is fixed"
    )
    assert (tmp_path / "runs" / "faulty" / "checkpoints" / "update-000000002.safetensors").exists()
    summary = read_json(tmp_path / "runs" / "faulty" / "summary.json")
    assert summary["status"] == "failed"
    assert "ArithmeticError" in summary["stop_reason"]


def test_a_nan_from_the_environment_is_named_and_the_last_checkpoint_is_intact(tmp_path, capsys):
    """One evaluation of 100 episodes and two batches of 64 go well."""
    code = main(
        [
            *["train", "cartpole", "--cluster.backend", "inline", "--run.name", "nan"],
            *["--environment.id", "fake_environments:Faulty-v0", "--tracking.enabled", "false"],
            *["--environment.kwargs", "{fault: nan_reward, after_episodes: 240}"],
            *["--workers.envs_per_worker", "1"],
        ]
    )

    said = capsys.readouterr().err
    assert code == 1
    assert "Faulty.step): the reward is nan, which would make every return useless\n" in said
    assert "This was in step 2 of episode " in said
    assert "of ticket training 2:0, which began with reset(seed=" in said
    checkpoint = load_checkpoint(
        tmp_path / "runs" / "nan" / "checkpoints" / "update-000000002.safetensors"
    )
    assert checkpoint.progress.updates == checkpoint.learner.version == 2


ENDLESS = [
    *["train", "cartpole", "--run.name", "endless", "--stop.target_return", "1e9"],
    *["--stop.max_environment_steps", "None", "--stop.max_updates", "1000000"],
]


@pytest.mark.parametrize(
    "backend", ["inline", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])]
)
@pytest.mark.parametrize(
    ("send", "number", "code"),
    [
        # A terminal sends Ctrl-C to the whole group, Ray's processes included; whoever stops a
        # service or a container sends SIGTERM to its first process.
        pytest.param(os.killpg, signal.SIGINT, 130, id="ctrl-c", marks=pytest.mark.slow),
        pytest.param(os.kill, signal.SIGTERM, 143, id="sigterm"),
    ],
)
def test_a_signal_ends_the_run_after_a_checkpoint_and_leaves_no_process(
    tmp_path, empty_store, backend, send, number, code
):
    from mlflow import MlflowClient

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    run = tmp_path / "runs" / "endless"
    process = subprocess.Popen(
        [sys.executable, "-m", "reinforce", *ENDLESS, "--cluster.backend", backend],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": ""},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        tracking = run / "tracking.json"
        wait_for(lambda: tracking.exists() and '"run_id": "' in tracking.read_text())
        wait_for(lambda: _num_updates(run) >= 3)
        sent_s = time.monotonic()
        send(process.pid, number)
        assert process.wait(60) == code
        assert time.monotonic() - sent_s < 20, "it is killed after that: docs/failures.md"
    finally:
        process.kill()

    summary = read_json(run / "summary.json")
    assert summary["status"] == "interrupted"
    assert summary["updates"] == _num_updates(run)
    newest = max(path.name for path in (run / "checkpoints").glob("update-*"))
    assert newest == f"update-{summary['updates']:09d}.safetensors"
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(summary["mlflow_run_id"]).info.status == "KILLED"
    wait_for(lambda: processes_in(tmp_path) == [])


@pytest.mark.ray
@pytest.mark.slow
def test_a_second_signal_ends_everything_at_once_and_leaves_nothing(tmp_path, temporary_folder):
    run = tmp_path / "runs" / "endless"
    process = subprocess.Popen(
        [sys.executable, "-m", "reinforce", *ENDLESS, "--tracking.enabled", "false"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: _num_updates(run) >= 1)
    folders = ray_folders(temporary_folder)
    assert len(folders) == 1
    for _ in range(50):
        process.terminate()
        time.sleep(0.001)

    assert process.wait(10) == 143
    assert not folders[0].exists()
    wait_for(lambda: processes_in(tmp_path) == [])


@pytest.mark.ray
@pytest.mark.slow
def test_sigterm_while_ray_starts_leaves_nothing(tmp_path, temporary_folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "reinforce", *ENDLESS],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: list(temporary_folder.glob("reinforce-*/r/*")))
    process.terminate()
    _, said = process.communicate(timeout=60)

    assert process.returncode == 143
    assert "interrupted before the run began" in said
    assert list(tmp_path.iterdir()) == []
    wait_for(lambda: processes_in(tmp_path) == [])


@pytest.mark.ray
@pytest.mark.slow
def test_folders_of_the_user_s_shadow_nothing_and_their_environments_are_found(tmp_path):
    for name in ("configs", "learner", "workers", "cluster", "numpy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    (tmp_path / "my_environments.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control.acrobot import AcrobotEnv\n"
        "gymnasium.register('Mine-v0', AcrobotEnv, max_episode_steps=20)\n"
    )
    command = [str(Path(sys.executable).parent / "reinforce"), "train", "./mine.yaml"]
    (tmp_path / "mine.yaml").write_text(
        "environment: {id: 'my_environments:Mine-v0'}\nstop: {max_updates: 1}\n"
    )

    for backend in ("inline", "ray"):
        result = subprocess.run(
            [*command, "--cluster.backend", backend, "--run.name", backend],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": "", "MLFLOW_TRACKING_URI": ""},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "reinforce ui" in result.stdout


def test_a_run_goes_on_when_the_reader_of_its_output_has_gone(tmp_path):
    command = f"{sys.executable} -m reinforce train cartpole --cluster.backend inline"
    options = "--run.name piped --tracking.enabled false"
    subprocess.run(
        f"{command} {options} | true", shell=True, cwd=tmp_path, check=False, timeout=120
    )

    summary = tmp_path / "runs" / "piped" / "summary.json"
    wait_for(summary.exists)
    assert read_json(summary)["status"] == "finished"


FULL = "reinforce: the output cannot be written: No space left on device"
A_RUN = [
    *("train", "cartpole", "--cluster.backend=inline", "--stop.max_updates=1", "--run.name=a"),
    *("--evaluation.episodes=5", "--tracking.enabled=false"),
]


@pytest.fixture
def lost_output(monkeypatch):
    """Called with what standard output is to be: a full disk, or a pipe that nobody reads."""

    def lose(kind):
        if kind == "full":
            stream = open("/dev/full", "w")  # noqa: PTH123, SIM115
        else:
            reader, writer = os.pipe()
            os.close(reader)
            stream = os.fdopen(writer, "w")
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return lose


@pytest.mark.parametrize("arguments", [["presets"], ["--help"], ["train", "cartpole", "--help"]])
def test_output_that_cannot_be_written_is_one_message(arguments, lost_output, capsys):
    with lost_output("full"):
        assert main(arguments) == 1
    assert capsys.readouterr().err == f"{FULL}\n"


def test_a_reader_that_has_seen_enough_is_no_error(lost_output, capsys):
    with lost_output("unread"):
        assert main(["presets"]) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "said"), [("full", f"{FULL}; the run continues silently\n"), ("unread", "")]
)
def test_a_run_outlives_its_output(kind, said, lost_output, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with lost_output(kind):
        assert main(A_RUN) == 0
    assert capsys.readouterr().err == said
    assert read_json(tmp_path / "runs" / "a" / "summary.json")["status"] == "finished"


@pytest.mark.parametrize(("number", "said"), [(13, ""), (28, "\n")])
def test_an_error_of_the_system_elsewhere_is_not_taken_for_lost_output(
    number, said, monkeypatch, capsys
):
    def refuse(words):
        raise OSError(number, "elsewhere")

    monkeypatch.setattr("reinforce.cluster.cli._run", refuse)
    with pytest.raises(OSError, match="elsewhere"):
        main(["presets"])
    assert capsys.readouterr().out == said


def _num_updates(run):
    journal = run / "metrics.jsonl"
    return journal.read_text().count('"batch": {') if journal.exists() else 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["config", "./\x1b[31m\udcff.yaml"],
        ["config", "\x1b]0;title\x07"],
        ["config", "cartpole", "--\x1b[31m", "1"],
        ["config", "cartpole", "--environment.kwargs", "[\x1b]"],
        ["config", "cartpole", "--environment.kwargs", "{a: " + "[" * 400 + "}"],
        ["config", "cartpole", "--environment.kwargs", "9" * 5000],
        ["config", "cartpole", "--environment.id", "\x1b[31m" * 9999],
        ["config", "cartpole", "--run.seed", "9" * 5000],
        ["compare", "\x1b[31m"],
        ["\x1b[31m" * 999],
    ],
)
def test_what_is_typed_neither_steers_the_terminal_nor_fills_it(arguments, capfd):
    assert main(arguments) == 2

    said = capfd.readouterr()
    assert "Traceback" not in said.err
    assert all(each.isprintable() or each == "\n" for each in said.out + said.err)
    assert max(map(len, said.err.splitlines())) < 2100


def test_a_stop_reason_of_another_s_run_does_not_steer_the_terminal(trained_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    summary = read_json(run / "summary.json")
    reason = "\x1b[2J" + "x" * 9999
    # Where a limit is reached, that is the reason that is said.
    write_json(run / "summary.json", {**summary, "updates": 0, "stop_reason": reason})

    assert main(["resume", str(run)]) == 0

    said = capsys.readouterr().out
    assert r"has finished already (\x1b[2Jxxxx" in said
    assert "characters)" in said


def test_all_settings_that_are_refused_are_named_at_once(capsys):
    wrong = ["--learner.learning_rate", "-1", "--run.seed=x", "--learner.baseline", "foo"]

    assert main(["config", "cartpole", *wrong, "--stop.max_updates", "3"]) == 2

    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "reinforce: 3 things are wrong"
    names = [line.partition(" = ")[0] for line in lines if not line.startswith(" ")]
    assert names == ["learner.learning_rate", "run.seed", "learner.baseline"]


def test_a_setting_that_others_of_the_line_allow_is_not_named_beside_one_that_is_wrong(capsys):
    """Alone, ``every_updates`` contradicts the target that the preset has."""
    line = ["--evaluation.every_updates", "None", "--stop.target_return", "None"]

    assert main(["config", "cartpole", *line, "--evaluation.episodes", "1"]) == 2

    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("reinforce: evaluation.episodes = 1 is refused")


def test_settings_that_need_each_other_are_not_named_beside_one_that_is_wrong(capsys):
    line = ["--learner.learning_rate", "0.1", "0.01", "--learner.schedule_updates", "100"]

    assert main(["config", "cartpole", *line, "--learner.discount", "5"]) == 2

    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("reinforce: learner.discount = 5.0 is refused")


@pytest.mark.parametrize("verb", ["verify", "compare", "replay", "ui"])
def test_a_slow_verb_has_a_line_at_once_where_no_terminal_shows_that_it_works(verb, capsys):
    more = ["0:0"] if verb == "replay" else []

    assert main([verb, "nowhere", *more]) == 2

    assert capsys.readouterr().err.startswith(f"reinforce {verb}: loading\nreinforce: ")

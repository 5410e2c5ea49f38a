"""``resume``, ``train --resume auto``, ``replay``, ``pause`` and ``scale``, as users call them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.files import read_json, write_json
from reinforce.cluster.run_store.checkpoint import decode, encode
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.submitted_files import SUBMITTED_FILES

TRAIN = [
    *["train", "cartpole", "--cluster.backend", "inline", "--run.name", "a"],
    *["--tracking.enabled", "false", "--checkpoint.keep", "3", "1"],
]
SHORT = ["--stop.max_updates", "5", "--stop.target_return", "None"]
ENDLESS = [
    *["--stop.target_return", "None", "--stop.max_environment_steps", "None"],
    *["--stop.max_updates", "1000000", "--evaluation.every_updates", "None"],
]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "runs" / "a"


def summary_of(run):
    return read_json(run / "summary.json")


def updates_of(run):
    return [record.updates for record in read_entries(run / "metrics.jsonl") if record.batch]


def wait_for(condition, patience_s=120.0):
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def start(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "reinforce", *arguments], **options)


def killed_in_the_midst(run, *options):
    process = start(*TRAIN, *ENDLESS, *options, stdout=subprocess.DEVNULL)
    wait_for(lambda: len(updates_of(run)) >= 3)
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def test_a_run_that_was_killed_is_resumed_and_extended(run, capsys):
    killed_in_the_midst(run)
    assert not (run / "summary.json").exists()
    last = updates_of(run)[-1] + 2

    assert main(["resume", "runs/a", "--stop.max_updates", str(last)]) == 0

    assert f"stop.max_updates: 1000000 is now {last}" in capsys.readouterr().out
    assert updates_of(run) == list(range(1, last + 1))
    assert summary_of(run)["status"] == "finished"
    assert summary_of(run)["updates"] == last
    starts = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [line["verb"] for line in starts] == ["train", "resume"]
    assert starts[1]["changes"] == {"stop.max_updates": [1_000_000, last]}
    assert starts[1]["from_update"] > 0


def test_a_run_that_has_finished_says_so_and_can_be_extended(run, capsys):
    assert main([*TRAIN, *SHORT]) == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    assert main(["resume", "runs/a"]) == 0
    said = capsys.readouterr().out
    assert "finished already (stop.max_updates = 5); to train on, raise stop.max_updates" in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert main(["resume", "runs/a", "--stop.max_updates", "7"]) == 0
    assert updates_of(run) == [1, 2, 3, 4, 5, 6, 7]


def test_another_limit_than_the_one_that_ended_a_run_is_answered_with_that_one(run, capsys):
    assert main([*TRAIN, *SHORT, "--stop.max_environment_steps", "10"]) == 0
    capsys.readouterr()

    reinforce.load(run).resume({"stop.max_updates": 30}, progress=False)

    assert capsys.readouterr().err == (
        f"{run} has finished already (stop.max_environment_steps = 10); to train on, raise "
        "stop.max_environment_steps\n"
    )


@pytest.mark.parametrize("updates", ["5", "3"])
def test_a_run_that_is_at_its_new_limit_already_stays_as_it_is(updates, run, capsys):
    assert main([*TRAIN, *SHORT, "--stop.max_environment_steps", "100000000"]) == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    limits = ["--stop.max_updates", updates, "--stop.max_environment_steps", "100000001"]

    assert main(["resume", "runs/a", *limits]) == 0

    assert f"has finished already (stop.max_updates = {updates})" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/none"], "runs/none does not exist. If its checkpoints are elsewhere, `reinforce"),
        (
            ["runs/a", "--learner.learning_rate", "0.5"],
            "learner.learning_rate = 0.5 cannot be changed in a run that began with 0.015",
        ),
        (["runs/a", "--stop.max_updates", "-1"], "stop.max_updates = -1 is refused"),
    ],
)
def test_what_cannot_be_resumed_is_refused_and_nothing_changes(run, capsys, arguments, message):
    assert main([*TRAIN, *SHORT]) == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    assert main(["resume", *arguments]) == 2

    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_cluster_that_does_not_answer_leaves_the_run_as_it_was(run, capsys):
    assert main([*TRAIN, *SHORT]) == 0
    (run / "summary.json").unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    elsewhere = ["--cluster.backend", "ray", "--cluster.address", "127.0.0.1:9"]

    assert main(["resume", "runs/a", *elsewhere]) == 2

    assert "127.0.0.1:9" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_checkpoints_that_cannot_be_read_are_not_mistaken_for_none(run, capsys):
    assert main([*TRAIN, *SHORT]) == 0
    for path in (run / "checkpoints").glob("update-*"):
        path.write_bytes(b"torn")
    (run / "summary.json").unlink()

    assert main(["resume", "runs/a"]) == 2

    assert "none of the checkpoints" in capsys.readouterr().err
    assert updates_of(run) == [1, 2, 3, 4, 5]


def test_a_corrupt_checkpoint_is_passed_over_with_a_message(run, capsys):
    assert main([*TRAIN, *SHORT]) == 0
    expected = summary_of(run)["weights_sha256"]
    newest = run / "checkpoints" / "update-000000005.safetensors"
    newest.write_bytes(newest.read_bytes()[:-5])
    (run / "summary.json").unlink()

    assert main(["resume", "runs/a"]) == 0

    shown = capsys.readouterr().out
    assert "skipping a checkpoint" in shown
    assert "update-000000005.safetensors" in shown
    assert summary_of(run)["weights_sha256"] == expected


def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew_over_its_records(run, capsys):
    assert main([*TRAIN, *SHORT]) == 0
    for checkpoint in (run / "checkpoints").iterdir():
        checkpoint.unlink()
    journal = (run / "metrics.jsonl").read_bytes()

    assert main(["resume", str(run), "--stop.max_updates", "7"]) == 2

    assert "the checkpoints of the 5 updates of" in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_bytes() == journal


STOPPED_AT_ONCE = {"status": "interrupted", "stop_reason": "x", "timestamp_ms": 1, "updates": 0}


@pytest.mark.parametrize("summary", [None, STOPPED_AT_ONCE])
def test_a_run_without_any_checkpoint_begins_anew_and_ends_the_same(run, summary):
    """None is left where it was killed, or stopped while a lost learner was made again."""
    assert main([*TRAIN, *SHORT]) == 0
    expected = summary_of(run)["weights_sha256"]
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    (run / "summary.json").unlink()
    if summary:
        write_json(run / "summary.json", summary)

    assert main(["resume", "runs/a"]) == 0

    assert summary_of(run)["weights_sha256"] == expected
    assert updates_of(run) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("damage", ["{}", "nonsense", '{"updates": "3"}', "[" * 5000])
@pytest.mark.case
def test_a_damaged_line_of_the_journal_is_named_and_nothing_is_overwritten(run, damage, capsys):
    assert main([*TRAIN, *SHORT]) == 0
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([*lines[:2], damage, *lines[3:], ""]))
    write_json(run / "control.json", {"paused": True})
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    assert main(["resume", str(run), "--stop.max_updates", "7"]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"reinforce: {run}/metrics.jsonl, line 3 is damaged (")
    assert len(said.splitlines()) == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "control",
    ['{"num_workers": "many"}', '{"paused": "yes"}', '{"num_workers": 0}', "[]", "\0", "9" * 5000],
)
def test_a_word_for_a_number_in_control_json_does_not_end_a_run(run, control, monkeypatch):
    begin = RunDirectory.note_start

    def meddle(self, *about, **more):
        self.control_file.write_text(control)
        begin(self, *about, **more)

    monkeypatch.setattr(RunDirectory, "note_start", meddle)
    monkeypatch.setattr("reinforce.cluster.run_requests._POLL_S", 0.0)

    assert main([*TRAIN, "--stop.max_updates", "2"]) == 0


def test_resume_auto_begins_goes_on_and_has_nothing_to_do_in_turn(run, capsys):
    auto = [*TRAIN, *SHORT, "--resume", "auto"]
    assert main(["train", "cartpole", "--resume", "auto"]) == 2
    assert "--resume auto finds a run by its name" in capsys.readouterr().err
    assert main([*TRAIN, "--resume", "always"]) == 2
    assert "invalid choice 'always' for argument '--resume'" in capsys.readouterr().err
    assert main([*auto, "--stop.max_updates", "3"]) == 0, "there is none: it begins"
    begun = capsys.readouterr().out
    assert f"no run {run} and no checkpoint in {run / 'checkpoints'}: a new run" in begun
    assert "seed 0, until 3 updates or 400,000 steps\n" in begun
    assert main(auto) == 0, "it is there: it goes on"
    assert main(auto) == 0, "it has finished"
    assert "has finished already" in capsys.readouterr().out
    assert updates_of(run) == [1, 2, 3, 4, 5]
    assert len((run / "history.jsonl").read_text().splitlines()) == 2


def test_a_dropped_target_is_told_where_the_run_has_finished_too(run, capsys):
    again = [*TRAIN, "--environment.id", "Acrobot-v1", "--evaluation.episodes", "5"]
    again += ["--stop.max_updates", "1", "--resume", "auto"]
    for _ in range(2):
        assert main(again) == 0
        said = capsys.readouterr().out
        assert said.count("stop.target_return = 475 is dropped") == 1
    assert "has finished already" in said


def test_resume_auto_on_a_new_machine_goes_on_from_checkpoints_that_lie_elsewhere(run, tmp_path):
    elsewhere = ["--checkpoint.directory", str(tmp_path / "elsewhere")]
    assert main([*TRAIN, *SHORT, *elsewhere, "--run.name", "whole"]) == 0
    assert main([*TRAIN, *SHORT, *elsewhere, "--stop.max_updates", "3"]) == 0
    run.rename(tmp_path / "lost")

    assert main([*TRAIN, *SHORT, *elsewhere]) == 2, "a new run must not mix with it"
    assert not run.exists()
    again = [*TRAIN, *SHORT, *elsewhere, "--resume", "auto"]
    assert main([*again, "--learner.learning_rate", "0.5"]) == 2
    assert not run.exists(), "what was refused must not be taken for what the run began with"
    assert main(again) == 0

    assert updates_of(run) == [4, 5]
    expected = summary_of(run.parent / "whole")["weights_sha256"]
    assert summary_of(run)["weights_sha256"] == expected


@pytest.mark.parametrize("last", ["5", "7"], ids=["finished", "to go on with"])
@pytest.mark.parametrize("is_lost", [False, True], ids=["same disk", "store alone"])
def test_a_job_goes_on_with_what_the_same_files_have_made_and_with_nothing_else(
    run, tmp_path, monkeypatch, capsys, last, is_lost
):
    store = ["--checkpoint.directory", str(tmp_path / "store")] if is_lost else []
    monkeypatch.setenv(SUBMITTED_FILES, "before")
    assert main([*TRAIN, *SHORT, *store, "--resume", "auto"]) == 0
    if is_lost:
        run.rename(tmp_path / "lost")
    again = [*TRAIN, *SHORT, *store, "--stop.max_updates", last, "--resume", "auto"]

    monkeypatch.setenv(SUBMITTED_FILES, "edited")
    assert main(again) == 2
    said = capsys.readouterr().err
    assert "was made with other files (before) than this folder's (edited)" in said
    assert "another run.name" in said
    assert f"`reinforce resume {run}`" in said

    monkeypatch.setenv(SUBMITTED_FILES, "before")
    assert main(again) == 0, "the same files"
    monkeypatch.delenv(SUBMITTED_FILES)
    assert main(["resume", str(run), "--stop.max_updates", "8"]) == 0, "as the message says"
    monkeypatch.setenv(SUBMITTED_FILES, "before")
    assert main([*again, "--stop.max_updates", "9"]) == 2
    assert "files that are not known" in capsys.readouterr().err


def test_resume_auto_begins_where_the_machine_crashed_before_there_was_a_run(run):
    (run / "plots").mkdir(parents=True)
    (run / "config.yaml.tmp").write_text("run: {na")

    assert main([*TRAIN, *SHORT, "--resume", "auto"]) == 0

    assert updates_of(run) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("way", [[], ["--resume", "auto"]])
def test_a_place_of_checkpoints_that_cannot_be_looked_into_is_said_and_leaves_nothing(
    tmp_path, capsys, way
):
    (tmp_path / "a").write_text("a file where the folder of this run's should be")

    assert main([*TRAIN, *SHORT, "--checkpoint.directory", str(tmp_path), *way]) == 2

    assert f"cannot read the checkpoints in {tmp_path}/a: NotADirect" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_checkpoints_that_have_become_out_of_reach_leave_the_run_as_it_is(run, tmp_path, capsys):
    store = tmp_path / "store"
    assert main([*TRAIN, *SHORT, "--checkpoint.directory", str(store)]) == 0
    (store / "a").rename(tmp_path / "away")
    (store / "a").write_text("")

    assert main(["resume", "runs/a", "--stop.max_updates", "7"]) == 2

    assert "cannot read the checkpoints in" in capsys.readouterr().err
    assert updates_of(run) == [1, 2, 3, 4, 5]


def test_a_run_that_is_going_on_is_not_resumed_but_paused_and_gone_on_with(run, tmp_path, capsys):
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        process = start(*TRAIN, *ENDLESS, stdout=output, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(updates_of(run)) >= 1)
        assert main(["resume", "runs/a"]) == 2
        assert "another process trains it" in capsys.readouterr().err
        assert main(["scale", "runs/a", "3"]) == 2
        assert "nothing to scale" in capsys.readouterr().err

        assert main(["pause", "runs/a"]) == 0
        wait_for(lambda: "paused, as requested" in said.read_text())
        paused_at = len(updates_of(run))
        time.sleep(1)  # in which a run that is not paused makes dozens
        assert len(updates_of(run)) == paused_at
        newest = max(path.name for path in (run / "checkpoints").glob("update-*"))
        assert newest == f"update-{paused_at:09d}.safetensors"
        assert main(["unpause", "runs/a"]) == 0
        wait_for(lambda: len(updates_of(run)) > paused_at)
    finally:
        process.terminate()
    assert process.wait(60) == 143
    assert main(["pause", "runs/a"]) == 2
    said = capsys.readouterr().err
    assert re.search(
        r"runs/a is not training: it was interrupted after update \d+; `reinforce re", said
    )


@pytest.mark.ray
@pytest.mark.slow
def test_a_running_job_is_scaled_and_a_signal_to_the_whole_group_loses_nothing(run, capfd):
    """SIGTERM to the group, as some supervisors send it, ends Ray's processes, too."""
    process = start(
        *TRAIN,
        *ENDLESS,
        *["--cluster.backend", "ray", "--workers.num_workers", "1"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: len(updates_of(run)) >= 1)
        assert main(["scale", "runs/a", "3"]) == 0
        assert "will have 3 workers" in capfd.readouterr().out

        def num_workers():
            *_, last = read_entries(run / "metrics.jsonl")
            return last.metrics["cluster/workers_alive"]

        wait_for(lambda: num_workers() == 3)
        main(["scale", "runs/a", "2"])
        wait_for(lambda: num_workers() == 2)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 143
    finally:
        process.kill()
    num_updates = len(updates_of(run))
    assert summary_of(run)["status"] == "interrupted"
    inline = ["--cluster.backend", "inline", "--workers.num_workers", "auto"]
    last = ["--stop.max_updates", str(num_updates + 1)]

    assert main(["resume", "runs/a", *inline, *last]) == 0
    assert updates_of(run) == list(range(1, num_updates + 2))


def test_a_ticket_that_failed_is_played_alone_and_fails_alone(run, capsys, monkeypatch):
    """Its error goes on to Python, where a debugger can stop, and shows no calls of ours."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    code = main(
        [
            *[*TRAIN, *SHORT, "--environment.id", "fake_environments:FaultySeed-v0"],
            *["--workers.envs_per_worker", "1"],
        ]
    )
    said = capsys.readouterr().err
    assert code == 1
    name = said.split("runs/a ")[1].split("`")[0]

    with pytest.raises(ArithmeticError, match="this episode is faulty") as caught:
        main(["replay", "runs/a", name])
    sys.excepthook(caught.type, caught.value, caught.tb)
    said = capsys.readouterr().err
    calls = [line for line in said.splitlines() if line.startswith("  File ")]
    assert [call.rpartition(" ")[2] for call in calls[1:]] == ["step"], "after that of this test"
    assert "ArithmeticError: this episode is faulty\n" in said
    assert said.endswith("of this program omitted; --traceback full shows all\n")
    update, index = name.split(":")[1:]
    other = f"{update}:{1 - int(index)}"
    assert main(["replay", "runs/a", other]) == 0
    said = capsys.readouterr().out
    assert f"ticket training {other} was played" in said
    assert "does not fail alone" not in said


def test_a_ticket_that_ended_the_run_and_does_not_fail_alone_is_said_to(run, capsys):
    """Its environment fails because of the episodes before."""
    assert main([*TRAIN, *SHORT, "--stop.max_updates", "1"]) == 0
    summary = json.loads((run / "summary.json").read_text())
    for stop_reason, is_said in (("... of ticket training 1:0, which", True), ("a disk", False)):
        failed = summary | {"status": "failed", "stop_reason": stop_reason}
        (run / "summary.json").write_text(json.dumps(failed))
        capsys.readouterr()

        assert main(["replay", "runs/a", "1:0"]) == 0
        assert ("does not fail alone" in capsys.readouterr().out) == is_said


@pytest.mark.parametrize(
    ("ticket", "message"),
    [
        ("x", "'x' is not a ticket such as 12:3"),
        ("77:0", "runs/a has no update 77: choose 0 to 5"),
        ("5:99", "there is no ticket 5:99: the last of its batch is 1"),
        ("5:1:99", "there is no episode 5:1:99: the last of its ticket is 31"),
    ],
)
def test_a_ticket_that_cannot_be_replayed_is_refused(run, capsys, ticket, message):
    assert main([*TRAIN, *SHORT]) == 0

    assert main(["replay", "runs/a", ticket]) == 2

    assert message in capsys.readouterr().err


def test_a_run_of_another_seed_scheme_says_so_and_its_tickets_are_not_replayed(run, capsys):
    """What the version that made it drew, this one cannot draw."""
    assert main([*TRAIN, *SHORT, "--stop.max_updates", "1"]) == 0
    file = run / "checkpoints" / "update-000000001.safetensors"
    file.write_bytes(encode(replace(decode(file.read_bytes(), "it"), seed_scheme=1)))
    capsys.readouterr()

    assert main(["replay", "runs/a", "1:0"]) == 2
    drawn = "another version of this program drew the tickets after update 1"
    assert drawn in capsys.readouterr().err
    assert main(["resume", "runs/a", "--stop.max_updates", "2"]) == 0
    assert "from update 1 on they have this version's seeds" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main(["resume", "runs/a", "--stop.max_updates", "3"]) == 0
    assert "another version" not in capsys.readouterr().out, "it is of this scheme by now"
    assert main(["replay", "runs/a", "2:0"]) == 0


@pytest.fixture
def run_of_edited_code(run, monkeypatch):
    monkeypatch.setenv("NUMBERS_SEEN", "3")
    edited = ["--environment.id", "space_tasks:Edited", "--stop.max_updates", "1"]
    assert main([*TRAIN, *edited, "--stop.target_return", "None"]) == 0
    return run


@pytest.mark.parametrize(
    "verb",
    [
        ["resume", "runs/a", "--stop.max_updates", "2"],
        ["evaluate", "runs/a"],
        ["replay", "runs/a", "1:0"],
    ],
)
def test_a_run_whose_environment_has_other_spaces_by_now_is_refused_untouched(
    run_of_edited_code, monkeypatch, capsys, verb
):
    before = summary_of(run_of_edited_code)
    monkeypatch.setenv("NUMBERS_SEEN", "4")

    assert main(verb) == 2

    message = capsys.readouterr().err
    assert "the checkpoint after update 1 does not fit" in message
    assert "4546 weights do not fit a policy of 4610" in message
    assert "the spaces of environment.id = 'space_tasks:Edited'" in message
    assert summary_of(run_of_edited_code) == before


def test_what_the_preflight_finds_by_now_is_said_when_a_run_is_resumed(
    run_of_edited_code, monkeypatch, capsys
):
    monkeypatch.setenv("UNSEEDED", "1")

    assert main(["resume", "runs/a", "--stop.max_updates", "2"]) == 0

    assert "is not deterministic under a seed" in " ".join(capsys.readouterr().out.split())

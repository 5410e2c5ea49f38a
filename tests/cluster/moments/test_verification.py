"""``verify`` certifies an honest run, and names what was altered in one that is not."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from small_runs import changed_twice, train

import reinforce
from reinforce.cluster.cli import main
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.moments.reconstruction import Reconstruction
from reinforce.cluster.run_store.checkpoint import decode, encode
from reinforce.cluster.run_store.journal import Journal
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.mlflow_run import find_or_create_run, open_state
from reinforce.learner.state import LearnerState


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), {"checkpoint.keep": [1, 2]})


@pytest.fixture
def run(honest, tmp_path):
    """A copy that a test may alter."""
    shutil.copytree(honest.path, tmp_path / "a")
    return reinforce.load(tmp_path / "a")


def test_every_update_of_an_honest_run_is_certified(run, tmp_path, capsys):
    file = tmp_path / "certificate.json"

    assert main(["verify", str(run.path), "--updates", "all", "--output", str(file)]) == 0

    said = " ".join(capsys.readouterr().out.split())
    certificate = json.loads(file.read_text())
    assert "recomputed 6 of 6 updates: 1 to 6 compared checkpoints after update: 2, 4, 6" in said
    assert "6, and the final evaluation" in said
    assert said.endswith("verdict as recorded")
    assert certificate["verified"]
    assert certificate["unchecked"] == []
    assert certificate["weights_sha256"] == run.weights_sha256
    assert certificate["versions"]["numpy"] == np.__version__
    assert certificate["processor"]


def test_a_seed_decides_which_updates_are_made_again(run, capsys):
    assert main(["verify", str(run.path), "--updates", "1", "--seed", "3"]) == 0
    assert re.search(
        r"of 6 updates, those that --seed 3 chose, with those between each and the checkpoint "
        r"before it: \d",
        capsys.readouterr().out,
    )
    first, again = (run.verify(2, seed=3, progress=False) for _ in range(2))
    drawn = run.verify(1, progress=False)

    assert first.verified
    assert first.made_again == again.made_again
    assert 2 <= first.num_made_again < 6
    assert run.verify(1, seed=drawn.seed, progress=False).made_again == drawn.made_again


def test_without_any_update_made_again_nothing_more_is_said_of_them(run, capsys):
    summary(run)

    assert main(["verify", str(run.path)]) == 1
    assert "recomputed  0 of 6 updates\n" in capsys.readouterr().out


def test_a_long_ticket_does_not_stand_for_an_update_that_was_not_made_again(run, monkeypatch):
    monkeypatch.setattr("reinforce.cluster.long_tickets._FIRST_S", 1e-9)
    monkeypatch.setattr("reinforce.workers.episode_watch._PULSE_S", 0.0)
    entries = []
    monkeypatch.setattr(Journal, "append", lambda journal, entry: entries.append(entry))
    past = Reconstruction(RunDirectory.open(run.path), PlainConsole(quiet=True))

    past.advance(past.nearest(4), 5)

    assert next(entry.updates for entry in entries if "tickets/longest_s" in entry.metrics) == 4
    assert past.reproduced == {5}


def test_a_run_that_was_changed_on_purpose_is_certified(tmp_path):
    certificate = changed_twice(tmp_path).verify("all", progress=False)

    assert certificate.findings == ()
    assert certificate.made_again == ((1, 6),)


def checkpoint_file(run, update):
    return next((run.path / "checkpoints").glob(f"update-*{update}.*safetensors"))


def one_bit(run):
    file = checkpoint_file(run, 4)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def rewritten(run, update, change):
    """A checkpoint that somebody has altered and given the digest that fits."""
    file = checkpoint_file(run, update)
    checkpoint = decode(file.read_bytes(), "it")
    arrays = {name: array.copy() for name, array in checkpoint.learner.arrays.items()}
    change(arrays)
    state = LearnerState(checkpoint.learner.version, arrays)
    file.write_bytes(encode(replace(checkpoint, learner=state)))


def one_weight(run):
    def change(arrays):
        arrays["weights"][3] += 1e-6

    rewritten(run, 4, change)


def only_the_best_checkpoint_with_another_weight(run):
    one_weight(run)
    folder = run.path / "checkpoints"
    checkpoint_file(run, 4).rename(folder / "best.safetensors")
    for file in folder.glob("update-*"):
        file.unlink()


def one_moment(run):
    def change(arrays):
        name = next(name for name, array in arrays.items() if "optimizer" in name and array.ndim)
        arrays[name].flat[0] += 1e-6

    rewritten(run, 4, change)


def another_name(run):
    content = checkpoint_file(run, 2).read_bytes()
    (run.path / "checkpoints" / "update-000000005.safetensors").write_bytes(content)


def journal_altered(pattern, replacement, update=3):
    def alter(run):
        file = run.path / "metrics.jsonl"
        lines = file.read_text().splitlines(keepends=True)
        assert json.loads(lines[update - 1])["updates"] == update
        lines[update - 1] = re.sub(pattern, replacement, lines[update - 1], count=1)
        file.write_text("".join(lines))

    return alter


def setting(old, new):
    def alter(run):
        file = run.path / "config.yaml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return alter


def summary(run):
    file = run.path / "summary.json"
    values = json.loads(file.read_text())
    values["evaluation"]["return_mean"] += 1
    file.write_text(json.dumps(values))


def evaluation(run):
    """The same in journal and summary, where it is said twice."""
    summary(run)
    file = run.path / "metrics.jsonl"
    mean = re.compile(r'"evaluation/confirmed_return_mean": ([^,]*)')
    raised = mean.sub(
        lambda found: found[0].replace(found[1], str(float(found[1]) + 1)), file.read_text()
    )
    file.write_text(raised)


def a_line_less(run):
    file = run.path / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], *lines[3:]]))


def no_evaluation(run):
    """The summary says anything, and the line of the journal that says it, too, is gone."""
    summary(run)
    file = run.path / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    assert "evaluation/confirmed_return_mean" in lines[-1]
    file.write_text("".join(lines[:-1]))


def no_summary(run):
    (run.path / "summary.json").write_text("{")


TAMPERED = {
    "one bit of a checkpoint": (one_bit, "checkpoint", 4, "does not match its own digest"),
    "one weight": (one_weight, "checkpoint", 4, "holds weights .* but the journal says"),
    "one weight of the only checkpoint": (
        only_the_best_checkpoint_with_another_weight,
        "checkpoint",
        4,
        "the best checkpoint holds weights",
    ),
    "one number of the optimizer": (one_moment, "checkpoint", 4, "optimizer.* differs"),
    "a checkpoint's name": (another_name, "checkpoint", 5, "is one after update 2"),
    "a setting": (
        setting("learning_rate: 0.02", "learning_rate: 0.021"),
        "setting",
        2,
        "learner.learning_rate = 0.021 in config.yaml, but 0.02 in the checkpoint",
    ),
    "a summary": (no_summary, "summary", None, "summary.json cannot be read"),
    "a limit": (setting("max_updates: 6", "max_updates: 7"), "setting", 6, "stop.max_updates = 7"),
    "a return": (
        journal_altered(r'"episode_returns": \[\d', '"episode_returns": [9'),
        "record",
        3,
        "batch.episode_returns is",
    ),
    "a metric": (
        journal_altered(r'"learner/gradient_norm": \d', '"learner/gradient_norm": 7'),
        "record",
        3,
        "learner/gradient_norm is 7",
    ),
    "digest of a batch": (
        journal_altered(r'"sha256": "....', '"sha256": "0000'),
        "journal",
        3,
        "does not match its tickets",
    ),
    "digests of a batch and its weights": (
        lambda run: [
            journal_altered(pattern, text)(run)
            for pattern, text in (
                (r'"weights_sha256": "....', '"weights_sha256": "0000'),
                (r'"ticket_sha256": \[[^]]*\]', '"ticket_sha256": null'),
                (r'"sha256": "....', '"sha256": "0000'),
            )
        ],
        "batch",
        3,
        "batch.sha256 is 0000.* in the journal and .* recomputed.*: environment, seed, versions or "
        "processor differ",
    ),
    "digest of weights": (
        journal_altered(r'"weights_sha256": "....', '"weights_sha256": "0000'),
        "weights",
        3,
        "weights_sha256 is 0000",
    ),
    "length of an episode": (
        journal_altered(r'"episode_lengths": \[\d', '"episode_lengths": [9'),
        "journal",
        3,
        "its episodes add up to",
    ),
    "name of a field": (
        journal_altered('"episode_truncated"', '"episode_truncatee"'),
        "journal",
        3,
        "line 3 has a field 'episode_truncatee', which no run writes",
    ),
    "a line that is missing": (a_line_less, "journal", 3, "lacks the entry of update 3"),
    "a line that is garbled": (journal_altered("{", "["), "journal", None, "line 3 is damaged"),
    "the result everywhere": (evaluation, "evaluation", 6, "evaluation has a mean return of"),
    "the result, and no record of it": (
        no_evaluation,
        "journal",
        6,
        "lacks the final evaluation that summary.json quotes",
    ),
    "the result": (summary, "summary", 6, "evaluation.return_mean"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_altered_is_named(case, run, capsys):
    alter, part, updates, text = TAMPERED[case]
    alter(run)

    assert main(["verify", str(run.path), "--updates", "all"]) == 1
    said = capsys.readouterr().out

    finding = run.verify("all", progress=False).findings[0]
    assert (finding.part, finding.updates) == (part, updates)
    assert re.search(text, finding.text)
    assert finding.text in said
    assert said.rstrip().endswith("not as recorded")


def removed(pattern):
    def remove(run):
        files = list(run.path.glob(pattern))
        assert files
        for file in files:
            file.unlink()

    return remove


def torn(name):
    def tear(run):
        with (run.path / name).open("a") as file:
            file.write('{"timestamp_ms": 17')

    return tear


def failed(run):
    values = {"status": "failed", "stop_reason": "an error", "timestamp_ms": 1}
    (run.path / "summary.json").write_text(json.dumps(values))


UNCHECKED = {
    "no summary": (removed("summary.json"), "summary.json is missing: the run was killed, or"),
    "summary of a failure": (failed, "summary.json has no digest of the weights (status: failed)"),
    "no history": (removed("history.jsonl"), "history.jsonl is missing: when and how the run"),
    "torn history": (torn("history.jsonl"), "history.jsonl, line 2 is damaged: one start of"),
    "torn journal": (torn("metrics.jsonl"), "metrics.jsonl ends in half a line"),
    "no checkpoints": (removed("checkpoints/*"), "there is no checkpoint in "),
    "no last checkpoint": (
        removed("checkpoints/update-*6*"),
        "the checkpoint after update 6, the last one, is missing",
    ),
    "no digests": (
        journal_altered(r', "weights_sha256": "[^"]*"', ""),
        "metrics.jsonl has no digest of the weights of 1 update, as of 3",
    ),
}


def test_a_metric_whose_name_was_altered_is_said_to_be_unchecked(run):
    journal_altered('"learner/gradient_norm"', '"learner/gradient_nrom"')(run)

    certificate = run.verify("all", progress=False)

    assert certificate.unchecked == (
        "metrics.jsonl, update 3 has the metric 'learner/gradient_nrom', which is not recomputed: "
        "its name was altered, or is that of another version",
    )


@pytest.mark.parametrize("case", UNCHECKED)
def test_what_could_not_be_checked_is_said(case, run, capsys):
    alter, text = UNCHECKED[case]
    alter(run)

    assert main(["verify", str(run.path), "--updates", "1", "--seed", "0"]) == 0

    said = " ".join(capsys.readouterr().out.split())
    assert f"unchecked {text}" in said
    assert said.count("unchecked ") == 1
    assert said.endswith("verdict as recorded, as far as it could be checked")
    assert text in run.verify(1, progress=False).unchecked[0]


def test_a_best_checkpoint_that_is_gone_is_said(run):
    file = run.path / "metrics.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    best = {"evaluation/return_mean": 9.0, "evaluation/return_best": 9.0}
    entry = {**lines[5], "metrics": best, "batch": None, "weights_sha256": None}
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines[:6], entry, *lines[6:]]))

    certificate = run.verify(1, progress=False)

    assert certificate.verified
    assert certificate.unchecked == ("the checkpoint of the best evaluation is missing",)


def test_the_certificate_is_stored_with_the_run_in_mlflow(run, store_uri, capsys):
    words, directory = ["verify", str(run.path), "--updates", "1"], RunDirectory.open(run.path)
    assert main([*words, "--track"]) == 2
    assert f"`reinforce sync {run.path}` sends it there" in capsys.readouterr().err
    store, state = open_state(directory, run.config.tracking)
    find_or_create_run(store, state, directory.tracking_file, run.config.tracking, started_ms=0)

    assert main([*words, "--track"]) == 0

    client = MlflowClient(store_uri)
    file = client.download_artifacts(state["run_id"], "certificate.json")
    assert json.loads(Path(file).read_text())["verified"]


def in_mlflow(run, **state):
    """Note a run of MLflow in a directory, which no store has."""
    file = run.path / "tracking.json"
    file.write_text(json.dumps({"key": "k", "run_id": "0" * 32, **state}))


@pytest.mark.parametrize(
    ("alter", "state", "code"),
    [
        (lambda run: None, {}, 2),
        (summary, {}, 1),
        (summary, {"is_server": True}, 1),
    ],
)
def test_a_store_that_fails_hides_no_verdict(alter, state, code, run, capsys, store_uri):
    alter(run)
    in_mlflow(run, **state)

    assert main(["verify", str(run.path), "--updates", "1", "--track"]) == code
    said, errors = capsys.readouterr()
    with pytest.warns(RuntimeWarning, match="the certificate is not in MLflow: ") as warned:
        certificate = run.verify(1, track=True, progress=False)

    assert said.endswith("not as recorded\n" if code == 1 else " as recorded\n")
    assert str(warned[0].message).split(": ", 1)[1] in " ".join(errors.split())
    assert warned[0].filename == __file__
    assert certificate.verified == (code == 2)


def test_a_certificate_of_a_stranger_s_run_goes_nowhere_without_trust(run, capsys):
    setting("uri: null", "uri: http://127.0.0.1:9")(run)
    in_mlflow(run)

    assert main(["verify", str(run.path), "--updates", "1", "--track"]) == 2
    said = capsys.readouterr()
    with pytest.raises(reinforce.UsageError, match="neither made nor trusted") as refused:
        run.verify(1, track=True)

    assert "send to 'http://127.0.0.1:9' (tracking.uri)" in said.err
    assert "send to 'http://127.0.0.1:9' (tracking.uri)" in str(refused.value)
    assert "again, in this process" not in said.err + capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["none/certificate.json", ".", "pipe", "link.json", "summary.json"]
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_played(
    name, run, tmp_path, capsys
):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.json").symlink_to(tmp_path / "other.json")
    (tmp_path / "summary.json").write_text('{"status": "finished"}')
    file = tmp_path / name

    assert main(["verify", str(run.path), "--output", str(file)]) == 2

    said = capsys.readouterr().err
    assert f"cannot write {str(file)!r}: " in said
    assert "again, in this process" not in said


@pytest.mark.parametrize("words", [["--updates", "0"], ["--updates", "some"], ["--seed", "-1"]])
def test_nonsense_is_refused(run, capsys, words):
    assert main(["verify", str(run.path), *words]) == 2

    assert f"{words[0][2:]} = " in capsys.readouterr().err

import os
from pathlib import Path

import pytest
from written_runs import write_run

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.files import read_json, write_atomically, write_json
from reinforce.cluster.run_store.run_directory import RunDirectory, _run_meant
from reinforce.configs.loading import load_config


def test_a_new_run_holds_its_resolved_configuration(make_config):
    config = make_config()

    run = RunDirectory.create(config)

    assert load_config(str(run.config_file)) == config


def test_a_name_is_made_of_environment_seed_and_time(make_config):
    run = RunDirectory.create(make_config(run={"name": None, "seed": 3}))

    assert run.name.startswith("countdown-v0-s3-20")


def test_a_name_that_exists_is_refused(make_config):
    RunDirectory.create(make_config())

    with pytest.raises(RunDirectoryError, match=r"run.name = 'test': .* exists already"):
        RunDirectory.create(make_config())


def test_what_a_crash_left_of_a_new_run_is_cleared_away_and_nothing_else(make_config):
    run = RunDirectory.create(make_config())
    run.clear_what_was_never_whole()
    assert run.config_file.exists(), "this one is whole"

    run.config_file.rename(run.path / "config.yaml.tmp")
    (run.plots / "mine.png").write_bytes(b"")
    run.clear_what_was_never_whole()
    assert [path.name for path in run.path.rglob("*")] == ["plots", "mine.png"]

    (run.plots / "mine.png").unlink()
    run.clear_what_was_never_whole()
    assert not run.path.exists()


def test_a_discarded_run_leaves_nothing(make_config):
    run = RunDirectory.create(make_config())

    run.discard()

    assert not run.path.exists()


def test_a_folder_without_a_configuration_is_no_run(tmp_path):
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        RunDirectory.open(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("test/config.yaml", "is not a run directory: it is in one, so give {runs}/test"),
        ("test/checkpoints", "is not a run directory: it is in one, so give {runs}/test"),
        ("test/plots/x.png", "does not exist: it is in one, so give {runs}/test"),
        ("", "is not a run directory: it holds others, so give one, such as {runs}/test"),
        (
            "test@best",
            "does not exist: @best names a version, but here a whole run is needed, so"
            " give {runs}/test",
        ),
        ("tets", "does not exist: did you mean {runs}/test?"),
        ("other", "does not exist"),
    ],
)
def test_a_path_near_a_run_is_answered_with_the_run(make_config, path, message):
    run = write_run(make_config())

    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.open(run.path.parent / path)

    assert str(caught.value).endswith(message.format(runs=run.path.parent))


def test_a_name_alone_is_looked_for_in_the_folder_of_runs(make_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(make_config(run={"directory": "runs", "name": "tank"}))
    (tmp_path / "model.zip").touch()

    with pytest.raises(RunDirectoryError, match=r"tank does not exist: did you mean runs/tank\?$"):
        RunDirectory.open(Path("tank"))
    with pytest.raises(RunDirectoryError, match=r"model.zip is not a .*: a run is a folder$"):
        RunDirectory.open(Path("model.zip"))


def test_a_name_that_no_folder_can_have_is_no_run(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"cannot read .*: File name too long"):
        RunDirectory.open(tmp_path / ("a" * 300))


@pytest.mark.parametrize("name", ["control.json", "metrics.jsonl", "tracking.log", "checkpoints"])
@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_link_in_the_place_of_a_file_is_refused_by_name(put, name, make_config):
    run = RunDirectory.create(make_config())
    run.checkpoints.rmdir()
    put(run.path / name)

    with pytest.raises(RunDirectoryError, match=f"/{name} is not a (regular file|folder); "):
        RunDirectory.open(run.path)


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    write_atomically(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_json_reads_back_and_an_absent_file_is_none(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, None]})

    assert read_json(tmp_path / "a.json") == {"b": [1, None]}
    assert read_json(tmp_path / "c.json") is None
    for broken in ("{", "[1]", ""):
        (tmp_path / "c.json").write_text(broken)
        assert read_json(tmp_path / "c.json") is None


def test_a_folder_whose_runs_cannot_be_looked_into_is_answered(
    make_config, tmp_path, monkeypatch, as_nobody
):
    run = write_run(make_config(run={"directory": str(tmp_path), "name": "locked"}))
    run.path.chmod(0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    as_nobody()

    assert _run_meant(Path()) == ": it holds no config.yaml"

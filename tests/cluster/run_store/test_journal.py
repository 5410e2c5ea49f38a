from pathlib import Path

import pytest

from reinforce.cluster.errors import RunDirectoryError, StorageError
from reinforce.cluster.run_store.journal import (
    BatchEntry,
    Journal,
    JournalEntry,
    is_being_written,
    read_entries,
)


def update(number):
    return JournalEntry(number, 10 * number, 0.1, 5, {"a/b": 1.0}, BatchEntry("x", [1.0], [1]))


def evaluation(number):
    return JournalEntry(number, 10 * number, 0.1, 5, {"evaluation/return_mean": 1.0})


HISTORY = [evaluation(0), update(1), update(2), evaluation(2), update(3), evaluation(3)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Journal(path) as journal:
        for record in HISTORY:
            journal.append(record)
    return path


def records(path):
    return [JournalEntry.parse(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("updates", "kept", "is_whole"),
    [
        (0, [], True),
        (1, HISTORY[:2], True),
        (2, HISTORY[:3], True),
        (3, HISTORY[:5], True),
        (4, HISTORY, False),
    ],
)
def test_it_is_cut_back_to_the_update_that_a_run_goes_on_from(path, updates, kept, is_whole):
    """What was evaluated after that update is evaluated again, and recorded then."""
    with Journal(path) as journal:
        assert journal.cut_back(updates) is is_whole
        journal.append(update(9))

    assert records(path) == [*kept, update(9)]


def test_a_torn_last_line_is_cut_off(path):
    with path.open("a") as file:
        file.write('{"updates": 4, "environment')

    with Journal(path) as journal:
        journal.cut_back(4)
        journal.append(update(4))

    assert records(path) == [*HISTORY, update(4)]


def test_a_run_has_one_driver(path):
    assert not is_being_written(path)
    with Journal(path):
        assert is_being_written(path)
        with pytest.raises(RunDirectoryError, match="another process trains it"):
            Journal(path)
    assert not is_being_written(path)
    assert not is_being_written(path.with_name("none"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_named_with_the_way_out():
    with Journal(Path("/dev/full")) as journal, pytest.raises(StorageError) as caught:
        journal.append(update(1))

    assert "cannot write to /dev/full: No space left on device" in str(caught.value)
    assert "`reinforce resume /dev`" in str(caught.value)


def test_a_line_that_does_not_fit_is_taken_back(path, room_for):
    limit, message = path.stat().st_size + 7, "make room and `reinforce resume"
    with Journal(path) as journal, room_for(limit), pytest.raises(StorageError, match=message):
        journal.append(update(4))

    assert records(path) == HISTORY


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"updates": 1e5000}',
        update(3).line().replace("[1.0]", "[]").strip(),
        update(3).line().replace('"a/b": 1.0', '"a/b": NaN').strip(),
        update(3).line().replace("30", "30" * 20).strip(),
    ],
)
@pytest.mark.case
def test_a_damaged_line_is_named_and_nothing_is_cut(path, line):
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], line, *lines[5:], ""]))
    before = path.read_bytes()

    with pytest.raises(RunDirectoryError, match=r"metrics.jsonl, line 5 is damaged \("):
        list(read_entries(path))
    with Journal(path) as journal, pytest.raises(RunDirectoryError, match="line 5"):
        journal.cut_back(3)
    assert path.read_bytes() == before
    with Journal(path) as journal:
        assert journal.cut_back(2)


def test_what_is_no_file_is_no_journal(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")

    with pytest.raises(RunDirectoryError, match="link: it is a symbolic link"):
        list(read_entries(tmp_path / "link"))

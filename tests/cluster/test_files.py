import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from reinforce.cluster.files import LineReader, last_lines, read_json, whole_lines
from reinforce.cluster.run_requests import RunRequests
from reinforce.cluster.run_store.summary import read_summary
from reinforce.cluster.run_store.tracking_state import read_tracking_state
from reinforce.configs.regular_files import IrregularFileError


def read(tail):
    return list(tail.new_lines())


def test_each_whole_line_is_read_once_and_a_torn_one_when_it_is_whole(tmp_path):
    path = tmp_path / "file"
    tail = LineReader(path)
    assert read(tail) == []

    path.write_bytes(b"one\ntwo\nthr")
    assert read(tail) == [b"one\n", b"two\n"]
    assert read(tail) == []

    with path.open("ab") as file:
        file.write(b"ee\n")
    assert read(tail) == [b"three\n"]
    tail.close()


def test_a_file_that_took_its_place_is_noticed_and_the_old_one_read_to_its_end(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"one\n")
    tail = LineReader(path)
    assert not tail.is_replaced()
    assert read(tail) == [b"one\n"]
    assert not tail.is_replaced()

    other.write_bytes(b"another\n")
    other.replace(path)

    assert tail.is_replaced()
    assert read(tail) == []
    tail.close()


def pipe(path):
    os.mkfifo(path)


def giant(path):
    with path.open("wb") as file:
        file.truncate(2**40)


def link(path):
    path.with_name("other").write_text("{}\n")
    path.symlink_to("other")


def test_requests_of_the_same_moment_are_all_kept(tmp_path):
    path = tmp_path / "control.json"

    def ask(number):
        RunRequests.change(path, **({"paused": True} if number % 2 else {"num_workers": 3}))

    for _ in range(5):
        path.unlink(missing_ok=True)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(ask, range(4)))
        assert RunRequests.read(path) == RunRequests(num_workers=3, paused=True)


@pytest.mark.parametrize("put", [pipe, giant, link, os.mkdir])
def test_what_is_no_file_counts_as_missing_and_holds_no_lines(put, tmp_path):
    path = tmp_path / "file"
    put(path)

    assert read_json(path) is None
    assert RunRequests.read(path) == RunRequests()
    with pytest.raises(IrregularFileError):
        list(whole_lines(path))


@pytest.mark.parametrize("text", ["", "3", "[]", "{", "\0", "[" * 5000, '{"a": 1e', "9" * 5000])
@pytest.mark.case
def test_what_is_no_mapping_counts_as_missing(text, tmp_path):
    path = tmp_path / "file"
    path.write_text(text)

    assert read_json(path) is None
    assert read_summary(path) is None
    assert read_tracking_state(path) == {}


def test_values_of_another_type_count_as_missing_and_unknown_keys_stay(tmp_path):
    path = tmp_path / "file"
    path.write_text('{"run_id": 3}')
    assert read_tracking_state(path) == {}
    path.write_text('{"run_id": "3", "new": 1}')
    assert read_tracking_state(path) == {"run_id": "3", "new": 1}
    path.write_text('{"status": "finished", "stop_reason": "x", "timestamp_ms": "soon"}')
    assert read_summary(path) is None
    path.write_text('{"status": "failed", "stop_reason": "x", "timestamp_ms": 5, "new": 1}')
    assert read_summary(path)["new"] == 1


def test_the_last_lines_are_whole_ones(tmp_path):
    path = tmp_path / "file"
    assert last_lines(path, 100) == []
    path.write_bytes(b"one\ntwo\nthree\nfo")

    assert last_lines(path, 100) == [b"one", b"two", b"three"]
    assert last_lines(path, 12) == [b"three"], "the one before is cut off"
    assert last_lines(path, 3) == []

import hashlib
import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import load_checkpoint
from safetensors.numpy import save

from reinforce.cluster.backends.backend import TicketCounts
from reinforce.cluster.errors import StorageError, UsageError
from reinforce.cluster.files import write_json
from reinforce.cluster.progress import BatchSize, Progress
from reinforce.cluster.run_store.checkpoint import (
    Checkpoint,
    CorruptCheckpointError,
    PlayedAhead,
    decode,
    encode,
)
from reinforce.cluster.run_store.checkpoints import CheckpointFolder, Checkpoints
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.learner.policies.weights import Weights, arrays_sha256
from reinforce.learner.state import LearnerState


def checkpoint(version=3):
    arrays = {
        "weights": np.arange(5, dtype=np.float32),
        "optimizer.0.step": np.array(3.0, np.float32),
    }
    progress = Progress(version, 100, 7, BatchSize(64), 1.5, -3.5, TicketCounts(9, 8, 1, 0), 2, 1)
    ahead = PlayedAhead(32, Weights(version - 1, np.ones(5, np.float32)))
    return Checkpoint(LearnerState(version, arrays), progress, ahead)


@pytest.fixture
def make_checkpoints(make_config):
    def make(**settings):
        config = make_config(checkpoint=settings)
        run = RunDirectory(config.run.directory / "test")
        if not run.path.exists():
            RunDirectory.create(config)
        return Checkpoints(run, config)

    return make


def file_names(checkpoints):
    return sorted(path.name for path in Path(checkpoints.location).iterdir())


def complain(text):
    raise AssertionError(text)


def test_a_checkpoint_reads_back_bit_by_bit(make_checkpoints):
    checkpoints = make_checkpoints()
    checkpoints.save(checkpoint())

    loaded = checkpoints.newest(complain)

    assert loaded.progress == checkpoint().progress
    assert loaded.learner.version == 3
    assert set(loaded.learner.arrays) == {"weights", "optimizer.0.step"}
    for name, array in checkpoint().learner.arrays.items():
        np.testing.assert_array_equal(loaded.learner.arrays[name], array, strict=True)
    assert (loaded.ahead.episodes, loaded.ahead.weights.version) == (32, 2)
    np.testing.assert_array_equal(loaded.ahead.weights.values, np.ones(5), strict=False)


def test_a_checkpoint_says_whose_it_is(make_checkpoints, make_config):
    checkpoints = make_checkpoints()
    run = RunDirectory(make_config().run.directory / "test")
    write_json(run.tracking_file, {"run_id": "abc", "offset": 0})
    checkpoints.save(checkpoint())

    loaded = checkpoints.newest(complain)

    assert loaded.tracking["run_id"] == "abc"
    assert loaded.config == make_config().model_dump(mode="json")


def test_the_newest_are_kept_and_every_so_many_for_good(make_checkpoints):
    checkpoints = make_checkpoints(keep=[2, 5])

    for version in (1, 2, 5, 9, 10, 11, 12):
        checkpoints.save(checkpoint(version))

    assert checkpoints.versions() == [5, 10, 11, 12]
    assert checkpoints.is_due(15)
    assert not checkpoints.is_due(16)


def test_checkpoints_of_a_future_that_was_given_up_make_room_for_the_new_one(make_checkpoints):
    checkpoints = make_checkpoints(keep=1)
    checkpoints.save(checkpoint(300))

    checkpoints.save(checkpoint(10))

    assert checkpoints.versions() == [10]


def test_the_best_is_written_with_the_next_checkpoint_and_kept(make_checkpoints):
    checkpoints = make_checkpoints(keep=1)
    assert checkpoints.best() is None

    checkpoints.note_best(checkpoint(2))
    assert file_names(checkpoints) == []
    for version in (3, 4, 5):
        checkpoints.save(checkpoint(version))

    assert file_names(checkpoints) == ["best.safetensors", "update-000000005.safetensors"]
    assert checkpoints.best().learner.version == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "about", "empty", "foreign", "missing"])
def test_a_damaged_checkpoint_is_recognised_and_passed_over(make_checkpoints, damage):
    checkpoints = make_checkpoints()
    for version in (1, 2):
        checkpoints.save(checkpoint(version))
    path = Path(checkpoints.location) / "update-000000002.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-3]
    elif damage == "flip":
        content[-1] ^= 1
    elif damage == "about":
        content = content.replace(rb"\"training_time_s\": 1.5", rb"\"training_time_s\": 9.5")
    elif damage == "foreign":
        content = bytearray(save({"weights": np.zeros(3, np.float32)}))
    else:
        content = bytearray()
    assert bytes(content) != path.read_bytes()
    path.write_bytes(content)
    if damage == "missing":
        path.unlink()

    error = FileNotFoundError if damage == "missing" else CorruptCheckpointError
    with pytest.raises(error, match=str(path)):
        load_checkpoint(path)
    warnings = []
    assert checkpoints.newest(warnings.append).learner.version == 1
    assert len(warnings) == (damage != "missing")


def forged(*, arrays=None, **about):
    """Return a checkpoint that says other things about itself, under a digest that is right."""
    content = encode(checkpoint())
    length = int.from_bytes(content[:8], "little")
    said = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["about"])
    text = json.dumps(about.get("text", {**said, **about}))
    ahead = {"ahead.weights": np.ones(5, np.float32)}
    arrays = {**checkpoint().learner.arrays, **ahead, **(arrays or {})}
    digest = hashlib.sha256((text + arrays_sha256(arrays)).encode()).hexdigest()
    return save(arrays, {"about": text, "sha256": digest})


def with_header(header, data=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(kind, shape, end):
    return {"weights": {"dtype": kind, "shape": shape, "data_offsets": [0, end]}}


HOSTILE = {
    "a version in words": forged(version="3"),
    "a version without end": forged(version=10**30),
    "a version below zero": forged(version=-1),
    "no progress": forged(progress=None),
    "progress in words": forged(progress={"updates": "many"}),
    "a batch of words": forged(progress={"batch_size": "all"}),
    "a batch ahead of nothing": forged(ahead={"episodes": 0, "version": 2}),
    "a batch ahead that is a number": forged(ahead=5),
    "a configuration that is a list": forged(config=[1]),
    "tracking that is a word": forged(tracking="yes"),
    "tracking in wrong types": forged(tracking={"run_id": 5}),
    "files that are a number": forged(files=5),
    "a list": forged(text=[1]),
    "weights of another type": forged(arrays={"weights": np.ones(5)}),
    "weights of another shape": forged(arrays={"weights": np.ones((5, 5), np.float32)}),
    "weights ahead of another type": forged(arrays={"ahead.weights": np.ones(5)}),
    "a header that is longer than the file": (2**62).to_bytes(8, "little") + b"{}",
    "a header that is deep": with_header(json.loads("[" * 300 + "]" * 300)),
    "a type that NumPy does not have": with_header(tensor("BF16", [2], 4), b"abcd"),
    "a tensor larger than the file": with_header(tensor("F32", [2**40], 2**42), b"abcd"),
    "a shape that overflows": with_header(tensor("F32", [2**40, 2**40], 4), b"abcd"),
    "a shape with nothing in it": with_header(tensor("F32", [2**62, 0], 0)),
    "metadata that are a number": with_header({"__metadata__": {"about": 5}}),
    "no weights": with_header({"__metadata__": {"about": "{}"}}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_checkpoint_that_was_written_to_do_harm_is_a_corrupt_one(case):
    with pytest.raises(CorruptCheckpointError, match=r"^its\.file "):
        decode(HOSTILE[case], "its.file")


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_passed_over_at_once(put, make_checkpoints):
    checkpoints = make_checkpoints()
    checkpoints.save(checkpoint(1))
    folder = Path(checkpoints.location)
    put(folder / "update-000000002.safetensors")
    (folder / "update-000000003.safetensors").symlink_to("update-000000001.safetensors")
    with (folder / "update-000000004.safetensors").open("wb") as file:
        file.truncate(2**43)
    warnings = []

    assert checkpoints.newest(warnings.append).learner.version == 1
    assert ["it is larger than" in text for text in warnings] == [True, False, False]


def test_a_url_is_as_good_as_a_folder(make_checkpoints):
    checkpoints = make_checkpoints(directory="memory://bucket/runs", keep=2)
    assert checkpoints.newest(complain) is None

    checkpoints.note_best(checkpoint(1))
    for version in (1, 2, 3):
        checkpoints.save(checkpoint(version))

    assert checkpoints.location == "memory://bucket/runs/test"
    again = make_checkpoints(directory="memory://bucket/runs/")
    assert again.versions() == [2, 3]
    assert again.newest(complain).progress == checkpoint(3).progress
    assert again.best().learner.version == 1


def test_an_object_behind_a_url_stands_in_memory_once():
    folder = CheckpointFolder("memory://large")
    content = bytes(100 * 2**20)
    folder.write("a", content)
    tracemalloc.start()

    try:
        assert folder.read("a") == content
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        folder.remove("a")

    assert peak < 1.5 * len(content)


def test_a_torn_object_behind_a_url_is_passed_over(make_checkpoints):
    import fsspec

    checkpoints = make_checkpoints(directory="memory://torn")
    for version in (1, 2):
        checkpoints.save(checkpoint(version))
    with fsspec.open("memory://torn/test/update-000000002.safetensors", "wb") as file:
        file.write(encode(checkpoint(2))[:-1])
    warnings = []

    assert checkpoints.newest(warnings.append).learner.version == 1
    assert "memory://torn/test/update-000000002.safetensors" in warnings[0]


def test_a_url_of_an_unknown_kind_is_refused(make_checkpoints):
    with pytest.raises(UsageError, match=r"checkpoint\.directory = 'nowhere://x/test'"):
        make_checkpoints(directory="nowhere://x")


def test_a_full_disk_costs_the_new_checkpoint_and_none_of_the_old(make_checkpoints, room_for):
    checkpoints = make_checkpoints()
    checkpoints.save(checkpoint(1))

    with room_for(100), pytest.raises(StorageError, match="cannot write a checkpoint to"):
        checkpoints.save(checkpoint(2))

    assert checkpoints.num_failed == 1
    assert checkpoints.newest(complain).learner.version == 1
    assert file_names(checkpoints) == ["update-000000001.safetensors"]


def test_weights_of_a_checkpoint_are_those_of_its_version():
    weights = replace(checkpoint(), ahead=None).weights

    assert weights.version == 3
    assert weights.values.tolist() == [0, 1, 2, 3, 4]


def test_checkpoints_elsewhere_on_this_machine_belong_to_their_user_alone(
    make_checkpoints, tmp_path
):
    checkpoints = make_checkpoints(directory=str(tmp_path / "kept"))
    checkpoints.save(checkpoint())

    assert Path(checkpoints.location).stat().st_mode & 0o777 == 0o700

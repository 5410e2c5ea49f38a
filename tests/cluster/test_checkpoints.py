import numpy as np
import pytest
from safetensors.numpy import save

from cluster.batch_size import BatchSize
from cluster.checkpoints import (
    Checkpoint,
    Checkpoints,
    CorruptCheckpointError,
    encode,
    load_checkpoint,
)
from cluster.progress import Progress
from configs.execution import CheckpointConfig
from learner.learner_state import LearnerState


def checkpoint(version=3):
    arrays = {
        "weights": np.arange(5, dtype=np.float32),
        "optimizer.0.step": np.array(3.0, np.float32),
    }
    state = LearnerState(version, arrays)
    return Checkpoint(state, Progress(version, 100, 7, BatchSize(64), 1.5))


def test_a_checkpoint_reads_back_bit_by_bit(tmp_path):
    path = Checkpoints(tmp_path, CheckpointConfig()).save(checkpoint())

    loaded = load_checkpoint(path)

    assert loaded.progress == checkpoint().progress
    assert loaded.learner.version == 3
    assert set(loaded.learner.arrays) == {"weights", "optimizer.0.step"}
    for name, array in checkpoint().learner.arrays.items():
        np.testing.assert_array_equal(loaded.learner.arrays[name], array, strict=True)


def test_the_newest_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(keep=2))

    for version in (1, 2, 10):
        checkpoints.save(checkpoint(version))

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "update-000000002.safetensors",
        "update-000000010.safetensors",
    ]


@pytest.mark.parametrize("damage", ["cut", "flip", "about", "empty", "foreign"])
def test_a_damaged_checkpoint_is_recognised(tmp_path, damage):
    content = bytearray(encode(checkpoint()))
    if damage == "cut":
        content = content[:-3]
    elif damage == "flip":
        content[-1] ^= 1
    elif damage == "about":
        content = content.replace(b"1.5}", b"9.5}")
    elif damage == "foreign":
        content = bytearray(save({"weights": np.zeros(3, np.float32)}))
    else:
        content = bytearray()
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)

    with pytest.raises(CorruptCheckpointError, match=str(path)):
        load_checkpoint(path)

"""The folder of a local Ray is its user's alone, has room for sockets, and holds a lock."""

import fcntl
import os
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from reinforce.cluster.backends.ray.local_folder import local_folder
from reinforce.cluster.errors import LocalRayError


@pytest.fixture
def place(monkeypatch, tmp_path_factory):
    """A folder for temporary files, as TMPDIR would name it."""
    tmp_path_factory.getbasetemp()  # pytest's own must not be made in there
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def opened(said=None):
    return local_folder(said.append if said is not None else lambda text: None)


def test_nobody_else_can_enter_it_and_nothing_is_left_of_it(place):
    with opened() as folder:
        folder.path.chmod(0o777)  # as Ray does
        (private,) = place.iterdir()
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert private.stat().st_uid == os.geteuid()
        assert folder.path.parent == private

    assert list(place.iterdir()) == []


def test_sockets_below_it_have_addresses_that_unix_takes(place):
    """Ray puts session_DATE_TIME_MICROSECONDS_PID/sockets/plasma_store there."""
    with opened() as folder:
        below = "session_2026-11-29_07-38-49_123456_4194304/sockets/plasma_store"
        assert len(os.fsencode(folder.path / below)) <= 107


def test_those_of_the_dead_are_removed_and_those_of_the_living_are_not(place):
    with ExitStack() as living:
        kept = living.enter_context(opened()).path.parent
        dead = place / "reinforce-12345678"
        (dead / "r").mkdir(parents=True)
        (dead / "lock").touch()
        no_lock = place / "reinforce-chaos"
        no_lock.mkdir()
        link = place / "reinforce-link"
        link.symlink_to(no_lock)

        with opened():
            assert kept.exists()
            assert not dead.exists()
            assert no_lock.exists()
            assert link.is_symlink()


def test_the_lock_is_held_as_long_as_it_is_used(place):
    with (
        opened() as folder,
        (folder.path.parent / "lock").open() as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_link_in_place_of_a_lock_is_not_followed(place, tmp_path):
    trap = place / "reinforce-trap"
    trap.mkdir()
    (trap / "lock").symlink_to(tmp_path / "made")

    with opened():
        pass

    assert not (tmp_path / "made").exists()
    assert trap.exists()


def test_a_long_path_for_temporary_files_is_avoided_and_said(place, monkeypatch):
    long = place / ("x" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    said = []

    with opened(said) as folder:
        assert folder.path.parent.parent == Path("/tmp")

    (sentence,) = said
    assert str(long) in sentence
    assert str(folder.path.parent) in sentence


def test_a_place_where_others_may_rename_is_not_used(place, monkeypatch):
    shared = place / "s"
    shared.mkdir()
    shared.chmod(0o777)  # without the sticky bit of /tmp
    monkeypatch.setattr(tempfile, "tempdir", str(shared))

    with opened() as folder:
        assert folder.path.parent.parent == Path("/tmp")


def test_a_folder_that_vanishes_before_ray_is_up_is_an_error(place):
    with opened() as folder:
        folder.check()
        folder._checked_at_s = 0.0  # a second later
        folder.remove()

        with pytest.raises(LocalRayError, match=r"was removed or replaced"):
            folder.check()


@pytest.mark.parametrize(
    "touch",
    [
        lambda folder: (folder / "session_latest/sockets/raylet").rename(folder / "elsewhere"),
        lambda folder: (folder / "session_latest/sockets/raylet").unlink(),
        lambda folder: folder.parent.rename(folder.parent.with_name("moved")),
    ],
    ids=["renamed socket", "removed socket", "moved folder"],
)
def test_what_is_touched_while_ray_uses_it_is_an_error_that_names_it(place, touch):
    with opened() as folder:
        sockets = folder.path / "session_latest" / "sockets"
        sockets.mkdir(parents=True)
        (sockets / "raylet").touch()
        folder.watch()
        folder.check()
        folder._checked_at_s = 0.0  # a second later

        touch(folder.path)

        with pytest.raises(LocalRayError, match=r"was removed or replaced while Ray was using it"):
            folder.check()


def test_a_tmpdir_that_cannot_be_written_is_said(monkeypatch):
    """Python takes /tmp then, without a word."""
    monkeypatch.setenv("TMPDIR", "/tmp/there-is-none")
    monkeypatch.setattr(tempfile, "tempdir", None)
    said = []

    with opened(said) as folder:
        private = folder.path.parent

    assert said == [
        "TMPDIR=/tmp/there-is-none cannot be used (No such file or directory); Ray's files are in "
        f"{private}"
    ]

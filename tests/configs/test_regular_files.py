"""A pipe, a device, a folder or a giant in the place of a file is refused at once."""

import os

import pytest

from reinforce.configs.errors import ConfigError
from reinforce.configs.loading import load_config
from reinforce.configs.regular_files import read_regular_file


def pipe(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def device(path):
    path.symlink_to("/dev/zero")


def giant(path):
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, "it is not a regular file"),
        (folder, "it is not a regular file"),
        (device, "it is not a regular file"),
        (giant, "it is larger than 1,048,576 bytes"),
    ],
)
def test_what_stands_in_a_file_s_place_is_refused_by_name(make, reason, tmp_path):
    path = tmp_path / "config.yaml"
    make(path)

    with pytest.raises(ConfigError, match=f"config.yaml': {reason}"):
        load_config(str(path))


def test_a_link_is_followed_only_where_that_is_asked_for(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")

    assert read_regular_file(tmp_path / "link", 10) == b"content"
    with pytest.raises(OSError, match="it is a symbolic link"):
        read_regular_file(tmp_path / "link", 10, follow_links=False)


def test_a_path_that_no_file_can_have_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="Invalid argument"):
        read_regular_file(tmp_path / "a\0b", 10)

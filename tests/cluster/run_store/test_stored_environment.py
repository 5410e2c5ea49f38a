import os

import pytest

from reinforce.cluster.errors import RunDirectoryError
from reinforce.cluster.run_store.stored_environment import read_environment, write_environment
from reinforce.configs.experiment import EnvironmentConfig
from reinforce.workers.environment import inspect_environment


@pytest.mark.parametrize("name", ["CartPole-v1", "Blackjack-v1", "Pendulum-v1", "Taxi-v4"])
def test_what_is_stored_is_read_back(name, tmp_path):
    spec = inspect_environment(EnvironmentConfig(id=name))
    write_environment(tmp_path / "environment.json", spec)
    assert read_environment(tmp_path / "environment.json") == spec


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "is damaged: Invalid JSON"), ('{"observation": 3}', "is damaged: observation: ")],
)
def test_a_damaged_file_is_named_with_what_is_wrong(content, reason, tmp_path):
    file = tmp_path / "environment.json"
    file.write_text(content)
    with pytest.raises(RunDirectoryError, match=f"{file} {reason}"):
        read_environment(file)


def test_a_missing_file_and_a_link_are_told_apart(tmp_path):
    file = tmp_path / "environment.json"
    with pytest.raises(RunDirectoryError, match=r"is missing.*`reinforce resume` adds it"):
        read_environment(file)
    file.symlink_to(os.devnull)
    with pytest.raises(RunDirectoryError, match="is damaged: it is a symbolic link"):
        read_environment(file)

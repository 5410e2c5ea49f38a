"""Wrong inputs of every category: the short form of tests/fuzz/fuzz.py (`make fuzz`)."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "fuzz"))

from explore import explore, finished_run
from verdict import Judge

NUM_CASES = {
    "configurations": 100,
    "settings in words": 20,
    "command lines": 60,
    "run directories": 30,
    "sweeps": 60,
    "trainings": 10,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("category", NUM_CASES)
def test_wrong_inputs_are_one_message_that_names_them_and_leave_nothing(category, run, tmp_path):
    judge = Judge(tmp_path, run)

    explore(category, judge, run, NUM_CASES[category], number=0)

    assert judge.findings == []

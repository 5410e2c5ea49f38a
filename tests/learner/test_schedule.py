import pytest

from reinforce.learner.optimizer import scheduled_value


def test_a_constant_stays():
    assert scheduled_value(0.5, 1000, None) == 0.5


@pytest.mark.parametrize(
    ("version", "value"), [(0, 1.0), (1, 0.75), (2, 0.5), (4, 0.0), (400, 0.0)]
)
def test_a_pair_moves_linearly_and_stays_at_its_end(version, value):
    assert scheduled_value((1.0, 0.0), version, 4) == value

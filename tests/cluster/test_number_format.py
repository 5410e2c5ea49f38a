import math

import pytest

from reinforce.cluster.number_format import duration, mean_and_interval, number, numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.61234, "0.612"),
        (-0.05, "-0.0500"),
        (0.000012, "1.2e-05"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (1.0, "1.000"),
        (28.1, "28.10"),
        (500.0, "500.0"),
        (-1234.5, "-1,234"),
        (123_456_789.0, "123,456,789"),
        (1e12, "1e+12"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_a_number_has_the_digits_that_its_size_needs(value, text):
    assert number(value) == text


def test_numbers_side_by_side_have_the_decimals_of_the_largest():
    assert numbers(9.0, 200.0) == ["9.0", "200.0"]
    assert numbers(-0.0001, 500.0) == ["0.0", "500.0"]
    assert numbers(0.0001, math.inf) == ["0.000100", "inf"]


def test_a_target_of_0_9_can_be_followed():
    shown = [mean_and_interval(mean, mean - 0.02, mean + 0.02) for mean in (0.88, 0.89, 0.9)]

    assert shown[1] == "0.890 (95 %: 0.870 to 0.910)"
    assert len(set(shown)) == 3
    assert mean_and_interval(0.5, math.nan, math.nan) == "0.500"


def test_a_duration_is_read_as_a_clock():
    assert [*map(duration, (0.4, 75.0, 90_000.0, math.inf))] == [
        *("0:00:00", "0:01:15", "1 day, 1:00:00", "very long")
    ]

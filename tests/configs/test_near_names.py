"""The names that a mistyped one is nearest to."""

import pytest

from configs.near_names import near_names


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("optimiser", "did you mean 'optimizer'?"),
        ("lane", "did you mean 'lanes' or 'lake'?"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_up_to_three_are_offered_the_nearest_first(name, question):
    assert near_names(name, ("optimizer", "lake", "lanes")) == question

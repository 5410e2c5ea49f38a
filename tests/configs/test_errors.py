"""The names that a mistyped one is nearest to."""

import pytest

from reinforce.configs.errors import suggestion


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("optimiser", "did you mean 'optimizer'?"),
        ("lake", "did you mean 'lake' or 'lakes' or 'lane'?"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_up_to_three_are_offered_the_nearest_first(name, question):
    assert suggestion(name, ("lack", "lane", "optimizer", "lake", "lakes")) == question

"""Layouts in words, as messages have them."""

import pytest

from reinforce.learner.policies.spaces import (
    ActionLayout,
    ActionLeaf,
    ObservationLayout,
    ObservationLeaf,
)

LAYOUTS = {
    "a Dict": (
        ObservationLayout(
            (
                ObservationLeaf(("eye", 0), "pixels", (84, 84, 3)),
                ObservationLeaf(("gear",), "categories", (2,), (5, 5), (0, 1)),
            )
        ),
        "eye.0: pixels of shape (84, 84, 3); gear: categories of shape (2,), 5 values from (0, 1)",
    ),
    "a box of two bounds": (
        ActionLayout((ActionLeaf((), "gaussian", (2,), "float32", low=(-1.0,) * 2, high=(1, 2)),)),
        "real numbers of shape (2,), -1.0 to (1, 2), float32",
    ),
    "switches": (
        ActionLayout((ActionLeaf((), "binary", (3,), "int8"),)),
        "yes or no of shape (3,), int8",
    ),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_layout_says_place_kind_shape_and_values(case):
    layout, words = LAYOUTS[case]
    assert str(layout) == words

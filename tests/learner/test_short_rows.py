"""Operations on short rows, against NumPy's along the axis, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reinforce.learner.policies.distributions import row_counts, row_cumulated, row_maxima

SHAPES = [(1, 1), (16, 1), (15, 1), (63, 2), (64, 2), (1024, 2), (143, 3), (144, 3), (300, 18)]


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1e-30, 1.0, 1e30]))
def test_each_is_what_numpy_says_along_the_rows(shape, seed, size):
    generator = np.random.default_rng(seed)
    rows = (size * generator.normal(size=shape)).astype(np.float32)
    rows[generator.random(shape) < 0.2] = rows[0, 0]  # equal numbers, too
    limits = size * generator.normal(size=len(rows))
    limits[::3] = rows[::3, -1]

    assert np.array_equal(row_maxima(rows), rows.max(axis=1, keepdims=True))
    assert np.array_equal(row_cumulated(rows), rows.cumsum(axis=1))
    assert np.array_equal(row_counts(rows, limits), (rows <= limits[:, None]).sum(axis=1))
    assert row_cumulated(rows).dtype == np.float32

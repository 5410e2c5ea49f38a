import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reinforce.learner.policies.normalizer import ObservationStatistics

ALL = np.array([True, True])


def counted(*parts, is_continuous=ALL):
    statistics = ObservationStatistics(is_continuous)
    for part in parts:
        statistics.update(np.asarray(part, np.float32))
    return statistics


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.floats(-1e4, 1e4))
def test_batches_add_up_to_the_statistics_of_all_steps(sizes, offset):
    generator = np.random.default_rng(len(sizes))
    parts = [generator.normal(offset, 3.0, size=(n, 2)).astype(np.float32) for n in sizes]
    whole = np.concatenate(parts).astype(np.float64)

    means, inverses = counted(*parts).frozen().reshape(2, 2)

    np.testing.assert_allclose(means, whole.mean(axis=0), rtol=1e-5, atol=1e-5)
    varies = whole.var(axis=0) > 1e-6
    np.testing.assert_allclose(inverses[varies], 1 / whole.std(axis=0)[varies], rtol=1e-4)


def test_a_large_offset_does_not_drown_the_deviation():
    """In float32 sums of squares near 1e8 would leave nothing of a deviation of 1."""
    values = 1e4 + np.random.default_rng(0).normal(size=(100_000, 2))

    inverses = counted(*np.split(values, 100)).frozen()[2:]

    np.testing.assert_allclose(inverses, 1.0, rtol=0.01)


@pytest.mark.parametrize("unit", [1e-10, 1e-5, 1.0, 1e5, 1e10])
def test_the_unit_of_a_measurement_does_not_matter(unit):
    values = np.random.default_rng(0).normal(3.0, 1.0, size=(10_000, 2)) * unit

    means, inverses = counted(values).frozen().reshape(2, 2)

    np.testing.assert_allclose((values.mean(axis=0) - means) * inverses, 0.0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=0) * inverses, 1.0, rtol=1e-5)


@pytest.mark.parametrize("value", [0.1, 12345.678, 1e-7, 3e8])
def test_the_rounding_of_a_constant_is_not_blown_up(value):
    rounded = np.float32(value) * (1 + np.float32(1e-7) * np.array([[0.0, 1.0]] * 50 + [[1, 0]]))

    inverses = counted(*np.array_split(rounded, 7)).frozen()[2:]

    np.testing.assert_array_equal(inverses, 1.0)


def test_before_the_first_step_nothing_changes():
    np.testing.assert_array_equal(counted().frozen(), [0, 0, 1, 1])


def test_categories_stay_as_they_are_and_constants_lose_only_their_mean():
    statistics = counted([[1.0, 5.0], [0.0, 5.0]], is_continuous=np.array([False, True]))

    np.testing.assert_array_equal(statistics.frozen(), [0, 5, 1, 1])


def test_the_state_continues_to_the_bit():
    parts = np.random.default_rng(1).normal(size=(3, 50, 2))
    first = counted(*parts[:2])
    second = ObservationStatistics(ALL)
    second.load_arrays(first.arrays())

    for statistics in (first, second):
        statistics.update(parts[2].astype(np.float32))

    assert first.frozen().tobytes() == second.frozen().tobytes()


def test_arrays_are_copies():
    statistics = counted([[1.0, 2.0]])
    arrays = statistics.arrays()

    statistics.update(np.ones((4, 2), np.float32))

    assert arrays["count"] == pytest.approx(1.0)
    np.testing.assert_array_equal(arrays["mean"], [1.0, 2.0])

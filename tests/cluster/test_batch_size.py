import math

from hypothesis import given
from hypothesis import strategies as st

from reinforce.cluster.progress import BatchSize
from reinforce.configs.learning import LearnerConfig

AUTO = LearnerConfig(episodes_per_update="auto", episodes_bounds=(10, 100), gradient_snr_target=2.0)


def sizes(ratios, config=AUTO):
    size, result = BatchSize.first(config), []
    for ratio in ratios:
        size = size.after_update(signal=ratio, noise=1.0, config=config)
        result.append(size.episodes)
    return result


def test_a_fixed_size_stays_whatever_the_noise():
    config = LearnerConfig(episodes_per_update=64)

    assert sizes([0.0] * 9, config) == [64] * 9


def test_the_batch_grows_by_half_once_the_ratio_has_been_low_for_some_updates():
    assert sizes([0.1] * 9) == [10, 10, 10, 16, 16, 16, 16, 25, 25]


def test_it_stops_at_its_bound():
    assert sizes([0.0] * 100)[-1] == 100


def test_enough_signal_keeps_the_size():
    assert sizes([2.5] * 50) == [10] * 50


def test_an_update_that_could_not_be_measured_says_nothing():
    size = BatchSize.first(AUTO)

    assert size.after_update(math.nan, math.nan, AUTO) == size


def test_where_all_episodes_are_alike_more_of_them_are_played():
    size = BatchSize.first(AUTO)
    for _ in range(9):
        size = size.after_update(0.0, 0.0, AUTO)

    assert size.episodes == 25


def test_signals_and_noises_are_averaged_before_they_are_divided():
    """Pure noise: the signal is as often below as above 0, though single ratios are high."""
    size = BatchSize.first(AUTO)
    for turn in range(60):
        size = size.after_update(9.0 if turn % 2 else -9.0, 1.0, AUTO)

    assert size.episodes == 100


@given(st.lists(st.floats(-100, 100), max_size=60))
def test_the_size_only_grows_and_stays_within_its_bounds(ratios):
    found = [10, *sizes(ratios)]

    assert found == sorted(found)
    assert found[-1] <= 100

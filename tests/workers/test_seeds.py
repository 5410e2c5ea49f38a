import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reinforce.workers.seeds import (
    EpisodeNoise,
    action_generator,
    environment_seed,
    episode_seed,
)
from reinforce.workers.tickets import Purpose

HIGH = st.integers(0, 2**63 - 1)


@given(run_seed=HIGH, purpose=st.sampled_from(Purpose), place=st.tuples(HIGH, HIGH, HIGH))
def test_every_seed_says_in_its_highest_bits_what_it_is_for(run_seed, purpose, place):
    """So no training seed of any run is an evaluation seed of any run, at either width."""
    episode = episode_seed(run_seed, purpose, *place)

    assert episode // 2**62 == purpose
    assert environment_seed(episode) // 2**29 == purpose


def test_reset_and_actions_have_seeds_of_their_own():
    seeds = [environment_seed(seed) for seed in range(1000)]

    assert len(set(seeds)) > 990
    assert action_generator(5).random() == action_generator(5).random()
    assert action_generator(5).random() != action_generator(6).random()


def numbers_of(seed, count, shape=()):
    """What an episode plays with: of its own generator, one step after the other."""
    generator = action_generator(seed)
    return [np.negative(generator.random(shape)) for _ in range(count)]


@pytest.mark.parametrize("shape", [(), (3,)])
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=12),
    num_rows=st.integers(1, 4),
)
def test_an_episode_has_its_own_numbers_whoever_plays_beside_it(shape, lengths, num_rows):
    unplayed = list(enumerate(lengths))
    playing = [unplayed.pop(0) for _ in range(min(num_rows, len(lengths)))]
    noise = EpisodeNoise(len(playing), shape, np.negative)
    for row, (seed, _) in enumerate(playing):
        noise.begin_row(row, seed)
    seen = {seed: [] for seed, _ in playing}
    while playing:
        for (seed, _), numbers in zip(playing, noise.next_step(), strict=True):
            seen[seed].append(numbers)
        for row, (seed, length) in enumerate(playing):
            if len(seen[seed]) == length and unplayed:
                playing[row] = unplayed.pop(0)
                seen[playing[row][0]] = []
                noise.begin_row(row, playing[row][0])
        going_on = np.array([len(seen[seed]) < length for seed, length in playing])
        noise.keep(going_on)
        playing = [one for one, goes_on in zip(playing, going_on, strict=True) if goes_on]

    for seed, length in enumerate(lengths):
        np.testing.assert_array_equal(seen[seed], numbers_of(seed, length, shape))


def test_what_was_handed_out_is_not_overwritten():
    noise = EpisodeNoise(1, (), np.negative)
    noise.begin_row(0, 7)

    steps = [noise.next_step() for _ in range(1000)]

    np.testing.assert_array_equal(np.concatenate(steps), numbers_of(7, 1000))

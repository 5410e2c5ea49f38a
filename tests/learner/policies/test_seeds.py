import numpy as np

from reinforce.learner.policies.seeds import Stream, seed_of, seed_sequence


def test_seeds_are_those_of_numpys_seed_sequence():
    expected = np.random.SeedSequence(7, spawn_key=(3, 12)).generate_state(1, np.uint64)[0]

    assert seed_of(7, Stream.VALUE_SHUFFLES, 12) == int(expected)


def test_run_stream_and_place_all_change_the_seed():
    """Also where only the bits above the lowest 32 differ, which a generator of Torch ignores."""
    seeds = {
        seed_of(run_seed, stream, place) % 2**32
        for run_seed in (0, 1, 2**32, 2**63 - 1)
        for stream in Stream
        for place in (0, 1)
    }

    assert len(seeds) == 4 * len(Stream) * 2


def test_no_stream_is_the_beginning_of_another():
    """``spawn_key`` (0, 1) is not (0,) and then 1: an update's numbers are not a ticket's."""
    states = [
        tuple(seed_sequence(0, Stream.EPISODES, *place).generate_state(4))
        for place in [(), (0,), (0, 0), (0, 0, 0)]
    ]

    assert len(set(states)) == 4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reinforce.workers.tickets import Purpose, Ticket, draw_tickets


def all_seeds(tickets):
    return [seed for ticket in tickets for seed in ticket.episode_seeds]


@given(num_episodes=st.integers(1, 60), episodes_per_ticket=st.integers(1, 20))
def test_tickets_name_exactly_the_episodes_of_the_batch(num_episodes, episodes_per_ticket):
    tickets = draw_tickets(0, Purpose.TRAINING, 3, num_episodes, episodes_per_ticket)

    assert len(all_seeds(tickets)) == len(set(all_seeds(tickets))) == num_episodes
    assert [ticket.index for ticket in tickets] == list(range(len(tickets)))
    assert all(ticket.num_episodes == episodes_per_ticket for ticket in tickets[:-1])


def test_the_same_names_give_the_same_seeds():
    assert draw_tickets(7, Purpose.TRAINING, 5, 8, 4) == draw_tickets(7, Purpose.TRAINING, 5, 8, 4)


def test_run_update_purpose_ticket_and_episode_all_change_the_seeds():
    batches = [
        draw_tickets(run_seed, purpose, update, 6, 2)
        for run_seed in (0, 1, 2**63 - 1)
        for purpose in Purpose
        for update in (0, 1, 2)
    ]

    seeds = [seed for batch in batches for seed in all_seeds(batch)]
    assert len(set(seeds)) == len(seeds) == 3 * len(Purpose) * 3 * 6


def test_seeds_are_those_of_numpy_s_seed_sequence():
    ticket = draw_tickets(7, Purpose.EVALUATION, 5, 8, 4)[1]

    # stream of episodes, purpose, update, ticket, episode; the two highest bits are the purpose
    drawn = np.random.SeedSequence(7, spawn_key=(0, 1, 5, 1, 2)).generate_state(1, np.uint64)[0]
    assert ticket.episode_seeds[2] == 2**62 + int(drawn) // 4


def test_a_ticket_without_episodes_is_refused():
    with pytest.raises(ValueError, match="names no episodes"):
        Ticket(Purpose.TRAINING, 0, 0, ())


def test_a_ticket_is_called_by_purpose_update_and_index():
    assert str(Ticket(Purpose.TRAINING, 12, 3, (1,))) == "training 12:3"

"""Tickets that last: told after half a minute, and each time that it has doubled."""

from reinforce.cluster.long_tickets import Patience
from reinforce.workers.tickets import Purpose, draw_tickets


def test_a_ticket_is_told_once_it_lasts_and_where_all_do_once_it_lasts_longer_than_they_did():
    first, second, third = draw_tickets(0, Purpose.TRAINING, 0, 3, 1)
    patience = Patience()

    def told(ticket, *seconds):
        return [s for s in seconds if patience.note(ticket, s)]

    assert told(first, 29.0, 30.0, 59.0, 60.0, 119.0) == [30.0, 60.0]
    assert told(second, 31.0, 118.0) == []
    assert told(third, 29.0, 118.0, 119.0, 237.0, 238.0, 500.0) == [119.0, 238.0, 500.0]

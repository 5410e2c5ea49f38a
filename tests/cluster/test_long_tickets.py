"""Tickets that last: each is told after half a minute, and each time that it has doubled."""

from reinforce.cluster.long_tickets import Patience
from reinforce.workers.tickets import Purpose, draw_tickets


def test_each_ticket_is_told_after_half_a_minute_however_long_one_before_it_took():
    first, second = draw_tickets(0, Purpose.TRAINING, 0, 2, 1)
    patience = Patience()

    def told(ticket, *seconds):
        return [s for s in seconds if patience.note(ticket, s)]

    assert told(first, 29.0, 30.0, 59.0, 60.0, 119.0, 500.0, 999.0) == [30.0, 60.0, 500.0]
    assert told(second, 29.0, 31.0, 61.0, 62.0) == [31.0, 62.0]

"""Tickets that last: told after half a minute, and each time that it has doubled."""

import pdb
import re
import threading

from reinforce.cluster.long_tickets import HungStepWatch, Patience
from reinforce.workers.tickets import Purpose, draw_tickets


def test_a_ticket_is_told_once_it_lasts_and_where_all_do_once_it_lasts_longer_than_is_usual():
    first, second, third, fourth = draw_tickets(0, Purpose.TRAINING, 0, 4, 1)
    patience = Patience()

    def told(ticket, *seconds):
        return [s for s in seconds if patience.note(ticket, s)]

    assert told(first, 29.0, 30.0, 59.0, 60.0, 119.0) == [30.0, 60.0]
    assert told(second, 31.0, 118.0) == []
    assert told(third, 29.0, 118.0, 119.0, 237.0, 238.0, 3000.0) == [119.0, 238.0, 3000.0]
    # 0.8 of 118.8 and 0.2 of 3,000: one that took long does not hide all that follow.
    assert told(fourth, 695.0, 696.0) == [696.0]


def test_a_step_that_hangs_is_told_with_its_line_but_not_while_a_debugger_waits(monkeypatch):
    monkeypatch.setattr("reinforce.cluster.long_tickets._FIRST_S", 0.05)
    (ticket,) = draw_tickets(0, Purpose.TRAINING, 0, 1, 1)
    told = []
    has_told = threading.Event()
    watch = HungStepWatch(lambda text: (told.append(text), has_told.set()))

    class Debugger(pdb.Pdb):
        def interaction(self, frame, traceback):
            assert not has_told.wait(0.3)
            self.set_continue()

    def step():
        Debugger(nosigint=True).set_trace()
        has_told.clear()
        has_told.wait(10)

    with watch.watching():
        watch.note(ticket)
        step()

    (text, *_) = told
    waited = (
        r"ticket training 0:0 has waited for its environment for \d s, at .*threading\.py, line"
    )
    assert re.match(waited, text)

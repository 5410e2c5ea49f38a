import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.scheduler import Scheduler
from workers.ticket import Purpose, draw_tickets


def tickets(count, update=0):
    return draw_tickets(0, Purpose.TRAINING, update, count, 1)


def test_tickets_go_to_idle_workers_oldest_first():
    scheduler = Scheduler(ticket_timeout_s=10)
    first, second, third = tickets(3)
    scheduler.submit([first, second, third])
    scheduler.add_worker(7)
    scheduler.add_worker(8)

    assert scheduler.assign(now_s=0) == [(7, first), (8, second)]
    assert scheduler.assign(now_s=0) == []
    assert scheduler.complete(8) is second
    assert scheduler.assign(now_s=0) == [(8, third)]


def test_a_lost_ticket_is_the_next_to_be_played():
    scheduler = Scheduler(ticket_timeout_s=10)
    first, second = tickets(2)
    scheduler.submit([first, second])
    scheduler.add_worker(1)
    scheduler.assign(now_s=0)

    assert scheduler.remove_worker(1) == (first, 1)
    scheduler.add_worker(2)
    assert scheduler.assign(now_s=0) == [(2, first)]
    assert scheduler.fail(2) == (first, 2)
    assert scheduler.counts.reissued == 2


def test_a_worker_is_overdue_only_after_its_deadline():
    scheduler = Scheduler(ticket_timeout_s=10)
    scheduler.submit(tickets(1))
    scheduler.add_worker(1)
    scheduler.assign(now_s=100)

    assert scheduler.overdue(now_s=110) == []
    assert scheduler.overdue(now_s=110.1) == [1]


def test_an_idle_worker_that_is_gone_gets_nothing():
    scheduler = Scheduler(ticket_timeout_s=10)
    scheduler.add_worker(1)

    assert scheduler.remove_worker(1) is None
    scheduler.submit(tickets(1))
    assert scheduler.assign(now_s=0) == []


EVENTS = st.lists(
    st.tuples(st.sampled_from(["submit", "join", "complete", "fail", "leave"]), st.integers(0, 99)),
    max_size=80,
)


@settings(max_examples=200)
@given(events=EVENTS)
def test_whatever_happens_each_ticket_is_completed_exactly_once(events):  # noqa: C901
    """Random arrivals, failures and departures, then calm: the books must balance."""
    scheduler = Scheduler(ticket_timeout_s=10)
    submitted, completed, busy, update, next_worker = [], [], {}, 0, 0

    def assign():
        for worker, ticket in scheduler.assign(now_s=0):
            assert worker not in busy, "a worker got a second ticket"
            assert ticket not in busy.values(), "a ticket is in flight twice"
            assert ticket not in completed, "a finished ticket is played again"
            busy[worker] = ticket

    def pick(number):
        return sorted(busy)[number % len(busy)]

    for event, number in events:
        if event == "submit":
            batch = tickets(number % 4 + 1, update)
            update += 1
            submitted += batch
            scheduler.submit(batch)
        elif event == "join":
            scheduler.add_worker(next_worker)
            next_worker += 1
        elif busy:
            worker = pick(number)
            ticket = busy.pop(worker)
            if event == "complete":
                assert scheduler.complete(worker) is ticket
                completed.append(ticket)
            elif event == "fail":
                assert scheduler.fail(worker)[0] is ticket
            else:
                assert scheduler.remove_worker(worker)[0] is ticket
        assign()
    scheduler.add_worker(next_worker)
    assign()
    while busy:
        worker = pick(0)
        completed.append(busy.pop(worker))
        scheduler.complete(worker)
        assign()

    assert sorted(map(str, completed)) == sorted(map(str, submitted))
    assert len(set(completed)) == len(completed)
    assert (scheduler.counts.issued, scheduler.counts.completed) == (len(submitted),) * 2


def test_attempts_are_counted_per_ticket():
    scheduler = Scheduler(ticket_timeout_s=10)
    scheduler.submit(tickets(1))
    scheduler.add_worker(0)

    attempts = []
    for _ in range(3):
        scheduler.assign(now_s=0)
        attempts.append(scheduler.fail(0)[1])

    assert attempts == [1, 2, 3]


def test_completing_what_was_never_assigned_is_an_error():
    with pytest.raises(KeyError):
        Scheduler(ticket_timeout_s=1).complete(3)

"""The scheduler under a clock of the test's own."""

import time
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reinforce.cluster.backends.ray.scheduler import (
    TIMEOUT_S,
    GiveUp,
    Play,
    Probe,
    Scheduler,
    Start,
    Stop,
    WorkerState,
)
from reinforce.configs.execution import WorkersConfig
from reinforce.workers.tickets import Purpose, draw_tickets


def tickets(count, update=0, purpose=Purpose.TRAINING):
    return draw_tickets(0, purpose, update, count, 1)


def scheduler_with(num_workers, now_s=0.0, **config):
    """A scheduler whose workers are all up."""
    scheduler = Scheduler(WorkersConfig(**config), target=num_workers)
    for action in scheduler.decide(now_s):
        scheduler.started(action.worker, "node", now_s)
    return scheduler


def test_it_starts_the_workers_that_are_wanted_and_no_more():
    scheduler = Scheduler(WorkersConfig(), target=2)

    assert scheduler.decide(0.0) == [Start(0, 0), Start(1, 1)]
    assert scheduler.decide(0.0) == []
    assert scheduler.num_alive == 0


def test_tickets_go_to_idle_workers_oldest_first():
    scheduler = scheduler_with(2)
    first, second, third = tickets(3)
    scheduler.submit([first, second, third])

    assert scheduler.decide(0.0) == [Play(0, first), Play(1, second)]
    assert scheduler.decide(0.0) == []
    assert scheduler.completed(1, 1.0) is second
    assert scheduler.decide(1.0) == [Play(1, third)]


def test_the_ticket_of_a_lost_worker_is_the_next_to_be_played_and_the_others_go_on():
    scheduler = scheduler_with(2)
    first, second, third = tickets(3)
    scheduler.submit([first, second, third])
    scheduler.decide(0.0)
    scheduler.completed(1, 1.0)

    assert scheduler.lost(0, 1.0, to_blame=False) is first
    assert scheduler.decide(1.0) == [Start(2, 0), Play(1, first)]
    assert (scheduler.counts.reissued, scheduler.restarts) == (1, 1)


def test_a_worker_has_the_lowest_index_that_none_has():
    """Indices choose ports and shards, so they are few and used again; numbers never are."""
    scheduler = scheduler_with(3)

    scheduler.lost(0, 1.0, to_blame=False)
    scheduler.lost(1, 1.0, to_blame=False)

    assert scheduler.decide(1.0) == [Start(3, 0), Start(4, 1)]
    scheduler.target = 4
    assert scheduler.decide(1.0) == [Start(5, 3)]


def test_a_worker_that_is_let_go_keeps_its_index_until_it_has_closed_its_environments():
    scheduler = scheduler_with(1)

    scheduler.avoid({"node"})
    assert scheduler.decide(1.0) == [Stop(0, None), Start(1, 1)]
    scheduler.avoid(())
    scheduler.target = 3
    assert scheduler.decide(2.0) == [Start(2, 2), Start(3, 3)]
    scheduler.closed(0)
    scheduler.target = 4
    assert scheduler.decide(3.0) == [Start(4, 0)]


def test_one_that_is_let_go_while_it_starts_may_have_opened_environments_already():
    scheduler = Scheduler(WorkersConfig(), target=1)
    scheduler.decide(0.0)

    scheduler.target = 0
    assert scheduler.decide(1.0) == [Stop(0, None)]
    scheduler.target = 1
    assert scheduler.decide(2.0) == [Start(1, 1)]
    scheduler.closed(0)
    assert scheduler.decide(3.0) == []


def test_a_worker_makes_new_environments_for_failed_ones_before_it_gets_a_ticket():
    scheduler = scheduler_with(1)
    (ticket,) = tickets(1)
    scheduler.submit([ticket])
    scheduler.decide(0.0)

    assert scheduler.failed(0, 1.0) is ticket
    assert scheduler.decide(1.0) == [Probe(0)]
    assert scheduler.decide(599.0) == []
    scheduler.started(0, "node", 599.0)
    assert scheduler.decide(599.0) == [Play(0, ticket)]
    assert scheduler.restarts == 0


def test_a_worker_whose_new_environments_hang_is_given_up():
    scheduler = scheduler_with(1)
    scheduler.submit(tickets(1))
    scheduler.decide(0.0)
    scheduler.failed(0, 1.0)
    scheduler.decide(1.0)

    assert scheduler.decide(602.0)[:2] == [GiveUp(0), Start(1, 0)]


def test_attempts_are_counted_per_ticket_until_they_are_exhausted():
    scheduler = scheduler_with(1, max_ticket_attempts=2)
    (ticket,) = tickets(1)
    scheduler.submit([ticket])

    scheduler.decide(0.0)
    scheduler.failed(0, 0.0)
    assert scheduler.exhausted is None
    scheduler.started(0, "node", 0.0)
    scheduler.decide(0.0)
    scheduler.failed(0, 0.0)
    assert scheduler.exhausted is ticket
    assert scheduler.attempts(ticket) == 2


def test_a_ticket_that_hangs_everywhere_is_not_given_out_beyond_its_attempts():
    scheduler = scheduler_with(3, max_ticket_attempts=2, ticket_timeout_s=10.0)
    (ticket,) = tickets(1)
    scheduler.submit([ticket])

    given_out = [a for now_s in (0.0, 11.0, 22.0, 33.0) for a in scheduler.decide(now_s)]

    assert sum(isinstance(action, Play) for action in given_out) == 2
    assert scheduler.exhausted is ticket


def test_a_worker_out_of_reach_is_not_held_against_the_ticket():
    scheduler = scheduler_with(1, max_ticket_attempts=1)
    (ticket,) = tickets(1)
    scheduler.submit([ticket])
    scheduler.decide(0.0)

    scheduler.unreachable(0, 1.0)

    assert scheduler.exhausted is None


def test_a_node_that_was_taken_away_is_not_held_against_the_ticket():
    scheduler = scheduler_with(1, max_ticket_attempts=1)
    (ticket,) = tickets(1)
    scheduler.submit([ticket])
    scheduler.decide(0.0)

    scheduler.lost(0, 1.0, to_blame=False)

    assert scheduler.exhausted is None
    assert scheduler.decide(1.0) == [Start(1, 0)]


def test_a_worker_past_the_deadline_is_stopped_and_its_ticket_played_elsewhere():
    scheduler = scheduler_with(1, ticket_timeout_s=10.0)
    (ticket,) = tickets(1)
    scheduler.submit([ticket])
    scheduler.decide(100.0)

    assert scheduler.decide(110.0) == []
    stop, *_ = scheduler.decide(110.1)
    assert stop == Stop(0, "not returned after 10 s", ticket)
    assert scheduler.counts.reissued == 1


def test_the_deadline_follows_how_long_tickets_take_and_doubles_with_each_attempt():
    scheduler = scheduler_with(1, ticket_timeout_s=10_000.0)
    first, second = tickets(2)
    scheduler.submit([first, second])
    scheduler.decide(0.0)
    scheduler.completed(0, 20.0)
    scheduler.decide(20.0)  # ten times 20 s are allowed now

    assert scheduler.decide(219.9) == []
    assert scheduler.decide(220.1)[0].ticket is second
    scheduler.started(1, "node", 221.0)
    assert scheduler.decide(221.0) == [Play(1, second)]
    assert scheduler.decide(221.0 + 399.0) == []
    assert scheduler.decide(221.0 + 401.0)[0].ticket is second


def test_a_worker_that_cannot_be_reached_is_asked_once_at_a_time_and_comes_back():
    scheduler = scheduler_with(1)
    (ticket,) = tickets(1)
    scheduler.submit([ticket])
    scheduler.decide(0.0)

    assert scheduler.unreachable(0, 1.0) is ticket
    assert scheduler.decide(1.0) == [Probe(0)]
    assert scheduler.decide(30.0) == []
    scheduler.started(0, "node", 31.0)
    assert scheduler.decide(31.0) == [Play(0, ticket)]


def test_a_worker_that_stays_silent_is_replaced():
    scheduler = scheduler_with(1)
    scheduler.unreachable(0, 0.0)
    scheduler.decide(0.0)
    scheduler.unreachable(0, 5.0)  # the probe failed, too

    assert scheduler.decide(5.0) == []
    assert scheduler.decide(7.0) == [Probe(0)]
    assert scheduler.decide(TIMEOUT_S[WorkerState.SUSPECT] + 0.1)[0] == Stop(0, "suspect for 60 s")


def test_a_worker_whose_constructor_hangs_is_replaced_while_others_play_on():
    scheduler = Scheduler(WorkersConfig(), target=2)
    assert scheduler.decide(0.0) == [Start(0, 0), Start(1, 1)]
    scheduler.started(0, "node", 1.0)

    assert scheduler.decide(TIMEOUT_S[WorkerState.STARTING]) == []
    assert scheduler.decide(TIMEOUT_S[WorkerState.STARTING] + 0.1) == [
        GiveUp(1),
        Start(2, 1),
    ]
    assert scheduler.num_alive == 1


def test_workers_that_wait_for_room_are_no_losses_however_long_they_wait():
    """More are wanted than fit: those on the nodes play, and the others ask again now and then."""
    scheduler = Scheduler(WorkersConfig(), target=3)
    scheduler.decide(0.0)
    scheduler.started(0, "node", 1.0)

    stopped = []
    for minute in range(60 * 24):
        stopped += [a for a in scheduler.decide(60.0 * minute) if isinstance(a, GiveUp)]

    assert len(stopped) > 200
    assert (scheduler.restarts, scheduler.failed_starts) == (0, 0)
    scheduler.lost(0, 86_400.0, to_blame=False)
    assert len(scheduler.decide(86_400.0)) == 1, "room is made use of at once"


def test_thousands_of_losses_in_a_row_lengthen_the_pause_no_further():
    scheduler = Scheduler(WorkersConfig(), target=1)
    starts = []
    for minute in range(2000):
        for action in scheduler.decide(61.0 * minute):
            starts.append(minute)
            scheduler.lost(action.worker, 61.0 * minute)

    assert starts == list(range(2000))


def test_workers_that_are_lost_before_they_did_anything_are_replaced_ever_more_slowly():
    scheduler = Scheduler(WorkersConfig(), target=1)
    starts = []
    for quarter in range(200):
        for action in scheduler.decide(quarter / 4):
            starts.append(quarter / 4)
            scheduler.lost(action.worker, quarter / 4)

    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    assert scheduler.failed_starts == 7


def test_a_worker_that_has_done_something_is_replaced_at_once():
    scheduler = scheduler_with(1)
    scheduler.submit(tickets(1))
    scheduler.decide(0.0)
    scheduler.completed(0, 1.0)

    scheduler.lost(0, 2.0)

    assert scheduler.decide(2.0) == [Start(1, 0)]


def test_the_surplus_is_let_go_idle_workers_first_and_busy_ones_after_their_ticket():
    scheduler = scheduler_with(3)
    first, second = tickets(2)
    scheduler.submit([first, second])
    scheduler.decide(0.0)

    scheduler.target = 1
    assert scheduler.decide(0.0) == [Stop(2, None)]
    scheduler.completed(1, 1.0)
    assert scheduler.decide(1.0) == [Stop(1, None)]
    assert scheduler.completed(0, 2.0) is first
    assert scheduler.decide(2.0) == []
    assert scheduler.restarts == 0


def test_the_surplus_is_taken_from_the_emptiest_node_so_that_it_can_be_given_back():
    scheduler = Scheduler(WorkersConfig(), target=3)
    scheduler.decide(0.0)
    for worker, node in enumerate(["full", "nearly empty", "full"]):
        scheduler.started(worker, node, 0.0)

    scheduler.target = 2

    assert scheduler.decide(0.0) == [Stop(1, None)]


def test_a_node_that_is_about_to_go_gets_no_new_ticket():
    scheduler = Scheduler(WorkersConfig(), target=2)
    scheduler.decide(0.0)
    for worker, node in enumerate(["leaving", "staying"]):
        scheduler.started(worker, node, 0.0)
    first, second, third = tickets(3)
    scheduler.submit([first, second, third])
    scheduler.decide(0.0)

    scheduler.avoid({"leaving"})
    assert scheduler.decide(1.0) == [Start(2, 2)], "a worker elsewhere takes its place"
    assert scheduler.completed(0, 2.0) is first, "what it plays is finished and used"
    assert scheduler.decide(2.0) == [Stop(0, None)]


def test_completing_what_was_never_assigned_is_an_error():
    with pytest.raises(ValueError, match="a worker that is READY has no ticket"):
        scheduler_with(1).completed(0, 0.0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["submit", "up", "complete", "fail", "lose", "cut", "scale", "drain", "wait", "close"]
        ),
        st.integers(0, 699),
    ),
    max_size=100,
)


TICKET_TIMEOUT_S = 50.0


class World:
    """Workers that do as they are told until something happens to them; keeps the books."""

    def __init__(self):
        config = WorkersConfig(ticket_timeout_s=TICKET_TIMEOUT_S, max_ticket_attempts=1000)
        self.scheduler = Scheduler(config, 2)
        self.now_s, self.update = 0.0, 0
        self.versions, self.played_with = {}, {}
        self.losses = 0
        self.starting, self.idle, self.busy, self.suspect = set(), set(), {}, set()
        self.submitted, self.completed = [], []
        self.indices, self.closing = {}, set()
        self.idle_since_s, self.busy_since_s = {}, {}

    def carry_out(self):
        leaving = self.leaving()
        for action in self.scheduler.decide(self.now_s):
            match action:
                case Start(worker, index):
                    taken = {self.indices[other] for other in self.alive() | self.closing}
                    assert index not in taken, "two workers have one index"
                    self.indices[worker] = index
                    self.starting.add(worker)
                case Play(worker, ticket):
                    assert worker in self.idle, "a ticket went to a worker that cannot play"
                    assert ticket not in self.busy.values(), "a ticket is in flight twice"
                    assert ticket not in self.completed, "a finished ticket is played again"
                    longest_idle = min(self.idle_since_s[other] for other in self.idle)
                    assert self.idle_since_s[worker] == longest_idle, "another has waited longer"
                    self.idle.remove(worker)
                    self.busy[worker], self.busy_since_s[worker] = ticket, self.now_s
                    self.played_with[ticket] = self.versions[ticket.purpose, ticket.update]
                case GiveUp(worker):
                    assert worker in self.starting
                    self.forget(worker)
                case Stop(worker, reason):
                    self.losses += reason is not None and worker not in leaving
                    self.forget(worker)
                    if reason is None:
                        self.closing.add(worker)
                case Probe(worker):
                    assert worker in self.suspect | self.starting
        assert self.scheduler.decide(self.now_s) == [], "a busy loop"
        assert self.scheduler.restarts == self.losses
        self.check_what_is_known_of_workers()

    def check_what_is_known_of_workers(self):
        """The scheduler searches for nobody, so it must keep in mind who does what, since when."""
        assert self.scheduler.num_alive == len(self.idle) + len(self.busy)
        out = {ticket: self.now_s - self.busy_since_s[n] for n, ticket in self.busy.items()}
        longest = self.scheduler.longest(self.now_s)
        if longest is None:
            assert not out
        else:
            ticket, seconds = longest
            assert seconds == out[ticket] == max(out.values()), "another has been out for longer"
            assert seconds <= TICKET_TIMEOUT_S, "a ticket is overdue and was left alone"

    def leaving(self):
        """Workers that play their last ticket: whoever loses them does not replace them."""
        workers = self.scheduler._workers.items()
        return {number for number, w in workers if w.state is WorkerState.DRAINING}

    def alive(self):
        return self.starting | self.idle | set(self.busy) | self.suspect

    def forget(self, worker):
        for group in (self.starting, self.idle, self.suspect):
            group.discard(worker)
        self.busy.pop(worker, None)

    def happen(self, event, number):  # noqa: C901, PLR0912  (a list of all that may happen)
        scheduler, now_s = self.scheduler, self.now_s
        alive = sorted(self.alive())
        busy = sorted(self.busy)
        if event == "submit":
            # An evaluation has the number of an update, and other weights than its batch.
            self.update += number % 2
            purpose = Purpose.TRAINING if number % 2 else Purpose.EVALUATION
            if (purpose, self.update) in self.versions:
                return
            batch = tickets(number % 4 + 1, self.update, purpose)
            self.versions[purpose, self.update] = f"{purpose} {self.update}"
            self.submitted += batch
            scheduler.submit(batch)
        elif event == "up":
            for worker in self.starting | self.suspect:
                scheduler.started(worker, f"node {worker % 3}", now_s)
                self.idle_since_s[worker] = now_s
            self.idle |= self.starting | self.suspect
            self.starting, self.suspect = set(), set()
        elif event == "scale":
            scheduler.target = number % 5 + 1
        elif event == "drain":
            scheduler.avoid({f"node {number % 3}"} if number % 2 else ())
        elif event == "close" and self.closing:
            scheduler.closed(self.closing.pop())
        elif event == "wait":
            self.now_s += number
        elif event == "lose" and alive:
            worker = alive[number % len(alive)]
            self.losses += worker not in self.leaving()
            scheduler.lost(worker, now_s, to_blame=number % 2 == 0)
            self.forget(worker)
        elif event == "cut" and alive:
            worker = alive[number % len(alive)]
            scheduler.unreachable(worker, now_s)
            self.forget(worker)
            self.suspect.add(worker)
        elif event in ("complete", "fail") and busy:
            worker = busy[number % len(busy)]
            ticket = self.busy.pop(worker)
            if event == "complete":
                self.idle.add(worker)
                self.idle_since_s[worker] = now_s
                assert scheduler.completed(worker, now_s) is ticket
                self.completed.append(ticket)
                self.let_go_of_weights(ticket)
            else:
                self.starting.add(worker)
                assert scheduler.failed(worker, now_s) is ticket

    def let_go_of_weights(self, ticket):
        """A batch that is whole needs its weights no more: who plays of it again fails."""
        batch = ticket.purpose, ticket.update
        played = sum((t.purpose, t.update) == batch for t in self.completed)
        if played == sum((t.purpose, t.update) == batch for t in self.submitted):
            self.versions[batch] = None


@settings(max_examples=300, deadline=None)
@given(events=EVENTS)
def test_whatever_happens_each_ticket_is_completed_exactly_once(events):
    """Random arrivals, failures, cuts, delays and scalings, then calm: the books must balance."""
    world = World()
    world.carry_out()
    for event, number in events:
        world.happen(event, number)
        world.carry_out()
    world.happen("drain", 0)
    for _ in range(1000):
        if len(world.completed) == len(world.submitted):
            break
        for event in ("up", "complete"):
            world.happen(event, 0)
            world.carry_out()
        world.now_s += 1

    assert sorted(map(str, world.completed)) == sorted(map(str, world.submitted))
    counts = world.scheduler.counts
    assert counts.issued == counts.completed == len(world.submitted)
    assert world.played_with == {t: f"{t.purpose} {t.update}" for t in world.submitted}


@pytest.mark.parametrize("num_workers", [256])
def test_hundreds_of_workers_all_get_their_share(num_workers):
    scheduler = scheduler_with(num_workers)
    scheduler.submit(tickets(10 * num_workers))
    played, now_s = [0] * num_workers, 0.0
    while scheduler.counts.completed < 10 * num_workers:
        for action in scheduler.decide(now_s):
            played[action.worker] += 1
            scheduler.completed(action.worker, now_s + 0.5)
        now_s += 1.0

    assert min(played) == max(played) == 10


def cpu_s_per_ticket(num_workers, avoided, num_tickets=100):
    """What the scheduler takes when all workers are busy and return one ticket after the other."""
    scheduler = scheduler_with(num_workers)
    scheduler.avoid(avoided)
    scheduler.submit(tickets(num_workers + num_tickets))
    busy = deque(action.worker for action in scheduler.decide(0.0))
    started_s = time.process_time()
    for number in range(num_tickets):
        now_s = 0.001 * number
        scheduler.completed(busy.popleft(), now_s)
        busy.extend(action.worker for action in scheduler.decide(now_s))
        assert scheduler.longest(now_s)
        assert scheduler.num_alive == num_workers
    return (time.process_time() - started_s) / num_tickets


@pytest.mark.parametrize("avoided", [set(), {"another node"}])
def test_a_ticket_costs_no_more_with_a_hundred_times_as_many_workers(avoided):
    few, many = (min(cpu_s_per_ticket(count, avoided) for _ in range(3)) for count in (50, 5000))

    assert many < 10 * few


def test_the_ticket_that_is_out_for_longest_is_known():
    scheduler = scheduler_with(2)
    assert scheduler.longest(0.0) is None
    first, second, third = tickets(3)
    scheduler.submit([first, second, third])
    scheduler.decide(1.0)

    assert scheduler.longest(4.0) == (first, 3.0)
    scheduler.completed(0, 4.0)
    scheduler.decide(4.0)
    scheduler.completed(1, 6.0)
    assert scheduler.longest(9.0) == (third, 5.0)


def test_the_last_ticket_of_a_worker_that_is_let_go_may_be_out_for_longest():
    scheduler = scheduler_with(2)
    first, second = tickets(2)
    scheduler.submit([first])
    scheduler.decide(1.0)
    scheduler.submit([second])
    scheduler.decide(2.0)

    scheduler.avoid({"node"})
    scheduler.target = 0
    scheduler.decide(3.0)

    assert scheduler.longest(4.0) == (first, 3.0)

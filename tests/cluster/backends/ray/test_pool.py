"""The pool on a real Ray: all tickets are used, whatever the workers do."""

import math
import os
import re
import time
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
from processes import wait_for
from runs import train

from reinforce.cluster.backends.backend import Batch, Driver
from reinforce.cluster.backends.ray.actors import RolloutActor
from reinforce.cluster.backends.ray.breakpoints import refuse_breakpoints
from reinforce.cluster.backends.ray.capacity import WorkerTarget
from reinforce.cluster.backends.ray.pool import RayPool
from reinforce.cluster.backends.ray.scheduler import TIMEOUT_S, WorkerState, key_of
from reinforce.cluster.errors import TicketFailedError, WorkerStartError
from reinforce.configs.given_objects import UserProgram
from reinforce.learner.policies.weights import Weights
from reinforce.workers.environment import inspect_environment
from reinforce.workers.rollout_worker import RolloutWorker, architecture_of
from reinforce.workers.tickets import Purpose, draw_tickets

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def make_pool(config, interrupts, num_workers=2, pool_class=RayPool, actors=None, tell=print):
    import ray

    spec = inspect_environment(config.environment)
    usual = ray.remote(RolloutActor).options(num_cpus=0, max_restarts=0)
    actors = chain(actors or [], repeat(usual))
    config = config.model_copy(
        update={"workers": config.workers.model_copy(update={"num_workers": num_workers})}
    )
    worker_target = WorkerTarget(config, lambda: None)
    pool = pool_class(
        config,
        worker_target,
        lambda _: next(actors).remote(config, spec, UserProgram.of_this_process()),
        Driver(interrupts, tell=tell),
    )
    pool.wait_until_ready()
    return pool


def weights_for(config):
    size = architecture_of(config, inspect_environment(config.environment)).num_parameters
    return Weights(0, np.zeros(size, np.float32))


def tickets_for(config, count, update=0):
    return draw_tickets(0, Purpose.TRAINING, update, count, config.workers.episodes_per_ticket)


def test_a_number_of_workers_that_was_asked_for_is_announced(make_config):
    config, told = make_config(workers={"num_workers": 1}), []

    assert WorkerTarget(config, lambda: 3, told.append).target == 3
    assert told == ["3 workers, as `reinforce scale` asked"]
    assert WorkerTarget(config, lambda: 1, told.append).target == 1
    assert len(told) == 1, "it is the configured one"


def actor_states(*actors):
    """Return what Ray knows of actors: the state, and a process id once there is one."""
    from ray._private.state import state

    return [state.actor_table(actor._actor_id.hex()) for actor in actors]


def play(pool, config, count=12, update=0):
    pool.submit(tickets_for(config, count, update), weights_for(config))
    return pool.collect(Purpose.TRAINING, update)


def played_inline(config, count=12, update=0):
    worker = RolloutWorker(config, inspect_environment(config.environment))
    weights = weights_for(config)
    return [worker.play(ticket, weights)[0] for ticket in tickets_for(config, count, update)]


def digests(reports):
    return [report.trajectories_sha256 for report in reports]


class FirstFinishedPool(RayPool):
    """The known wrong collector: it starts twice as many episodes and keeps the first to finish."""

    def submit(self, tickets, weights):
        more = draw_tickets(99, Purpose.TRAINING, tickets[0].update, len(tickets), 1)
        moved = [replace(ticket, index=ticket.index + len(tickets)) for ticket in more]
        super().submit([*tickets, *moved], weights)

    def collect(self, purpose, update):
        batch = self._submitted[purpose, update]
        keys = [key_of(ticket) for ticket in batch.tickets]
        while len(finished := [key for key in self._done if key in keys]) < len(keys) // 2:
            self._advance()
        reports = [self._done[key][0] for key in finished[: len(keys) // 2]]
        return Batch(batch.tickets, batch.weights, reports, [])


NUM_UPDATES, TICKETS_PER_UPDATE = 100, 4


def reports_of_many_batches(make_config, tmp_path, interrupts, pool_class):
    """Short episodes return early: every step takes 1 ms, and one worker is five times slower."""
    config = make_config(
        environment={
            "id": "fake_environments:ShortOrLong-v0",
            "kwargs": {"step_s": 0.001, "slow_marker": str(tmp_path / "slow")},
        },
        workers={"envs_per_worker": 1, "episodes_per_ticket": 1},
    )
    pool = make_pool(config, interrupts, num_workers=3, pool_class=pool_class)
    reports = []
    for update in range(NUM_UPDATES):
        reports += play(pool, config, TICKETS_PER_UPDATE, update).reports
    expected = []
    for update in range(NUM_UPDATES):
        expected += played_inline(config, TICKETS_PER_UPDATE, update)
    return reports, expected, pool


def assert_the_mean_return_is_unbiased(reports):
    """It is 0.1 by construction of the environment; three standard errors, fixed seeds."""
    returns = np.concatenate([report.episode_returns for report in reports])
    assert abs(returns.mean() - 0.1) < 3 * np.sqrt(0.1 * 0.9 / len(returns))


def test_slow_workers_and_long_episodes_bias_nothing(make_config, tmp_path, interrupts):
    reports, expected, pool = reports_of_many_batches(make_config, tmp_path, interrupts, RayPool)

    assert_the_mean_return_is_unbiased(reports)
    assert digests(reports) == digests(expected)
    total = NUM_UPDATES * TICKETS_PER_UPDATE
    assert (pool.counts.issued, pool.counts.completed, pool.counts.reissued) == (total, total, 0)


@pytest.mark.slow
def test_the_same_test_fails_for_a_collector_that_keeps_the_first_to_finish(
    make_config, tmp_path, interrupts
):
    reports, expected, _ = reports_of_many_batches(
        make_config, tmp_path, interrupts, FirstFinishedPool
    )

    with pytest.raises(AssertionError):
        assert_the_mean_return_is_unbiased(reports)
    assert digests(reports) != digests(expected)


def test_batches_are_collected_by_name_whatever_was_submitted_first(make_config, interrupts):
    config = make_config(environment={"kwargs": {"shortest": 1, "longest": 9}})
    pool = make_pool(config, interrupts)

    pool.submit(tickets_for(config, 8, update=0), weights_for(config))
    pool.submit(tickets_for(config, 8, update=1), weights_for(config))

    for update in (1, 0):
        assert digests(pool.collect(Purpose.TRAINING, update).reports) == digests(
            played_inline(config, 8, update)
        )


def faulty(make_config, fault, marker, **workers):
    return make_config(
        environment={
            "id": "fake_environments:Faulty-v0",
            "kwargs": {"fault": fault, "once_marker": str(marker)},
        },
        workers=workers,
    )


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            "raise",
            "an environment failed (ArithmeticError: the environment is faulty "
            "(tests/fakes/fake_environments.py:108, in step)); ",
        ),
        ("exit", "a worker was lost (the process was killed, or crashed, or memory ran out); "),
        (
            "nan_reward",
            "an environment failed (NonFiniteError: step 2 (tests/fakes/fake_environments.py:104, "
            "in Faulty.step): the reward is nan, which would ",
        ),
    ],
)
def test_a_ticket_that_fails_once_is_played_again_and_nothing_is_lost_but_said(
    make_config, tmp_path, interrupts, fault, told
):
    config = faulty(make_config, fault, tmp_path / "once")
    sentences = []
    pool = make_pool(config, interrupts, tell=sentences.append)

    batch = play(pool, config)

    assert digests(batch.reports) == digests(played_inline(config))
    assert (pool.counts.issued, pool.counts.completed, pool.counts.reissued) == (6, 6, 1)
    assert pool.worker_restarts == (1 if fault == "exit" else 0)
    (sentence,) = sentences
    assert sentence.startswith(told)
    consequence = "and the result is the same" if fault == "exit" else "in new environments; "
    assert re.search(rf"; ticket training 0:\d is played again, {consequence}", sentence)


def test_a_worker_that_hangs_is_replaced_and_its_ticket_played_again(
    make_config, tmp_path, interrupts
):
    config = faulty(make_config, "hang", tmp_path / "once", ticket_timeout_s=8.0)
    pool = make_pool(config, interrupts)

    batch = play(pool, config)

    assert digests(batch.reports) == digests(played_inline(config))
    assert (pool.counts.reissued, pool.worker_restarts) == (1, 1)


class HangingActor(RolloutActor):
    """Leaves a sign that its constructor has begun, which never ends."""

    def __init__(self, config, spec, program):
        (Path(config.run.directory).parent / "hangs").touch()
        time.sleep(3600)


def test_a_worker_whose_constructor_hangs_is_counted_and_one_that_waits_for_room_is_not(
    make_config, tmp_path, interrupts, monkeypatch
):
    import ray

    hanging = ray.remote(HangingActor).options(num_cpus=0, max_restarts=0)
    too_large = ray.remote(RolloutActor).options(num_cpus=100_000, max_restarts=0)
    config = make_config()
    pool = make_pool(config, interrupts, num_workers=3, actors=[hanging, too_large])
    wait_for((tmp_path / "hangs").exists)

    with monkeypatch.context() as patched:
        patched.setitem(TIMEOUT_S, WorkerState.STARTING, 0.0)
        pool.keep_busy()

    assert pool.worker_restarts == 1
    assert digests(play(pool, config).reports) == digests(played_inline(config))


def test_workers_that_find_no_room_wait_and_say_what_is_free_as_long_as_is_allowed(
    make_config, interrupts, monkeypatch
):
    import ray

    monkeypatch.setattr("reinforce.cluster.backends.ray.pool._LOOK_EVERY_S", 0.1)
    too_large = ray.remote(RolloutActor).options(num_cpus=100_000, max_restarts=0)
    config = make_config(cluster={"cpus_per_worker": 3, "room_timeout_s": 2.0})
    expected = r"no room for 2 s \(cluster.room_timeout_s\): 6 CPUs asked, \d+ free"

    with pytest.raises(WorkerStartError, match=expected):
        make_pool(config, interrupts, actors=[too_large, too_large])


def test_a_ticket_that_always_fails_ends_the_run_with_the_original_error(make_config, interrupts):
    config = make_config(
        environment={"id": "fake_environments:Faulty-v0", "kwargs": {"fault": "raise"}}
    )
    pool = make_pool(config, interrupts)

    with pytest.raises(TicketFailedError) as caught:
        play(pool, config)

    message = str(caught.value)
    assert "failed 3 times (workers.max_ticket_attempts); the last failure:\n" in message
    assert "ArithmeticError: the environment is faulty" in message
    assert "fake_environments.py" in message
    assert "\nThis was in step 2 of episode 0 of ticket training 0:" in message
    caught.value.name_run(Path("runs/a"))
    assert "\n`reinforce replay runs/a training:0:" in str(caught.value)
    seeds = [seed for ticket in tickets_for(config, 12) for seed in ticket.episode_seeds]
    assert not any(str(seed) in message for seed in seeds)


def test_a_ticket_that_is_given_up_is_not_said_to_be_played_again(make_config, interrupts):
    config = make_config(
        environment={"id": "fake_environments:Faulty-v0", "kwargs": {"fault": "exit"}},
        workers={"num_workers": 1, "max_ticket_attempts": 1},
    )
    told = []
    pool = make_pool(config, interrupts, tell=told.append)

    with pytest.raises(TicketFailedError):
        play(pool, config)
    pool.tell_incidents(at_once=True)  # as the backend does in every end

    assert told == []


def test_evaluations_send_no_trajectories(make_config, interrupts):
    import ray

    config = make_config()
    pool = make_pool(config, interrupts)
    pool.submit(draw_tickets(0, Purpose.EVALUATION, 0, 4, 2, greedy=True), weights_for(config))

    batch = pool.collect(Purpose.EVALUATION, 0)

    assert ray.get(batch.trajectories, timeout=10) == [None, None]
    assert [report.episode_returns.tolist() for report in batch.reports] == [[3, 3], [3, 3]]


def simulators(make_config, log, **sections):
    kwargs = {"log": str(log)}
    return make_config(environment={"id": "close_raises:Simulator", "kwargs": kwargs}, **sections)


def opened_and_closed(log):
    """How many environments, as they write it down themselves."""
    words = log.read_text().split()
    return words.count("open"), words.count("close")


@pytest.mark.case
def test_workers_that_leave_and_those_of_the_end_close_their_environments(
    make_config, tmp_path, interrupts
):
    log = tmp_path / "log"
    config = simulators(make_config, log)
    pool = make_pool(config, interrupts)
    wait_for(lambda: pool.keep_busy() or pool.workers_alive == 2)
    play(pool, config)
    num_opened, before = opened_and_closed(log)

    pool._scheduler.target = 1
    pool.keep_busy()
    wait_for(lambda: opened_and_closed(log)[1] == before + config.workers.envs_per_worker)
    left = log.read_text().split()[-1]
    wait_for(lambda: pool.keep_busy() or not Path("/proc", left).exists())
    pool.close()

    assert opened_and_closed(log) == (num_opened, num_opened)
    assert pool.worker_restarts == 0


class LateFailure(RolloutActor):
    """Fails to start, after a second."""

    def __init__(self, *arguments):
        time.sleep(1.0)
        raise RuntimeError("no licence")


def test_a_worker_that_is_let_go_while_it_starts_may_fail_to(make_config, interrupts):
    import ray

    usual, failing = (
        ray.remote(kind).options(num_cpus=0, max_restarts=0) for kind in (RolloutActor, LateFailure)
    )
    config = make_config()
    pool = make_pool(config, interrupts, actors=[usual, failing])
    assert pool.workers_alive == 1

    pool._scheduler.target = 1
    pool._carry_out()
    wait_for(lambda: pool.keep_busy() or not pool._calls)

    assert digests(play(pool, config).reports) == digests(played_inline(config))
    assert pool.worker_restarts == 0


class NeverCloses(RolloutActor):
    def close(self):
        time.sleep(3600)


def test_a_worker_that_is_let_go_and_does_not_close_or_waits_for_room_is_ended(
    make_config, interrupts, monkeypatch
):
    import ray

    never_closes = ray.remote(NeverCloses).options(num_cpus=0, max_restarts=0)
    too_large = ray.remote(RolloutActor).options(num_cpus=100_000, max_restarts=0)
    config = make_config()
    pool = make_pool(config, interrupts, 3, actors=[never_closes, too_large])
    wait_for(lambda: pool.keep_busy() or pool.workers_alive == 2)
    alive = [state["Pid"] for state in actor_states(*pool._actors.values()) if state["Pid"]]
    hanging, waiting = pool._actors[0], pool._actors[1]
    monkeypatch.setattr("reinforce.cluster.backends.ray.leaving._CLOSE_S", 0.2)

    pool._scheduler.target = 0
    pool._carry_out()
    wait_for(lambda: pool.keep_busy() or not pool._scheduler._closing)

    assert len(alive) == 2
    wait_for(lambda: {s["State"] for s in actor_states(hanging, waiting)} == {"DEAD"})
    assert pool.worker_restarts == 0


def test_a_slow_constructor_of_an_environment_costs_no_ticket_its_time(make_config, interrupts):
    environment = {"id": "fake_environments:ShortOrLong-v0", "kwargs": {"make_s": 0.5}}
    config = make_config(environment=environment)
    pool = make_pool(config, interrupts, num_workers=1)

    reports = play(pool, config, count=1).reports

    assert reports[0].rollout_s < 0.5
    pool.close()


def test_an_index_is_free_once_its_worker_has_closed_its_environments(make_config, interrupts):
    pool = make_pool(make_config(), interrupts)
    make_actor, indices = pool._make_actor, []
    pool._make_actor = lambda place: indices.append(place.worker_index) or make_actor(place)
    wait_for(lambda: pool.keep_busy() or pool.workers_alive == 2)

    for target in (1, 2):  # with no look in between at what has returned
        pool._scheduler.target = target
        pool._carry_out()
    assert indices == [2]
    wait_for(lambda: pool.keep_busy() or not pool._scheduler._closing)
    pool._scheduler.target = 3
    pool._carry_out()
    assert indices == [2, 1]


@pytest.mark.usefixtures("runs_on_local_ray")
def test_a_run_on_ray_leaves_no_environment_open(make_config, tmp_path):
    log = tmp_path / "log"
    sections = {"workers": {"num_workers": 2}, "cluster": {"backend": "ray"}}

    train(simulators(make_config, log, **sections))

    num_opened, num_closed = opened_and_closed(log)
    assert num_closed == num_opened >= 3  # two lanes, and the one that was inspected


def test_a_ticket_that_lasts_is_told_with_its_seconds(make_config, interrupts, monkeypatch):
    monkeypatch.setattr("reinforce.cluster.long_tickets._FIRST_S", 0.5)
    environment = {"id": "fake_environments:ShortOrLong-v0", "kwargs": {"step_s": 0.5}}
    config, told = make_config(environment=environment), []
    pool = make_pool(config, interrupts, num_workers=1)
    pool.on_long_ticket = told.append

    begun_s = time.monotonic()
    play(pool, config, count=2)
    most = 1 + math.log2(max(1, (time.monotonic() - begun_s) / 0.5))

    text = str(told[0])
    assert re.match(r"ticket training 0:0 has been played for \d s and has not returned; if", text)
    assert len(told) <= most, "after twice as long each time, not each time that it is looked at"
    assert set(told[0].metrics) == {"tickets/longest_s"}
    pool.close()


def test_while_every_worker_is_lost_the_last_loss_is_why_one_is_waited_for(make_config, interrupts):
    import ray

    environment = {"id": "fake_environments:ShortOrLong-v0", "kwargs": {"step_s": 0.5}}
    config, hints = make_config(environment=environment), []
    pool = make_pool(config, interrupts, num_workers=1)
    pool._driver = replace(
        pool._driver, waiting=lambda purpose, hint: nullcontext(hints.append(hint))
    )
    pool.submit(tickets_for(config, 1), weights_for(config))
    ray.kill(*pool._actors.values())

    wait_for(lambda: pool._receive(wait_s=0.5) or hints)

    assert [hint() for hint in hints] == [
        "the last one was lost (the process was killed, or crashed, or memory ran out)"
    ]
    pool.close()


def test_a_breakpoint_where_workers_start_ends_the_run_at_its_first_attempt(
    make_config, interrupts
):
    """As in the constructor of a policy of the user's own."""
    import ray

    class StoppingActor(RolloutActor):
        def __init__(self, *_):
            refuse_breakpoints("")
            breakpoint()

    stopping, told = ray.remote(StoppingActor).options(num_cpus=0, max_restarts=0), []

    with pytest.raises(WorkerStartError, match=r"^a worker that starts has come to a breakpoint"):
        make_pool(make_config(), interrupts, actors=repeat(stopping, 20), tell=told.append)
    assert told == []


def test_a_runtime_environment_that_fails_ends_the_run_with_its_text(make_config, interrupts):
    """As that of a job whose files its cluster no longer has."""
    import ray

    lost = {"working_dir": "gcs://_ray_pkg_0a62fe483960e4e9.zip"}
    bad = ray.remote(RolloutActor).options(num_cpus=0, max_restarts=0, runtime_env=lost)
    told = []

    with pytest.raises(WorkerStartError, match=r"fail to start(.|\n)*_ray_pkg_0a62fe483960e4e9"):
        make_pool(make_config(), interrupts, actors=repeat(bad, 20), tell=told.append)
    assert "it did not start: OSError: Failed to download" in told[0]


def test_workers_that_crash_while_they_start_do_not_look_like_a_constructor_that_hangs(
    make_config, interrupts, monkeypatch
):
    import ray

    class CrashingActor(RolloutActor):
        def __init__(self, *_):
            os._exit(1)

    def tell(sentence):  # of the first worker that was lost
        monkeypatch.setattr("reinforce.cluster.backends.ray.pool._START_TIMEOUT_S", 0.0)

    crashing = ray.remote(CrashingActor).options(num_cpus=0, max_restarts=0)

    with pytest.raises(WorkerStartError, match=r"no worker .*, or crashes: a worker was lost \("):
        make_pool(make_config(), interrupts, actors=repeat(crashing), tell=tell)

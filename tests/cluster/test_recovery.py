"""Processes of a real Ray are killed while a run goes on; the result is the one without that."""

import gc
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray
from processes import wait_for
from runs import RecordingDisplay, train

from reinforce.cluster.interrupts import Interrupts

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SECTIONS = {
    "environment": {"id": "CartPole-v1"},
    "stop": {"max_updates": 12},
    "learner": {"episodes_per_update": 16, "learning_rate": 0.03, "baseline": "value"},
    "workers": {"envs_per_worker": 2, "episodes_per_ticket": 2, "num_workers": 2},
    "evaluation": {"episodes": 6, "every_updates": 4},
    "cluster": {"backend": "ray"},
}


def pids_of(kind):
    """Processes of this user's actors of a kind, by the title that Ray gives them."""
    raylet = ray._private.worker._global_node.all_processes["raylet"][0].process.pid
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes()
            is_ours = f"PPid:\t{raylet}\n" in (process / "status").read_text()
        except OSError:  # it has just ended
            continue
        if is_ours and title.startswith(f"ray::{kind}".encode()):
            found.append(int(process.name))
    return found


@pytest.fixture(autouse=True)
def _no_other_actors(runs_on_local_ray):
    """Those of an earlier test could be killed instead of this run's."""
    wait_for(lambda: gc.collect() >= 0 and not pids_of("RolloutActor") + pids_of("LearnerActor"))


def kill_one(kind):
    pids = pids_of(kind)
    if pids:
        os.kill(pids[0], signal.SIGKILL)
    return bool(pids)


class Killer:
    """Kills processes at some updates, a moment after their record, so in the midst of the next."""

    def __init__(self, plan):
        self.plan = plan
        self.kills = []

    def __call__(self, record):
        kind = self.plan.get(record.updates)
        if kind and record.batch:
            threading.Timer(0.03, lambda: kill_one(kind) and self.kills.append(kind)).start()


def test_workers_and_learner_may_be_killed_and_a_run_may_be_resumed_twice(make_config):
    """The proof of this project's promise, in its short form; `make chaos` is the long one."""
    undisturbed, expected, _ = train(make_config(**SECTIONS, run={"name": "undisturbed"}))
    killer = Killer({2: "RolloutActor", 3: "LearnerActor", 5: "RolloutActor", 7: "LearnerActor"})

    shown = RecordingDisplay(killer)

    killed, records, _ = train(make_config(**SECTIONS, run={"name": "killed"}), shown)

    assert sorted(killer.kills) == ["LearnerActor"] * 2 + ["RolloutActor"] * 2
    assert killed.progress.learner_restarts == 2
    assert killed.progress.worker_restarts == 2
    assert sum(text.startswith("the learner was lost in 'update'") for text in shown.warnings) == 2
    told = [text for text in shown.warnings if not text.startswith("the learner")]
    assert all("lost (the process was killed" in text for text in told)
    assert 1 <= len(told) <= 2  # both at once, if the second came within the pause
    assert killed.progress.tickets.completed == killed.progress.tickets.issued
    resumed_config, run = make_config(**SECTIONS, run={"name": "resumed"}), None
    for update in (4, 9):
        interrupts = Interrupts()
        display = RecordingDisplay(
            lambda record, i=interrupts, u=update: record.updates == u and i._on_signal(2, None)
        )
        _, _, run = train(resumed_config, display, interrupts, run)
    resumed, more_records, _ = train(resumed_config, run=run)

    assert killed.weights_sha256 == resumed.weights_sha256 == undisturbed.weights_sha256
    assert killed.evaluation == resumed.evaluation == undisturbed.evaluation
    batches = [[r.batch.sha256 for r in rs if r.batch] for rs in (expected, records, more_records)]
    assert batches[0] == batches[1] == batches[2]


def test_learners_that_share_a_gradient_may_be_killed_and_end_with_the_first(make_config):
    """A batch of 64 episodes of CartPole is shared in eight groups, whoever is there."""
    sections = SECTIONS | {
        "learner": SECTIONS["learner"] | {"episodes_per_update": 64},
        "workers": SECTIONS["workers"] | {"episodes_per_ticket": 8},
    }
    inline = sections | {"cluster": {"backend": "inline"}, "run": {"name": "inline"}}
    undisturbed, expected, _ = train(make_config(**inline))
    shared = sections["learner"] | {"num_learners": 3}
    sections |= {"learner": shared, "run": {"name": "shared"}}
    killer = Killer({4: "GradientActor", 6: "LearnerActor", 8: "GradientActor"})

    def kill_if_all_are_there(record):
        if record.batch and record.updates in killer.plan:
            wait_for(lambda: len(pids_of("GradientActor")) == 2)
        killer(record)

    shown = RecordingDisplay(kill_if_all_are_there)

    outcome, records, _ = train(make_config(**sections), shown)

    assert killer.kills == ["GradientActor", "LearnerActor", "GradientActor"]
    assert outcome.progress.learner_restarts == 3
    assert outcome.weights_sha256 == undisturbed.weights_sha256
    assert [r.batch.sha256 for r in records if r.batch] == [
        r.batch.sha256 for r in expected if r.batch
    ]
    wait_for(lambda: gc.collect() >= 0 and not pids_of("GradientActor"))


def test_a_worker_is_replaced_within_seconds_while_the_others_go_on(make_config, interrupts):
    # The replacement is ready once its environment is made: several updates of the other later.
    kwargs = {"step_s": 0.001, "make_s": 2.0}
    config = make_config(
        environment={"id": "fake_environments:ShortOrLong-v0", "kwargs": kwargs},
        stop={"max_updates": 1_000_000},
        learner={"episodes_per_update": 8},
        workers={"envs_per_worker": 1, "episodes_per_ticket": 1, "num_workers": 2},
        cluster={"backend": "ray"},
    )
    seen = []
    deadline_s = time.monotonic() + 120

    def watch(record):
        if not record.batch:
            return
        assert time.monotonic() < deadline_s, f"it is not replaced: {seen[-5:]}"
        metrics = record.metrics
        seen.append((metrics["cluster/workers_alive"], metrics["cluster/worker_restarts"]))
        if seen[-1] == (2, 0) and seen.count((2, 0)) == 5:
            threading.Timer(0.03, lambda: kill_one("RolloutActor")).start()
        if seen[-1] == (2, 1):
            interrupts._on_signal(signal.SIGTERM, None)

    outcome, _, _ = train(config, RecordingDisplay(watch), interrupts)

    assert outcome.progress.worker_restarts == 1
    assert (1, 1) in seen, "updates went on with one worker"
    assert seen[-1] == (2, 1), "and it was replaced"

"""A run that was interrupted and resumed is the run that was never interrupted."""

import json
from dataclasses import replace

import numpy as np
import pytest
from runs import RecordingDisplay, records_of, train

from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.run_store.checkpoints import Checkpoints
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.errors import ConfigError
from reinforce.configs.roles import changes_between

SECTIONS = {
    "environment": {"id": "CartPole-v1"},
    "stop": {"max_updates": 6},
    "workers": {"envs_per_worker": 2, "episodes_per_ticket": 2},
    "evaluation": {"episodes": 6, "every_updates": 2},
}
PLAIN = {"episodes_per_update": 8, "learning_rate": 0.03}
KINDS = {
    "plain": (PLAIN, 0),
    "value baseline, scheduled": (
        {**PLAIN, "baseline": "value", "learning_rate": [0.03, 0.01], "schedule_updates": 5},
        0,
    ),
    "linear baseline, sgd": ({**PLAIN, "baseline": "linear", "optimizer": "sgd"}, 0),
    "lookahead": ({**PLAIN, "importance_cap": 2.0}, 1),
    "lookahead, growing batch": (
        {
            **PLAIN,
            "episodes_per_update": "auto",
            "episodes_bounds": [6, 40],
            "gradient_snr_target": 50.0,
        },
        1,
    ),
}


def what_was_computed(records):
    """Everything but times, and the counts that an interruption rightly changes."""
    return [
        (
            record.updates,
            record.environment_steps,
            record.batch,
            {
                name: value
                for name, value in record.metrics.items()
                if not name.startswith(("time/", "tickets/", "cluster/"))
                and name != "progress/training_time_s"
            },
        )
        for record in records
    ]


def interrupted_at(config, update, run=None):
    """Train until an update is done and the next one has begun; return the run directory."""
    interrupts = Interrupts()
    display = RecordingDisplay(
        lambda record: record.updates == update and interrupts._on_signal(15, None)
    )
    outcome, _, run = train(config, display, interrupts, run)
    assert outcome.exit_code == 143
    assert outcome.progress.updates == update
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_and_the_journal_are_those_of_a_run_that_was_never_interrupted(
    make_config, kind
):
    learner, lookahead = KINDS[kind]
    sections = {**SECTIONS, "learner": learner, "cluster": {"lookahead": lookahead}}
    undisturbed, expected, _ = train(make_config(**sections, run={"name": "undisturbed"}))
    config = make_config(**sections)

    run = interrupted_at(config, 1)
    run = interrupted_at(config, 4, run)
    outcome, records, _ = train(config, run=run)

    assert outcome.weights_sha256 == undisturbed.weights_sha256
    assert outcome.evaluation == undisturbed.evaluation
    assert what_was_computed(records) == what_was_computed(expected)


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(make_config):
    """The journal is ahead of the checkpoint then; what follows the checkpoint is made again."""
    undisturbed, expected, _ = train(make_config(**SECTIONS, run={"name": "undisturbed"}))
    config = make_config(**SECTIONS, checkpoint={"every_s": 1e6, "keep": [3, 2]})

    class KilledError(BaseException):
        pass

    def kill(record):
        if record.updates == 5:
            raise KilledError

    run = RunDirectory.create(config)
    with pytest.raises(KilledError):
        train(config, RecordingDisplay(kill), run=run)
    assert Checkpoints(run, config).versions() == [2, 4]
    assert records_of(run)[-1].updates == 5
    outcome, records, _ = train(config, run=run)

    assert outcome.weights_sha256 == undisturbed.weights_sha256
    assert what_was_computed(records) == what_was_computed(expected)


def test_counts_and_times_go_on_where_they_were(make_config):
    config = make_config(**SECTIONS)
    run = interrupted_at(config, 3)
    outcome, records, _ = train(config, run=run)

    updates = [record for record in records if record.batch]
    times = [record.training_time_s for record in updates]
    assert times == sorted(times)
    counts = outcome.progress.tickets
    # 6 updates of 2 tickets, evaluations of 3 tickets at 0, 2, 4, 6 and at the end. The batch that
    # was interrupted was dropped and drawn once more.
    assert counts.completed == 6 * 2 + 5 * 3
    assert counts.dropped == 2
    assert counts.issued == counts.completed + counts.dropped


def test_a_longer_run_equals_a_short_one_that_was_extended(make_config):
    for lookahead in (0, 1):
        sections = {
            **SECTIONS,
            "learner": {**PLAIN, "importance_cap": 2.0},
            "cluster": {"lookahead": lookahead},
        }
        long, _, _ = train(make_config(**sections, run={"name": f"long{lookahead}"}))
        short = {**sections, "run": {"name": f"short{lookahead}"}}
        _, _, run = train(make_config(**short | {"stop": {"max_updates": 3}}))
        extended, _, _ = train(make_config(**short), run=run)

        assert extended.weights_sha256 == long.weights_sha256


@pytest.mark.ray
@pytest.mark.usefixtures("runs_on_local_ray")
def test_it_goes_on_with_another_number_of_workers_and_another_backend(make_config):
    def config(backend, num_workers):
        cluster, workers = {"backend": backend}, {"num_workers": num_workers}
        return make_config(
            **SECTIONS | {"cluster": cluster, "workers": SECTIONS["workers"] | workers}
        )

    undisturbed, expected, run = train(config("inline", 1))
    run.path.rename(run.path.with_name("undisturbed"))

    run = interrupted_at(config("ray", 2), 2)
    run = interrupted_at(config("inline", 1), 4, run)
    outcome, records, _ = train(config("ray", 3), run=run)

    assert outcome.weights_sha256 == undisturbed.weights_sha256
    assert what_was_computed(records) == what_was_computed(expected)


def test_the_best_weights_are_kept_and_are_those_that_were_evaluated_best(make_config):
    config = make_config(**SECTIONS)
    run = interrupted_at(config, 3)
    outcome, records, _ = train(config, run=run)

    best = Checkpoints(run, config).best()
    evaluated = {
        record.updates: record.metrics["evaluation/return_mean"]
        for record in records
        if "evaluation/return_mean" in record.metrics
    }
    assert best.learner.version == max(evaluated, key=lambda update: evaluated[update])
    assert outcome.progress.best_return == max(evaluated.values())


def test_what_decides_nothing_may_change(make_config):
    old = make_config()
    new = make_config(
        stop={"max_updates": 9}, workers={"num_workers": 7}, checkpoint={"every_s": 5.0}
    )

    assert changes_between(old, old) == {}
    assert changes_between(old, new) == {
        "stop.max_updates": (2, 9),
        "workers.num_workers": ("auto", 7),
        "checkpoint.every_s": (60.0, 5.0),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"learner": {"learning_rate": 0.5}},
        {"run": {"seed": 9}},
        {"workers": {"episodes_per_ticket": 1}},
        {"workers": {"envs_per_worker": 1}},
        {"cluster": {"lookahead": 1}},
        {"environment": {"id": "CartPole-v1"}},
    ],
    ids=str,
)
def test_what_decides_the_result_is_refused_by_name(make_config, change):
    ((section, fields),) = change.items()
    ((field, value),) = fields.items()

    with pytest.raises(ConfigError) as caught:
        changes_between(make_config(), make_config(**change))

    assert f"{section}.{field} = {value!r} cannot be changed" in str(caught.value)


def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(make_config, room_for):
    undisturbed, _, _ = train(make_config(**SECTIONS, run={"name": "undisturbed"}))
    config = make_config(**SECTIONS, checkpoint={"keep": [3, 1]})
    run = RunDirectory.create(config)

    from reinforce.cluster.errors import StorageError

    with room_for(4000), pytest.raises(StorageError, match="cannot write"):
        train(config, run=run)
    lines = run.journal_file.read_text().splitlines()
    assert [json.loads(line) for line in lines], "every line is whole"
    outcome, _, _ = train(config, run=run)

    assert outcome.weights_sha256 == undisturbed.weights_sha256


def test_a_checkpoint_that_cannot_be_written_is_told_and_counted_and_training_goes_on(
    make_config,
):
    config = make_config(**SECTIONS, checkpoint={"keep": [3, 1]})
    display = RecordingDisplay()
    run = RunDirectory.create(config)

    def take_the_folder_away(record):
        if record.updates == 1 and record.batch:
            run.checkpoints.rmdir()
            run.checkpoints.touch()  # a file where the folder was
        if record.updates == 3 and record.batch and run.checkpoints.is_file():
            run.checkpoints.unlink()

    display._on_record = take_the_folder_away
    outcome, records, _ = train(config, display, run=run)

    assert outcome.progress.updates == 6
    assert "cannot write a checkpoint" in display.warnings[0]
    failed = [record.metrics["checkpoint/failed"] for record in records if record.batch]
    assert failed == sorted(failed)
    assert failed[-1] >= 1
    assert Checkpoints(run, config).versions()[-1] == 6


def test_weights_of_the_newest_checkpoint_are_those_of_the_outcome(make_config):
    config = make_config(**SECTIONS)
    outcome, _, run = train(config)

    newest = Checkpoints(run, config).newest(lambda text: None)

    assert newest.weights.sha256 == outcome.weights_sha256
    assert replace(newest.progress, training_time_s=0) == replace(
        outcome.progress, training_time_s=0
    )
    assert np.isfinite(newest.weights.values).all()

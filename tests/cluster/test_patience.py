"""``stop.patience_evaluations`` ends a run after so many evaluations without a new best one."""

import math

import pytest
from runs import RecordingDisplay, train

from reinforce.cluster.interrupts import Interrupts
from reinforce.cluster.progress import Progress
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.configs.errors import ConfigError
from reinforce.configs.experiment import StopConfig

# Its episodes return the same whatever is done: the first evaluation is the best for ever.
COUNTDOWN = {
    "stop": {"max_updates": 99, "patience_evaluations": 3},
    "evaluation": {"episodes": 5, "every_updates": 2},
}
CARTPOLE = {  # evaluations: 10.2, 35.2, 31.2, 42.0, 58.6, 56.8, 56.0
    "run": {"seed": 7},
    "environment": {"id": "CartPole-v1", "max_episode_steps": 60},
    "stop": {"max_updates": 99, "patience_evaluations": 2},
    "evaluation": {"episodes": 5, "every_updates": 1},
    "learner": {"learning_rate": 0.05},
}


def means_of(records):
    name = "evaluation/return_mean"
    return [record.metrics[name] for record in records if name in record.metrics]


def end_by_hand(means, patience):
    """Return the number of evaluations up to the one that ends a run."""
    best, without = float("-inf"), 0
    for number, mean in enumerate(means, start=1):
        without = 0 if mean > best else without + 1
        best = max(best, mean)
        if without == patience:
            return number
    return None


def test_three_evaluations_in_a_row_without_a_new_best_end_the_run(make_config):
    outcome, records, _ = train(make_config(**COUNTDOWN))

    assert outcome.stop_reason == "patience_evaluations"
    assert outcome.progress.updates == 6  # the best after 0 updates, then those after 2, 4 and 6
    assert len(means_of(records)) == 4
    assert outcome.evaluation.episodes == 5
    assert "evaluation/confirmed_return_mean" in records[-1].metrics


def test_a_new_best_begins_the_count_again(make_config):
    outcome, records, _ = train(make_config(**CARTPOLE))

    means = means_of(records)
    assert outcome.stop_reason == "patience_evaluations"
    assert end_by_hand(means, 2) == len(means) == 7
    assert outcome.progress.best_update == means.index(max(means)) > 0


@pytest.mark.parametrize("interrupted_at", ["an evaluation", "an update"])
def test_a_run_that_is_interrupted_and_resumed_ends_where_it_would_have(
    make_config, interrupted_at
):
    """The evaluation before an interruption is played again, and counts once."""
    config, run = make_config(**COUNTDOWN), None
    for updates in (2, 4):
        interrupts = Interrupts()

        def stop(record, interrupts=interrupts, updates=updates):
            is_meant = record.is_evaluation == (interrupted_at == "an evaluation")
            if record.updates == updates and is_meant:
                interrupts._on_signal(15, None)

        run = run or RunDirectory.create(config)
        outcome, _, run = train(config, RecordingDisplay(stop), interrupts, run)
        assert outcome.exit_code == 143
        assert outcome.progress.updates == updates
    outcome, records, _ = train(config, run=run)

    assert (outcome.stop_reason, outcome.progress.updates) == ("patience_evaluations", 6)
    assert len(means_of(records)) == 4


def test_a_run_that_has_ended_goes_on_with_more_patience(make_config):
    _, _, run = train(make_config(**COUNTDOWN))
    stop = {"stop": {"max_updates": 99, "patience_evaluations": 4}}

    outcome, _, _ = train(make_config(**COUNTDOWN | stop), run=run)

    assert (outcome.stop_reason, outcome.progress.updates) == ("patience_evaluations", 8)


def test_a_checkpoint_that_does_not_say_when_the_best_was_is_given_time():
    """As those of version 0.1: it ends no sooner than after a new best one."""
    progress = Progress(updates=50, best_return=7.0)

    assert progress.reached_limit(StopConfig(patience_evaluations=1), 10) is None
    better = progress.with_evaluation(8.0)
    assert (better.best_return, better.best_update) == (8.0, 50)
    assert better.with_evaluation(8.0) is better


def test_a_score_that_is_not_a_number_is_never_the_best():
    before = Progress(updates=50)

    assert before.with_evaluation(math.nan) is before
    best = before.with_evaluation(-3.0)
    assert best.best_return == -3.0
    assert best.with_evaluation(math.nan) is best
    of_a_checkpoint = Progress(updates=50, best_return=math.nan, best_update=40)
    assert of_a_checkpoint.with_evaluation(-3.0).best_return == -3.0


def test_without_regular_evaluations_it_is_refused(make_config):
    with pytest.raises(
        ConfigError, match=r"stop.patience_evaluations = 3 depends on .* is None; set"
    ):
        make_config(stop={"patience_evaluations": 3}, evaluation={"every_updates": None})

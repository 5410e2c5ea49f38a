"""How settings are chosen: every choice follows from the trial's number and what is known."""

import math

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from reinforce.cluster.sweeps.ledger import search_space, settings_of
from reinforce.cluster.sweeps.proposals import Proposals, Pruning
from reinforce.configs.sweep import SweepConfig

RATE = {"low": 1e-4, "high": 1e-1, "log": True}
LEARNING_RATE = "learner.learning_rate"


def sweep_of(method, settings, **fields):
    values = {"base": "cartpole", "method": method, "settings": settings, **fields}
    return SweepConfig.model_validate(values)


def a_trial(sweep, params=None, state=TrialState.COMPLETE, **about):
    space = search_space(sweep) if params else {}
    return optuna.create_trial(state=state, params=params or {}, distributions=space, **about)


def tried(sweep, score, num, unheard=0):
    """Have trials proposed and scored one by one, and return what the ledger would have."""
    trials = {}
    proposals = Proposals(sweep, trials, unheard)
    for number in range(num):
        assert proposals.is_due(number)
        trials[number] = asked = a_trial(sweep, proposals.of(number), TrialState.RUNNING)
        values = score(settings_of(asked))
        trials[number] = a_trial(sweep, asked.params, values=values)
    return trials


def closeness(settings):
    """Highest at a rate of 0.01, and with one layer."""
    layers = settings.get("policy.hidden_sizes", [])
    return [-abs(math.log10(settings[LEARNING_RATE]) + 2) - len(layers)]


def test_a_grid_tries_every_combination_once():
    sweep = sweep_of(
        "grid", {"learner.discount": [0.9, 1.0], "policy.hidden_sizes": [[], [8], [9]]}
    )

    trials = tried(sweep, lambda settings: [0.0], sweep.num_trials)

    assert len({str(settings_of(each)) for each in trials.values()}) == len(trials) == 6


def test_random_draws_keep_to_their_ranges_and_spread_over_orders_of_magnitude():
    settings = {
        LEARNING_RATE: RATE,
        "learner.episodes_per_update": {"low": 2, "high": 4, "integer": True},
        "policy.activation": ["tanh", "relu"],
    }
    sweep = sweep_of("random", settings, trials=300)

    drawn = [settings_of(each) for each in tried(sweep, lambda settings: [0.0], 300).values()]

    rates = [each[LEARNING_RATE] for each in drawn]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert 60 < sum(rate < 1e-3 for rate in rates) < 140  # one order of magnitude of three
    assert {each["learner.episodes_per_update"] for each in drawn} == {2, 3, 4}
    assert all(isinstance(each["learner.episodes_per_update"], int) for each in drawn)
    assert {each["policy.activation"] for each in drawn} == {"tanh", "relu"}


def test_files_of_version_0_1_go_on():
    assert sweep_of("optuna", {LEARNING_RATE: RATE}, trials=1).method == "tpe"


@pytest.mark.parametrize("method", ["random", "tpe", "cmaes", "gp"])
def test_a_proposal_is_the_same_after_an_interruption_and_another_with_another_seed(method):
    """TPE and the Gaussian process draw their first ten at random."""
    num = 10 if method == "gp" else 14
    settings = {LEARNING_RATE: RATE, "learner.discount": {"low": 0.5, "high": 1.0}}
    sweep, other = (sweep_of(method, settings, trials=15, sampler_seed=seed) for seed in (0, 1))
    trials = tried(sweep, closeness, num)

    again, elsewhere = (Proposals(each, trials).of(num) for each in (sweep, other))

    assert again == tried(sweep, closeness, num + 1)[num].params != elsewhere


@pytest.mark.parametrize("method", ["tpe", "cmaes"])
def test_samplers_learn_where_the_good_settings_are(method):
    sweep = sweep_of(method, {LEARNING_RATE: RATE, "learner.discount": [0.9, 1.0]}, trials=60)

    scores = [each.value for each in tried(sweep, closeness, 60).values()]

    assert sum(scores[-20:]) / 20 > sum(scores[:20]) / 20 + 0.3


def test_a_sampler_hears_of_constraints():
    """The lowest rate is the best, and those below 0.003 are not allowed."""
    late = {}
    for is_said in (True, False):
        sweep = sweep_of("tpe", {LEARNING_RATE: RATE}, trials=60)
        trials = {}
        proposals = Proposals(sweep, trials)
        for number in range(60):
            rate = proposals.of(number)[LEARNING_RATE]
            excess = {"slowness": 0.003 - rate} if is_said else None
            trials[number] = a_trial(sweep, {LEARNING_RATE: rate}, value=-rate, constraints=excess)
        rates = [trials[number].params[LEARNING_RATE] for number in range(40, 60)]
        late[is_said] = sum(rate >= 0.003 for rate in rates)

    assert late[True] >= 10 > late[False] + 5


def test_a_proposal_waits_for_all_trials_but_those_that_can_be_under_way():
    """Of more than ten: those TPE draws at random, whatever it has heard."""
    sweep = sweep_of("tpe", {LEARNING_RATE: RATE}, trials=15)
    trials = tried(sweep, closeness, 12)
    proposals = Proposals(sweep, trials, unheard=1)
    trials[12] = a_trial(sweep, proposals.of(12), TrialState.RUNNING)

    assert proposals.is_due(13)
    proposed = proposals.of(13)
    assert not proposals.is_due(14)

    trials[12] = a_trial(sweep, trials[12].params, value=9.0)
    assert proposals.is_due(14)
    assert Proposals(sweep, trials, unheard=1).of(13) == proposed, "whatever has ended since"


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_several_objectives_are_proposed_for(method):
    settings = {LEARNING_RATE: RATE, "learner.discount": {"low": 0.5, "high": 1.0}}
    objectives = [{"metric": "score"}, {"metric": "environment_steps", "direction": "minimize"}]
    sweep = sweep_of(method, settings, trials=11, objectives=objectives)

    trials = tried(sweep, lambda each: [*closeness(each), each["learner.discount"]], 11)

    assert len({each.params[LEARNING_RATE] for each in trials.values()}) == 11


RUNGS = {"first_rung": 100, "reduction_factor": 3}


def pruned_by(sweep, values, unheard=0):
    """Lead trials with these values at all rungs through them, one by one; return who is pruned."""
    trials, pruned = {}, []
    for number in range(len(values)):
        reports = {}
        for rung in range(3):
            steps = sweep.rung(rung)
            reports = {**reports, steps: values[number][rung]}
            trials[number] = a_trial(sweep, state=TrialState.RUNNING, intermediate_values=reports)
            pruning = Pruning(sweep, trials, unheard)
            assert pruning.is_due(number, steps)
            if pruning.is_pruned(number, rung):
                pruned.append((number, rung))
                break
        state = TrialState.PRUNED if pruned and pruned[-1][0] == number else TrialState.COMPLETE
        trials[number] = a_trial(
            sweep, state=state, value=reports[steps], intermediate_values=reports
        )
    return pruned


def by_optuna_alone(pruner, direction, values):
    study = optuna.create_study(pruner=pruner, direction=direction)
    pruned = []
    for number, of_trial in enumerate(values):
        trial = study.ask()
        for rung, value in enumerate(of_trial):
            trial.report(value, 100 * 3**rung)
            if trial.should_prune():
                pruned.append((number, rung))
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, of_trial[-1])
    return pruned


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_successive_halving_decides_as_optuna_does_of_trials_one_by_one(direction):
    values = np.random.default_rng(4).normal(size=(60, 3)).tolist()
    objectives = [{"metric": "score", "direction": direction}]
    about = {**RUNGS, "pruner": "successive_halving", "objectives": objectives}
    sweep = sweep_of("grid", {"learner.discount": [1.0]}, **about)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=100, reduction_factor=3)

    pruned = pruned_by(sweep, values)

    assert pruned == by_optuna_alone(pruner, direction, values)
    assert {rung for _, rung in pruned} == {0, 1, 2}
    assert 30 < len(pruned) < 60


def test_the_median_is_that_of_all_trials_that_came_to_the_rung():
    """Optuna alone would take that of those which came to their end, the better ones."""
    sweep = sweep_of("grid", {"learner.discount": [1.0]}, pruner="median", **RUNGS)
    first_five = [[float(value)] * 3 for value in (1, 2, 3, 4, 5)]

    assert pruned_by(sweep, [*first_five, [2.5] * 3, [3.5] * 3]) == [(5, 0)]


def test_a_decision_follows_from_reports_alone_and_waits_for_those_of_earlier_trials():
    sweep = sweep_of("grid", {"learner.discount": [1.0]}, pruner="successive_halving", **RUNGS)

    def reported(values, state=TrialState.RUNNING):
        return a_trial(sweep, state=state, intermediate_values=values)

    trials = {number: reported({100: 5.0 + number}) for number in range(3)}
    trials[3], trials[4], trials[5] = reported({}), reported({}), reported({100: 4.0})
    pruning = Pruning(sweep, trials, unheard=1)

    assert not pruning.is_due(5, 100)
    trials[3] = reported({100: 1.0})
    assert pruning.is_due(5, 100), "trial 4 can be under way beside it"
    assert pruning.is_pruned(5, 0)

    trials[0], trials[4] = reported({100: 5.0, 300: 0.0}, TrialState.PRUNED), reported({100: 9.0})
    assert pruning.is_pruned(5, 0), "what came later changes nothing"

"""What a trial tries, and whether it is pruned: Optuna's samplers and pruners, asked in order.

Both are asked in memory, of studies that hold nothing but what the ledger has of the trials before
one, without those that can be under way beside it. So each answer follows from the ledger and that
number, and not from which run ended first. No sampler is saved: CMA-ES would be as a pickle.
"""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from reinforce.cluster.sweeps.ledger import search_space
from reinforce.configs.sweep import SweepConfig
from reinforce.learner.policies.seeds import Stream, seed_sequence

Trials = Mapping[int, FrozenTrial]
"""By number, what the ledger has of each trial."""


class Proposals:
    """Proposes what each trial tries, from what those before it came to.

    ``unheard``: trials that can be under way beside one, >= 0, whose ends it does not wait for.
    """

    def __init__(self, sweep: SweepConfig, trials: Trials, unheard: int = 0) -> None:
        self._sweep, self._trials, self._unheard = sweep, trials, unheard
        self._space = search_space(sweep)
        self._study = _study_in_memory(sweep)
        self._asked: list[optuna.Trial] = []
        self._num_told = 0

    def is_due(self, number: int) -> bool:
        """Return whether all that a proposal follows from is known."""
        heard = range(self._num_told, number - self._unheard)
        learns = self._sweep.method not in ("grid", "random")
        return not learns or all(self._trials[each].state.is_finished() for each in heard)

    def of(self, number: int) -> dict[str, Any]:
        """Return the parameters of a trial that is due, as Optuna has them."""
        if self._sweep.method == "grid":
            settings = next(itertools.islice(self._sweep.grid(), number, None))
            return {name: json.dumps(value) for name, value in settings.items()}
        if self._sweep.method == "random":
            self._study.sampler = self._sampler(number)
            return self._study.ask(self._space).params
        while len(self._asked) <= number:
            self._ask_next()
        return self._asked[number].params

    def _ask_next(self) -> None:
        """Ask for the next trial; of one that has begun, have the sampler take note."""
        number = len(self._asked)
        while self._num_told < number - self._unheard:
            self._tell_next()
        if is_begun := number in self._trials:
            self._study.enqueue_trial(self._trials[number].params)
        # CMA-ES alone has a state, which it has to be led through also where the answer is known.
        is_asked = not is_begun or self._sweep.method == "cmaes"
        self._study.sampler = self._sampler(number) if is_asked else RandomSampler()
        trial = self._study.ask(self._space)
        _ = trial.relative_params
        self._asked.append(trial)

    def _tell_next(self) -> None:
        known, trial = self._trials[self._num_told], self._asked[self._num_told]
        for metric, excess in known.constraints.items():
            trial.set_constraint(metric, excess)
        for steps, value in known.intermediate_values.items():
            trial.report(value, steps)
        values = known.values if known.state is TrialState.COMPLETE else None
        self._study.tell(trial, values, known.state)
        self._num_told += 1

    def _sampler(self, number: int) -> BaseSampler:
        source = seed_sequence(self._sweep.sampler_seed, Stream.SWEEP_TRIALS, number)
        seed = int(source.generate_state(1)[0])  # 32 bits: Optuna takes no more
        match self._sweep.method:
            case "tpe":
                return TPESampler(seed=seed)
            case "cmaes":
                return CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "gp":
                import torch

                torch.set_num_threads(1)  # the others are the trials'
                return GPSampler(seed=seed)
        return RandomSampler(seed=seed)


class Pruning:
    """Decides at each rung which trials go on.

    A trial is held against what the trials before it, but for ``unheard``, reported at the same
    rung, whatever became of them later.
    """

    def __init__(self, sweep: SweepConfig, trials: Trials, unheard: int = 0) -> None:
        self._sweep, self._trials, self._unheard = sweep, trials, unheard

    def is_due(self, number: int, steps: int) -> bool:
        """Return whether the trials before one have come to its rung, or to their end."""
        others = (self._trials[each] for each in range(number - self._unheard))
        return all(each.state.is_finished() or steps in each.intermediate_values for each in others)

    def is_pruned(self, number: int, rung: int) -> bool:
        """Return whether a trial that has reported at a rung, from 0 on, is stopped there."""
        steps = self._sweep.rung(rung) or 0
        study = _study_in_memory(self._sweep, self._pruner())
        for each in range(number - self._unheard):
            value = self._trials[each].intermediate_values.get(steps)
            if value is not None:
                # As one that is complete, which the median is taken of; the attribute is what
                # successive halving notes of each that it has judged.
                row = optuna.create_trial(
                    value=value,
                    intermediate_values={steps: value},
                    system_attrs={f"completed_rung_{rung}": value},
                )
                study.add_trial(row)
        trial = study.ask()
        for reported, value in self._trials[number].intermediate_values.items():
            trial.report(value, reported)
        return trial.should_prune()

    def _pruner(self) -> optuna.pruners.BasePruner:
        if self._sweep.pruner == "median":
            return optuna.pruners.MedianPruner()
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=self._sweep.first_rung or 1, reduction_factor=self._sweep.reduction_factor
        )


def _study_in_memory(
    sweep: SweepConfig, pruner: optuna.pruners.BasePruner | None = None
) -> optuna.Study:
    directions = [objective.direction for objective in sweep.objectives]
    return optuna.create_study(directions=directions, sampler=RandomSampler(), pruner=pruner)

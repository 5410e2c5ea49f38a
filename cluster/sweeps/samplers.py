"""How a sweep chooses settings. Each choice follows from the number of the trial and its history.

So an interrupted sweep goes on as if it had never stopped, and no sampler has to be saved.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from reinforce.cluster.errors import UsageError
from reinforce.configs.sweep import Range, SweepConfig
from reinforce.learner.policies.seeds import Stream, seed_sequence

Settings = dict[str, Any]
"""Values by ``section.field``."""

History = Sequence[tuple[Settings, float]]
"""(settings, mean score over seeds) of the finished trials, oldest first."""

Sampler = Callable[[int, History], Settings]
"""``sampler(trial, history)`` with trial >= 0."""


def make_sampler(sweep: SweepConfig) -> Sampler:
    """Return the sampler that a sweep names.

    Raises:
        UsageError: Optuna is not installed.
    """
    if sweep.method == "grid":
        grid = list(itertools.product(*_choices(sweep).values()))
        return lambda trial, history: dict(zip(sweep.settings, grid[trial], strict=True))
    if sweep.method == "random":
        return lambda trial, history: _draw(sweep, trial)
    try:
        import optuna
    except ImportError:
        raise UsageError(
            "method: optuna needs the extra `sweep`: pip install 'distributed-reinforce[sweep]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return lambda trial, history: _suggest(sweep, trial, history)


def _choices(sweep: SweepConfig) -> Mapping[str, list[Any]]:
    return {name: v for name, v in sweep.settings.items() if not isinstance(v, Range)}


def _seeds(sweep: SweepConfig, trial: int) -> np.random.SeedSequence:
    return seed_sequence(sweep.sampler_seed, Stream.SWEEP_TRIALS, trial)


def _draw(sweep: SweepConfig, trial: int) -> Settings:
    generator = np.random.default_rng(_seeds(sweep, trial))
    settings: Settings = {}
    for name, values in sweep.settings.items():
        if not isinstance(values, Range):
            settings[name] = values[int(generator.integers(len(values)))]
        else:
            settings[name] = _draw_from(generator, values)
    return settings


def _draw_from(generator: np.random.Generator, values: Range) -> float:
    if values.log:
        exponent = generator.uniform(math.log(values.low), math.log(values.high))
        drawn = min(max(math.exp(exponent), values.low), values.high)
        return round(drawn) if values.integer else drawn
    if values.integer:
        return int(generator.integers(int(values.low), int(values.high) + 1))
    return float(generator.uniform(values.low, values.high))


def _suggest(sweep: SweepConfig, trial: int, history: History) -> Settings:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    space: dict[str, BaseDistribution] = {}
    for name, values in sweep.settings.items():
        if not isinstance(values, Range):
            # As text: Optuna takes no lists, such as sizes of layers.
            space[name] = CategoricalDistribution([json.dumps(value) for value in values])
        elif values.integer:
            space[name] = IntDistribution(int(values.low), int(values.high), log=values.log)
        else:
            space[name] = FloatDistribution(values.low, values.high, log=values.log)
    seed = int(_seeds(sweep, trial).generate_state(1)[0])  # 32 bits: Optuna takes no more
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    texts = _choices(sweep)
    for settings, score in history:
        params = {n: json.dumps(v) if n in texts else v for n, v in settings.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=score))
    params = study.ask(space).params
    return {name: json.loads(v) if name in texts else v for name, v in params.items()}

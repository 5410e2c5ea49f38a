"""``reinforce.train`` and ``reinforce.pretrain``: make runs from a program's arguments."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from numpy.typing import NDArray

from reinforce.arguments import AnyPath, Settings, checked
from reinforce.calls import console_of, with_settings
from reinforce.cluster.callbacks import Callback, checked_callbacks
from reinforce.cluster.new_run import run_training
from reinforce.cluster.pretraining import Fit, pretrain_run
from reinforce.cluster.run_store.run_directory import free_name
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.given_objects import name_of
from reinforce.configs.loading import load_config, overlaid, with_overrides
from reinforce.runs import Run, raise_if_interrupted
from reinforce.workers.misnamed_environment import faults_of_id

Source: TypeAlias = Annotated[
    str | Path | Mapping[str, Any] | Config | None,
    "a preset, the path of a YAML file, a mapping of sections or a Config; pass an environment's "
    "class or a function as environment=",
]


@checked
def train(  # noqa: PLR0913  (a program says as much as a command line)
    source: Source = None,
    overrides: Settings | None = None,
    *,
    environment: str | Callable[..., Any] | None = None,
    policy: str | Callable[..., Any] | None = None,
    seed: int | None = None,
    name: str | None = None,
    directory: AnyPath | None = None,
    backend: Literal["inline", "ray"] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Run:
    """Train in a new run directory, and return the run when it is over.

    Args:
        source: A preset such as ``"cartpole"``, the path of a YAML file, a mapping of sections, or
            a ``Config``. None: the defaults.
        overrides: Settings on top of it, ``{"section.field": value}``; ``reinforce train --help``
            and ``reinforce.Config`` list them all.
        environment: The environment (``environment.id``): an id in Gymnasium's registry, or a class
            or function that makes one. If it is defined in a notebook or in the program itself,
            workers receive the object, and `load` needs it to evaluate the run later.
        policy: The policy (``policy.kind``): ``"mlp"``, ``"cnn"``, ``"gru"``, or your own class, a
            ``torch.nn.Module`` as page Policies of the docs describes it.
        seed: Seed of all random numbers, >= 0 (``run.seed``).
        name: Name of the run and of its folder (``run.name``). None: environment, seed and time.
        directory: Folder of runs (``run.directory``).
        backend: ``"ray"`` or ``"inline"`` (``cluster.backend``); the weights are the same.
        callbacks: Functions to call with a ``TrainingEvent`` after each update and each evaluation.
            If one raises, the run ends after a checkpoint.
        progress: Print how far it is.

    Returns:
        The finished run.

    Raises:
        ConfigError, UnsuitableEnvironmentError, UsageError: The run cannot start; nothing is left
            behind.
        TrainingError: The run failed; its directory says why, and ``load(...).resume()`` continues.
        KeyboardInterrupt: The user stopped it; a checkpoint is written.
    """
    started_s, callbacks = time.monotonic(), checked_callbacks(callbacks)
    named = {
        "environment.id": _name_of(environment),
        "policy.kind": _name_of(policy),
        "run.seed": seed,
        "run.name": name,
        "run.directory": directory,
        "cluster.backend": backend,
    }
    console = console_of(progress=progress)
    config, remarks = _config_of(source, overrides, named)
    code = run_training(config, console, started_s, callbacks, remarks)
    raise_if_interrupted(code)
    return Run(config.run.directory / str(config.run.name))


@checked
def pretrain(  # noqa: PLR0913  (as above)
    source: Source,
    data: str | Path | Mapping[str, NDArray[Any]],
    overrides: Settings | None = None,
    *,
    environment: str | Callable[..., Any] | None = None,
    policy: str | Callable[..., Any] | None = None,
    seed: int | None = None,
    name: str | None = None,
    directory: AnyPath | None = None,
    epochs: int = 20,
    batch_steps: int = 256,
    held_out: float = 0.1,
    progress: bool = True,
) -> Run:
    """Fit a policy to recorded actions, and return a run without updates that contains it.

    By maximum likelihood (behaviour cloning), with the section learner's optimizer and learning
    rate. ``train(..., {"run.start_from": run})`` continues from there.

    Args:
        source: As for ``train``.
        data: Arrays by name, or the path of an ``.npz`` file: ``observations`` [n, ...] and
            ``actions`` [n, ...] in the environment's format (for a Dict ``observations/KEY``), and
            optionally ``action_masks`` [n, choices] and ``episode_lengths`` [E].
        overrides: As for ``train``.
        environment: As for ``train``.
        policy: As for ``train``.
        seed: Seed of the initial weights, the order of the data, and the held-out share.
        name: As for ``train``.
        directory: As for ``train``.
        epochs: Passes over the data, >= 1.
        batch_steps: Pairs per gradient, >= 1; in whole episodes for a policy with a memory.
        held_out: Share of the data to hold out; ``run.summary["pretraining"]`` has its likelihood
            and accuracy.
        progress: Print how far it is.

    Raises:
        ConfigError, UnsuitableEnvironmentError, UsageError: The data does not fit, or training
            cannot start; nothing is left behind.
        TrainingError: The likelihood is not finite; nothing is left behind.
    """
    started_s, fit = time.monotonic(), Fit(epochs, batch_steps, held_out)
    named = {
        "environment.id": _name_of(environment),
        "policy.kind": _name_of(policy),
        "run.seed": seed,
        "run.name": name,
        "run.directory": directory,
    }
    console = console_of(progress=progress)
    config, remarks = _config_of(source, overrides, named)
    return Run(pretrain_run(config, data, fit, console, started_s, remarks).path)


def _config_of(
    source: Source,
    overrides: Settings | None,
    named: Mapping[str, Any],
) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration of a new run, settings and named arguments on top, and remarks."""
    said = {key: value for key, value in named.items() if value is not None}
    settings = {**(overrides or {}), **said}
    base, remarks = _base_of(source), tuple[str, ...]()
    if base is None:
        config = overlaid(cast(Mapping[str, Any], source), settings)
    else:
        config, remarks = with_settings(base, settings)
    return with_overrides(config, {"run.name": config.run.name or free_name(config)}), remarks


def _base_of(source: Source) -> Config | None:
    """Return the configuration of a source; None for a mapping that is none without settings."""
    if isinstance(source, Config):
        return source
    if isinstance(source, str | Path):
        return load_config(str(source), faults_of_id)
    with suppress(ConfigError):
        return Config.model_validate(source or {})
    return None


def _name_of(thing: str | Callable[..., Any] | None) -> str | None:
    """Return the name in a configuration for a class, a function, or the name of one."""
    return name_of(thing) if callable(thing) else thing

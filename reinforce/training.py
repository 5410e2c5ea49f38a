"""``reinforce.train``: from what a program says to a configuration, and from there to a run."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from reinforce.cluster.callbacks import Callback, checked_callbacks
from reinforce.cluster.commands.train import run_training
from reinforce.cluster.run_store.run_directory import free_name
from reinforce.configs.config import Config
from reinforce.configs.errors import ConfigError
from reinforce.configs.given_objects import name_of
from reinforce.configs.loading import checked_overrides, load_config, overlaid, with_overrides
from reinforce.runs import Run, console_of, path_of, raise_if_interrupted


def train(  # noqa: PLR0913  (a program says as much as a command line)
    source: str | Path | Mapping[str, Any] | Config | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    environment: str | Callable[..., Any] | None = None,
    policy: str | Callable[..., Any] | None = None,
    seed: int | None = None,
    name: str | None = None,
    directory: str | Path | None = None,
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
        environment: What is played (``environment.id``): an id in Gymnasium's registry, or a class
            or function that makes one. It may be defined in a notebook or in the program itself:
            then workers are sent the object, and only Python can evaluate the run later.
        policy: The policy (``policy.kind``): ``"mlp"``, ``"cnn"``, ``"gru"``, or a class of yours,
            a ``torch.nn.Module`` as docs/policies.md describes it.
        seed: Seed of everything random, >= 0 (``run.seed``).
        name: Name of the run and of its folder (``run.name``). None: environment, seed and time.
        directory: Folder of runs (``run.directory``).
        backend: ``"ray"`` or ``"inline"`` (``cluster.backend``); the weights are the same.
        callbacks: Functions that are called with a ``TrainingEvent`` after each update and each
            evaluation. One that raises ends the run, after a checkpoint.
        progress: Print how far it is.

    Returns:
        The finished run.

    Raises:
        ConfigError, UnsuitableEnvironmentError, UsageError: It cannot be run; nothing is left.
        TrainingError: The run failed; its directory says why, and ``load(...).resume()`` goes on.
        KeyboardInterrupt: The user stopped it; a checkpoint is written.
    """
    started_s, callbacks = time.monotonic(), checked_callbacks(callbacks)
    named = {
        "environment.id": name_checked(environment),
        "policy.kind": name_checked(policy),
        "run.seed": seed,
        "run.name": name,
        "run.directory": None if directory is None else str(path_of(directory)),
        "cluster.backend": backend,
    }
    said = {key: value for key, value in named.items() if value is not None}
    config = overlaid(_sections(source), {**checked_overrides(overrides), **said})
    config = with_overrides(config, {"run.name": config.run.name or free_name(config)})
    code = run_training(config, console_of(progress=progress), started_s, callbacks)
    raise_if_interrupted(code)
    return Run(config.run.directory / str(config.run.name))


def _sections(source: str | Path | Mapping[str, Any] | Config | None) -> Mapping[str, Any]:
    """Return the sections that a source holds; a mapping as it is, so that more can be laid on it.

    Raises:
        ConfigError: It is no source.
    """
    if isinstance(source, Config):
        return source.model_dump()
    if isinstance(source, str | Path):
        return load_config(str(source)).model_dump()
    if source is None or isinstance(source, Mapping):
        return source or {}
    hint = "; give a class or a function as environment=..." if callable(source) else ""
    raise ConfigError(
        f"{source!r} is neither a preset, the path of a YAML file, a mapping of sections nor a "
        f"Config{hint}"
    )


def name_checked(thing: str | Callable[..., Any] | None) -> str | None:
    """Return what stands in a configuration for a class, a function, or a name of one.

    Raises:
        ConfigError: It is an object that cannot be called.
    """
    if thing is None or isinstance(thing, str):
        return thing
    is_one = hasattr(thing, "action_space") or hasattr(thing, "parameters")
    if not callable(thing) or (is_one and not isinstance(thing, type)):
        raise ConfigError(
            f"{thing!r} is one object, and every worker needs its own: give the class, or a "
            "function that makes one"
        )
    return name_of(thing)

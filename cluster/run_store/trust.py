"""Other people's run directories: what a verb may import or contact for them.

A run directory is data, but its ``config.yaml`` and ``tracking.json`` name modules to import and
places to read, write and show credentials to. Whoever made the run has chosen them. So the user's
own state folder lists the runs that this user has made or trusted. What any other run names is used
only with ``--trust``, or if the user's own environment or command line names the same.
"""

import hashlib
import json
import os
import pwd
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from reinforce.cluster.errors import RunDirectoryError, UsageError
from reinforce.cluster.files import append_json_line, whole_lines
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.run_store.tracking_state import (
    find_sqlite_file,
    read_tracking_state,
    require_run_id,
    sqlite_file,
)
from reinforce.configs.config import Config
from reinforce.configs.experiment import EnvironmentConfig
from reinforce.configs.given_objects import PREFIX

POLICY_CLASS = "policy.kind"
EVALUATION_ENVIRONMENT = "evaluation.environment"
CODE = ("environment.id", "environment.wrappers", EVALUATION_ENVIRONMENT, POLICY_CLASS)
"""Settings that may name a module."""

CHECKPOINTS = ("checkpoint.directory",)
TRACKING = ("tracking.uri", "tracking.json")
WANDB = ("tracking.wandb",)
CLUSTER = ("cluster.address",)
START = ("run.start_from",)
EVERYTHING = (*CODE, *CHECKPOINTS, *TRACKING, *WANDB, *CLUSTER, *START)

SAY_TRUST = "add --trust (from Python: trust=True)"


def require_trust(
    run: RunDirectory,
    config: Config,
    uses: Collection[str],
    *,
    trust: bool = False,
    said: Collection[str] = (),
    way_out: str = SAY_TRUST,
) -> None:
    """Refuse to use what a run directory names unless the user has made or trusted the run.

    Args:
        run: The directory.
        config: What its ``config.yaml`` says.
        uses: The settings, among those above, that the verb would use.
        trust: The user trusts the run, which is recorded.
        said: Settings that come from the user, not from the directory.
        way_out: How the user can trust it, for the message.

    Raises:
        UsageError: It would import code or contact places that the user has not trusted, or code
            may run and something in the directory belongs to another user.
    """
    if trust:
        note_own(run, config, lambda text: None)
    if trust or is_known(run, config):
        return
    risks = list(_foreign_files(run)) if set(CODE) & set(uses) - set(said) else []
    risks += [risk for name, risk in _risks(run, config) if name in uses and name not in said]
    if risks:
        listed = "\n".join(f"  {risk}" for risk in risks)
        raise UsageError(
            f"you have neither made nor trusted {run.path}. This would:\n{listed}\n"
            f"If you know where it comes from, {way_out}"
        )


def require_mlflow_run(run: RunDirectory, config: Config, *, trust: bool = False) -> None:
    """Refuse early what could not be stored with a run in MLflow.

    Args:
        run: The directory.
        config: What its ``config.yaml`` says.
        trust: The user trusts the run, which is recorded.

    Raises:
        UsageError: No MLflow run follows it, or it names a store that the user has not trusted.
    """
    require_trust(run, config, TRACKING, trust=trust)
    require_run_id(run)


def require_trust_in_code(
    source: str, config: Config, uses: Collection[str], *, trust: bool
) -> None:
    """Refuse to import the code of a policy without its run unless the user trusts it.

    Args:
        source: Its source.
        config: Its training configuration.
        uses: The settings in ``CODE`` that would be used.
        trust: The user trusts it.

    Raises:
        UsageError: It would import code that is not trusted.
    """
    risks = [risk for name, risk in _code_risks(config) if name in uses]
    if risks and not trust:
        listed = "\n".join(f"  {risk}" for risk in risks)
        raise UsageError(
            f"{source} comes from an unknown source. This would:\n{listed}\nIf you trust it, "
            f"{SAY_TRUST}"
        )


def note_own(run: RunDirectory, config: Config, tell: Callable[[str], None]) -> None:
    """Record that this user trains this run, so that later verbs trust it.

    ``tell`` is called with a sentence if this fails.
    """
    try:
        note_trusted(run, config)
    except (OSError, RuntimeError, RunDirectoryError) as error:  # read-only, no home, or a link
        tell(
            f"cannot record that {run.path} is yours ({error}): commands that use code or places "
            "it names will ask whether you trust it"
        )


def note_trusted(run: RunDirectory, config: Config) -> None:
    """Add a run to the user's list unless it is there.

    Raises:
        OSError, RuntimeError, RunDirectoryError: The list cannot be written.
    """
    if is_known(run, config):
        return
    file = _list_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    append_json_line(file, _note(run, config))


def is_known(run: RunDirectory, config: Config) -> bool:
    """Return whether the user has made or trusted a run with this configuration."""
    note = _note(run, config)
    try:
        return any(_parsed(line) == note for line in whole_lines(_list_file()))
    except (OSError, RuntimeError):
        return False


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _note(run: RunDirectory, config: Config) -> dict[str, str]:
    """Return a line of the list: the directory, and a digest of everything it may name.

    With the digest, another run's files in the same place are not trusted.
    """
    environment, policy = config.environment.model_dump(mode="json"), config.policy
    named = [
        *(environment[name] for name in ("id", "kwargs", "wrappers")),
        *(policy.kind, policy.arguments),
        *(config.checkpoint.directory, config.tracking.uri, config.cluster.address),
    ]
    if config.evaluation.environment:  # so that notes of earlier versions hold
        named.append(config.evaluation.environment)
    if config.run.start_from:
        named.append(f"start from {config.run.start_from}")
    if config.tracking.wandb:
        named.append(f"tracked in {config.tracking.wandb.model_dump_json()}")
    digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
    return {"run": str(run.path.resolve()), "sha256": digest}


def _list_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "reinforce" / "trusted.jsonl"


def _foreign_files(run: RunDirectory) -> Iterator[str]:
    """Yield a sentence about the first file in the directory of another user."""
    ours = os.geteuid()
    for folder, folders, files in os.walk(run.path):
        for path in (Path(folder), *(Path(folder) / name for name in (*folders, *files))):
            owner = path.lstat().st_uid
            if owner != ours:
                yield f"{path} belongs to {_user_name(owner)}, and you are {_user_name(ours)}"
                return


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _risks(run: RunDirectory, config: Config) -> Iterator[tuple[str, str]]:
    """Yield code and places that the user's environment does not name, in words."""
    yield from _code_risks(config)
    if config.checkpoint.directory:
        where = f"use {config.checkpoint.directory!r} (checkpoint.directory)"
        yield "checkpoint.directory", where
    if run.checkpoints.is_symlink():
        yield "checkpoint.directory", f"follow the link {run.checkpoints}"
    if config.run.start_from:
        yield "run.start_from", f"read weights from {config.run.start_from!r} (run.start_from)"
    address = config.cluster.address
    if address and address != os.environ.get("RAY_ADDRESS"):
        yield "cluster.address", f"show your token to {address!r} (cluster.address)"
    wandb = config.tracking.wandb
    if wandb:
        project = f"{wandb.entity or 'your'}/{wandb.project}"
        yield "tracking.wandb", f"send to the project {project!r} of W&B (tracking.wandb)"
    yield from _tracking_risks(run, config)


def _code_risks(config: Config) -> Iterator[tuple[str, str]]:
    named = [*_modules(config.environment), (POLICY_CLASS, config.policy.kind)]
    if config.evaluation_environment != config.environment:
        played = _modules(config.evaluation_environment)
        named += [(EVALUATION_ENVIRONMENT, name) for _, name in played]
    for setting, name in named:
        if ":" in name and not name.startswith(PREFIX):  # those this process was handed
            yield setting, f"import {name!r} ({setting})"


def _modules(environment: EnvironmentConfig) -> Iterator[tuple[str, str]]:
    """Yield the settings that may name a module, with what they name."""
    yield "environment.id", environment.id
    for wrapper in environment.wrappers:
        yield "environment.wrappers", wrapper if isinstance(wrapper, str) else ", ".join(wrapper)


def _tracking_risks(run: RunDirectory, config: Config) -> Iterator[tuple[str, str]]:
    uri = config.tracking.uri
    if uri and uri != os.environ.get("MLFLOW_TRACKING_URI"):
        yield "tracking.uri", f"send to {uri!r} (tracking.uri)"
    state = read_tracking_state(run.tracking_file)
    if state.get("is_server") and "run_id" in state:
        return
    named = uri or os.environ.get("MLFLOW_TRACKING_URI")
    file = find_sqlite_file(run.path, named, state)
    if file is None:  # none is used
        return
    is_theirs = file.resolve().is_relative_to(run.path.resolve())
    if is_theirs or file != sqlite_file(named, Path.cwd()):
        yield "tracking.json", f"use the store of MLflow in {str(file.parent)!r} (tracking.json)"

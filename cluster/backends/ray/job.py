"""The Ray job that this process drives, if one has started it: `ray job submit`, or our `submit`.

Ray hands a job's runtime environment to whatever Ray its driver starts or joins, and only the job's
own cluster holds the files that it names: a local Ray would look for them in vain.
"""

import json
import os
from pathlib import Path

from reinforce.cluster.errors import ClusterUnreachableError
from reinforce.configs.config import Config

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray sets for a job's driver, and for nothing else. A private name that cannot stand in
private.py: whether a Ray is to be local has to be known before Ray is imported."""


def as_in_its_job(config: Config) -> Config:
    """Return a configuration with the cluster of the job around this process, if there is one.

    What names a cluster, or does without Ray, stays as it is. The result is for this process alone:
    a run that is resumed elsewhere finds the cluster of that place.

    Raises:
        ClusterUnreachableError: It cannot be known which cluster that is.
    """
    cluster = config.cluster
    if cluster.backend == "inline" or cluster.address or JOB_CONFIG not in os.environ:
        return config
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        raise ClusterUnreachableError(
            f"this is a Ray job, since {JOB_CONFIG} is set, but RAY_ADDRESS does not say of which "
            "cluster: name it with --cluster.address HOST:PORT, use --cluster.backend inline, or "
            f"unset {JOB_CONFIG} to train on a Ray of this machine"
        )
    return config.model_copy(update={"cluster": cluster.model_copy(update={"address": address})})


def warn_of_its_folder(config: Config) -> str | None:
    """Say that the run would lie in the job's folder, if it would."""
    try:
        runtime_env = json.loads(os.environ.get(JOB_CONFIG, "{}"))["runtime_env"]
    except (ValueError, LookupError, TypeError):
        return None
    directory = config.run.directory.resolve()
    if "working_dir" not in runtime_env or not directory.is_relative_to(Path.cwd().resolve()):
        return None
    return (
        f"{directory} lies in the folder of this Ray job, which Ray may "
        "remove once the job is over: give --run.directory a place that stays, or start the job "
        "with `reinforce submit`"
    )

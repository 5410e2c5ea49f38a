"""What actors and tasks write to Ray's log files: warnings, with the ids of who wrote them."""

import os

import ray

from cluster.errors import UsageError

_ENCODINGS = {"text": "TEXT", "json": "JSON"}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def logging_config() -> ray.LoggingConfig:
    """Return what ``REINFORCE_LOG_FORMAT`` and ``REINFORCE_LOG_LEVEL`` ask for.

    Ray adds the ids of job, node, worker and actor to each line.

    Raises:
        UsageError: One of them holds another word.
    """
    encoding = os.environ.get("REINFORCE_LOG_FORMAT", "text").lower()
    level = os.environ.get("REINFORCE_LOG_LEVEL", "warning").upper()
    if encoding not in _ENCODINGS:
        raise UsageError(f"REINFORCE_LOG_FORMAT={encoding} is neither text nor json")
    if level not in _LEVELS:
        raise UsageError(f"REINFORCE_LOG_LEVEL={level} is none of {', '.join(_LEVELS).lower()}")
    return ray.LoggingConfig(encoding=_ENCODINGS[encoding], log_level=level)

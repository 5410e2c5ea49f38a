"""``reinforce sync``: sends to MLflow what it missed of a run."""

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.journal import is_being_written
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.follower import AlreadyFollowedError, Follower, NotSentError


def sync_run_directory(run: RunDirectory) -> None:
    """Send what MLflow missed of a run.

    Raises:
        UsageError: It is being sent at the moment, it is in another store than the one that the
            environment names, or MLflow does not take it.
    """
    follower = Follower(run, is_over=lambda wait_s: True, patience_s=0.0)
    try:
        if is_being_written(run.journal_file):
            follower.send_rest()
        else:
            follower.follow()
    except AlreadyFollowedError as error:
        raise UsageError(f"{error}; it will be complete when the run ends") from None
    except NotSentError as error:
        raise UsageError(f"{error}\nNothing is lost: call `reinforce sync` again") from None
    except OSError as error:
        raise UsageError(
            f"{run.path} cannot be written ({error.strerror}: {error.filename}), and `sync` notes "
            "there which MLflow run it belongs to; make it writable, or copy it and sync the copy"
        ) from None

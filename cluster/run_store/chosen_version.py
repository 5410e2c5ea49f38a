"""The checkpoint that the name of a version means."""

from reinforce.cluster.errors import UsageError
from reinforce.cluster.run_store.checkpoint import Checkpoint
from reinforce.cluster.run_store.checkpoints import CheckpointReader


def chosen_version(checkpoints: CheckpointReader, which: str, also: str = "") -> Checkpoint:
    """Return the newest checkpoint, the best, or that of an update.

    An update whose checkpoint was removed may still be the best one.

    Args:
        checkpoints: Those of a place.
        which: ``best``, an update, or "" for the newest.
        also: Follows what else the user may give.

    Raises:
        UsageError: There is no such checkpoint.
    """
    if not which:
        found = checkpoints.newest(lambda text: None)
    elif which.isdigit() and int(which) in checkpoints.versions():
        found = checkpoints.load(int(which))
    else:
        best = checkpoints.best()
        is_meant = best is not None and which in ("best", str(best.learner.version))
        found = best if is_meant else None
    if found is None:
        there = ", ".join(map(str, checkpoints.versions())) or "none"
        raise UsageError(
            f"there is no such checkpoint in {checkpoints.location} (there are those after update: "
            f"{there}); give only the place, or add @best or @UPDATE{also}"
        )
    return found

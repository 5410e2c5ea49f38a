"""Checks of the workers that are asked for against the CPUs that there are or could be."""

from cluster.backends.capacity import Capacity
from cluster.doctor.finding import Finding, failure, ok, warning
from configs.config import Config


def check_cores(config: Config, num_cores: int) -> Finding:
    """Compare the workers with the cores of this machine, whose own Ray takes any number of both.

    It reserves next to nothing for a worker (``ray_backend``), so that none waits for room.
    """
    workers = config.workers
    asked = workers.min_workers if workers.num_workers == "auto" else workers.num_workers
    if asked > num_cores:
        return warning(
            "room for workers",
            f"{asked} workers on {num_cores} cores",
            "they play, and no faster than one per core; workers.num_workers auto takes what "
            "there is",
        )
    return ok("room for workers", f"{num_cores} cores")


def check_room(config: Config, capacity: Capacity) -> Finding:
    """Compare the workers that are asked for with the CPUs that there are or could be."""
    shortage, shortfall = capacity.shortage(config), capacity.shortfall(config)
    if shortage:
        return failure("room for workers", *shortage.rsplit("; ", 1))
    if shortfall:
        return warning("room for workers", *shortfall.split("; ", 1))
    room = capacity.num_workers(config.cluster.cpus_per_worker)
    if capacity.autoscaler_cpus:
        most = f"{capacity.autoscaler_cpus:g} CPUs"
        return ok("room for workers", f"{room} now, more with the autoscaler (up to {most})")
    return ok("room for workers", f"{room} now")

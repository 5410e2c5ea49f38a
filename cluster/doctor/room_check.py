"""Check of the workers that are asked for against the CPUs that there are or could be."""

from cluster.backends.capacity import Capacity
from cluster.doctor.finding import Finding, failure, ok, warning
from configs.config import Config


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

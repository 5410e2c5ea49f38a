"""Checks of the workers and the learner against the CPUs and GPUs that there are or could be."""

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


def check_own_gpu(config: Config) -> Finding:
    """See whether this machine has the GPU that its learner is to compute on."""
    if config.learner.device == "cpu":
        return ok("GPU", "none is needed: learner.device is cpu")
    # Imports Torch, seconds that only who asks for a GPU has to wait.
    from learner.computation import NoGPUError, require_device

    try:
        require_device(config.learner.device)
    except NoGPUError as error:
        return failure("GPU", *str(error).split("; ", 1))
    return ok("GPU", "Torch sees one for the learner")


def check_gpus(config: Config, capacity: Capacity) -> Finding:
    """Compare the learner's device with the GPUs that there are or could be."""
    shortage, present = capacity.gpu_shortage(config), sum(capacity.node_gpus)
    if shortage:
        return failure("GPU", *shortage.split("; ", 1))
    if config.learner.device == "cuda":
        return ok("GPU", f"{present:g} now" if present else "none now, more with the autoscaler")
    if config.policy.kind == "cnn" and present:
        return warning(
            "GPU",
            f"{present:g} on the cluster, and the learner computes on the CPU",
            "for images --learner.device cuda should be faster",
        )
    return ok("GPU", "none is needed: learner.device is cpu")

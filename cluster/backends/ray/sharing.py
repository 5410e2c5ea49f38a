"""How runs share a cluster: each says what it wants, and takes as many workers as are its part.

Ray knows no priorities between jobs. What it shows every driver, and removes with the job that made
it, are placement groups: a claim is one that reserves a single byte of memory, and whose name says
what the run wants. Everybody works out the same parts from the same claims, so nobody has to decide
for others, and nothing is left of a run that was killed.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Annotated, Any

import ray
from pydantic import Field
from ray.util.placement_group import (
    placement_group,
    placement_group_table,
    remove_placement_group,
)

from reinforce.cluster.run_requests import MAX_WORKERS
from reinforce.cluster.typed_json import parse_json
from reinforce.configs.plurals import counted

_PREFIX = "reinforce:"
_RESERVED = {"memory": 1}  # bytes; a group of nothing cannot be made
_SLACK_CPUS = 1e-6
"""By which sums of fractions of CPUs may be off."""

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Workers = Annotated[int, Field(ge=0, le=MAX_WORKERS)]


@dataclass(frozen=True)
class Claim:
    """What one run wants of its cluster.

    Attributes:
        job: Id of its job in Ray.
        priority: Its weight, > 0.
        cpus_per_worker: CPUs, > 0.
        min_workers: Fewest workers, which it has whatever others want, >= 1.
        max_workers: Most workers; the same where the user has set the number.
    """

    job: str
    priority: _Positive
    cpus_per_worker: _Positive
    min_workers: _Workers
    max_workers: _Workers


@lru_cache(maxsize=16)
def shares(claims: Collection[Claim], node_cpus: tuple[float, ...]) -> dict[str, int]:
    """Return how many workers each run is to have, by its job; the same for everybody who asks.

    All have their fewest. Then one worker after the other goes to the run that would hold, with
    it, the fewest CPUs for its priority, as long as there are CPUs. What the smallest worker leaves
    over on a node does not count: parts that do not fit would have one run wait for another.

    Args:
        claims: Of all runs; hashable.
        node_cpus: CPUs of each node.
    """
    counts = {claim.job: claim.min_workers for claim in claims}
    unit = min(claim.cpus_per_worker for claim in claims)
    usable = unit * sum(int(cpus / unit + _SLACK_CPUS) for cpus in node_cpus)
    left = usable + _SLACK_CPUS - sum(each.min_workers * each.cpus_per_worker for each in claims)

    def cpus_for_its_priority(claim: Claim) -> tuple[float, str]:
        return (counts[claim.job] + 1) * claim.cpus_per_worker / claim.priority, claim.job

    while fitting := [
        claim
        for claim in claims
        if counts[claim.job] < claim.max_workers and claim.cpus_per_worker <= left
    ]:
        first = min(fitting, key=cpus_for_its_priority)
        counts[first.job] += 1
        left -= first.cpus_per_worker
    return counts


class SharedCluster:
    """The part of this process's run in the cluster that it has joined.

    Args:
        priority: Weight of the run.
        cpus_per_worker: CPUs of each of its workers.
        tell: Called with a sentence when runs come or go.
    """

    def __init__(
        self, priority: float, cpus_per_worker: float, tell: Callable[[str], None]
    ) -> None:
        job = ray.get_runtime_context().get_job_id()
        self._claim = Claim(job, priority, cpus_per_worker, 0, 0)
        self._group: Any = None
        self._tell, self._told = tell, (1, 0)

    def part(self, min_workers: int, max_workers: int, node_cpus: tuple[float, ...]) -> int:
        """Return how many workers this run is to have, and let others know what it wants.

        Args:
            min_workers: Fewest.
            max_workers: Most.
            node_cpus: CPUs of each node.
        """
        self._hold(replace(self._claim, min_workers=min_workers, max_workers=max_workers))
        claims = {**_claims(), self._claim.job: self._claim}
        counts = shares(tuple(claims[job] for job in sorted(claims)), node_cpus)
        part = counts[self._claim.job]
        self._tell_of_others(len(claims), part)
        return part

    def _hold(self, claim: Claim) -> None:
        if claim == self._claim:
            return
        group = placement_group([_RESERVED], name=_PREFIX + json.dumps(asdict(claim)))
        if self._group:
            remove_placement_group(self._group)
        self._claim, self._group = claim, group

    def _tell_of_others(self, num_runs: int, part: int) -> None:
        if num_runs > 1 and self._told != (num_runs, part):
            runs, workers = counted(num_runs, "run"), counted(part, "worker")
            self._tell(f"{runs} share the cluster; this one's part is {workers}")
        elif num_runs == 1 and self._told[0] > 1:
            self._tell("no other run shares the cluster any more")
        self._told = num_runs, part


def _claims() -> dict[str, Claim]:
    """Return what runs want, by their jobs; names that anybody else has given are passed over."""
    found = {}
    for group in placement_group_table().values():
        name = str(group.get("name"))
        if not name.startswith(_PREFIX) or group.get("state") == "REMOVED":
            continue
        try:
            claim = parse_json(name.removeprefix(_PREFIX), Claim)
        except ValueError:  # of another version
            continue
        found[claim.job] = claim
    return found

"""Checks of a Ray cluster: who may join, what fits, and reports of the nodes."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from reinforce.cluster.backends.ray.capacity import Capacity
from reinforce.cluster.backends.ray.private import dashboard_address
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.doctor.finding import Finding, failure, ok, warning
from reinforce.cluster.doctor.machine_checks import check_machine
from reinforce.cluster.doctor.node_report import NodeReport, report_of_this_machine
from reinforce.cluster.errors import without_colours
from reinforce.cluster.waiting import waiting
from reinforce.configs.config import Config
from reinforce.configs.plurals import counted

_REPORT_TIMEOUT_S = 60.0
_TOLD_AFTER_S = 10.0
_ENVIRONMENT_SHARE = 0.6
"""Share of that time for the environment; the rest allows for a cold start."""

_HTTP_TIMEOUT_S = 3.0
_MAX_SKEW_S = 2.0
_MIN_OBJECT_STORE_BYTES = 128 << 20


def check_cluster(config: Config, here: NodeReport) -> Iterator[Finding]:
    """Check the cluster that this process has joined."""
    # First, for they take seconds to answer: a process that has played nothing yet imports Torch.
    sent_s, deadline_s = time.time(), time.monotonic() + _REPORT_TIMEOUT_S
    calls = _ask_every_node(config)
    # Ray says where its dashboard is only to whom it has let in.
    yield check_authentication(dashboard_address())
    capacity = Capacity.of_the_cluster()
    yield check_room(config, capacity)
    yield check_gpus(config, capacity)
    yield check_object_stores(ray.nodes())
    stage = f"waiting for {counted(len(calls), 'node')} to answer"
    with waiting(PlainConsole(stderr=True), stage, line_after_s=_TOLD_AFTER_S):
        reports, silent = _answers(calls, deadline_s)
    if reports:
        yield check_clocks(reports, sent_s, time.time())
    yield check_versions(here, reports, len(calls))
    for report in reports:
        yield from check_machine(report)
    advice = "busy, or this project is not installed there; `ray list nodes` shows its state"
    for problem in silent:
        yield failure("node", problem, advice)


def check_authentication(dashboard: str | None) -> Finding:
    """Check whether the cluster can be joined without a token."""
    if not dashboard:
        return ok("authentication", "the dashboard is off; the token was accepted")
    try:
        urllib.request.urlopen(f"http://{dashboard}/api/jobs/", timeout=_HTTP_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return ok("authentication", "the cluster requires a token and accepted ours")
        return warning("authentication", f"the dashboard answers HTTP {error.code}", "look at it")
    except OSError:
        return ok(
            "authentication", "our token was accepted; there is no dashboard to try without one"
        )
    return failure(
        "authentication",
        f"anyone who reaches {dashboard} can join the cluster",
        "start it again with RAY_AUTH_MODE=token and a token: page Security of the docs",
    )


def check_object_stores(nodes: list[dict[str, Any]]) -> Finding:
    """Check that every node can hold a batch's trajectories."""
    stores = [  # of which one machine may have several
        (node["NodeManagerHostname"], int(node["Resources"].get("object_store_memory", 0)))
        for node in nodes
        if node["Alive"]
    ]
    small = {name for name, size in stores if size < _MIN_OBJECT_STORE_BYTES}
    if small:
        return warning(
            "object store",
            f"less than {_MIN_OBJECT_STORE_BYTES >> 20} MiB on {', '.join(sorted(small))}",
            "give `ray start` more --object-store-memory",
        )
    smallest = min((size for _, size in stores), default=0)
    return ok("object store", f"{smallest >> 20} MiB or more per node")


def check_room(config: Config, capacity: Capacity) -> Finding:
    """Compare the requested workers with the CPUs that exist or could be added."""
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


def check_gpus(config: Config, capacity: Capacity) -> Finding:
    """Compare the learner's device with the GPUs that exist or could be added."""
    shortage, present = capacity.gpu_shortage(config), sum(capacity.node_gpus)
    if shortage:
        return failure("GPU", *shortage.split("; ", 1))
    if config.learner.device == "cuda":
        return ok("GPU", f"{present:g} now" if present else "none now, more with the autoscaler")
    if config.policy.kind == "cnn" and present:
        return warning(
            "GPU",
            f"{present:g} on the cluster, but the learner computes on the CPU",
            "for images, --learner.device cuda should be faster",
        )
    return ok("GPU", "none is needed: learner.device is cpu")


def check_clocks(reports: list[NodeReport], before_s: float, after_s: float) -> Finding:
    """Compare the nodes' clocks with ours, given our times around their answers."""
    skews = {
        report.name: max(before_s - report.unix_time_s, report.unix_time_s - after_s, 0.0)
        for report in reports
    }
    wrong = {name: skew for name, skew in skews.items() if skew > _MAX_SKEW_S}
    if wrong:
        listed = ", ".join(f"{name} by {skew:.0f} s" for name, skew in wrong.items())
        return warning(
            "clocks", f"off: {listed}", "run NTP on all nodes; otherwise times in logs mislead"
        )
    return ok("clocks", f"agree within {_MAX_SKEW_S:g} s")


def check_versions(here: NodeReport, reports: list[NodeReport], num_nodes: int) -> Finding:
    """Check that all nodes have the same packages as here; others give different bits."""
    for report in reports:
        different = {
            name: (report.versions.get(name, "none"), version)
            for name, version in here.versions.items()
            if report.versions.get(name) != version
        }
        if different:
            listed = ", ".join(f"{name} {a} there, {b} here" for name, (a, b) in different.items())
            return warning(
                "versions",
                f"{report.name}: {listed}",
                "install the same constraints.txt everywhere, or results may differ in the last "
                "bits",
            )
    if len(reports) < num_nodes:
        answered = f"{len(reports)} of {counted(num_nodes, 'node')} answered"
        return failure("versions", f"not checked: {answered}", "see the nodes below")
    return ok("versions", f"the same on {counted(len(reports), 'node')} as here")


def _ask_every_node(config: Config) -> dict[Any, str]:
    """Make every node check itself; return the calls with what tells the nodes apart."""
    task = ray.remote(report_of_this_machine)
    unfilmed = config.evaluation.model_copy(update={"video": False})  # the driver films, not they
    config = config.model_copy(update={"evaluation": unfilmed})
    return {
        task.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(config, str(Path.cwd()), _ENVIRONMENT_SHARE * _REPORT_TIMEOUT_S): (
            f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:8]})"
        )
        for node in ray.nodes()
        if node["Alive"]
    }


def _answers(calls: dict[Any, str], deadline_s: float) -> tuple[list[NodeReport], list[str]]:
    """Return the nodes' answers until the deadline, and which gave none and why."""
    timeout_s = max(0.0, deadline_s - time.monotonic())
    done, waiting = ray.wait(list(calls), num_returns=len(calls), timeout=timeout_s)
    reports = []
    silent = [f"{calls[call]}: no answer for {_REPORT_TIMEOUT_S:g} s" for call in waiting]
    for call in done:
        try:
            reports.append(replace(ray.get(call, timeout=1), name=calls[call]))
        except RayError as error:
            last = without_colours(str(error)).strip().splitlines()[-1]
            silent.append(f"{calls[call]}: {last}")
    return reports, silent

"""Run directories written without training, by the code that training writes them with."""

import time

from mlflow import MlflowClient

from reinforce.cluster.files import write_json
from reinforce.cluster.run_store.journal import BatchEntry, Journal, JournalEntry
from reinforce.cluster.run_store.run_directory import RunDirectory

BATCH = BatchEntry("0" * 64, [1.0, 2.0], [1, 2])


def update_entry(updates, training_time_s=None):
    """An update whose learning metrics are a function of its number, and whose times are not."""
    time_s = 0.01 * updates if training_time_s is None else training_time_s
    metrics = {
        "rollout/return_mean": 2.0 * updates,
        "learner/entropy": 1.0 / updates,
        "time/sampling_s": time.time() % 1,
        "progress/updates": updates,
    }
    return JournalEntry(updates, 10 * updates, time_s, time.time_ns() // 1_000_000, metrics, BATCH)


def evaluation_entry(updates):
    """An evaluation after so many updates."""
    metrics = {"evaluation/return_mean": 3.0 * updates}
    return JournalEntry(updates, 10 * updates, 0.01 * updates, time.time_ns() // 1_000_000, metrics)


def records(first, last):
    """Updates first to last, with an evaluation after every fifth."""
    for updates in range(first, last + 1):
        yield update_entry(updates)
        if updates % 5 == 0:
            yield evaluation_entry(updates)


def write_run(config, lines=()):
    """Make a run directory that holds these records."""
    run = RunDirectory.create(config)
    append(run, lines)
    return run


def append(run, lines):
    with Journal(run.journal_file) as journal:
        for record in lines:
            journal.append(record)


def write_end(run, status="finished"):
    """Write the summary of a run that is over."""
    write_json(
        run.summary_file,
        {"status": status, "stop_reason": "max_updates", "timestamp_ms": time.time_ns() // 10**6},
    )


def points_of(lines):
    """(name, step): (value, timestamp) of every point that the records hold."""
    return {
        (name, record.environment_steps): (value, record.timestamp_ms)
        for record in lines
        for name, value in record.metrics.items()
    }


def shown_points_of(lines):
    """The same of the points that MLflow is to have.

    A metric begins with the last point before its first change; a few, and what the first update
    lacks, are there from the start.
    """
    lines = list(lines)
    first_update = next((record.metrics for record in lines if record.batch), {})
    curves = {}
    for record in lines:
        for name, value in record.metrics.items():
            point = record.environment_steps, value, record.timestamp_ms
            curves.setdefault(name, []).append(point)
    stored = {}
    for name, curve in curves.items():
        first = curve[0][1]
        changes = [place for place, (_, value, _) in enumerate(curve) if value != first]
        begin = max(changes[0] - 1, 0) if changes else len(curve)
        always = ("rollout/return_", "evaluation/", "progress/")
        if name.startswith(always) or name not in first_update:
            begin = 0
        if name.startswith("evaluation/confirmed_"):
            begin = len(curve)
        shown = name.replace("rollout/", "batch/")
        stored |= {(shown, step): (value, ms) for step, value, ms in curve[begin:]}
    return stored


def stored_points(store_uri, run_id):
    """The same, as MLflow has them, without the machine's load; a doubled point fails."""
    client = MlflowClient(store_uri)
    stored = {}
    for name in client.get_run(run_id).data.metrics:
        for point in client.get_metric_history(run_id, name):
            if not name.startswith("system/"):
                assert (name, point.step) not in stored, f"{name} at {point.step} is doubled"
                stored[name, point.step] = (point.value, point.timestamp)
    return stored

from reinforce.cluster.run_store.journal import BatchEntry, JournalEntry
from reinforce.cluster.tracking.pacing import MetricWindows

BATCH = BatchEntry("", [], [])


def update(number, time_s, **metrics):
    return JournalEntry(number, 10 * number, time_s, number, {"a": float(number), **metrics}, BATCH)


def windows_of(records):
    windows = MetricWindows()
    result = [window for record in records for window in windows.add(record)]
    return result + windows.flush()


def test_a_run_of_seconds_keeps_every_update():
    records = [update(number, 0.1 * number) for number in range(1, 20)]

    assert windows_of(records) == records


def test_updates_faster_than_a_hundredth_of_the_time_are_merged():
    records = [update(number, 100.0 + 0.1 * number) for number in range(1, 25)]

    merged = windows_of(records)

    assert [record.updates for record in merged] == [11, 22, 24]
    assert merged[0].metrics["a"] == 6  # mean of 1 to 11


def test_each_kind_of_metric_is_merged_as_it_means():
    counts = ("tickets/x", "cluster/x", "progress/x", "checkpoint/failed")
    of_updates = [(3.0, 4.0, 1.0), (1.0, 9.0, 2.0), (2.0, 5.0, 3.0)]  # smallest, largest, so far
    records = [
        update(
            number,
            100.0 + 0.1 * number,
            **{"rollout/return_min": low, "rollout/return_max": high},
            **dict.fromkeys(counts, so_far),
        )
        for number, (low, high, so_far) in enumerate(of_updates, start=1)
    ]

    (merged,) = windows_of(records)

    assert merged.metrics == {
        "a": 2.0,
        "rollout/return_min": 1.0,
        "rollout/return_max": 9.0,
        **dict.fromkeys(counts, 3.0),
    }
    assert (merged.environment_steps, merged.timestamp_ms) == (30, 3)


def test_evaluations_pass_unmerged_and_in_order():
    evaluation = JournalEntry(2, 20, 100.1, 2, {"evaluation/return_mean": 5.0})

    merged = windows_of([update(1, 100.0), update(2, 100.05), evaluation, update(3, 100.15)])

    assert [(record.updates, record.batch is None) for record in merged] == [
        (2, False),
        (2, True),
        (3, False),
    ]


def test_a_run_of_days_stays_small():
    records = [update(number, float(number)) for number in range(1, 200_000, 7)]

    assert len(windows_of(records)) < 9000


def test_a_metric_that_is_missing_in_the_last_update_of_a_window_is_not_lost():
    """The signal-to-noise ratio is not finite where there is no noise."""
    records = [update(1, 100.0, **{"learner/snr": 4.0}), update(2, 100.1)]

    (merged,) = windows_of(records)

    assert merged.metrics["learner/snr"] == 4.0

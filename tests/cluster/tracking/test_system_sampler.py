import json
import time

from cluster.tracking.system_sampler import SystemSampler, make_monitors, sample

ON_EVERY_MACHINE = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage",
    "system/disk_usage_percentage",
    "system/disk_usage_megabytes",
    "system/disk_available_megabytes",
    "system/network_receive_megabytes",
    "system/network_transmit_megabytes",
}


def test_a_sample_has_mlflow_s_own_names_and_possible_values():
    metrics = sample(make_monitors())["metrics"]

    assert metrics.keys() >= ON_EVERY_MACHINE
    assert all(value >= 0 for value in metrics.values())
    assert 0 < metrics["system/system_memory_usage_percentage"] < 100


def test_samples_are_appended_from_the_first_second_on(tmp_path):
    file = tmp_path / "system.jsonl"
    file.write_text('{"timestamp_ms": 1, "metrics": {}}\n')

    with SystemSampler(file):
        deadline = time.monotonic() + 60
        while len(file.read_text().splitlines()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)

    first, second = (json.loads(line) for line in file.read_text().splitlines()[:2])
    assert first["timestamp_ms"] == 1
    assert second["metrics"].keys() >= ON_EVERY_MACHINE

import json
import time

from runs import train

from reinforce.cluster.tracking.shown_metrics import is_result
from reinforce.cluster.tracking.system_sampler import SystemSampler, make_monitors, sample

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


class GPUs:
    """MLflow's monitor on a machine with so many GPUs."""

    def __init__(self, num):
        self._num = num

    def collect_metrics(self):
        pass

    def aggregate_metrics(self):
        kinds = ("memory_usage_percentage", "memory_usage_megabytes", "utilization_percentage")
        kinds = (*kinds, "power_usage_watts", "power_usage_percentage")
        return {f"gpu_{gpu}_{kind}": 1.0 for gpu in range(self._num) for kind in kinds}

    def clear_metrics(self):
        pass


def test_of_several_gpus_the_most_telling_numbers_are_kept():
    kept = {num: set(sample([GPUs(num)])["metrics"]) for num in (1, 2, 8)}

    assert kept[1] == {f"system/{name}" for name in GPUs(1).aggregate_metrics()}
    assert kept[2] == {
        *("system/gpu_0_utilization_percentage", "system/gpu_1_utilization_percentage"),
        *("system/gpu_0_memory_usage_percentage", "system/gpu_1_memory_usage_percentage"),
        "system/gpu_0_memory_usage_megabytes",
    }
    assert kept[8] == {f"system/gpu_{gpu}_utilization_percentage" for gpu in range(5)}


def test_a_run_that_measures_all_there_is_keeps_to_60_metrics(make_config):
    """Sampled and greedy evaluations, a value function, stale weights, growing batches, GPUs."""
    config = make_config(
        environment={"id": "CartPole-v1"},
        learner={"baseline": "value", "episodes_per_update": "auto", "episodes_bounds": [4, 8]},
        cluster={"lookahead": 1},
        evaluation={"every_updates": 1, "greedy": "both"},
    )
    _, records, _ = train(config)
    names = {name for record in records for name in record.metrics if not is_result(name)}
    assert names >= {"evaluation/sampled_return_mean", "learner/explained_variance", "learner/kl"}

    names |= sample([*make_monitors(), GPUs(8)])["metrics"].keys() | ON_EVERY_MACHINE

    assert len(names) <= 60


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

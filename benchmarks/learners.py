"""Several learners on one machine: seconds of learning per update, with 1, 2 and 4 of them.

    .venv/bin/python benchmarks/learners.py

The same run for each number, in turn, on a local Ray with one worker: once with a wide network of
one's own, which is called in one thread per process, and once with the built-in one, whose learner
takes several threads by itself. Whatever the number, the last weights must be the same bits.
"""

import argparse
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

import results
import runs
import torch
from torch import nn

NUM_COUNTED = 8
"""The last updates of a run; before them the other learners are still starting."""

WIDTH = 512


class Wide(nn.Module):
    """Two wide layers, as a user would write them."""

    def __init__(self, observation_shapes: dict[str, tuple[int, ...]], num_outputs: int) -> None:
        super().__init__()
        inputs = sum(torch.Size(shape).numel() for shape in observation_shapes.values())
        self.layers = nn.Sequential(
            *(nn.Linear(inputs, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh()),
            nn.Linear(WIDTH, num_outputs),
        )

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return logits [n, num_outputs]."""
        parts = [part.float().flatten(start_dim=1) for part in observations.values()]
        return self.layers(torch.cat(parts, dim=1))


NETWORKS: dict[str, dict[str, Any]] = {
    f"own, 2 x {WIDTH}": {"policy.kind": "learners:Wide"},
    f"mlp, 2 x {WIDTH}": {"policy.hidden_sizes": [WIDTH, WIDTH]},
}


def measure(network: str, num_learners: int, updates: int, folder: Path) -> dict[str, Any]:
    """Return the median seconds of learning, the steps of a batch, and the last weights' digest.

    Raises:
        RuntimeError: The other learners had not started when the counted updates began.
    """
    name = f"{len(list(folder.iterdir()))}-{num_learners}"
    settings = {
        **runs.WITHOUT_EXTRAS,
        **NETWORKS[network],
        "environment.id": "CartPole-v1",
        "stop.max_updates": updates,
        "workers.num_workers": 1,
        "workers.envs_per_worker": 512,
        "workers.episodes_per_ticket": 512,
        "learner.episodes_per_update": 512,
        "learner.learning_rate": 1e-5,  # episodes, and so batches, stay short
        "learner.num_learners": num_learners,
        "cluster.backend": "ray",
    }
    counted = runs.finish(runs.start(folder, name, settings), folder, name)[-NUM_COUNTED:]
    log = (folder / f"{name}.log").read_text()
    before, found, _ = log.partition(f"{num_learners} learners share each gradient")
    num_before = max(map(int, re.findall(r"update +(\d+)", before)), default=0)
    if num_learners > 1 and not (found and num_before <= updates - NUM_COUNTED):
        raise RuntimeError(f"the other learners came too late:\n{log}")
    return {
        "learning_s": statistics.median(row["metrics"]["time/learning_s"] for row in counted),
        "batch_steps": round(
            statistics.median(sum(row["batch"]["episode_lengths"]) for row in counted)
        ),
        "weights": counted[-1]["weights_sha256"],
    }


def main() -> None:
    """Measure all in turn, check the weights, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=25)
    parser.add_argument("--learners", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    rows = []
    for network in NETWORKS:
        found: dict[int, list[dict[str, Any]]] = {number: [] for number in arguments.learners}
        with tempfile.TemporaryDirectory() as folder:
            for number, measured in [*found.items()] * arguments.rounds:
                measured.append(measure(network, number, arguments.updates, Path(folder)))
                print(network, number, measured[-1], flush=True)
        rows += rows_of(network, found)
    results.write("learners", rows, results.this_command(), folder=arguments.output)


def rows_of(network: str, found: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row per number of learners; the ratios are to the first number, round by round.

    Raises:
        RuntimeError: The weights differ.
    """
    if len({run["weights"] for measured in found.values() for run in measured}) > 1:
        raise RuntimeError(f"{network}: the weights depend on the number of learners: {found}")
    baseline = next(iter(found.values()))
    rows = []
    for number, measured in found.items():
        ratios = [
            one["learning_s"] / run["learning_s"]
            for one, run in zip(baseline, measured, strict=True)
        ]
        rows.append(
            {
                "network": network,
                "learners": number,
                "batch_steps": measured[0]["batch_steps"],
                "learning_ms": 1e3 * statistics.median(run["learning_s"] for run in measured),
                "speed": statistics.median(ratios),
                "speed_min": min(ratios),
                "speed_max": max(ratios),
            }
        )
    return rows


if __name__ == "__main__":
    main()

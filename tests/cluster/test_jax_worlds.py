"""A world in JAX on Ray: the number of workers changes only the speed."""

import importlib.util
import subprocess
import sys

import pytest
from runs import train

from reinforce.cluster.run_lifecycle import open_backend


def needs(package):
    return pytest.mark.skipif(
        not importlib.util.find_spec(package),
        reason=f"pip install 'distributed-reinforce[{package}]' installs it",
    )


@pytest.mark.ray
@pytest.mark.filterwarnings(
    r"ignore:os\.fork\(\) was called:RuntimeWarning", "default:::(jumanji|esquilax|chex)"
)
@pytest.mark.parametrize(
    "world",
    [
        pytest.param("gymnax/FourRooms-misc", marks=needs("gymnax")),
        pytest.param("jumanji/Game2048-v1", marks=needs("jumanji")),
    ],
)
def test_any_number_of_workers_gives_the_same_batches_and_weights(
    make_config, display, actors, world
):
    results = []
    for opener, num_workers in [(open_backend, 1), (actors.backend, 1), (actors.backend, 3)]:
        config = make_config(
            run={"name": f"{opener.__module__}-{num_workers}"},
            environment={"id": world, "max_episode_steps": 50},
            stop={"max_updates": 3},
            learner={"episodes_per_update": 12},
            workers={"envs_per_worker": 2, "episodes_per_ticket": 3, "num_workers": num_workers},
            evaluation={"episodes": 6, "every_updates": 2},
        )
        outcome, records, _ = train(config, display, open_backend=opener)
        batches = [record.batch.sha256 for record in records if record.batch]
        results.append((outcome.weights_sha256, batches, outcome.evaluation))

    assert len({*results[0][1]}) == 3
    assert results[0] == results[1] == results[2]


@pytest.mark.ray
@needs("gymnax")
def test_ray_starts_beside_jax_without_a_word(tmp_path):
    """Ray forks from a process in which JAX has threads, of which JAX warns."""
    command = [sys.executable, "-m", "reinforce", "train", "cartpole", "--stop.max_updates", "1"]
    settings = {
        "run.directory": str(tmp_path),
        "environment.id": "gymnax/CartPole-v1",
        "workers.num_workers": "1",
        "tracking.enabled": "false",
    }
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]

    result = subprocess.run([*command, *options], capture_output=True, timeout=200, check=False)

    assert result.returncode == 0, result.stderr.decode()
    assert b"Warning" not in result.stderr

"""Timings are no tests; that the benchmarks run is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
GUARDED = ["--base", "HEAD", "--only", "steps", "--scale", "0.02"]
SMALL = ["--rounds", "1", "--steps", "40", "--sizes", "8", "16"]


def printed_by(name, arguments):
    result = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_cost_of_tracking_is_that_of_all_the_time_and_not_of_the_seconds_it_works_in():
    """In one second of two the follower does the work of both: 20 products of 200 are lost."""
    import numpy as np
    from tracking import loss

    with_it, without = np.array([80, 80, 80]), np.array([100, 100, 100])

    assert loss(with_it, without) == pytest.approx(10.0)
    assert loss(np.array([[80], [90]]), np.array([[100], [100]])) == pytest.approx([10.0, 5.0])


def test_the_guard_fails_beyond_its_limit_with_the_confidence_asked_for():
    import numpy as np
    from guard import is_slower

    noise = np.random.default_rng(0).lognormal(0.0, 0.05, 20)

    assert is_slower(1.25 * noise, 1.15, 0.99)
    assert not is_slower(1.1 * noise, 1.15, 0.99)
    assert not is_slower(1.25 * noise[:6], 1.15, 0.99), "six rounds show 98 % at most"
    assert is_slower(1.25 * noise[:7], 1.15, 0.99)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("inference", ["--rounds", "1", "--calls", "2"]),
        ("guard", [*GUARDED, "--rounds", "2", "--confidence", "0.5", "--limit", "100"]),
        ("tracking", ["store", "--points", "2000"]),
        ("tracking", ["cost", "--seconds", "1", "--store", "refused"]),
        ("tracking", ["cost", "--seconds", "1", "--store", "silent"]),
        pytest.param("cartpole_seeds", ["--help"], id="cartpole_seeds"),
        pytest.param("warm_start", ["--help"], id="warm_start"),
        pytest.param("kl_limit", ["--help"], id="kl_limit"),
        pytest.param("sweep_pruning", ["--help"], id="sweep_pruning"),
    ],
)
def test_the_benchmark_runs(name, arguments):
    assert printed_by(name, arguments)


def on_ray(name, arguments):
    return pytest.param(name, arguments, id=name, marks=[pytest.mark.ray, pytest.mark.benchmarks])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param(
            *("learner_step", ["--rounds", "1", "--steps", "2048"]),
            id="learner_step",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("rollout", ["--rounds", "1", "--only", "Discrete"]),
            id="rollout",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("learner_gpu", ["--device", "cpu", "--compiled", "no", *SMALL]),
            id="learner_gpu",
            marks=pytest.mark.slow,
        ),
        on_ray("limit", ["--rounds", "1", "--scale", "0.02", "--only", "CartPole-v1"]),
        on_ray("vector", ["--rounds", "1", "--lanes", "8", "--updates", "5"]),
        on_ray("backends", ["--rounds", "1", "--updates", "5"]),
        on_ray(
            "scaling",
            ["--workers", "1", "--tickets", "4", "--episode-steps", "20", "40", "--seconds", "1"],
        ),
        on_ray(
            "scaling_model",
            ["--workers", "2", "--tickets", "4", "--episode-steps", "20", "40", "--seconds", "1"],
        ),
        on_ray("startup", ["--rounds", "1"]),
        on_ray("learners", ["--rounds", "1", "--updates", "9", "--learners", "1"]),
        on_ray("worker", ["--workers", "2"]),
        on_ray("broadcast", ["--rounds", "2", "--megabytes", "0.1"]),
    ],
)
def test_the_benchmark_writes_its_rows_with_the_command_that_made_them(name, arguments, tmp_path):
    printed_by(name, [*arguments, "--output", str(tmp_path)])
    written = json.loads(min(tmp_path.glob(f"{name}*.json")).read_text())
    assert written["rows"]
    assert written["command"].startswith(f"benchmarks/{name}.py {arguments[0]}")

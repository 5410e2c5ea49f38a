"""Timings are no tests; that the benchmarks run is."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("inference", ["--rounds", "1", "--calls", "2"]),
        ("tracking", ["store", "--points", "2000"]),
        pytest.param("cartpole_seeds", ["--help"], id="cartpole_seeds"),
    ],
)
def test_the_benchmark_runs(name, arguments):
    result = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout

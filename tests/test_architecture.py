"""The floors hold, the walls stand, and files stay small: read from the source, not believed."""

import ast
import sys
from pathlib import Path

import pytest

from reinforce.configs.config import Config

ROOT = Path(__file__).parent.parent
FLOORS = ["configs", "learner", "workers", "cluster"]
SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))

ALLOWED = {
    "configs": {"pydantic", "pydantic_core", "yaml"},
    "learner": {"numpy", "torch", "threadpoolctl"},
    "workers": {"numpy", "gymnasium", "threadpoolctl"},
    "cluster": {
        "numpy",
        "ray",
        "mlflow",
        "tyro",
        "rich",
        "yaml",
        "safetensors",
        "matplotlib",
        "fsspec",
        *("av", "onnx", "onnxruntime", "optuna"),  # extras
        "psutil",
    },
}

OF_THE_LEARNER_FOR_WORKERS = {
    *(
        "reinforce.learner.policies.policy",
        "reinforce.learner.policies.trajectories",
        "reinforce.learner.policies.weights",
    ),
    *(
        "reinforce.learner.policies.architecture",
        "reinforce.learner.policies.distributions",
        "reinforce.learner.policies.spaces",
    ),
}
"""The policy with what it sees, does and says, its weights, and what it is to fill in."""


def imports_of(path):
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only_and_stay_inside_the_walls(path):
    floor = path.relative_to(ROOT).parts[0]
    lower = set(FLOORS[: FLOORS.index(floor) + 1])

    for module in imports_of(path):
        top = module.split(".")[0]
        if top in FLOORS:
            assert top in lower, f"{floor} must not import {module}"
        elif top not in sys.stdlib_module_names:
            assert top in ALLOWED[floor], f"{floor} must not know {module}"


def test_workers_take_of_the_learner_only_policy_trajectories_and_weights():
    taken = {
        module
        for path in (ROOT / "workers").rglob("*.py")
        for module in imports_of(path)
        if module.startswith("learner")
    }

    assert taken <= OF_THE_LEARNER_FOR_WORKERS


def test_what_crosses_a_process_knows_no_torch():
    """Drivers and rollout workers unpack these; Torch would cost each of them seconds."""
    with_torch = {
        path.stem for path in (ROOT / "learner").glob("*.py") if "torch" in set(imports_of(path))
    }

    assert with_torch == {
        *("learner", "loss", "network", "optimizer", "value_baseline", "torch_distributions"),
        *("convolution", "recurrence", "user_module", "torch_policy", "computation"),
        *("policy_passes", "activations"),
    }


@pytest.mark.parametrize("package", ["ray", "mlflow"])
def test_ray_and_mlflow_are_imported_by_few(package):
    users = {
        path.stem
        for path in SOURCES
        if any(module.split(".")[0] == package for module in imports_of(path))
    }

    assert (
        users
        == {
            "ray": {
                "ray_session",
                "ray_actors",
                "ray_pool",
                "ray_failures",
                "ray_learner",
                "ray_processes",
                "ray_backend",
                "worker_target",
                "cluster_probe",
                "capacity",
                "ray_jobs",
                "submit",
                "cluster_checks",
                "ray_metrics",
                "worker_logs",
            },
            "mlflow": {
                *("mlflow_run", "mlflow_experiment", "mlflow_models", "mlflow_store"),
                *("model_registry", "policy_model", "system_sampler"),
            },
        }[package]
    )


@pytest.mark.parametrize(
    "path",
    [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_file_of_code_has_more_than_300_lines(path):
    assert len(path.read_text().splitlines()) <= 300


def test_a_run_has_62_settings():
    """The wish was for fewer than 60; the reason for more is in decision 0074."""
    assert sum(len(field.annotation.model_fields) for field in Config.model_fields.values()) == 62


def test_no_function_has_more_than_40_lines_of_code():
    """The docstring is not counted."""
    long = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and node.body[1:] else node.body[0]
                if node.end_lineno - first.lineno + 1 > 40:
                    long.append(f"{path.name}: {node.name}")

    assert long == []


def test_no_module_carries_the_name_of_one_of_the_standard_library():
    assert [path for path in SOURCES if path.stem in sys.stdlib_module_names - {"__main__"}] == []


def test_nothing_read_from_disk_is_unpickled():
    for path in SOURCES:
        text = path.read_text()
        for word in ("import pickle", "pickle.load", "torch.load", "yaml.load(", "allow_pickle"):
            assert word not in text, f"{path} says {word}"

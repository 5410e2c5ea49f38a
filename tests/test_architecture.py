"""Imports go down only, without circles, and files stay readable: read from the source."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ["configs", "learner", "workers", "cluster", "reinforce"]
SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))

ALLOWED = {
    "configs": {"pydantic", "pydantic_core", "yaml"},
    "learner": {"numpy", "torch", "threadpoolctl"},
    "workers": {
        *("numpy", "gymnasium", "threadpoolctl"),
        *("gymnax", "jax", "jumanji", "mujoco_playground"),  # extras
    },
    "cluster": {
        *("numpy", "scipy", "ray", "mlflow", "tyro", "rich", "yaml", "safetensors"),
        *("matplotlib", "fsspec", "psutil", "pydantic"),
        "sqlalchemy",  # beneath MLflow's databases
        "grpc",  # beneath Ray's clusters
        *(
            "av",
            "onnx",
            "onnxruntime",
            "optuna",
            "tensorboard",
            "wandb",
            "huggingface_hub",
        ),  # extras
        "torch",  # in the program of a bundle
        "IPython",  # in the process of a notebook, which is built on it
    },
    "reinforce": {"gymnasium", "numpy", "pandas"},
}

WITH_TORCH = {
    "learner/networks",
    *(
        f"learner/{name}.py"
        for name in (
            *("learner", "gradient", "loss", "device", "imitation"),
            *("optimizer", "step_limit"),
        )
    ),
    "learner/advantages/value_baseline.py",
    "cluster/export/predict.py",  # which runs by itself, and only for a network of the user's own
    "cluster/sweeps/proposals.py",  # only for the Gaussian process, which Optuna fits with it
}
"""Nothing else may import it: drivers and rollout workers would wait seconds for it."""

WITH_RAY = {
    "cluster/backends/ray",
    "cluster/submission",
    "cluster/doctor/cluster_checks.py",
}
WITH_MLFLOW = {"cluster/tracking"}
WITH_JAX = {
    "workers/functional_environment.py",
    *(f"workers/{name}_worlds.py" for name in ("gymnax", "jumanji", "playground")),
}


def imports_of(path):
    """Yield every module that a file imports, anywhere in it, with the names that it takes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, tuple(alias.name for alias in node.names)


def own_imports_of(path):
    """Yield the files of ours that a file imports, relative to the root."""
    for module, names in imports_of(path):
        if not module.startswith("reinforce."):
            continue
        place = Path(*module.split(".")[1:])
        for name in names or ("",):
            for candidate in (
                place / f"{name}.py",
                place.with_suffix(".py"),
                place / "__init__.py",
            ):
                if (ROOT / candidate).is_file():
                    yield candidate
                    break


def users_of(package):
    return [
        path.relative_to(ROOT)
        for path in SOURCES
        if any(module.split(".")[0] == package for module, _ in imports_of(path))
    ]


def is_inside(path, places):
    return any(path.is_relative_to(place) for place in places)


def test_imports_go_down_only_and_stay_inside_the_walls():
    wrong = []
    for path in SOURCES:
        floor = path.relative_to(ROOT).parts[0]
        lower = FLOORS[: FLOORS.index(floor) + 1]
        wrong += [(path, used) for used in own_imports_of(path) if used.parts[0] not in lower]
        for module, _ in imports_of(path):
            top = module.split(".")[0]
            if top not in {"reinforce", *sys.stdlib_module_names, *ALLOWED[floor]}:
                wrong.append((path, module))

    assert wrong == []


@pytest.mark.parametrize("floor", FLOORS)
def test_neither_files_nor_folders_import_each_other_in_circles(floor):
    """In each folder, its files and subfolders are held against each other as a whole."""
    for folder in [ROOT / floor, *(path for path in (ROOT / floor).rglob("*") if path.is_dir())]:
        place = folder.relative_to(ROOT)
        graph = {}
        for path in folder.rglob("*.py"):
            user = path.relative_to(folder).parts[0]
            used = {
                u.relative_to(place).parts[0] for u in own_imports_of(path) if is_inside(u, [place])
            }
            graph.setdefault(user, set()).update(used - {user})
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            pytest.fail(f"a circle in {place}/: {' <- '.join(error.args[1])}")


def test_workers_take_of_the_learner_only_its_policies_and_what_picks_one():
    taken = {used for path in (ROOT / "workers").rglob("*.py") for used in own_imports_of(path)}
    of_the_learner = {used for used in taken if used.parts[0] == "learner"}

    assert all(is_inside(u, ["learner/policies", "learner/make_policy.py"]) for u in of_the_learner)


@pytest.mark.parametrize(
    ("package", "places"),
    [
        ("torch", WITH_TORCH),
        ("ray", WITH_RAY),
        ("mlflow", WITH_MLFLOW),
        ("jax", WITH_JAX),
        ("gymnax", WITH_JAX),
        ("jumanji", WITH_JAX),
        ("mujoco_playground", WITH_JAX),
    ],
)
def test_heavy_packages_are_imported_in_few_places(package, places):
    assert [user for user in users_of(package) if not is_inside(user, places)] == []


def test_private_names_of_ray_are_touched_in_one_module():
    private = ("ray._", "ray.dashboard", "ray.core")
    users = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for module, _ in imports_of(path)
        if module.startswith(private)
    }

    assert users == {"cluster/backends/ray/private.py"}


def test_files_and_functions_are_short_enough_to_read():
    """The docstring of a function is not counted. A longer file needs a reviewer's excuse here."""
    long = [
        str(path.relative_to(ROOT))
        for path in [*SOURCES, *(ROOT / "benchmarks").rglob("*.py")]
        if len(path.read_text().splitlines()) > 400
    ]
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and node.body[1:] else node.body[0]
                if node.end_lineno - first.lineno + 1 > 40:
                    long.append(f"{path.name}: {node.name}")

    assert long == []


def test_nothing_read_from_disk_is_unpickled():
    words = ("import pickle", "pickle.load", "torch.load", "yaml.load(", "allow_pickle")

    assert [(p, word) for p in SOURCES for word in words if word in p.read_text()] == []


def test_nothing_stands_behind_the_guard_of_a_program():
    """It would not exist yet when the program runs."""
    guard = "if __name__ == '__main__':"
    late = [
        path
        for path in SOURCES
        for statement in ast.parse(path.read_text()).body[:-1]
        if ast.unparse(statement).startswith(guard)
    ]

    assert late == []

"""What of the current directory a job takes along, and what is said before it is sent."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from reinforce.cluster.errors import UsageError
from reinforce.cluster.submission.working_directory import LIMIT_BYTES, WorkingDirectory


@pytest.fixture
def folder(tmp_path):
    for name in ("mine.yaml", "envs/maze.py", "runs/a/config.yaml", ".venv/x", "mlflow.db"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(directory):
    return [str(path) for path in directory.files]


def test_what_runs_leave_behind_and_what_is_hidden_stays_here(folder):
    directory = WorkingDirectory.of(folder)

    assert names(directory) == ["envs/maze.py", "mine.yaml"]
    assert directory.left_out == (".venv", "mlflow.db", "runs")


OUTPUTS = (
    *("train.log", "train.log.1", "envs/maze.log", "nohup.out", "slurm-17.out"),
    *("results/a/config.yaml", "results/a/metrics.jsonl", "results/a/checkpoints/1.safetensors"),
    *("tried/sweep.yaml", "tried/study.jsonl", "tried/configs/trial-0000-seed-0.yaml"),
)


@pytest.mark.parametrize("is_checkout", [False, True])
def test_logs_runs_and_sweeps_change_nothing_and_are_said_to_stay(
    folder, tmp_path_factory, is_checkout
):
    """The same --run.name would be refused after them, as one with other files."""
    if is_checkout:
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    first = WorkingDirectory.of(folder).pack(tmp_path_factory.mktemp("one"))
    for name in OUTPUTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")

    directory = WorkingDirectory.of(folder)

    assert directory.pack(tmp_path_factory.mktemp("two")).name == first.name
    assert {"train.log", "envs/maze.log", "results", "tried"} <= set(directory.left_out)


def test_files_that_only_look_like_a_runs_are_taken_along(folder):
    for name in ("data/metrics.jsonl", "logs/maze.py", "sweeps/sweep.yaml", "metrics.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    (folder / "config.yaml").write_text("")  # the folder itself is what was asked for

    taken = set(names(WorkingDirectory.of(folder)))

    assert {"data/metrics.jsonl", "logs/maze.py", "sweeps/sweep.yaml", "metrics.jsonl"} <= taken


def test_what_the_command_prints_into_stays_whatever_its_name(folder):
    program = (
        "from pathlib import Path\n"
        "from reinforce.cluster.submission.working_directory import WorkingDirectory\n"
        "assert 'said.txt' not in map(str, WorkingDirectory.of(Path.cwd()).files)\n"
    )
    with (folder / "said.txt").open("w") as said:
        subprocess.run([sys.executable, "-c", program], cwd=folder, stdout=said, check=True)

    assert "said.txt" in names(WorkingDirectory.of(folder))


def test_in_a_checkout_git_says_what_belongs_to_it(folder):
    (folder / ".gitignore").write_text("*.bin\n")
    (folder / "envs" / "large.bin").write_text("x")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)

    assert names(WorkingDirectory.of(folder)) == ["envs/maze.py", "mine.yaml"]


def test_the_same_files_are_the_same_package_whenever_they_were_written(folder, tmp_path_factory):
    first = WorkingDirectory.of(folder).pack(tmp_path_factory.mktemp("one"))
    (folder / "mine.yaml").touch()
    second = WorkingDirectory.of(folder).pack(tmp_path_factory.mktemp("two"))
    (folder / "mine.yaml").write_text("changed")
    third = WorkingDirectory.of(folder).pack(tmp_path_factory.mktemp("three"))

    assert first.name == second.name != third.name
    assert zipfile.ZipFile(first).namelist() == ["envs/maze.py", "mine.yaml"]


def test_more_than_ray_takes_is_refused_with_the_largest_files(folder):
    with (folder / "data.bin").open("wb") as file:
        file.truncate(LIMIT_BYTES + 1)  # a hole: it takes no room

    with pytest.raises(UsageError, match=r"512\.0 MiB; the largest: data\.bin \(512\.0 MiB\)"):
        WorkingDirectory.of(folder)


def test_a_package_that_would_hide_ours_on_the_cluster_is_refused(folder):
    for name in ("configs", "reinforce"):
        (folder / name).mkdir()
        (folder / name / "mine.yaml").write_text("")
    (folder / "configs" / "__init__.py").write_text("")
    assert "configs/__init__.py" in names(WorkingDirectory.of(folder))

    (folder / "reinforce" / "__init__.py").write_text("")
    with pytest.raises(UsageError, match="holds a Python package 'reinforce'"):
        WorkingDirectory.of(folder)


@pytest.mark.parametrize("is_checkout", [False, True])
def test_the_files_behind_a_link_to_a_folder_are_taken_along_once(folder, is_checkout):
    if is_checkout:
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / "linked").symlink_to("envs")
    (folder / "envs" / "itself").symlink_to("../envs")

    expected = ["envs/itself/maze.py", "envs/maze.py", "linked/maze.py", "mine.yaml"]
    assert names(WorkingDirectory.of(folder)) == expected


@pytest.mark.parametrize("is_checkout", [False, True])
def test_what_is_ignored_or_elsewhere_does_not_travel_through_a_link(
    folder, tmp_path_factory, is_checkout
):
    if is_checkout:
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        (folder / ".gitignore").write_text("maze.py\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "private.txt").write_text("")
    (folder / "linked").symlink_to("envs")
    (folder / "data").symlink_to(elsewhere)

    expected = ["mine.yaml"] if is_checkout else ["envs/maze.py", "linked/maze.py", "mine.yaml"]
    assert names(WorkingDirectory.of(folder)) == expected


def test_a_reinforce_of_the_users_hides_this_project_only_if_it_travels(folder):
    (folder / "reinforce.py").write_text("")
    with pytest.raises(UsageError, match="would hide this project"):
        WorkingDirectory.of(folder)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".gitignore").write_text("reinforce.py\n")

    assert "reinforce.py" not in names(WorkingDirectory.of(folder))


def test_our_own_checkout_is_known_as_such_and_taken_along_under_its_one_name():
    directory = WorkingDirectory.of(Path(__file__).parents[3])

    assert directory.is_our_checkout
    assert {"reinforce/__main__.py", "reinforce/cluster/cli.py"} <= set(names(directory))

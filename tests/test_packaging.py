"""What is installed: one package, the presets and one command, and no name taken from others."""

import tomllib
import zipfile
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest

from reinforce.configs.loading import preset_names

ROOT = Path(__file__).parent.parent
FLOORS = {"configs", "learner", "workers", "cluster"}


@pytest.fixture(scope="module")
def wheel(wheel_file):
    return zipfile.ZipFile(wheel_file)


def test_the_wheel_holds_one_package_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"reinforce"}


def test_the_wheel_holds_every_module_preset_and_agent(wheel):
    names = set(wheel.namelist())

    for floor in FLOORS:
        for path in (ROOT / floor).rglob("*.py"):
            assert f"reinforce/{path.relative_to(ROOT)}" in names
    for preset in preset_names():
        assert f"reinforce/configs/presets/{preset}.yaml" in names
    for agent in (ROOT / "cluster" / "zoo" / "agents").rglob("*.*"):
        assert f"reinforce/{agent.relative_to(ROOT)}" in names


def test_the_console_script_is_the_command_line():
    (script,) = metadata.entry_points(group="console_scripts", name="reinforce")

    assert script.value == "reinforce.__main__:main"


def test_no_other_installed_distribution_uses_our_name():
    owners = metadata.packages_distributions()

    assert set(owners.get("reinforce", [])) <= {"distributed-reinforce"}


def test_the_constraints_pin_every_dependency_and_torch_to_what_was_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line)

    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        name = requirement.split(">")[0].split("[")[0].strip().lower()
        assert name in {*pins, project["name"]}, f"{name} is not pinned"
    assert pins["torch"] == "2.13.0"

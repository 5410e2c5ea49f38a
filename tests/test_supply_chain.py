"""What others wrote and we install: pinned, with hashes, and looked through by machines."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ENTRY = re.compile(r"^([\w.-]+)==([^\s;]+)(.*?)(?=^[\w#]|\Z)", re.MULTILINE | re.DOTALL)
FROM_PYTORCH = re.compile(r"cuda-|nvidia-|triton$")
OTHER_SYSTEMS = {
    *("appnope", "colorama", "httpx2-jsfetch", "nest-asyncio", "pywin32", "tzdata", "waitress")
}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name):
    """Versions and hashes by package."""
    entries = ENTRY.findall((ROOT / "hashes" / name).read_text())
    return {
        canonical(package): (version, re.findall(r"--hash=sha256:([0-9a-f]{64})(?![0-9a-f])", rest))
        for package, version, rest in entries
    }


def pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if "==" in line)
    return {canonical(package): version for package, version in pins}


@pytest.mark.parametrize("name", ["image.txt", "dev.txt"])
def test_every_package_with_hashes_has_the_version_that_was_tested(name):
    versions, pins = locked(name), pinned()

    assert len(versions) > 100
    for package, (version, hashes) in versions.items():
        assert hashes, package
        if package in pins:
            assert version == pins[package], package
        else:  # not on this system, or what PyTorch from elsewhere would not need
            assert FROM_PYTORCH.match(package) or package in OTHER_SYSTEMS, package


def test_hashes_are_there_for_all_that_the_image_and_the_tests_install():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    server = project["optional-dependencies"]["server"]
    image = {
        canonical(re.match(r"[\w.-]+", each)[0]) for each in [*project["dependencies"], *server]
    }

    assert image <= set(locked("image.txt"))
    assert set(locked("image.txt")) <= set(locked("dev.txt")) >= set(pinned())


def test_the_image_is_built_with_hashes_unless_somebody_says_otherwise():
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    build = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-image"]["build"]

    assert "ARG REQUIRE_HASHES=1\n" in dockerfile
    assert build["args"]["REQUIRE_HASHES"] == "${REQUIRE_HASHES:-1}"
    assert '1) pins="--require-hashes --requirement image.txt" ;;' in dockerfile
    assert "!hashes/image.txt" in (ROOT / ".dockerignore").read_text().splitlines()


def test_known_vulnerabilities_are_looked_up_every_week_in_all_that_is_pinned():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "audit.yml").read_text())
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]

    assert workflow[True]["schedule"]  # YAML 1.1 reads `on` as true
    assert any("pip-audit" in line and "hashes/dev.txt" in line for line in commands)


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name
)
def test_no_workflow_may_write_to_the_repository(path):
    workflow = yaml.safe_load(path.read_text())

    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())


def test_the_linter_knows_what_bandit_knows_in_all_but_tests():
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]

    assert "S" in lint["select"]
    assert not any(rule.startswith("S") and rule[1:2].isdigit() for rule in lint["ignore"])
    without = {path for path, rules in lint["per-file-ignores"].items() if "S" in rules}
    assert without == {"tests/**"}


@pytest.mark.parametrize("asked_for", [True, False])
def test_make_takes_only_what_has_a_hash_if_asked_to(asked_for):
    command = ["make", "--dry-run", "--always-make", ".venv/.installed"]
    options = [f"REQUIRE_HASHES={int(asked_for)}"]
    said = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert ("--require-hashes --requirement hashes/dev.txt" in said) is asked_for
    assert ("--constraint constraints.txt" in said) is not asked_for

"""What the services run on, made without pulling anything: a Docker daemon, and images."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shell import run, step, wait_for, works

ROOT = Path(__file__).parent.parent.parent


def copy_project(target: Path) -> Path:
    """Copy what git knows, and make secrets there."""
    names = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT)
    for name in filter(None, names.splitlines()):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    run(["make", "secrets"], target)
    return target


@contextmanager
def docker_daemon(folder: Path) -> Iterator[None]:
    """Run a Docker daemon that keeps everything in one folder, and end it."""
    step("start a Docker daemon")
    socket = f"unix://{folder}/docker.sock"
    with (folder / "dockerd.log").open("w") as log:
        daemon = subprocess.Popen(
            [
                *["dockerd", "--host", socket, "--data-root", folder / "data"],
                *["--exec-root", folder / "exec", "--pidfile", folder / "docker.pid"],
                "--bridge=none",
            ],
            stdout=log,
            stderr=log,
        )
    os.environ["DOCKER_HOST"] = socket
    try:
        wait_for("the daemon", lambda: works(["docker", "info"]), 60)
        yield
    finally:
        daemon.terminate()
        daemon.wait(60)
        for mount in (folder / "exec" / "netns").glob("*"):
            subprocess.run(["umount", mount], check=False)


def make_images(folder: Path, project: Path, compose: list[str]) -> None:
    """Make the base image, collect wheels outside, and build ours and its neighbours'."""
    step("make a base image (debootstrap)")
    _import_base_image(folder / "bookworm")

    step("collect wheels")
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    download += ["--python-version", "3.11", "--constraint", "constraints.txt", "--dest"]
    needed = [*about["dependencies"], *about["optional-dependencies"]["server"], "setuptools"]
    run([*download, "wheels", *needed], project)
    here = project / "tests" / "compose"
    run([*download, here / "wheels", "moto[s3,server]"], project)

    step("build the images")
    os.environ |= {
        "BASE_IMAGE": "base",
        "BUILD_NETWORK": "host",
        "PIP_OPTIONS": "--no-index --find-links /src",
        "REQUIRE_HASHES": "0",  # torch is any build of its version here
        "POSTGRES_IMAGE": "database",
        "S3_IMAGE": "s3",
    }
    run([*compose, "build", "--quiet", "ray-head"], project)
    for name, file in (("database", "postgres.Dockerfile"), ("s3", "s3.Dockerfile")):
        build = [
            "docker",
            "build",
            "--quiet",
            "--network",
            "host",
            "--build-arg",
            "BASE_IMAGE=base",
        ]
        run([*build, "--file", here / file, "--tag", name, here])


def _import_base_image(system: Path) -> None:
    packages = "--include=python3,python3-pip,python3-venv,ca-certificates"
    run(["debootstrap", "--variant=minbase", packages, "bookworm", system])
    with subprocess.Popen(["tar", "-C", system, "-c", "."], stdout=subprocess.PIPE) as archive:
        subprocess.run(
            ["docker", "import", "-", "base"],
            stdin=archive.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    shutil.rmtree(system)

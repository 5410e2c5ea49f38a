"""The services of docker-compose.yml for real: built, trained on, hurt, read back, and taken down.

    make compose-test     (as root, on Debian with docker.io, docker-compose and debootstrap)

Everything happens in a temporary copy of the project, with a Docker daemon of its own, so that
nothing is left. No image is pulled: debootstrap makes the base image, and Debian's PostgreSQL
stands in for the official image (tests/compose/postgres.Dockerfile).
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("dockerd", "docker", "docker-compose", "debootstrap")
RAY_PORT, MLFLOW_PORT = "18265", "15000"  # the usual ones may be taken on this machine
RAY = f"http://127.0.0.1:{RAY_PORT}"
MLFLOW = f"http://127.0.0.1:{MLFLOW_PORT}"
RUN = [
    *["cartpole", "--run.name", "compose-test", "--stop.target_return", "None"],
    *["--stop.max_environment_steps", "None", "--stop.max_updates", "30"],
    *["--learner.episodes_per_update", "256"],
]
"""Long enough to kill a container in the middle of it."""


def main() -> int:
    """Run every step; return 0 if all of them show what they should."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing or os.geteuid():
        print(f"needs root and {', '.join(missing) or 'nothing else'}", file=sys.stderr)
        print("apt-get install docker.io docker-compose debootstrap", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="compose-") as name:
        folder = Path(name)
        project = copy_project(folder / "reinforce")
        with docker_daemon(folder):
            make_images(folder, project)
            try:
                prove(project)
            except BaseException:
                subprocess.run(["docker-compose", "logs", "--tail=5"], cwd=project, check=False)
                raise
            finally:
                step("take everything down")
                compose(project, "down", "--volumes", "--timeout", "45")
            expect("no container is left", run(["docker", "ps", "--all", "--quiet"]) == "")
    print("passed")
    return 0


def prove(project: Path) -> None:
    """Start the services, train through the loss of a container, and look at what remains."""
    step("start with three workers")
    compose(project, "up", "--detach", "--scale", "ray-worker=3", "--no-build")
    wait_until_healthy(project, 6)
    published = run(["docker", "ps", "--format", "{{.Ports}}"])
    expect("all is published on 127.0.0.1", "0.0.0.0:" not in published and ":::" not in published)

    step("ask without a token")
    expect("the job API answers 401", status_of(f"{RAY}/api/jobs/") == 401)
    token = (project / "secrets" / "ray_token").read_text()
    expect("and 200 with it", status_of(f"{RAY}/api/jobs/", token) == 200)
    expect("a wrong one is refused", status_of(f"{RAY}/api/jobs/", "0" * 64) in (401, 403))
    result = compose_run(project, "-e", "RAY_AUTH_TOKEN=wrong", "train", "cartpole")
    expect("submit says so", result.returncode == 2 and "must share a token" in result.stderr)

    step("train, and kill a worker's container meanwhile")
    said = train_and_kill(project)
    expect("the job succeeded", "status      finished (max_updates)" in said)

    step("the same run in one process")
    inline = compose_run(
        project,
        *["--entrypoint", "reinforce", "-e", "RAY_API_SERVER_ADDRESS=", "train", "train", *RUN],
        *["--cluster.backend", "inline", "--tracking.enabled", "false"],
        *["--run.directory", "/tmp/runs"],
    )
    expect("gives the same weights", weights_in(said) == weights_in(inline.stdout))

    step("read the run back through MLflow")
    check_mlflow(token)
    expect("no container says the token", token not in run(["docker-compose", "logs"], project))
    wait_until_healthy(project, 6)


def train_and_kill(project: Path) -> str:
    """Train; once it makes updates, kill the first process of a worker's container."""
    process = subprocess.Popen(
        ["docker-compose", "run", "--rm", "-T", "train", *RUN],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, victim = "", ""
    for line in process.stdout or ():
        said += line
        if not victim and re.match(r"update +\d+  steps", line):
            victim = run(["docker-compose", "ps", "-q", "ray-worker"], project).split()[0]
            pid = int(run(["docker", "inspect", "--format", "{{.State.Pid}}", victim]))
            os.kill(pid, signal.SIGKILL)
            said += f"-- killed container {victim[:12]}\n"
    print(said)
    expect("a container was killed", bool(victim))
    expect("the exit code is 0", process.wait(60) == 0)
    restarts = run(["docker", "inspect", "--format", "{{.RestartCount}}", victim])
    expect("Docker has started it again", int(restarts) == 1)
    return said


def check_mlflow(token: str) -> None:
    """The run is there, finished, whole, and knows of the lost worker."""
    experiment = mlflow("experiments/get-by-name?experiment_name=reinforce")["experiment"]
    (found,) = mlflow("runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    metrics = {metric["key"]: metric["value"] for metric in found["data"]["metrics"]}
    expect("it is finished", found["info"]["status"] == "FINISHED")
    expect("with 30 updates", metrics["progress/updates"] == 30)
    expect("and one worker replaced", metrics["cluster/worker_restarts"] == 1)
    files = mlflow(f"artifacts/list?run_id={found['info']['run_id']}").get("files", [])
    expect("its artifacts are in the store", len(files) > 0)
    expect("none of it says the token", token not in json.dumps(found))


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
        wait_for("the daemon", lambda: status_of_command(["docker", "info"]) == 0, 60)
        yield
    finally:
        daemon.terminate()
        daemon.wait(60)
        for mount in (folder / "exec" / "netns").glob("*"):
            subprocess.run(["umount", mount], check=False)


def make_images(folder: Path, project: Path) -> None:
    """Make the base image, collect wheels outside, and build ours and the database's."""
    step("make a base image (debootstrap)")
    system = folder / "bookworm"
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

    step("collect wheels")
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    download = ["download", "--quiet", "--dest", "wheels", "--constraint", "constraints.txt"]
    pip = [sys.executable, "-m", "pip", *download, "--python-version", "3.11"]
    needed = [*about["dependencies"], *about["optional-dependencies"]["server"], "setuptools"]
    run([*pip, "--only-binary=:all:", *needed], project)

    step("build the images")
    os.environ |= {
        "BASE_IMAGE": "base",
        "BUILD_NETWORK": "host",
        "PIP_OPTIONS": "--no-index --find-links /src",
        "POSTGRES_IMAGE": "database",
        "COMPOSE_PROJECT_NAME": "compose-test",
        "RAY_PORT": RAY_PORT,
        "MLFLOW_PORT": MLFLOW_PORT,
    }
    compose(project, "--file", "docker-compose.yml", "--file", "docker-compose.s3.yml", "config")
    compose(project, "build", "--quiet", "ray-head")
    build = ["docker", "build", "--quiet", "--network", "host", "--build-arg", "BASE_IMAGE=base"]
    here = project / "tests" / "compose"
    run([*build, "--file", here / "postgres.Dockerfile", "--tag", "database", here])


def wait_until_healthy(project: Path, count: int) -> None:
    """Wait until so many containers say that they are healthy."""

    def healthy() -> bool:
        names = run(["docker", "ps", "--filter", "health=healthy", "--quiet"])
        return len(names.split()) == count

    wait_for(f"{count} healthy containers", healthy, 180)


def wait_for(what: str, condition: Any, seconds: float) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"FAILED: waited {seconds:.0f} s for {what}")
        time.sleep(1)


def status_of(url: str, token: str | None = None) -> int:
    """Return the status of an HTTP answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as ok:
            return int(ok.status)
    except urllib.error.HTTPError as error:
        return error.code


def mlflow(path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask MLflow's REST API."""
    request = urllib.request.Request(
        f"{MLFLOW}/api/2.0/mlflow/{path}",
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def weights_in(said: str) -> str:
    """Return the digest of the weights that a run prints at its end."""
    found = re.search(r"sha256 ([0-9a-f]{64})", said)
    return found[1] if found else f"none in {said!r} {secrets.token_hex(4)}"


def compose(project: Path, *arguments: str) -> str:
    """Run docker-compose."""
    return run(["docker-compose", *arguments], project)


def compose_run(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run one service's command to its end."""
    return subprocess.run(
        ["docker-compose", "run", "--rm", "-T", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run(command: list[Any], cwd: Path | None = None) -> str:
    """Return what a command prints; end with what it says if it fails."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode:
        print(result.stdout[-4000:], result.stderr[-4000:], file=sys.stderr)
        raise SystemExit(f"FAILED: {' '.join(map(str, command))} ended with {result.returncode}")
    return result.stdout.strip()


def status_of_command(command: list[str]) -> int:
    """Return the exit code of a command, in silence."""
    return subprocess.run(command, capture_output=True, check=False).returncode


def step(title: str) -> None:
    """Say what comes next, and when."""
    print(f"{time.strftime('%H:%M:%S')} {title}", flush=True)


def expect(what: str, holds: bool) -> None:  # noqa: FBT001
    """End here unless a statement holds."""
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    print(f"         {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The services of docker-compose.yml for real: built, trained on, hurt, read back, and taken down.

    make compose-test     (as root, on Debian with docker.io, docker-compose and debootstrap)

Everything happens in a temporary copy of the project, with a Docker daemon of its own, so that
nothing is left. No image is pulled: debootstrap makes the base image, Debian's PostgreSQL and moto
stand in for the official images. All is shown with docker-compose 1.29 and with `docker compose`,
whichever are there.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from images import copy_project, docker_daemon, make_images
from shell import expect, run, step, wait_for, works

NEEDED = ("dockerd", "docker", "debootstrap")
RAY_PORT, MLFLOW_PORT = "18265", "15000"  # the usual ones may be taken on this machine
RAY = f"http://127.0.0.1:{RAY_PORT}"
MLFLOW = f"http://127.0.0.1:{MLFLOW_PORT}"
RUN = [
    *["cartpole", "--run.name", "compose-test", "--stop.target_return", "None"],
    *["--stop.max_environment_steps", "None", "--stop.max_updates", "30"],
    *["--learner.episodes_per_update", "256"],
]
"""Long enough to kill a container in the middle of it."""

WITH_S3 = ["--file", "docker-compose.yml", "--file", "docker-compose.s3.yml"]


def main() -> int:
    """Run every step; return 0 if all of them show what they should."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    composes = [
        each for each in (["docker-compose"], ["docker", "compose"]) if works([*each, "version"])
    ]
    if missing or os.geteuid() or not composes:
        print(f"needs root, {', '.join(NEEDED)} and docker-compose", file=sys.stderr)
        print("apt-get install docker.io docker-compose debootstrap", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what is up goes down
    os.environ |= {"COMPOSE_PROJECT_NAME": "compose-test"}
    os.environ |= {"RAY_PORT": RAY_PORT, "MLFLOW_PORT": MLFLOW_PORT}
    with tempfile.TemporaryDirectory(prefix="compose-") as name:
        folder = Path(name)
        project = copy_project(folder / "reinforce")
        with docker_daemon(folder):
            make_images(folder, project, composes[0])
            for words in composes:
                step(f"{' '.join(words)} {run([*words, 'version', '--short'])}")
                Services(project, words).prove(prove)
                Services(project, [*words, *WITH_S3]).prove(prove_s3)
    print("passed")
    return 0


class Services:
    """The services of the project, as one program and its files of settings run them."""

    def __init__(self, project: Path, words: list[str]) -> None:
        self.project = project
        self.token = (project / "secrets" / "ray_token").read_text()
        self._words = words

    def prove(self, steps: Any) -> None:
        """Run the steps, take everything down whatever happens, and see that nothing is left."""
        try:
            steps(self)
        except BaseException:
            subprocess.run([*self._words, "logs", "--tail=5"], cwd=self.project, check=False)
            raise
        finally:
            step("take everything down")
            self.compose("down", "--volumes", "--timeout", "45")
        expect("no container is left", run(["docker", "ps", "--all", "--quiet"]) == "")
        expect("no volume is left", run(["docker", "volume", "ls", "--quiet"]) == "")

    def compose(self, *arguments: str) -> str:
        """Return what compose prints."""
        return run([*self._words, *arguments], self.project)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start one service's command, with what it prints in one pipe."""
        return subprocess.Popen(
            [*self._words, "run", "--rm", "-T", *arguments],
            cwd=self.project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run one service's command to its end; return its exit code and what it prints."""
        with self.start(*arguments) as process:
            said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def wait_until_healthy(self, count: int) -> None:
        """Wait until so many containers say that they are healthy."""

        def healthy() -> bool:
            names = run(["docker", "ps", "--filter", "health=healthy", "--quiet"])
            return len(names.split()) == count

        wait_for(f"{count} healthy containers", healthy, 180)


def prove(services: Services) -> None:
    """Start the services, train through the loss of a container, and look at what remains."""
    step("start without a secret")
    secret = services.project / "secrets" / "ray_token"
    secret.rename(secret.with_suffix(".away"))
    code, said = services.run("--no-deps", "train", "--help")
    secret.with_suffix(".away").rename(secret)
    expect("is refused, and the file named", code != 0 and "secrets/ray_token" in said)

    step("start with three workers")
    services.compose("up", "--detach", "--scale", "ray-worker=3", "--no-build")
    services.wait_until_healthy(6)
    published = run(["docker", "ps", "--format", "{{.Ports}}"])
    expect("all is published on 127.0.0.1", "0.0.0.0:" not in published and ":::" not in published)

    step("look at what the containers may do")
    containers = run(["docker", "ps", "--quiet"]).split()
    expect("all of them are confined", all(map(is_confined, containers)))

    step("ask without a token")
    expect("the job API answers 401", status_of(f"{RAY}/api/jobs/") == 401)
    expect("and 200 with it", status_of(f"{RAY}/api/jobs/", services.token) == 200)
    expect("a wrong one is refused", status_of(f"{RAY}/api/jobs/", "0" * 64) in (401, 403))
    code, said = services.run("-e", "RAY_AUTH_TOKEN=wrong", "train", "cartpole")
    expect(f"submit says so ({code}): {said[-300:]}", code == 2 and "must share a token" in said)

    step("train, and kill a worker's container meanwhile")
    said = train_and_kill(services)
    expect("the job succeeded", "status      finished (max_updates)" in said)
    expect("the run is noted as the user's own", "cannot record" not in said)

    step("the same run in one process")
    _, inline = services.run(
        *["--entrypoint", "reinforce", "-e", "RAY_API_SERVER_ADDRESS=", "train", "train", *RUN],
        *["--cluster.backend", "inline", "--tracking.enabled", "false"],
        *["--run.directory", "/tmp/runs"],
    )
    expect("gives the same weights", weights_in(said) == weights_in(inline) != "")

    step("read the run back through MLflow")
    check_mlflow(services.token)
    expect("no container says the token", services.token not in services.compose("logs"))
    expect("no process has it", services.token not in arguments_of_all_processes())
    seen = run(["docker", "inspect", *run(["docker", "ps", "--quiet"]).split()])
    expect("nor does docker inspect show it", services.token not in seen)
    services.wait_until_healthy(6)


def prove_s3(services: Services) -> None:
    """Train with artifacts in the S3-compatible store, and read them back."""
    step("start with an S3-compatible store")
    services.compose("up", "--detach", "--no-build")
    services.wait_until_healthy(5)

    step("train")
    code, said = services.run("train", "cartpole", "--stop.max_updates", "2")
    print(said)
    expect("the job succeeded", code == 0)

    step("read an artifact back through MLflow")
    found = the_run()
    where = f"run_uuid={found['info']['run_id']}&path=summary.json"
    with urllib.request.urlopen(f"{MLFLOW}/get-artifact?{where}", timeout=10) as answer:
        expect("it is what was written", json.load(answer)["updates"] == 2)
    expect("the store was given it", "summary.json" in services.compose("logs", "s3"))
    kept = services.compose("exec", "-T", "mlflow", "find", "/artifacts", "-type", "f")
    expect("MLflow keeps nothing itself", kept == "")
    key = (services.project / "secrets" / "s3_secret_key").read_text()
    expect("no container says the key", key not in services.compose("logs"))


def train_and_kill(services: Services) -> str:
    """Train; once it makes updates, kill the first process of a worker's container."""
    process = services.start("train", *RUN)
    said, victim = "", ""
    for line in process.stdout or ():
        said += line
        if not victim and re.match(r"update +\d+  steps", line):
            victim = services.compose("ps", "-q", "ray-worker").split()[0]
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
    found = the_run()
    metrics = {metric["key"]: metric["value"] for metric in found["data"]["metrics"]}
    expect("it is finished", found["info"]["status"] == "FINISHED")
    expect("with 30 updates", metrics["progress/updates"] == 30)
    history = f"metrics/get-history?run_id={found['info']['run_id']}"
    workers = mlflow(f"{history}&metric_key=cluster/workers_alive&max_results=1000")
    fewest = min((each["value"] for each in workers.get("metrics", ())), default=0)
    # Not counted as a replacement where `auto` has already followed the nodes to one fewer.
    restarts = metrics.get("cluster/worker_restarts", 0)
    expect("and it knows of the loss", restarts >= 1 or fewest == 2)
    files = mlflow(f"artifacts/list?run_id={found['info']['run_id']}").get("files", [])
    expect("its artifacts are in the store", len(files) > 0)
    expect("none of it says the token", token not in json.dumps(found))


def the_run() -> Any:
    """Return the only run that MLflow knows."""
    experiment = mlflow("experiments/get-by-name?experiment_name=reinforce")["experiment"]
    (found,) = mlflow("runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    return found


def mlflow(path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask MLflow's REST API."""
    request = urllib.request.Request(
        f"{MLFLOW}/api/2.0/mlflow/{path}",
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def status_of(url: str, token: str | None = None) -> int:
    """Return the status of an HTTP answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as ok:
            return int(ok.status)
    except urllib.error.HTTPError as error:
        return error.code


def is_confined(container: str) -> bool:
    """Return whether Docker holds a container to a read-only root, no capabilities, and limits."""
    said = run(["docker", "inspect", "--format", "{{json .HostConfig}}", container])
    host = json.loads(said)
    return (
        host["ReadonlyRootfs"]
        and host["CapDrop"] == ["ALL"]
        and host["SecurityOpt"] == ["no-new-privileges:true"]
        and (host["PidsLimit"] or 0) > 0
        and (host["CpuQuota"] or host["NanoCpus"]) > 0
        and host["Memory"] > 0
        and "max-size" in host["LogConfig"]["Config"]
    )


def weights_in(said: str) -> str:
    """Return the digest of the weights that a run prints at its end; empty if there is none."""
    found = re.search(r"sha256 ([0-9a-f]{64})", said)
    return found[1] if found else ""


def arguments_of_all_processes() -> str:
    """Return the command lines of everything that runs, in containers and beside them."""
    names = run(["docker", "ps", "--quiet"]).split()
    return "\n".join(run(["docker", "top", name, "-o", "pid,args"]) for name in names)


if __name__ == "__main__":
    sys.exit(main())

"""The long proof: a run on several nodes whose processes are killed at random for minutes.

    python tests/chaos/chaos.py --seconds 600 --seed 0

It starts a Ray cluster of four nodes on this machine, trains on it with `--resume auto`, and kills
workers, the learner, whole nodes and the driver, which it starts again like a supervisor would. At
the end the batches and the weights must equal those of an undisturbed run in one process. It prints
what was killed and what that cost, and exits with 1 if anything differs or was lost, if the driver
fails by itself, or after an hour.
"""

import argparse
import json
import math
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes"), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:3])
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
os.environ["RAY_AUTH_MODE"] = "token"  # read when Ray is imported

from ray.cluster_utils import Cluster  # noqa: E402

DEADLINE_S = 3600
ENDS_WITH_ITS_NODE_S = 15
"""After the death of a node, in which the driver may end that was connected to it."""
NUM_NODES = 3  # besides the head, which no cluster survives without
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
}
SETTINGS = {
    "environment.id": "fake_environments:Heavy-v0",
    "policy.hidden_sizes": 128,
    "learner.episodes_per_update": 24,
    "workers.episodes_per_ticket": 3,
    "workers.envs_per_worker": 1,
    "workers.max_ticket_attempts": 10,
    "evaluation.episodes": 12,
    "evaluation.every_updates": 20,
    "checkpoint.every_s": 5,
    "tracking.enabled": "false",
}


def command(folder, name, num_updates, **more):
    settings = {**SETTINGS, "run.name": name, "stop.max_updates": num_updates, **more}
    (folder / "none.yaml").write_text("{}")
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    return [sys.executable, "-m", "reinforce", "train", "./none.yaml", *words]


def journal_of(folder, name):
    path = folder / "runs" / name / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def batches_of(records):
    return [record["batch"]["sha256"] for record in records if record["batch"]]


def summary_of(folder, name):
    path = folder / "runs" / name / "summary.json"
    return json.loads(path.read_text()) if path.exists() else None


class Chaos:
    """A cluster, a driver on it, and someone who kills them."""

    def __init__(self, folder, num_updates, generator):
        self.folder, self.num_updates, self.generator = folder, num_updates, generator
        options = {"num_cpus": 1, "object_store_memory": 256 << 20}
        self.cluster = Cluster(
            initialize_head=True, head_node_args={**options, "_system_config": HEALTH_CHECKS}
        )
        self.node_options = options
        self.nodes = [self.cluster.add_node(**options) for _ in range(NUM_NODES)]
        self.kills = Counter()
        self.driver = None
        self.updates_at_start = 0
        self.node_killed_at_s = -math.inf

    def close(self):
        if self.driver:
            self.driver.kill()
            self.driver.wait()
        self.cluster.shutdown()

    def start_driver(self):
        self.updates_at_start = len(journal_of(self.folder, "chaos"))
        log = (self.folder / "driver.log").open("a")
        arguments = {"cluster.address": self.cluster.address}
        self.driver = subprocess.Popen(
            [*command(self.folder, "chaos", self.num_updates, **arguments), "--resume", "auto"],
            cwd=self.folder,
            stdout=log,
            stderr=log,
        )

    def kill_something(self):
        kind = self.generator.choices(["worker", "learner", "node", "driver"], [5, 3, 2, 1])[0]
        if getattr(self, f"kill_{kind}")():
            self.kills[kind] += 1
            print(f"{time.strftime('%H:%M:%S')} killed a {kind}", flush=True)

    def kill_worker(self):
        return self._kill_process(b"ray::RolloutActor")

    def kill_learner(self):
        return self._kill_process(b"ray::LearnerActor")

    def kill_driver(self):
        updates = len(journal_of(self.folder, "chaos"))
        if updates <= self.updates_at_start:
            return False  # it has just begun; what is there to lose?
        self.driver.kill()
        self.driver.wait()
        self.start_driver()
        return True

    def kill_node(self):
        node = self.nodes.pop(self.generator.randrange(len(self.nodes)))
        self.node_killed_at_s = time.monotonic()
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self.cluster.add_node(**self.node_options))
        return True

    def _kill_process(self, title):
        raylets = {
            node.all_processes["raylet"][0].process.pid
            for node in [self.cluster.head_node, *self.nodes]
        }
        candidates = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cmdline").read_bytes().startswith(title):
                    status = (process / "status").read_text()
                    if int(status.split("PPid:")[1].split()[0]) in raylets:
                        candidates.append(int(process.name))
            except OSError:
                continue
        if candidates:
            os.kill(self.generator.choice(candidates), signal.SIGKILL)
        return bool(candidates)

    def run(self, seconds, pause_s):
        """Kill for some time, then let the run finish; return how long the whole took.

        The driver is killed by us or ends with its node; then it is started again.
        """
        self.start_driver()
        began_s = time.monotonic()
        next_kill_s = began_s + 15
        while self.driver.poll() != 0:
            now_s = time.monotonic()
            if self.driver.poll() is not None:
                if now_s - self.node_killed_at_s > ENDS_WITH_ITS_NODE_S:
                    self.fail(f"the driver failed with code {self.driver.returncode}")
                print(f"{time.strftime('%H:%M:%S')} the driver ended with its node", flush=True)
                self.kills["driver's node"] += 1
                self.start_driver()
            if now_s > began_s + DEADLINE_S:
                self.fail(f"it has not ended after {DEADLINE_S} s")
            if next_kill_s < now_s < began_s + seconds:
                self.kill_something()
                next_kill_s = time.monotonic() + self.generator.uniform(0.5, 1.5) * pause_s
            time.sleep(0.1)
        return time.monotonic() - began_s

    def fail(self, reason):
        log = self.folder / "driver.log"
        raise SystemExit(f"{reason}; the end of {log}:\n{log.read_text()[-4000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="time of killing")
    parser.add_argument("--updates", type=int, default=500, help="length of the run")
    parser.add_argument("--pause", type=float, default=8.0, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="reinforce-chaos-"))
    print(f"seed {arguments.seed}, files in {folder}", flush=True)
    chaos = Chaos(folder, arguments.updates, random.Random(arguments.seed))
    try:
        duration_s = chaos.run(arguments.seconds, arguments.pause)
    finally:
        chaos.close()
    train_alone(folder, arguments.updates)
    raise SystemExit(report(folder, chaos.kills, duration_s))


def train_alone(folder, num_updates):
    """Train undisturbed, in one process, with an environment that does not sleep."""
    settings = {"cluster.backend": "inline", "environment.kwargs": "{step_s: 0.0}"}
    words = command(folder, "alone", num_updates, **settings)
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE_S)


def report(folder, kills, duration_s):
    """Print what happened; return 0 if the results are those of the undisturbed run."""
    records = {name: journal_of(folder, name) for name in ("chaos", "alone")}
    summaries = {name: summary_of(folder, name) for name in ("chaos", "alone")}
    same_batches = batches_of(records["chaos"]) == batches_of(records["alone"])
    same_weights = len({s["weights_sha256"] for s in summaries.values()}) == 1
    same_evaluation = summaries["chaos"]["evaluation"] == summaries["alone"]["evaluation"]
    summary, num_kills = summaries["chaos"], sum(kills.values())
    busy_s = sum(
        r["metrics"]["time/sampling_s"] + r["metrics"]["time/learning_s"]
        for r in records["chaos"]
        if r["batch"]
    )
    print(
        f"kills survived     {num_kills} ({dict(kills)})\n"
        f"updates            {summary['updates']} of {len(batches_of(records['alone']))}\n"
        f"tickets            {summary['tickets']}\n"
        f"tickets lost       {0 if same_batches else 'SOME: the batches differ'}\n"
        f"replaced           {summary['worker_restarts']} workers, "
        f"{summary['learner_restarts']} learners\n"
        f"same batches       {same_batches}\n"
        f"same weights       {same_weights} ({summary['weights_sha256'][:16]}…)\n"
        f"same evaluation    {same_evaluation}\n"
        f"took               {duration_s:.0f} s, of which {busy_s:.0f} s in updates that counted\n"
        f"lost per kill      {(duration_s - busy_s) / max(1, num_kills):.1f} s outside of updates "
        "that counted, starts included",
        flush=True,
    )
    return int(not (same_batches and same_weights and same_evaluation))


if __name__ == "__main__":
    main()

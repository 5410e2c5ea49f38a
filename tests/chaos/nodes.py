"""One run on sixteen nodes of one machine, of which two are killed: the weights must be the same.

    python tests/chaos/nodes.py --nodes 16

It starts the nodes with `ray start`, one CPU each by their own account, and a run with a worker on
every one. The environment rests in each step, so that a small machine has room for all of them. Two
nodes are killed together in the middle. It exits with 1 if the weights differ from those of the
same run inline.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes"), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:3])

from ray_nodes import ray_nodes, use_new_token  # noqa: E402

DEADLINE_S = 900
NUM_KILLED = 2
TRAIN = [
    *[sys.executable, "-m", "reinforce", "train", "cartpole", "--tracking.enabled", "false"],
    *["--environment.id", "fake_environments:ShortOrLong-v0"],
    *["--environment.kwargs", "{step_s: 0.01}", "--evaluation.episodes", "5"],
    *["--stop.max_environment_steps", "None", "--stop.target_return", "None"],
    *["--stop.max_updates", "20", "--learner.episodes_per_update", "64"],
    *["--workers.episodes_per_ticket", "2", "--workers.envs_per_worker", "1"],
]


def records(folder):
    """Return the records of the run so far."""
    file = folder / "runs" / "there" / "metrics.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []  # the last may be half there
    return [json.loads(line) for line in lines]


def summary(folder, name):
    return json.loads((folder / "runs" / name / "summary.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=16)
    num_nodes = parser.parse_args().nodes
    folder = Path(tempfile.mkdtemp(prefix="rnodes-"))
    print(f"files in {folder}", flush=True)
    use_new_token(folder)
    inline = [*TRAIN, "--run.name", "here", "--cluster.backend", "inline"]
    subprocess.run(inline, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    began_s = time.monotonic()
    with ray_nodes(folder, workers=num_nodes) as nodes:
        print(f"{num_nodes} nodes after {time.monotonic() - began_s:.0f} s", flush=True)
        there = [*TRAIN, "--run.name", "there", "--cluster.address", nodes.address]
        there += ["--workers.num_workers", str(num_nodes)]
        with (folder / "train.log").open("w") as log:
            run = subprocess.Popen(there, cwd=folder, stdout=log, stderr=log)
        while run.poll() is None and len(records(folder)) < 5:
            if time.monotonic() > began_s + DEADLINE_S:
                raise SystemExit(f"not begun after {DEADLINE_S} s; {folder}/train.log")
            time.sleep(0.2)
        for process in nodes.processes[-NUM_KILLED:]:
            os.killpg(process.pid, signal.SIGKILL)
        print(f"{time.strftime('%H:%M:%S')} killed {NUM_KILLED} nodes", flush=True)
        exit_code = run.wait(DEADLINE_S)
    if exit_code:
        raise SystemExit(f"the run ended with {exit_code}; {folder}/train.log")
    most = max(record["metrics"].get("cluster/workers_alive", 0) for record in records(folder))
    digests = {summary(folder, name)["weights_sha256"] for name in ("here", "there")}
    print((folder / "train.log").read_text()[-2000:])
    print(f"workers at once   {most:.0f}\nsame weights      {len(digests) == 1}", flush=True)
    raise SystemExit(int(len(digests) != 1 or most < num_nodes))


if __name__ == "__main__":
    main()

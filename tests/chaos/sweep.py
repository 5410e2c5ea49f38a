"""A sweep of 40 trials with pruning on three nodes: one is killed, and the sweep itself, too.

    python tests/chaos/sweep.py --trials 40

It starts three nodes with `ray start` on this machine and sweeps CartPole's learning rate on them,
three runs at a time. A node is killed with all that runs on it once a fifth of the trials is over,
and the process of the sweep at two fifths and three fifths; the same command goes on. At the end
the study and the weights of every run must be those of a sweep of the same file that ran inline and
undisturbed. It exits with 1 if a trial is lost, doubled or other than there.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])

import yaml  # noqa: E402
from processes import processes_in  # noqa: E402
from ray_nodes import ray_nodes, use_new_token  # noqa: E402
from small_sweeps import rows_of  # noqa: E402

from reinforce.cluster.files import read_json  # noqa: E402

DEADLINE_S = 3600
PARALLEL = 3
SWEEP = {
    "method": "random",
    "settings": {
        "learner.learning_rate": {"low": 1e-4, "high": 0.3, "log": True},
        "policy.hidden_sizes": [[16], [32, 32]],
    },
    "pruner": "successive_halving",
    "first_rung": 1000,
    "reduction_factor": 3,
}
BASE = {
    "environment": {"id": "CartPole-v1"},
    "stop": {"max_environment_steps": 9000, "max_updates": 1000},
    "learner": {"episodes_per_update": 16},
    "workers": {"num_workers": 1, "episodes_per_ticket": 8},
    "evaluation": {"episodes": 20, "every_updates": None},
    "tracking": {"enabled": False},
}


def write(folder, num_trials, **cluster):
    folder.mkdir()
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, "cluster": cluster}))
    sweep = {"base": "base.yaml", "trials": num_trials, **SWEEP}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))


def start(folder):
    words = ["-m", "reinforce", "sweep", "sweep.yaml", "--parallel", str(PARALLEL)]
    with (folder / "sweep.log").open("a") as log:
        return subprocess.Popen([sys.executable, *words], cwd=folder, stdout=log, stderr=log)


def num_over(folder):
    """Count trials that came to an end, from the lines of the study."""
    file = folder / "sweeps" / "sweep" / "study.jsonl"
    return file.read_text().count('"op_code":6') if file.exists() else 0


def disturbed(folder, num_trials, nodes):
    """Run the sweep to its end, and kill on the way."""
    kills = {num_trials // 5: "node", 2 * num_trials // 5: "sweep", 3 * num_trials // 5: "sweep"}
    began_s = time.monotonic()
    process = start(folder)
    while process.poll() is None:
        if time.monotonic() > began_s + DEADLINE_S:
            process.kill()
            raise SystemExit(f"not over after {DEADLINE_S} s; {folder}/sweep.log")
        due = [count for count in kills if num_over(folder) >= count]
        for what in [kills.pop(count) for count in due]:
            if what == "node":
                os.killpg(nodes.processes[-1].pid, signal.SIGKILL)
            else:
                process.kill()
                process.wait()
                process = start(folder)
            print(f"{time.strftime('%H:%M:%S')} killed a {what}", flush=True)
        time.sleep(0.2)
    if process.returncode or kills:
        raise SystemExit(f"it ended with {process.returncode}, kills left: {kills}; {folder}")
    return time.monotonic() - began_s


def outcomes(folder):
    """Return all that the study holds but who wrote it and when, and the weights of the runs."""
    sweep = folder / "sweeps" / "sweep"
    trials = [
        (
            *(row.user_attrs, row.state.name, row.params),
            *(row.intermediate_values, row.values, row.constraints),
        )
        for row in sorted(rows_of(sweep), key=lambda row: row.user_attrs["trial"])
    ]
    files = sorted(sweep.glob("runs/*/summary.json"))
    return trials, {file.parent.name: read_json(file)["weights_sha256"] for file in files}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    num_trials = parser.parse_args().trials
    folder = Path(tempfile.mkdtemp(prefix="reinforce-chaos-sweep-"))
    print(f"files in {folder}", flush=True)
    use_new_token(folder)
    alone, chaos = folder / "alone", folder / "chaos"
    with ray_nodes(folder, workers=3) as nodes:
        write(chaos, num_trials, backend="ray", address=nodes.address)
        duration_s = disturbed(chaos, num_trials, nodes)
    write(alone, num_trials, backend="inline")
    if start(alone).wait(DEADLINE_S):
        raise SystemExit(f"the undisturbed sweep failed; {alone}/sweep.log")
    (trials, weights), expected = outcomes(chaos), outcomes(alone)
    pruned = sum(state == "PRUNED" for _, state, *_ in trials)
    left = processes_in(chaos)
    print(
        f"trials             {len(trials)} of {num_trials}, {pruned} of them pruned\n"
        f"same study         {trials == expected[0]}\n"
        f"same weights       {weights == expected[1]} ({len(weights)} runs)\n"
        f"processes left     {len(left)}\n"
        f"took               {duration_s:.0f} s",
        flush=True,
    )
    raise SystemExit(int((trials, weights) != expected or len(trials) != num_trials or bool(left)))


if __name__ == "__main__":
    main()

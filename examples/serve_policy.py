"""Serves a trained policy from an exported bundle, which runs without this project."""

import subprocess
import sys

import reinforce

run = reinforce.train("cartpole", {"stop.max_updates": 10}, backend="inline", progress=False)
bundle = run.export("cartpole-policy")

SERVER = """
import json, sys
from predict import Policy

policy = Policy()
for line in sys.stdin:
    print(int(policy.act(json.loads(line))), flush=True)
"""
observations = "[0.0, 0.0, 0.1, 0.5]\n[0.0, 0.0, -0.1, -0.5]\n"
answer = subprocess.run(
    [sys.executable, "-c", SERVER],
    input=observations,
    cwd=bundle,
    capture_output=True,
    text=True,
    check=True,
)
print("push", answer.stdout.split())
ours = [run.policy().act(observation)[0] for observation in ([0, 0, 0.1, 0.5], [0, 0, -0.1, -0.5])]
assert answer.stdout.split() == [str(action) for action in ours]

"""What one rollout step costs in inference: the ways to compute one batch of actions.

    .venv/bin/python benchmarks/inference.py

The yardstick is the same arithmetic written as bare NumPy lines: layers, softmax, sampling, the
log-probability. Candidates that are not installed are left out and named. One thread everywhere;
the figure is the median over rounds in which the candidates take turns.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.policy import MLPPolicy
from reinforce.learner.policies.weights import Weights

ARCHITECTURE = PolicyArchitecture.mlp(4, (64, 64), "tanh", 2)


def bare_numpy(network: PolicyNetwork, observations: np.ndarray) -> Callable[[], object]:
    """The arithmetic and nothing else."""
    w1, b1, w2, b2, w3, b3 = [
        np.ascontiguousarray(p.detach().numpy().T) for p in network.parameters()
    ]
    generator, rows = np.random.default_rng(0), np.arange(len(observations))

    def step() -> object:
        hidden = np.tanh(observations @ w1 + b1)
        hidden = np.tanh(hidden @ w2 + b2)
        logits = hidden @ w3 + b3
        logits = logits - logits.max(axis=1, keepdims=True)
        cumulative = np.exp(logits).cumsum(axis=1)
        total = cumulative[:, -1]
        actions = (cumulative <= (generator.random(len(rows)) * total)[:, None]).sum(axis=1)
        return actions, logits[rows, actions] - np.log(total)

    return step


def our_policy(network: PolicyNetwork, observations: np.ndarray) -> Callable[[], object]:
    """What the workers do."""
    policy = MLPPolicy(ARCHITECTURE)
    policy.load(Weights(0, network.flat_weights()))
    generator = np.random.default_rng(0)
    return lambda: policy.act(observations, generator.random(len(observations)))


def torch_eager(
    network: Callable[[torch.Tensor], torch.Tensor], observations: np.ndarray
) -> Callable[[], object]:
    """Torch without gradients, sampling by the same inversion."""
    generator = np.random.default_rng(0)

    @torch.inference_mode()
    def step() -> object:
        log_policy = torch.log_softmax(network(torch.from_numpy(observations)), dim=1)
        uniforms = torch.from_numpy(generator.random((len(observations), 1)))
        actions = (log_policy.exp().cumsum(dim=1) <= uniforms).sum(dim=1, keepdim=True)
        actions.clamp_(max=log_policy.shape[1] - 1)
        return actions.numpy(), log_policy.gather(1, actions).numpy()

    return step


def onnx_runtime(network: PolicyNetwork, observations: np.ndarray) -> Callable[[], object]:
    """ONNX Runtime for the layers, NumPy for the sampling."""
    import io

    import onnxruntime

    buffer = io.BytesIO()
    example = torch.zeros(len(observations), 4)
    torch.onnx.export(network, (example,), buffer, dynamo=False, input_names=["observations"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(buffer.getvalue(), options)
    generator, rows = np.random.default_rng(0), np.arange(len(observations))

    def step() -> object:
        (logits,) = session.run(None, {"observations": observations})
        logits -= logits.max(axis=1, keepdims=True)
        cumulative = np.exp(logits).cumsum(axis=1)
        total = cumulative[:, -1]
        actions = (cumulative <= (generator.random(len(rows)) * total)[:, None]).sum(axis=1)
        return actions, logits[rows, actions] - np.log(total)

    return step


def measure(
    candidates: dict[str, Callable[[], object]], rounds: int, calls: int
) -> dict[str, float]:
    """Return the median microseconds per call of each candidate, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, step in candidates.items():
            started = time.perf_counter()
            for _ in range(calls):
                step()
            times[name].append((time.perf_counter() - started) / calls * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    threadpool_limits(1)
    torch.set_num_threads(1)
    network = PolicyNetwork(ARCHITECTURE, torch.Generator().manual_seed(0))
    results = {}
    for num_lanes in (1, 8, 32, 256):
        observations = np.random.default_rng(0).normal(size=(num_lanes, 4)).astype(np.float32)
        candidates = {
            "bare NumPy": bare_numpy(network, observations),
            "our policy": our_policy(network, observations),
            "Torch": torch_eager(network, observations),
        }
        for name, make in {
            "torch.compile": lambda x: torch_eager(torch.compile(network), x),
            "ONNX Runtime": lambda x: onnx_runtime(network, x),
        }.items():
            try:
                step = make(observations)
                step()
            except Exception as error:  # noqa: BLE001  (an optional candidate)
                print(f"left out: {name}: {type(error).__name__}: {str(error).splitlines()[0]}")
            else:
                candidates[name] = step
        measured = measure(candidates, arguments.rounds, arguments.calls)
        results[num_lanes] = measured
        yardstick = measured["bare NumPy"]
        for name, microseconds in measured.items():
            ratio = microseconds / yardstick
            print(f"{num_lanes:>4} lanes  {name:<14}{microseconds:>8.1f} us  {ratio:>5.2f} x bare")
    if arguments.output:
        machine = {"python": platform.python_version(), "numpy": np.__version__}
        machine |= {"torch": torch.__version__, "processor": platform.machine()}
        arguments.output.write_text(
            json.dumps({"machine": machine, "us": results}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()

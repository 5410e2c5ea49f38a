"""Acts with the policy in this folder. It needs NumPy and safetensors, and nothing else.

    from predict import Policy
    policy = Policy()
    action = policy.act(observation)          # the most probable action
    action = policy.act(observation, generator)  # a sampled one; numpy.random.default_rng(0)

``python predict.py`` acts on the recorded episodes again and fails if one action differs.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

_TOLERANCE = 1e-5
"""Of actions that are real numbers; all others have to be equal."""


class Policy:
    """From an observation of the environment to an action that it takes."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or Path(__file__).parent
        self.about = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        self._tensors = load_file(folder / "policy.safetensors")

    def act(self, observation: Any, generator: np.random.Generator | None = None) -> Any:
        """Return the most probable action, or with a generator a sampled one.

        Args:
            observation: As the environment gives it.
            generator: The source of chance.
        """
        outputs = self.outputs(self.encode(observation)[None])[0]
        return self.decode(outputs, generator)

    def encode(self, observation: Any) -> NDArray[np.float32]:
        """Return [flat_size] what the network sees of an observation."""
        parts = []
        for leaf in self.about["observation"]:
            value = np.ravel(_at(observation, leaf["path"]))
            if leaf["kind"] == "numbers":
                parts.append(value.astype(np.float32))
            else:  # categories, one-hot
                for number, count, start in zip(value, leaf["counts"], leaf["starts"], strict=True):
                    parts.append((np.arange(count) + start == number).astype(np.float32))
        return np.concatenate(parts)

    def outputs(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [n, num_outputs] logits and means for [n, flat_size] encoded observations."""
        hidden = flat
        if "observation.mean" in self._tensors:
            hidden = hidden - self._tensors["observation.mean"]
            hidden *= self._tensors["observation.inverse_deviation"]
            limit = self.about["observation_limit"]
            hidden = np.clip(hidden, -limit, limit)
        for layer in range(self.about["num_layers"]):
            if layer > 0:
                hidden = np.tanh(hidden) if self.about["activation"] == "tanh" else hidden.clip(0)
            weight = np.ascontiguousarray(self._tensors[f"layers.{layer}.weight"].T)
            hidden = hidden @ weight + self._tensors[f"layers.{layer}.bias"]
        return hidden

    def decode(
        self, outputs: NDArray[np.float32], generator: np.random.Generator | None = None
    ) -> Any:
        """Return the action that [num_outputs] logits and means stand for."""
        values, start, first_deviation = [], 0, 0
        for leaf in self.about["action"]:
            end = start + _num_outputs(leaf)
            if leaf["kind"] == "gaussian":
                deviations = self._tensors["log_std"][first_deviation:][: end - start]
                first_deviation += end - start
                values.append(_numbers(leaf, outputs[start:end], deviations, generator))
            elif leaf["kind"] == "binary":
                values.append(_decisions(leaf, outputs[start:end], generator))
            else:
                values.append(_choices(leaf, outputs[start:end], generator))
            start = end
        return _nested([leaf["path"] for leaf in self.about["action"]], values)


def _num_outputs(leaf: dict[str, Any]) -> int:
    return sum(leaf["counts"]) if leaf["kind"] == "categorical" else int(np.prod(leaf["shape"]))


def _choices(
    leaf: dict[str, Any], logits: NDArray[np.float32], generator: np.random.Generator | None
) -> Any:
    chosen, first = [], 0
    for count, start in zip(leaf["counts"], leaf["starts"], strict=True):
        part = logits[first : first + count]
        first += count
        # The largest of logits with Gumbel noise is a sample of their softmax.
        noise = generator.gumbel(size=count) if generator else 0.0
        chosen.append(start + int(np.argmax(part + noise)))
    return np.array(chosen, leaf["dtype"]).reshape(leaf["shape"]) if leaf["shape"] else chosen[0]


def _decisions(
    leaf: dict[str, Any], logits: NDArray[np.float32], generator: np.random.Generator | None
) -> Any:
    noise = generator.logistic(size=len(logits)) if generator else 0.0
    return (logits + noise > 0).astype(leaf["dtype"]).reshape(leaf["shape"])


def _numbers(
    leaf: dict[str, Any],
    means: NDArray[np.float32],
    log_deviations: NDArray[np.float32],
    generator: np.random.Generator | None,
) -> Any:
    numbers = means.astype(np.float64)
    if generator:
        numbers = numbers + np.exp(log_deviations) * generator.standard_normal(len(means))
    low, high = (
        np.array([end if bound is None else bound for bound in leaf[name]], np.float64)
        for name, end in (("low", -np.inf), ("high", np.inf))
    )
    both = np.isfinite(low) & np.isfinite(high)  # then it is squashed by tanh into its bounds
    bottom, top = np.where(both, low, -1.0), np.where(both, high, 1.0)
    middle, half = (bottom + top) / 2, (top - bottom) / 2
    numbers = middle + half * np.where(both, np.tanh(numbers), numbers)
    return np.clip(numbers, low, high).astype(leaf["dtype"]).reshape(leaf["shape"])


def _at(observation: Any, path: list[Any]) -> Any:
    for key in path:
        observation = observation[key]
    return observation


def _nested(paths: list[list[Any]], values: list[Any]) -> Any:
    if paths == [[]]:
        return values[0]
    groups: dict[Any, tuple[list[list[Any]], list[Any]]] = {}
    for path, value in zip(paths, values, strict=True):
        rest, inner = groups.setdefault(path[0], ([], []))
        rest.append(path[1:])
        inner.append(value)
    nested = {key: _nested(*group) for key, group in groups.items()}
    return tuple(nested.values()) if isinstance(paths[0][0], int) else nested


def is_equal(one: Any, other: Any) -> bool:
    """Return whether two actions are the same: real numbers up to rounding, all others exactly."""
    if isinstance(one, dict):
        return all(is_equal(part, other[key]) for key, part in one.items())
    if isinstance(one, tuple):
        return all(is_equal(*pair) for pair in zip(one, other, strict=True))
    if np.issubdtype(np.asarray(one).dtype, np.floating):
        return np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE)
    return np.array_equal(one, other)


def main() -> int:
    """Act on the recorded episodes again and return 1 if an action differs."""
    policy = Policy()
    with (Path(__file__).parent / "episodes.jsonl").open(encoding="utf-8") as lines:
        steps = [json.loads(line) for line in lines]
    different = [
        number
        for number, step in enumerate(steps)
        if not is_equal(policy.act(step["observation"]), step["action"])
    ]
    print(f"{len(steps) - len(different)} of {len(steps)} recorded actions are equal")
    if different:
        print(f"the first that differs is in line {different[0] + 1} of episodes.jsonl")
    return 1 if different or not steps else 0


if __name__ == "__main__":
    sys.exit(main())

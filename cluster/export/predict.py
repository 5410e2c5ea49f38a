"""Acts with the policy in this folder. It needs only NumPy and safetensors.

With a ``policy.pt2``, a network as a Torch program, it needs NumPy and Torch.

    from predict import Policy
    policy = Policy()
    policy.begin()                               # an episode begins
    action = policy.act(observation)             # the most probable action
    action = policy.act(observation, generator)  # a sampled one; numpy.random.default_rng(0)

``python predict.py`` acts on the recorded episodes again and fails if one action differs.
"""

import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

_TOLERANCE = 1e-5
"""Largest difference of real-valued actions; all others must be equal."""


class Policy:
    """A policy from the environment's observations to its actions."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or Path(__file__).parent
        self.about = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        self._tensors: dict[str, NDArray[np.float32]] = {}
        if self.about.get("program"):
            import torch

            self._program = torch.export.load(folder / self.about["program"]).module()
        else:
            from safetensors.numpy import load_file

            self._tensors = load_file(folder / "policy.safetensors")
        self.begin()

    def begin(self) -> None:
        """Begin an episode: a policy with a memory forgets the previous one."""
        self.memory = np.zeros((1, self.about["memory"]), np.float32)

    def act(
        self, observation: Any, generator: np.random.Generator | None = None, mask: Any = None
    ) -> Any:
        """Return the most probable action or, with a generator, a sampled one.

        Args:
            observation: An observation as the environment returns it.
            generator: The source of random numbers.
            mask: The allowed choices, if the environment gives them in ``info``. None: those in the
                observation, if any.
        """
        if mask is None and self.about["action_mask"] == "observation":
            mask = observation["action_mask"]
        outputs = self.parameters(observation)
        if mask is not None:  # one array, or one for each component
            is_allowed = np.concatenate([np.ravel(part) for part in mask]).astype(np.bool_)
            outputs = np.where(is_allowed, outputs, -np.inf)
        return self.decode(outputs, generator)

    def parameters(self, observation: Any) -> NDArray[np.float32]:
        """Return logits and means, then the logarithms of standard deviations, if there are any."""
        if self.about.get("program"):
            return self._computed(self.parts(observation))
        outputs = self.outputs(self.encode(observation)[None])[0]
        return np.concatenate([outputs, self._tensors.get("log_std", outputs[:0])])

    def _computed(self, parts: list[NDArray[Any]]) -> NDArray[np.float32]:
        """Return the Torch program's outputs, and keep the memory that it returns."""
        import torch

        parts = [part[None] for part in parts] + ([self.memory] if self.about["memory"] else [])
        with torch.no_grad():
            parameters = self._program(*map(torch.tensor, parts))
        if self.about["memory"]:
            parameters, memory = parameters
            self.memory = memory.numpy()
        row: NDArray[np.float32] = parameters[0].numpy()
        return row

    def parts(self, observation: Any) -> list[NDArray[Any]]:
        """Return the vector of all numbers and categories, if there are any, then each image."""
        numbers, images = [np.zeros(0, np.float32)], []
        for leaf in self.about["observation"]:
            value = np.asarray(at(observation, leaf["path"]))
            if leaf["kind"] == "pixels":
                images.append(value)
            elif leaf["kind"] == "numbers":
                numbers.append(value.ravel().astype(np.float32))
            else:  # categories, one-hot
                parts = zip(value.ravel(), leaf["counts"], leaf["starts"], strict=True)
                for number, count, start in parts:
                    numbers.append((np.arange(count) + start == number).astype(np.float32))
        vector = np.concatenate(numbers)
        return [vector, *images] if len(vector) else images

    def encode(self, observation: Any) -> NDArray[np.float32]:
        """Return [features] for the first layer: numbers and categories, then images."""
        parts = self.parts(observation)
        num_images = sum(leaf["kind"] == "pixels" for leaf in self.about["observation"])
        num_vectors = len(parts) - num_images
        features = [self._normalized(vector) for vector in parts[:num_vectors]]
        features += [self._seen(image, number) for number, image in enumerate(parts[num_vectors:])]
        return np.concatenate(features)

    def _normalized(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        if "observation.mean" not in self._tensors:
            return numbers
        numbers = numbers - self._tensors["observation.mean"]
        numbers *= self._tensors["observation.inverse_deviation"]
        limit = self.about["observation_limit"]
        return np.clip(numbers, -limit, limit)

    def _seen(self, image: NDArray[np.uint8], number: int) -> NDArray[np.float32]:
        """Return [features] of an image: its pixels, or the output of convolutions."""
        seen = image.astype(np.float32) / np.float32(255)
        if not self.about["images"]:
            return seen.ravel()
        seen = _channels_first(seen, are_last=self.about["channels_are_last"][number])
        for layer, options in enumerate(self.about["images"][number]):
            name = f"images.{number}.{layer}"
            weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
            seen = self._activated(_convolved(seen, weight, **options) + bias[:, None, None])
        return seen.ravel()

    def outputs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [n, num_outputs] logits and means for [n, features] encoded observations.

        With a memory, n is 1, and each call is a step of the episode.
        """
        hidden = features
        for layer in range(self.about["num_layers"]):
            is_last = layer == self.about["num_layers"] - 1
            if is_last and self.about["memory"]:
                hidden = self.memory = self._remembered(hidden)
            weight = np.ascontiguousarray(self._tensors[f"layers.{layer}.weight"].T)
            hidden = hidden @ weight + self._tensors[f"layers.{layer}.bias"]
            if not is_last:
                hidden = self._activated(hidden)
        return hidden

    def _activated(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.tanh(values) if self.about["activation"] == "tanh" else values.clip(0)

    def _remembered(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [1, memory] the new memory: a gated recurrent unit, in Torch's order."""
        weights = self._tensors
        seen = np.split(inputs @ weights["gru.weight_ih"].T + weights["gru.bias_ih"], 3, 1)
        memory = self.memory
        known = np.split(memory @ weights["gru.weight_hh"].T + weights["gru.bias_hh"], 3, 1)
        with np.errstate(over="ignore"):  # beyond what exp can say, a gate is closed
            reset, update = (1 / (1 + np.exp(-(seen[gate] + known[gate]))) for gate in (0, 1))
        new = np.tanh(seen[2] + reset * known[2])
        return np.asarray((1 - update) * new + update * memory)

    def decode(
        self, parameters: NDArray[np.float32], generator: np.random.Generator | None = None
    ) -> Any:
        """Return the action for logits, means and log standard deviations."""
        leaves = self.about["action"]
        sizes = [
            sum(leaf["counts"]) if leaf["kind"] == "categorical" else int(np.prod(leaf["shape"]))
            for leaf in leaves
        ]
        *parts, log_deviations = np.split(parameters, np.cumsum(sizes))
        values = []
        for leaf, own in zip(leaves, parts, strict=True):
            if leaf["kind"] == "categorical":
                values.append(_choices(leaf, own, generator))
            elif leaf["kind"] == "binary":
                values.append(_decisions(leaf, own, generator))
            else:
                values.append(_numbers(leaf, own, log_deviations[: len(own)], generator))
                log_deviations = log_deviations[len(own) :]
        return nested([leaf["path"] for leaf in leaves], values)


def _channels_first(image: NDArray[np.float32], *, are_last: bool) -> NDArray[np.float32]:
    """Return [channels, height, width] of an image in any of the usual orders."""
    if image.ndim == 2:
        return image[None]
    if are_last:
        image = np.moveaxis(image, -1, -3)
    return image.reshape(-1, *image.shape[-2:])  # those of a stack are put side by side


def _convolved(
    image: NDArray[np.float32], weight: NDArray[np.float32], stride: list[int], padding: int
) -> NDArray[np.float32]:
    """Return [filters, height, width] of [channels, height, width]."""
    image = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(image, weight.shape[2:], (1, 2))[:, :: stride[0], :: stride[1]]
    return np.tensordot(weight, windows, ((1, 2, 3), (0, 3, 4)))


def _choices(
    leaf: dict[str, Any], logits: NDArray[np.float32], generator: np.random.Generator | None
) -> Any:
    # The largest of logits with Gumbel noise is a sample of their softmax.
    noise = generator.gumbel(size=len(logits)) if generator else 0.0
    parts = np.split(logits + noise, np.cumsum(leaf["counts"])[:-1])
    chosen = [start + int(part.argmax()) for start, part in zip(leaf["starts"], parts, strict=True)]
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


def at(observation: Any, path: list[Any]) -> Any:
    """Return the part of an observation or action at a path."""
    for key in path:
        observation = observation[key]
    return observation


def nested(paths: list[list[Any]], values: list[Any]) -> Any:
    """Return values nested by their paths in dicts and tuples, or the only value by itself."""
    if paths == [[]]:
        return values[0]
    groups: dict[Any, tuple[list[list[Any]], list[Any]]] = {}
    for path, value in zip(paths, values, strict=True):
        rest, inner = groups.setdefault(path[0], ([], []))
        rest.append(path[1:])
        inner.append(value)
    parts = {key: nested(*group) for key, group in groups.items()}
    return tuple(parts.values()) if isinstance(paths[0][0], int) else parts


def _unpacked(observation: Any, leaves: list[dict[str, Any]]) -> Any:
    """Return a recorded observation with its compressed pixels as arrays."""
    for leaf in leaves:
        if leaf["kind"] != "pixels":
            continue
        packed = zlib.decompress(base64.b64decode(at(observation, leaf["path"])))
        pixels = np.frombuffer(packed, np.uint8).reshape(leaf["shape"])
        if not leaf["path"]:
            return pixels
        *above, last = leaf["path"]
        at(observation, above)[last] = pixels
    return observation


def is_equal(leaf: dict[str, Any], one: Any, other: Any) -> bool:
    """Return whether a part of two actions is equal; real numbers up to rounding.

    Rounding grows with the bounds to which the numbers are stretched.
    """
    if leaf["kind"] != "gaussian":
        return np.array_equal(one, other)
    bounds = [abs(bound) for bound in (*leaf["low"], *leaf["high"]) if bound is not None]
    tolerance = _TOLERANCE * max([1.0, *bounds])
    return np.allclose(one, other, rtol=_TOLERANCE, atol=tolerance)


def replay(policy: Policy, steps_file: Path) -> tuple[int, list[int]]:
    """Act on recorded steps again; return their number, and which actions differ."""
    leaves = policy.about["action"]
    with steps_file.open(encoding="utf-8") as lines:
        steps = [json.loads(line) for line in lines]
    different = []
    for number, step in enumerate(steps):
        if step.get("begins"):
            policy.begin()
        observation = _unpacked(step["observation"], policy.about["observation"])
        action = policy.act(observation, mask=step.get("mask"))
        pairs = [(x, at(action, x["path"]), at(step["action"], x["path"])) for x in leaves]
        if not all(is_equal(*pair) for pair in pairs):
            different.append(number)
    return len(steps), different


def main() -> int:
    """Act on the recorded steps again and return 1 if an action differs."""
    num_steps, different = replay(Policy(), Path(__file__).parent / "steps.jsonl")
    print(f"{num_steps - len(different)} of {num_steps} recorded actions are equal")
    if different:
        print(f"the first that differs is in line {different[0] + 1} of steps.jsonl")
    return 1 if different or not num_steps else 0


if __name__ == "__main__":
    sys.exit(main())

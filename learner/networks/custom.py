"""The user's own network, named ``module:Class``: finding, creating and checking it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from torch import Tensor, nn

from reinforce.configs.errors import ConfigError
from reinforce.configs.given_objects import imported
from reinforce.configs.secret_names import without_secrets
from reinforce.configs.user_code import described
from reinforce.learner.networks.layers import Parts
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.spaces import VECTOR, ObservationLayout

_NUM_SAMPLES = 3
_PROBE_STD = 0.3
"""Standard deviation of the noise on the parameters for the second trial of a module."""


class UnsuitablePolicyError(ConfigError):
    """A policy that cannot be used; the message says why and what to do."""


class CustomBody(nn.Module):
    """Passes observations to the user's module as a dict by name, each part in its own shape."""

    def __init__(self, layout: ObservationLayout, module: nn.Module) -> None:
        super().__init__()
        self._layout = layout
        self.module = module
        self.state_size = int(getattr(module, "state_size", 0))

    def forward(self, parts: Parts, *episode_lengths: Any) -> Tensor:
        """Return [n, num_outputs]."""
        outputs: Tensor = self.module(self._named(parts), *episode_lengths)
        return outputs

    def step(self, parts: Parts, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return [n, num_outputs] and the new states, for a recurrent module."""
        step: Callable[..., tuple[Tensor, Tensor]] = self.module.step  # type: ignore[assignment]
        return step(self._named(parts), states)

    def _named(self, parts: Parts) -> Parts:
        named, start = {}, 0
        for leaf in self._layout.leaves:
            if leaf.kind == "pixels":
                named[leaf.name] = parts[leaf.name]
                continue
            columns = parts[VECTOR][:, start : start + leaf.size]
            shape = leaf.shape if leaf.kind == "numbers" else (leaf.size,)
            named[leaf.name] = columns.reshape(columns.shape[0], *shape)
            start += leaf.size
        return named


def num_weights_of_class(architecture: PolicyArchitecture) -> int | None:
    """Return the number of weights of a policy with the user's network, without allocating them.

    None if the class cannot be created that way.
    """
    meta = torch.device("meta")
    with suppress(Exception), catch_warnings(), torch.random.fork_rng(devices=[]), meta:
        simplefilter("ignore")  # weights that are copied to nowhere
        module = _make(architecture)
        buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        num: int = sum(tensor.numel() for tensor in (*module.parameters(), *buffers))
        return num + architecture.action.num_gaussians + architecture.num_statistics
    return None


def _make(architecture: PolicyArchitecture) -> Any:
    shapes = _shapes(architecture.observation)
    make = imported(architecture.kind)
    return make(shapes, architecture.action.num_outputs, **architecture.arguments)


def _shapes(layout: ObservationLayout) -> dict[str, tuple[int, ...]]:
    return {
        leaf.name: (leaf.size,) if leaf.kind == "categories" else leaf.shape
        for leaf in layout.leaves
    }


def make_custom_body(architecture: PolicyArchitecture, generator: torch.Generator) -> CustomBody:
    """Return the user's network; its initial weights follow from the generator's seed alone.

    Raises:
        UnsuitablePolicyError: It cannot be found or created, is random, mixes the rows of a batch,
            does not return [n, num_outputs] finite numbers, or has no gradient with respect to its
            parameters.
    """
    layout, num_outputs = architecture.observation, architecture.action.num_outputs
    shapes = _shapes(layout)
    where = f"policy.kind = {architecture.kind!r}"

    def make(seed: int) -> Any:
        torch.manual_seed(seed)
        with _blamed(
            f"{where} cannot be made with observation_shapes {shapes}, num_outputs {num_outputs} "
            f"and policy.arguments {without_secrets(architecture.arguments)}"
        ):
            return _make(architecture)

    with torch.random.fork_rng(devices=[]):
        seed = generator.initial_seed()
        module = make(seed)
        if not isinstance(module, nn.Module):
            raise UnsuitablePolicyError(f"{where} is not a torch.nn.Module but {type(module)}")
        with _blamed(
            f"{where} is not a complete torch.nn.Module (does its __init__ call "
            "super().__init__()?)"
        ):
            parameters = list(module.parameters())
        if not any(parameter.requires_grad for parameter in parameters):
            raise UnsuitablePolicyError(f"{where} has no parameters to learn")
        _refuse_what_is_not_a_policy(where, module)
        _refuse_what_does_not_travel(where, module, lambda: make(seed ^ 1))
        with _blamed(f"{where} cannot be tried"):
            body = CustomBody(layout, module)
            _try(where, body, num_outputs)
            _refuse_what_cannot_learn(where, body)
    return body


@contextmanager
def _blamed(complaint: str) -> Iterator[None]:
    """Turn any error in a user's module into an ``UnsuitablePolicyError``."""
    try:
        yield
    except UnsuitablePolicyError:
        raise
    except Exception as error:
        raise UnsuitablePolicyError(f"{complaint}: {described(error)}") from error


def _refuse_what_is_not_a_policy(where: str, module: nn.Module) -> None:
    for name, part in module.named_modules():
        what, way_out = f"{type(part).__name__} at {name!r}", ""
        is_dropout = isinstance(part, nn.modules.dropout._DropoutNd)
        dropout = float(part.p) if is_dropout else getattr(part, "dropout", None)
        own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
        if any(map(nn.parameter.is_lazy, own)):
            raise UnsuitablePolicyError(
                f"{where} holds {what}, which has no weights until it has seen an observation, but "
                "weights must exist at once, because they travel as one vector; use the layer "
                "without Lazy, and compute its inputs from observation_shapes"
            )
        if isinstance(part, nn.modules.batchnorm._BatchNorm | nn.RReLU):
            way_out = "take it out (LayerNorm is fine)"
        elif isinstance(dropout, float) and dropout:
            what += f" with dropout {dropout:g}"
            way_out = _without_dropout(module, name)
        if way_out:
            raise UnsuitablePolicyError(
                f"{where} holds {what}: the learner recomputes the probability of each action, "
                "which would change with a network that is random or depends on the rest of the "
                f"batch; {way_out}"
            )


def _without_dropout(module: nn.Module, name: str) -> str:
    """Return how to remove a part's dropout, which a library's module may have created."""
    containers = nn.Sequential | nn.ModuleList | nn.ModuleDict
    for end in [index for index, letter in enumerate(f"{name}.") if letter == "."]:
        maker = module.get_submodule(name[:end])
        is_the_users = type(maker).__module__ == type(module).__module__
        if not (is_the_users or isinstance(maker, containers)):
            break
    if isinstance(maker, nn.modules.dropout._DropoutNd):
        return "take it out, or set its p to 0"
    return (
        f"create {type(maker).__name__} at {name[:end]!r} without dropout (dropout=0 in Torch's "
        "modules)"
    )


def _refuse_what_does_not_travel(
    where: str, module: nn.Module, make_other: Callable[[], nn.Module]
) -> None:
    """Check that all state is either float32 weights or the same in every process.

    Args:
        where: The setting that names the module.
        module: The module, created with this process's seed.
        make_other: Creates the module with another seed.
    """
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    constants = {
        name: buffer
        for name, buffer in buffers.items()
        if not (buffer.is_floating_point() or buffer.is_complex())
    }
    for name, tensor in {**parameters, **buffers}.items():
        if name not in constants and tensor.dtype != torch.float32:
            raise UnsuitablePolicyError(
                f"{where} holds {name!r} of {tensor.dtype}: weights travel to the workers as "
                "float32; make it float32"
            )
    others = dict(make_other().named_buffers()) if constants else {}
    for name, tensor in constants.items():
        if name not in others or not torch.equal(tensor, others[name]):
            raise UnsuitablePolicyError(
                f"{where} fills the buffer {name!r} of {tensor.dtype} at random: it would differ "
                "in every process, because only float32 travels to the workers; keep it as "
                "float32, or draw it with its own generator and a fixed seed"
            )


def _try(where: str, body: CustomBody, num_outputs: int) -> None:
    """Compare the outputs for a batch, as the learner computes them, with those for single rows.

    Then repeat it with other parameters: a last layer of zeros always gives the same output.
    """
    for is_moved in (False, True):
        with _moved(body) if is_moved else nullcontext():
            together, alone = _outputs(where, body)
        shape = tuple(together.shape)
        is_finite = bool(torch.isfinite(together).all())
        if shape != (_NUM_SAMPLES, num_outputs) or not (is_finite or is_moved):
            raise UnsuitablePolicyError(
                f"{where} returns shape {shape} for {_NUM_SAMPLES} observations; it must return "
                f"[{_NUM_SAMPLES}, {num_outputs}] finite numbers: the logits and means of the "
                "action space"
            )
        tolerance = 1e-4 * max(1.0, float(together.abs().max())) if is_finite else 0.0
        if together.shape != alone.shape or not torch.allclose(
            together, alone, atol=tolerance, equal_nan=True
        ):
            raise UnsuitablePolicyError(
                f"{where} gives a different output for the same observation in a batch, at another "
                "time, or in step instead of forward; the learner could not recompute the "
                "probability of an action"
            )


@contextmanager
def _moved(body: CustomBody) -> Iterator[None]:
    """Add noise to the parameters meanwhile; not to a copy, because some modules have none."""
    parameters = list(body.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(_PROBE_STD * torch.randn_like(parameter))
        try:
            yield
        finally:
            for parameter, values in zip(parameters, before, strict=True):
                parameter.copy_(values)


def _refuse_what_cannot_learn(where: str, body: CustomBody) -> None:
    """Compute a gradient as the learner does."""
    lengths = (np.array([_NUM_SAMPLES]),) if body.state_size else ()
    parameters = [parameter for parameter in body.parameters() if parameter.requires_grad]
    reached: tuple[Tensor | None, ...] = ()
    with _blamed(f"{where} acts, but fails when computing a gradient"), torch.enable_grad():
        outputs = body(_sample(body._layout), *lengths)
        # Weighted, for the sum of what a softmax returns is the same whatever it is given.
        weighted = (outputs * torch.randn_like(outputs)).sum()
        if outputs.requires_grad:
            reached = torch.autograd.grad(weighted, parameters, allow_unused=True)
    if not any(gradient is not None and gradient.any() for gradient in reached):
        raise UnsuitablePolicyError(
            f"{where} cannot learn: its outputs have no gradient with respect to its parameters, "
            "or only zeros, so no update would change them; compute them from the parameters with "
            "differentiable operations, without torch.no_grad, detach, argmax or NumPy in between"
        )


def _outputs(where: str, body: CustomBody) -> tuple[Tensor, Tensor]:
    """Return outputs for all samples at once, and for one after the other."""
    parts = _sample(body._layout)
    rows = [{name: part[i : i + 1] for name, part in parts.items()} for i in range(_NUM_SAMPLES)]
    shapes = {name: tuple(part.shape) for name, part in body._named(parts).items()}
    with _blamed(f"{where} fails on observations of shapes {shapes}"), torch.no_grad():
        # Two episodes; the third row is the second.
        episodes = (np.array([2, 1]),) if body.state_size else ()
        together = body(parts, *episodes)
        if not isinstance(together, Tensor):
            raise UnsuitablePolicyError(
                f"{where}: forward returns a {type(together).__name__}; it must return one tensor "
                "[n, num_outputs]"
            )
        if not body.state_size:
            return together, torch.cat([body(row) for row in rows])
        states, alone = torch.zeros(1, body.state_size), []
        for number, row in enumerate(rows):
            begins = number in (0, 2)
            outputs, states = body.step(row, torch.zeros_like(states) if begins else states)
            alone.append(outputs.clone())
        return together, torch.cat(alone)


def _sample(layout: ObservationLayout) -> Parts:
    generator = torch.Generator().manual_seed(0)
    parts: Parts = {}
    if layout.vector_size:
        parts[VECTOR] = torch.rand(_NUM_SAMPLES, layout.vector_size, generator=generator)
    for leaf in layout.pixel_leaves:
        parts[leaf.name] = torch.randint(
            0, 256, (_NUM_SAMPLES, *leaf.shape), dtype=torch.uint8, generator=generator
        )
    return parts

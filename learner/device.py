"""Where and how the learner computes: its device, and what stands in for a network's body there.

Only what is differentiated is rounded or compiled. Whatever else the learner asks of a policy, such
as importance weights and the divergence of two versions, it asks as the workers do: in float32.
"""

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from reinforce.configs.errors import ConfigError
from reinforce.configs.learning import Device, LearnerConfig, Precision
from reinforce.learner.networks.network import PolicyNetwork

MAX_DRIFT: dict[Precision, float] = {"float32": 1e-2, "bfloat16": 0.5}
"""Largest difference of a log-probability (nats) between worker and learner with the same weights.

Float32 explains less than 1e-4. Bfloat16 explains up to 0.1 of trained policies, in proportion to
their logits, and more of narrow Gaussians (docs/decisions/0074-where-the-learner-computes.md).
"""


class NoGPUError(ConfigError):
    """The learner is to compute on a GPU, and there is none."""


def require_device(name: Device) -> None:
    """Raise if this machine has no such device.

    Raises:
        NoGPUError: Torch finds no GPU, or cannot use any.
    """
    if name == "cuda" and not torch.cuda.is_available():
        is_built = torch.version.cuda is not None
        cause = "finds no GPU on this machine" if is_built else "is built without CUDA"
        raise NoGPUError(
            f"learner.device = 'cuda', and Torch {torch.__version__} {cause}; use learner.device "
            "cpu (a new run can), or a machine with an NVIDIA GPU, its driver and a Torch that is "
            "built for CUDA"
        )


def prepare_device(name: Device) -> None:
    """Let a device give the same bits for the same batch, again and again, in this process.

    Source: docs.pytorch.org/docs/stable/notes/randomness.html, and cuda.html for TF32.

    Raises:
        NoGPUError: As ``require_device``.
    """
    require_device(name)
    if name == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA is first used
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False
        # TensorFloat-32 has three digits: what is recomputed would not be what the workers played.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def differentiated_body(network: PolicyNetwork, config: LearnerConfig) -> Callable[..., Tensor]:
    """Return what computes ``network.body`` where it is differentiated; its outputs are float32."""
    body: Callable[..., Tensor] = network.body
    if config.compile:
        from torch._functorch import config as compiler  # with torch's compiler: a second

        # With a bonus for entropy one graph is differentiated twice (``PolicyPasses``).
        compiler.donated_buffer = False
        body = torch.compile(network.body, dynamic=True)
    if config.precision == "float32":
        differentiated = body
    else:

        def differentiated(*arguments: object) -> Tensor:
            # Without its cache of rounded weights: threads share it, and empty it for each other.
            with torch.autocast(config.device, torch.bfloat16, cache_enabled=False):
                return body(*arguments).float()

    if config.compile:
        _compile(network, differentiated, config.micro_batch_steps)
    return differentiated


def _compile(network: PolicyNetwork, body: Callable[..., Tensor], num_steps: int) -> None:
    """Let the compiler see a full micro-batch first, forwards and backwards.

    It makes kernels for any number of rows, but may choose them by the first it sees. That would be
    another one in a run that is resumed, whose weights have to be those of one that is not.
    """
    dtype, shape = network.layout.row_type
    rows = np.zeros((num_steps, *shape), dtype)
    network(rows, np.array([num_steps]), body).sum().backward()
    network.zero_grad()

"""The learner's device, and how a network's body is computed there.

Only what is differentiated is rounded or compiled. Everything else, such as importance weights and
the divergence of two versions, is computed in float32, as by the workers.
"""

import os
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from reinforce.configs.errors import ConfigError
from reinforce.configs.learning import Device, LearnerConfig, Precision
from reinforce.learner.networks.network import PolicyNetwork

MAX_DRIFT: dict[Precision, float] = {"float32": 1e-2, "bfloat16": 0.5}
"""Largest difference of a log-probability (nats) between worker and learner with the same weights.

Float32 explains less than 1e-4. Bfloat16 explains up to 0.1 for trained policies, in proportion to
their logits, and more for narrow Gaussians (docs/decisions/0074-where-the-learner-computes.md).
"""


class NoGPUError(ConfigError):
    """The learner should compute on a GPU, but there is none."""


def require_device(name: Device) -> None:
    """Raise if this machine has no such device.

    Raises:
        NoGPUError: Torch finds no GPU, or cannot use any.
    """
    if name == "cuda" and not torch.cuda.is_available():
        is_built = torch.version.cuda is not None
        cause = "finds no GPU on this machine" if is_built else "is built without CUDA"
        raise NoGPUError(
            f"learner.device = 'cuda', but Torch {torch.__version__} {cause}; use learner.device "
            "cpu (in a new run), or a machine with an NVIDIA GPU, its driver and a Torch built "
            "for CUDA"
        )


def prepare_device(name: Device) -> None:
    """Make a device give the same bits for the same batch every time, in this process.

    An operation of Torch or BLAS uses one thread from now on: sums need a fixed order.

    Source: docs.pytorch.org/docs/stable/notes/randomness.html, and cuda.html for TF32.

    Raises:
        NoGPUError: As ``require_device``.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)
    require_device(name)
    if name == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA is first used
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False
        # TensorFloat-32 has three digits: what is recomputed would not be what the workers played.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def differentiated_body(network: PolicyNetwork, config: LearnerConfig) -> Callable[..., Tensor]:
    """Return the function that computes ``network.body`` for gradients; its outputs are float32."""
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

    It makes kernels for any number of rows, but may choose them by the first number it sees. A
    resumed run would see a different one, and its weights must equal those of an uninterrupted run.
    """
    dtype, shape = network.layout.row_type
    rows = np.zeros((num_steps, *shape), dtype)
    network(rows, np.array([num_steps]), body).sum().backward()
    network.zero_grad()


def kind_of_gpu() -> dict[str, str]:
    """Return the model of this process's GPU, and the CUDA that computes on it."""
    return {"GPU": torch.cuda.get_device_name(), "CUDA": str(torch.version.cuda)}

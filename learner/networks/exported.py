"""A policy's network without its class: a program for Torch, a graph for ONNX Runtime.

Torch writes both from the module's operations, so a user's module needs none of its code
afterwards.
"""

import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, export, save

from reinforce.configs.errors import ConfigError
from reinforce.configs.user_code import described
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.policies.spaces import VECTOR

_EXAMPLE_ROWS = 2
"""More than one, because Torch treats a single row as a constant size."""

_STREAMS = (1, 2)
"""File descriptors of standard output and standard error."""


class UnexportableNetworkError(ConfigError):
    """A network that Torch cannot export; the message says why and what to do."""


class NetworkProgram(nn.Module):
    """The network as a function of plain tensors: the numbers, each image, the memory.

    The numbers are [n, vector_size] float32, categories among them one-hot; images are uint8 [n,
    ...]; the memory is [n, state_size] float32. Inputs that a policy lacks are left out. The
    outputs are the parameters of the distribution, [n, num_outputs + num_gaussians], and the new
    memory if there is one.
    """

    def __init__(self, network: PolicyNetwork) -> None:
        super().__init__()
        self.network = network
        layout = network.layout
        self._names = [VECTOR] if layout.vector_size else []
        self._names += [leaf.name for leaf in layout.pixel_leaves]

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the parameters, and the new memory if there is one."""
        network, num_parts = self.network, len(self._names)
        parts = dict(zip(self._names, inputs[:num_parts], strict=True))
        if VECTOR in parts:
            parts[VECTOR] = network.normalized(parts[VECTOR])
        if not network.state_size:
            return network.with_log_stds(network.body(parts))
        outputs, memory = network.body.step(parts, inputs[num_parts])  # type: ignore[operator]
        return network.with_log_stds(outputs), memory

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes."""
        layout, num = self.network.layout, _EXAMPLE_ROWS
        numbers = [torch.zeros(num, layout.vector_size)] if layout.vector_size else []
        images = [torch.zeros(num, *x.shape, dtype=torch.uint8) for x in layout.pixel_leaves]
        size = self.network.state_size
        return (*numbers, *images, *([torch.zeros(num, size)] if size else []))


def write_program(file: Path, network: PolicyNetwork, kind: str) -> None:
    """Write a ``.pt2`` file without pickles, for any number of rows.

    Args:
        file: To write.
        network: With its weights.
        kind: ``policy.kind``, for the message.

    Raises:
        UnexportableNetworkError: Torch cannot export it.
    """
    program = NetworkProgram(network)
    inputs = program.example()
    any_rows = (tuple({0: Dim.DYNAMIC} for _ in inputs),)
    with _blamed(
        f"policy.kind = {kind!r} cannot be exported by torch.export",
        "its steps must not depend on the values of tensors; take the number of rows from "
        "tensor.shape, not from len(tensor)",
    ):
        exported = export(program, inputs, dynamic_shapes=any_rows, strict=False)
        exported.example_inputs = None  # Torch would pickle them
        save(exported, file)
    pickled = list(_pickles_of(file))
    if pickled:
        raise UnexportableNetworkError(
            f"policy.kind = {kind!r} cannot be exported: torch {torch.__version__} stores "
            f"{', '.join(pickled)} as a pickle, which would run code when it is loaded; hold only "
            "plain tensors"
        )


def _pickles_of(file: Path) -> Iterator[str]:
    """Yield the pickled parts of a ``.pt2`` file."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".pt") and member.file_size:
                yield member.filename
            if member.filename.endswith("_config.json"):
                stored = json.loads(archive.read(member))["config"]
                yield from (name for name, about in stored.items() if about.get("use_pickle"))


def write_network_graph(
    file: Path,
    network: PolicyNetwork,
    kind: str,
    names: tuple[list[str], list[str]],
    opset: int,
) -> None:
    """Write the same as an ONNX graph, with these names of inputs and outputs.

    Uses Torch's exporter of traces. Its successor needs another package, and a trace is as good
    here: ``write_program`` has refused networks whose steps depend on their input.

    Raises:
        UnexportableNetworkError: ONNX has no operator for one of its operations.
    """
    program, (inputs, outputs) = NetworkProgram(network), names
    with (
        warnings.catch_warnings(),
        _blamed(
            f"policy.kind = {kind!r} cannot be written as an ONNX graph",
            "without the graph, predict.py and policy.pt2 act",
        ),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")  # that there is a successor
        torch.onnx.export(
            program,
            program.example(),
            file,
            dynamo=False,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in (*inputs, *outputs)},
            opset_version=opset,
            training=torch.onnx.TrainingMode.PRESERVE,  # as it acted: eval() has other kernels
        )


@contextmanager
def _blamed(complaint: str, way_out: str) -> Iterator[None]:
    """Turn any error of Torch into an ``UnexportableNetworkError``."""
    try:
        with _silenced():
            yield
    except Exception as error:
        reason = described(error).partition("\n")[0].rstrip(". ")
        raise UnexportableNetworkError(f"{complaint}: {reason}; {way_out}") from error


@contextmanager
def _silenced() -> Iterator[None]:
    """Hide the pages that Torch prints, partly from C++, about a graph that it cannot write."""
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        kept = [os.dup(stream) for stream in _STREAMS]
        try:
            for stream in _STREAMS:
                os.dup2(nowhere.fileno(), stream)
            yield
        finally:
            for stream, copy in zip(_STREAMS, kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)

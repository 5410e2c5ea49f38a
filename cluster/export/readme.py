"""The readme of a bundle: its files, and how to use each form of the policy."""

import re
from math import prod
from typing import Any

from reinforce.cluster.export.onnx_ports import Port, input_ports, output_ports, parameters_name

_README = """\
# A policy for {environment}

Trained with REINFORCE: run `{run}`, update {update}, after {environment_steps} steps.

| file | holds |
| --- | --- |
| `predict.py` | the policy as a program; needs `numpy` and {needs} |
{network}
| `policy.json` | its observations and actions{layers} |
| `checkpoint.safetensors` | weights and settings for `reinforce.load` and `run.start_from` |
| `steps.jsonl` | observations drawn at random, and the action that the trained policy takes |
{onnx}
```python
from predict import Policy

policy = Policy()
action = policy.act(observation)                                # the most probable action
action = policy.act(observation, numpy.random.default_rng(0))   # a sampled one, as in training
```
{notes}

`python predict.py` acts on every observation of `steps.jsonl` again and fails if one action
differs. Wrappers of the environment belong to the environment: the policy expects what they make.
"""

_PROGRAM = """
## policy.pt2

The network alone, for any number n of observations, without the class that it was trained with:

```python
network = torch.export.load("policy.pt2").module()
{results} = network({arguments})
```

| argument | dtype | shape |
| --- | --- | --- |
{rows}
{numbers}
`parameters` are {what}.
"""

_ONNX = """
## policy.onnx

```python
session = onnxruntime.InferenceSession("policy.onnx")
inputs = {{
{arguments}
}}
{results} = session.run(None, inputs)
```

| input | dtype | shape |
| --- | --- | --- |
{inputs}

| output | dtype | shape |
| --- | --- | --- |
{outputs}

For any number n of observations. The action is the most probable one.
`{parameters}` are {what}.
"""

_LOGITS = "in the order of the action's parts, before the mask"
_PARAMETERS = """logits and means in the order of the action's parts, then the logarithms of
standard deviations"""

_NUMBERS = """
`numbers` holds side by side, as the environment gives them and categories one-hot: {names}.
"""

_MEMORY_NOTE = """
`memory` is zeros at the start of an episode, then the `next_memory` of the step before.
"""


def readme(about: dict[str, Any], *, has_onnx: bool) -> str:
    """Return the text for a policy, from its description by ``describe``."""
    notes, network = "", "| `policy.safetensors` | its weights |"
    if about["memory"]:
        notes += "\nIt has a memory: call `policy.begin()` at the start of every episode.\n"
    if about["action_mask"] == "info":
        notes += "\nPass it the action mask: `policy.act(observation, mask=info['action_mask'])`.\n"
    if about["program"]:
        network = "| `policy.pt2` | its network, written by `torch.export`; holds no pickle |"
    text = _README.format(
        **about,
        needs="`torch`" if about["program"] else "`safetensors`",
        network=network,
        layers="" if about["program"] else ", and its layers",
        onnx="| `policy.onnx` | the same as a graph for ONNX Runtime |\n" if has_onnx else "",
        notes=notes,
    )
    text += _program_section(about) if about["program"] else ""
    text += _onnx_section(about) if has_onnx else ""
    return text + (_MEMORY_NOTE if about["memory"] and (about["program"] or has_onnx) else "")


def _program_section(about: dict[str, Any]) -> str:
    in_vector = [leaf for leaf in about["observation"] if leaf["kind"] != "pixels"]
    size = sum(sum(leaf["counts"]) or prod(leaf["shape"]) for leaf in in_vector)
    ports = [Port("numbers", "float32", (size,))] if size else []
    ports += [port for port in input_ports(about) if port.dtype == "uint8"]
    ports += [port for port in input_ports(about) if port.name == "memory"]
    names = ", ".join(f"`{_name(leaf)}`" for leaf in in_vector)
    return _PROGRAM.format(
        results="parameters, next_memory" if about["memory"] else "parameters",
        arguments=", ".join(_variable(port) for port in ports),
        rows="\n".join(map(_row, ports)),
        what=_PARAMETERS,
        numbers=_NUMBERS.format(names=names) if size else "",
    )


def _onnx_section(about: dict[str, Any]) -> str:
    inputs, outputs, name = input_ports(about), output_ports(about), parameters_name(about)
    return _ONNX.format(
        results=", ".join(map(_variable, outputs)),
        arguments="\n".join(f'    "{port.name}": {_variable(port)},' for port in inputs),
        inputs="\n".join(map(_row, inputs)),
        outputs="\n".join(map(_row, outputs)),
        parameters=name,
        what=_LOGITS if name == "logits" else _PARAMETERS,
    )


def _row(port: Port) -> str:
    return f"| `{port.name}` | {port.dtype} | [{', '.join(map(str, ('n', *port.shape)))}] |"


def _variable(port: Port) -> str:
    """Return the name of an input or output as a variable of Python."""
    return re.sub(r"\W", "_", port.name)


def _name(leaf: dict[str, Any]) -> str:
    return ".".join(map(str, leaf["path"])) or "observation"

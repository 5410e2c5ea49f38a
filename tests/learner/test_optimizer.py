import subprocess
import sys

import numpy as np
import pytest
import torch

from reinforce.learner.optimizer import Optimizer

JUDGES = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def parameters():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (3,), (4,)]
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def set_gradients(ours, generator, *, skip=()):
    for position, parameter in enumerate(ours):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if position in skip else gradient


@pytest.mark.parametrize("kind", JUDGES)
def test_every_step_is_that_of_torch_s_class_bit_by_bit(kind):
    """The last parameter has no gradient at first, as one that a module uses later on."""
    ours, theirs = parameters(), parameters()
    optimizer, judge = Optimizer(kind, ours), JUDGES[kind](theirs, lr=0.1)
    for step in range(20):
        for mine in (ours, theirs):
            set_gradients(mine, torch.Generator().manual_seed(step), skip=(2,) if step < 5 else ())
        rate = 0.1 / (1 + step)
        judge.param_groups[0]["lr"] = rate
        optimizer.step(rate)
        judge.step()

        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other)


@pytest.mark.parametrize("kind", JUDGES)
def test_the_state_is_named_and_shaped_as_torch_s_own(kind):
    """Checkpoints of either could be read by the other."""
    ours, theirs = parameters(), parameters()
    optimizer, judge = Optimizer(kind, ours), JUDGES[kind](theirs, lr=0.1)
    assert optimizer.arrays() == {}
    for mine in (ours, theirs):
        set_gradients(mine, torch.Generator().manual_seed(0), skip=(1,))
    optimizer.step(0.1)
    judge.step()

    expected = {
        f"{index}.{name}": value.numpy()
        for index, state in judge.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }
    assert optimizer.arrays().keys() == expected.keys()
    for name, array in optimizer.arrays().items():
        np.testing.assert_array_equal(array, expected[name])
        assert array.dtype == expected[name].dtype


def test_making_and_using_one_does_not_import_torch_s_compiler():
    program = (
        "import sys, torch; from reinforce.learner.optimizer import Optimizer\n"
        "parameter = torch.nn.Parameter(torch.zeros(2)); parameter.grad = torch.ones(2)\n"
        "for kind in ('adam', 'adamw', 'rmsprop', 'sgd'):\n"
        "    optimizer = Optimizer(kind, [parameter]); optimizer.step(0.1); optimizer.arrays()\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

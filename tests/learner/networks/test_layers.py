"""The learner's tanh: NumPy's where the workers play, Torch's elsewhere, with the same slope."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reinforce.learner.networks.layers import Tanh

NUMBERS = st.floats(-100, 100, width=32)


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=20), elements=NUMBERS))
def test_it_has_the_bits_that_the_workers_compute(values):
    np.testing.assert_array_equal(Tanh()(torch.from_numpy(values)).numpy(), np.tanh(values))


@given(arrays.arrays(np.float32, (7, 5), elements=NUMBERS))
def test_value_and_slope_are_those_of_torch(values):
    ours, theirs = (torch.tensor(values, requires_grad=True) for _ in range(2))
    weights = torch.linspace(-1, 1, 35).reshape(7, 5)

    (Tanh()(ours) * weights).sum().backward()
    (torch.tanh(theirs) * weights).sum().backward()

    torch.testing.assert_close(Tanh()(ours), torch.tanh(theirs), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_numbers_are_left_to_torch(dtype):
    values = torch.linspace(-3, 3, 10, dtype=dtype)

    assert torch.equal(Tanh()(values), torch.tanh(values))


def test_rows_that_are_not_contiguous_are_no_exception():
    values = torch.arange(12.0).reshape(3, 4).T

    np.testing.assert_array_equal(Tanh()(values).numpy(), np.tanh(values.numpy()))


def test_what_is_given_is_left_as_it_is():
    values = torch.ones(3)

    Tanh()(values)

    assert torch.equal(values, torch.ones(3))

"""The claim that the gradient is right, executed.

Every batch of the reference problem goes through the production learner and is weighted with its
probability. What claims to be unbiased must give the true gradient; what does not must give what
docs/derivation.md says of it.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from estimator_bias import CASES, judge
from reference_mdp import THETA, all_paths, objective, true_gradient

CASE_NAMES = [case.name for case in CASES]


@cache
def judged(name):
    """The judgement of a case: seconds of exact sums, which two tests look at."""
    return judge(next(case for case in CASES if case.name == name))


def documented():
    """The rows of the documented table: name -> objective, [episodes, cos, ratio, ...]."""
    text = (Path(__file__).parents[2] / "docs" / "derivation.md").read_text()
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in CASE_NAMES and len(cells) == 7:
            rows[cells[0]] = cells[1], [float(cell) for cell in cells[2:]]
    return rows


def test_the_reference_problem_is_the_one_whose_numbers_are_known():
    assert objective(THETA, 1.0) == pytest.approx(1.0415794, abs=1e-7)
    assert objective(THETA, 0.9) == pytest.approx(0.9802064, abs=1e-7)
    assert sum(np.exp(path.log_probability(THETA)) for path in all_paths()) == pytest.approx(1.0)


@pytest.mark.parametrize("discount", [0.9, 1.0])
@pytest.mark.parametrize("entropy_reward", [0.0, 0.5])
def test_the_true_gradient_agrees_with_finite_differences(discount, entropy_reward):
    step, numeric = 1e-5, np.zeros((2, 2))
    for index in np.ndindex(2, 2):
        for sign in (1, -1):
            theta = THETA.copy()
            theta[index] += sign * step
            numeric[index] += sign * objective(theta, discount, entropy_reward) / (2 * step)

    true = true_gradient(discount, entropy_reward=entropy_reward)
    np.testing.assert_allclose(true, numeric, atol=1e-8)


@pytest.mark.parametrize("case", [case for case in CASES if case.unbiased], ids=lambda c: c.name)
def test_what_claims_to_be_unbiased_gives_the_true_gradient(case):
    found = judged(case.name)

    np.testing.assert_allclose(found.expected, found.true, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_option_does_what_its_documentation_says(case):
    found = judged(case.name)

    objective, expected = documented()[case.name]
    assert objective == case.objective
    assert [
        case.num_episodes,
        round(found.cos, 3),
        round(found.ratio, 3),
        round(found.error, 3),
        round(found.variance, 2),
    ] == pytest.approx(expected, abs=2e-3)


def test_every_row_of_the_documentation_is_a_case_that_is_tested():
    assert set(documented()) == set(CASE_NAMES)

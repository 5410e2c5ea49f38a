"""Updates from stale data under capped weights, where a baseline stands for many rewards."""

from pathlib import Path

import numpy as np
import pytest
from stale_updates import DRIFTS, Drift, cosines, rewards_weighted, surprises_weighted

BETTER = next(drift for drift in DRIFTS if drift.name == "good, a step better")
FAR_BETTER = next(drift for drift in DRIFTS if drift.name == "uniform, two steps better")


def documented():
    """The rows of the table in decision 0099: (drift, baseline, cap) -> its two means."""
    text = next((Path(__file__).parents[3] / "docs" / "decisions").glob("0099-*")).read_text()
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if cells[0] in {drift.name for drift in DRIFTS}:
            rows[tuple(cells[:3])] = [float(cell.split()[0]) for cell in cells[3:]]
    return rows


@pytest.mark.parametrize("cap", [1.5, 1.0])
@pytest.mark.parametrize("baseline", ["time", "linear"])
def test_weighted_surprises_point_uphill_where_weighted_rewards_hardly_do(baseline, cap):
    """Means over 24 batches: .44 to .60 against -.06 to .40."""
    before, now = (
        np.mean(cosines(BETTER, form, baseline, cap))
        for form in (rewards_weighted, surprises_weighted)
    )

    assert now > 0.35
    assert now > before + (0.4 if cap == 1.5 else 0.05)


@pytest.mark.parametrize("baseline", ["time", "linear"])
def test_without_drift_both_are_one_update_along_the_true_gradient(baseline):
    still = Drift("none", 1.0)
    before, now = (
        cosines(still, form, baseline, 1.0) for form in (rewards_weighted, surprises_weighted)
    )

    np.testing.assert_allclose(now, before, atol=1e-5)  # ratios of float32
    assert np.mean(now) > 0.9


@pytest.mark.parametrize("drift", [BETTER, FAR_BETTER], ids=lambda drift: drift.name)
def test_the_documented_table_is_what_is_computed(drift):
    rows = {row: means for row, means in documented().items() if row[0] == drift.name}

    assert len(rows) == 4
    for (_, baseline, cap), means in rows.items():
        found = [
            np.mean(cosines(drift, form, baseline, float(cap)))
            for form in (rewards_weighted, surprises_weighted)
        ]
        assert found == pytest.approx(means, abs=0.006)

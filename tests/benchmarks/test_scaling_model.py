"""The model of a run in simulated time, by numbers that one counts by hand."""

import pytest
from scaling_model import Costs, SimulatedRun, simulate


def simulated(num_workers, batches, *, learning_s=0.0, lookahead=0, losses=()):
    """Return a run where the driver takes 0.2 s per ticket, half each way, and a call 0.3 s."""
    run = SimulatedRun(Costs(0.2, 0.3, 0.0, 0.0, 0.0, 0.0), num_workers, losses)
    simulate(run, batches, learning_s, lookahead)
    return run


def test_the_model_of_a_run_gives_the_seconds_that_one_counts_by_hand():
    one_after_the_other = 3 * (0.1 + 0.3 + 1.0 + 0.1)
    assert simulated(1, [[1.0] * 3]).now_s == pytest.approx(one_after_the_other)
    side_by_side = 0.2 + 0.3 + 1.0 + 0.1  # the second is handed out 0.1 s later, and comes back so
    assert simulated(2, [[1.0] * 2]).now_s == pytest.approx(side_by_side)
    driver_alone = 100 * 0.2  # the first are back before the last are handed out
    assert simulated(100, [[0.0] * 100]).now_s == pytest.approx(driver_alone)
    assert simulated(1, [[1.0]] * 2, learning_s=5.0).now_s == pytest.approx(2 * (1.5 + 5.0))
    played_meanwhile = 1.5 + 0.1 + 5.0 + 5.0
    ahead = simulated(1, [[1.0]] * 2, learning_s=5.0, lookahead=1)
    assert ahead.now_s == pytest.approx(played_meanwhile)


def test_in_the_model_the_ticket_of_a_lost_worker_is_played_again():
    lost_halfway = 0.1 + 0.3 + 0.5 + 0.1
    again = 0.1 + 0.3 + 1.0 + 0.1
    restarted = 15.0 + 0.1

    assert simulated(1, [[1.0]], losses=[True]).now_s == pytest.approx(
        lost_halfway + restarted + again
    )

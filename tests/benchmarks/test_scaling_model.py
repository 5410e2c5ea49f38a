"""The model of a run in simulated time, by numbers that one counts by hand."""

import pytest
from scaling import Measured
from scaling_model import Costs, SimulatedRun, costs_of, predicted_here, simulate


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


def measured(workers, steps_per_ticket, elapsed_s):
    """Return ten updates of eight tickets with the costs below, and 5 ms of sleep per step."""
    steps = 80 * steps_per_ticket
    return Measured(
        workers=workers,
        ticket_s=0.005 * steps_per_ticket,
        tickets=80,
        updates=10,
        steps=steps,
        elapsed_s=elapsed_s,
        learning_s=10 * 0.1 + steps * 0.001,
        driver_cpu_s=80 * 0.009,
        driver_thread_s=80 * 0.004,
        cluster_cpu_s=80 * 0.02 + steps * 0.002,
    )


def test_costs_are_those_that_the_measurements_were_made_of():
    one = measured(1, 40, elapsed_s=80 * (0.2 + 0.004 + 0.006) + 10 * 0.1 + 80 * 40 * 0.001)

    costs = costs_of(one, measured(8, 40, 10.0), measured(8, 200, 30.0))

    assert vars(costs) == pytest.approx(vars(Costs(0.004, 0.006, 0.02, 0.002, 0.1, 0.001)))


def test_a_prediction_is_bound_by_the_slower_of_workers_and_cores():
    costs = Costs(0.0, 0.0, 0.02, 0.002, 0.1, 0.001)
    asked = measured(8, 40, elapsed_s=10.0)  # 320 steps/s

    alone, shared = (predicted_here(costs, asked, num_cores) for num_cores in (100, 1))

    assert alone["limit"] == "workers"
    assert alone["predicted_steps_per_s"] == pytest.approx(320 / (0.2 + 0.1 + 0.32), abs=0.1)
    assert shared["limit"] == "cores"
    cpu_s = 8 * 0.02 + 320 * 0.002
    assert shared["predicted_steps_per_s"] == pytest.approx(320 / (cpu_s + 0.1 + 0.32), abs=0.1)

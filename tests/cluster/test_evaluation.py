import numpy as np
import pytest

from reinforce.cluster.console import PlainConsole
from reinforce.cluster.evaluation import Evaluation, evaluation_tickets
from reinforce.cluster.files import read_json
from reinforce.cluster.new_run import run_training
from reinforce.cluster.run_store.journal import read_entries
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.workers.tickets import Purpose


def test_the_interval_by_hand():
    evaluation = Evaluation.of(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), greedy=True)

    # sample variance 3.5, standard error sqrt(3.5/6), t with 5 degrees of freedom 2.571
    half_width = 2.571 * np.sqrt(3.5 / 6)
    assert evaluation.return_mean == 3.5
    assert evaluation.return_ci95 == pytest.approx((3.5 - half_width, 3.5 + half_width), abs=5e-4)
    assert (evaluation.return_min, evaluation.return_max, evaluation.episodes) == (1.0, 6.0, 6)


@pytest.mark.parametrize(("episodes", "quantile"), [(5, 2.776), (10, 2.262), (31, 2.042)])
def test_the_quantiles_are_those_of_the_tables(episodes, quantile):
    returns = np.arange(float(episodes))

    low, high = Evaluation.of(returns, greedy=True).return_ci95

    error = returns.std(ddof=1) / np.sqrt(episodes)
    assert (high - low) / 2 / error == pytest.approx(quantile, abs=5e-4)


@pytest.mark.parametrize("episodes", [5, 20, 100])
def test_the_interval_covers_the_mean_in_about_95_of_100_cases(episodes):
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        low, high = Evaluation.of(generator.normal(7.0, 3.0, episodes), greedy=True).return_ci95
        covered += low <= 7.0 <= high

    assert 0.93 < covered / 2000 < 0.97


def evaluated_run(make_config, tmp_path, greedy):
    """The digest of the weights and the records of a short run on CartPole."""
    config = make_config(
        run={"name": f"greedy-{greedy}"},
        environment={"id": "CartPole-v1"},
        evaluation={"greedy": greedy, "every_updates": 1},
    )
    run_training(config, PlainConsole(quiet=True), 0.0)
    run = RunDirectory(tmp_path / "runs" / f"greedy-{greedy}")
    records = [r.metrics for r in read_entries(run.journal_file) if not r.batch]
    return read_json(run.summary_file)["weights_sha256"], records


def test_both_ways_are_measured_besides_each_other_and_the_greedy_one_decides(
    make_config, tmp_path
):
    digests, records = zip(
        *(evaluated_run(make_config, tmp_path, greedy) for greedy in (True, "both")), strict=True
    )

    assert digests[0] == digests[1]
    for alone, both in zip(*records, strict=True):
        decided = {name: both[name] for name in alone if name != "time/evaluation_s"}
        assert decided == {name: alone[name] for name in decided}
    regular = records[1][:-1]
    assert all(m["evaluation/sampled_return_mean"] != m["evaluation/return_mean"] for m in regular)
    assert not any("sampled" in name for name in records[1][-1])


def test_sampled_episodes_have_fixed_seeds_of_their_own(make_config):
    config = make_config(evaluation={"greedy": "both"})

    tickets = evaluation_tickets(config, Purpose.EVALUATION, 0)

    assert [ticket.greedy for ticket in tickets] == [True] * 3 + [False] * 3
    assert [ticket.index for ticket in tickets] == list(range(6))
    seeds = [seed for ticket in tickets for seed in ticket.episode_seeds]
    assert len(set(seeds)) == 2 * config.evaluation.episodes
    alone = evaluation_tickets(make_config(), Purpose.EVALUATION, 0)
    assert tickets[:3] == alone
    assert tickets == evaluation_tickets(config, Purpose.EVALUATION, 0)

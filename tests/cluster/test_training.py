"""The loop, in one process and on Ray: the number of workers changes only the speed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from runs import RecordingDisplay, load_checkpoint, train

from reinforce.cluster.run_lifecycle import open_backend


def same_but_for_time(a, b):
    return replace(a, training_time_s=0) == replace(b, training_time_s=0)


CARTPOLE = {
    "environment": {"id": "CartPole-v1"},
    "stop": {"max_updates": 4},
    "learner": {"episodes_per_update": 12, "learning_rate": 0.03},
    "workers": {"envs_per_worker": 2, "episodes_per_ticket": 2},
    "evaluation": {"episodes": 6, "every_updates": 2},
}


@pytest.mark.ray
@pytest.mark.parametrize("vector", [True, False], ids=["vector", "single"])
def test_any_number_of_workers_gives_the_same_batches_and_the_same_weights(
    make_config, display, actors, vector
):
    results = {}
    for name, opener, num_workers in [
        ("inline", open_backend, 1),
        ("one", actors.backend, 1),
        ("two", actors.backend, 2),
        ("three", actors.backend, 3),
    ]:
        config = make_config(
            **{
                **CARTPOLE,
                "run": {"name": name},
                "environment": {"id": "CartPole-v1", "use_vector_implementation": vector},
                "learner": {**CARTPOLE["learner"], "entropy_reward": 0.01, "max_kl": 0.005},
                "workers": {**CARTPOLE["workers"], "num_workers": num_workers},
            }
        )
        outcome, records, _ = train(config, display, open_backend=opener)
        results[name] = (
            outcome.weights_sha256,
            [record.batch.sha256 for record in records if record.batch],
            outcome.evaluation,
        )

    assert len(results["inline"][1]) == len(set(results["inline"][1])) == 4
    assert results["one"] == results["two"] == results["three"] == results["inline"]


@pytest.mark.ray
def test_on_ray_the_driver_never_loads_torch(tmp_path):
    """It holds references, the run directory and the books; weights and data pass it by."""
    import subprocess
    import sys

    program = (
        "import sys; from reinforce.cluster.cli import main; "
        "code = main(['train', 'cartpole', '--stop.max_updates', '1', '--run.directory', "
        f"'{tmp_path}', '--tracking.enabled', 'false']); "
        "sys.exit(code or 10 * ('torch' in sys.modules) or 20 * ('mlflow' in sys.modules))"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=120, check=False
    )

    assert result.returncode == 0, result.stderr.decode()


def test_a_first_batch_from_which_nothing_can_be_learned_is_told_once(make_config, display):
    config = make_config(environment={"id": "fake_environments:Countdown"}, stop={"max_updates": 2})

    train(config, display)

    assert [text.partition(",")[0] for text in display.warnings] == [
        "all returns of the first batch are equal"
    ]


def test_the_journal_tells_each_update_and_each_evaluation(make_config, display):
    outcome, records, _ = train(make_config(**CARTPOLE), display)

    assert [(record.updates, record.batch is None) for record in records] == [
        (0, True), (1, False), (2, False), (2, True), (3, False), (4, False), (4, True), (4, True)
    ]  # fmt: skip
    assert display.records == records
    updates = [record for record in records if record.batch]
    for record in updates:
        assert len(record.batch.episode_lengths) == 12
        assert record.metrics["rollout/return_mean"] == pytest.approx(
            np.mean(record.batch.episode_returns)
        )
        assert record.metrics["tickets/reissued"] == 0
        assert all(np.isfinite(value) for value in record.metrics.values())
    steps = np.cumsum([sum(record.batch.episode_lengths) for record in updates])
    assert [record.environment_steps for record in updates] == steps.tolist()
    assert outcome.progress.environment_steps == steps[-1]
    assert outcome.progress.episodes == 48


def test_recomputed_log_probs_are_those_of_the_behavior_policy(make_config, display):
    _, records, _ = train(make_config(**CARTPOLE), display)

    drifts = [r.metrics["learner/log_prob_drift_max"] for r in records if r.batch]
    assert max(drifts) < 1e-5


@pytest.mark.parametrize(
    ("stop", "reason", "updates"),
    [
        ({"max_updates": 3}, "max_updates", 3),
        ({"max_updates": 9, "max_environment_steps": 20}, "max_environment_steps", 2),
        ({"max_updates": 9, "max_wall_time_s": 1e-6}, "max_wall_time_s", 0),
        ({"max_updates": 9, "target_return": 3.0}, "target_return", 0),
        ({"max_updates": 2, "target_return": 3.1}, "max_updates", 2),
    ],
)
def test_the_first_limit_ends_the_run(make_config, display, stop, reason, updates):
    """A countdown pays 3 in 3 steps; a batch is 4 episodes, 12 steps."""
    config = make_config(stop=stop, evaluation={"every_updates": 1})

    outcome, _, _ = train(config, display)

    assert (outcome.stop_reason, outcome.progress.updates) == (reason, updates)
    assert outcome.evaluation.return_mean == 3.0
    assert outcome.exit_code == 0


def test_a_target_has_to_be_confirmed_on_other_seeds(make_config, display, monkeypatch):
    """If the confirming evaluation falls short, training goes on."""
    from reinforce.cluster.evaluation import Evaluation, Evaluator

    confirm, calls = Evaluator.confirm, []

    def short_of_the_target_at_first(self, updates, weights):
        calls.append(updates)
        evaluation = confirm(self, updates, weights)
        if len(calls) > 1:
            return evaluation
        return Evaluation.of(np.array([0.0, 1.0, 2.0, 1.0, 0.0]), greedy=True)

    monkeypatch.setattr(Evaluator, "confirm", short_of_the_target_at_first)
    config = make_config(
        stop={"max_updates": 9, "target_return": 3.0}, evaluation={"every_updates": 1}
    )

    outcome, _, _ = train(config, display)

    assert calls == [0, 1]
    assert (outcome.stop_reason, outcome.progress.updates) == ("target_return", 1)


def test_an_interruption_leaves_a_checkpoint_of_the_last_update(make_config, interrupts):
    display = RecordingDisplay(
        lambda record: record.updates == 2 and interrupts._on_signal(15, None)
    )

    outcome, records, run = train(make_config(stop={"max_updates": 9}), display, interrupts)

    assert (outcome.exit_code, outcome.stop_reason) == (143, "interrupted by SIGTERM")
    assert outcome.evaluation is None
    assert records[-1].updates == 2
    checkpoint = load_checkpoint(run.checkpoints / "update-000000002.safetensors")
    assert checkpoint.learner.version == checkpoint.progress.updates == 2
    assert same_but_for_time(checkpoint.progress, outcome.progress)


def test_the_seed_decides_everything(make_config, display):
    def outcome(name, seed):
        config = make_config(**{**CARTPOLE, "run": {"name": name, "seed": seed}})
        return train(config, display)[0].weights_sha256

    assert outcome("a", 5) == outcome("b", 5)
    assert outcome("c", 6) != outcome("d", 5)


def test_a_line_of_the_journal_reads_back_as_the_record(make_config, display):
    _, records, run = train(make_config(), display)

    for record, line in zip(records, run.journal_file.read_text().splitlines(), strict=True):
        assert record.line() == line + "\n"
        assert json.loads(line)["environment_steps"] == record.environment_steps


def lookahead(make_config, name, num_workers=1):
    return make_config(
        **{
            **CARTPOLE,
            "run": {"name": name},
            "stop": {"max_updates": 5},
            "learner": {**CARTPOLE["learner"], "importance_cap": 2.0},
            "workers": {**CARTPOLE["workers"], "num_workers": num_workers},
            "cluster": {"lookahead": 1},
        }
    )


def test_with_lookahead_every_batch_but_the_first_is_one_version_old(make_config, display):
    _, records, _ = train(lookahead(make_config, "a"), display)

    updates = [record.metrics for record in records if record.batch]
    assert [metrics["learner/staleness_max"] for metrics in updates] == [0, 1, 1, 1, 1]
    assert updates[0]["learner/effective_sample_size"] == 1.0
    assert all(metrics["learner/effective_sample_size"] < 1.0 for metrics in updates[1:])
    assert updates[-1]["tickets/issued"] == updates[-1]["tickets/completed"] == 5 * 6 + 3 * 3


@pytest.mark.ray
def test_with_lookahead_any_number_of_workers_gives_the_same_weights(make_config, display, actors):
    def outcome(name, opener, num_workers):
        config = lookahead(make_config, name, num_workers)
        outcome, records, _ = train(config, display, open_backend=opener)
        return outcome.weights_sha256, [record.batch.sha256 for record in records if record.batch]

    inline = outcome("inline", open_backend, 1)

    assert outcome("one", actors.backend, 1) == inline
    assert outcome("three", actors.backend, 3) == inline


def test_lookahead_samples_with_the_version_before_and_not_with_an_older_one(make_config, display):
    """The first batch equals that without lookahead; the second is played by the same version."""
    _, ahead, _ = train(lookahead(make_config, "ahead"), display)
    config = make_config(**{**CARTPOLE, "run": {"name": "plain"}})
    _, plain, _ = train(config, display)

    first = [[r.batch.sha256 for r in records if r.batch] for records in (ahead, plain)]
    assert first[0][0] == first[1][0]
    assert first[0][1] != first[1][1]


def test_an_automatic_batch_grows_within_its_bounds_and_is_checkpointed(make_config, display):
    config = make_config(
        **{
            **CARTPOLE,
            "stop": {"max_updates": 12},
            "learner": {
                "episodes_per_update": "auto",
                "episodes_bounds": [6, 40],
                "gradient_snr_target": 50.0,
            },
        }
    )

    outcome, records, run = train(config, display)

    sizes = [len(record.batch.episode_lengths) for record in records if record.batch]
    assert sizes == sorted(sizes)
    assert sizes[0] == 6
    assert 6 < sizes[-1] <= 40
    checkpoint = load_checkpoint(run.checkpoints / "update-000000012.safetensors")
    assert same_but_for_time(checkpoint.progress, outcome.progress)


def test_a_clock_that_is_set_back_disturbs_no_record(make_config, monkeypatch):
    """Nobody may set this machine's clock; what reads it is made to see it jump."""
    clock = iter(range(10**18, 0, -(10**12)))
    monkeypatch.setattr("time.time_ns", lambda: next(clock))
    monkeypatch.setattr("time.time", lambda: next(clock) / 1e9)

    outcome, records, _ = train(make_config(**CARTPOLE))

    assert outcome.progress.updates == 4
    times = [record.timestamp_ms for record in records]
    assert times == sorted(times)
    assert all(record.metrics["time/sampling_s"] >= 0 for record in records if record.batch)

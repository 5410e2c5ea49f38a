from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.returns import rewards_to_go
from reinforce.learner.advantages.value_baseline import ValueBaseline
from reinforce.learner.learner import Learner, PolicyMismatchError
from reinforce.learner.networks.network import PolicyNetwork
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.seeds import Stream, seed_of
from reinforce.learner.policies.trajectories import Trajectories, concatenate

ARCHITECTURE = PolicyArchitecture.mlp(3, (8,), "tanh", 2)


def make_learner(seed=0, **config):
    return Learner(LearnerConfig(**config), ARCHITECTURE, seed)


def first_network(architecture=ARCHITECTURE):
    """The policy that a learner of seed 0 begins with."""
    seed = seed_of(0, Stream.POLICY_WEIGHTS)
    return PolicyNetwork(architecture, torch.Generator().manual_seed(seed))


def log_probs_of(network, observations, actions):
    with torch.no_grad():
        logits = network(torch.from_numpy(observations))
    return Categorical(logits=logits).log_prob(torch.tensor(actions)).numpy()


def random_part(seed, lengths, version=0, network=None):
    """What a policy did that, unless another is given, is the first one of ``make_learner``."""
    generator = np.random.default_rng(seed)
    steps, episodes = sum(lengths), len(lengths)
    network = network or first_network()
    observations = generator.normal(size=(steps, 3)).astype(np.float32)
    actions = generator.integers(0, 2, steps)
    return Trajectories(
        policy_version=version,
        observations=observations,
        actions=actions,
        rewards=generator.normal(size=steps),
        behavior_log_probs=log_probs_of(network, observations, actions),
        episode_lengths=np.array(lengths),
        terminated=np.ones(episodes, np.bool_),
        truncated=np.zeros(episodes, np.bool_),
        final_observations=np.zeros((episodes, 3), np.float32),
    )


PARTS = [random_part(1, [5, 2]), random_part(2, [7, 1, 3])]


def test_an_update_equals_reinforce_written_like_the_book():
    """(1/E) sum over episodes, sum over steps of grad log pi * (G - b), then one step of Adam."""
    learner = make_learner(
        discount=0.9, baseline="time", advantage_scale="none", learning_rate=0.01
    )
    network = first_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    episodes = []
    for part in PARTS:
        start = 0
        for length in part.episode_lengths:
            episodes.append((part, range(start, start + length)))
            start += length
    returns = [
        [sum(0.9 ** (k - t) * part.rewards[k] for k in rows if k >= t) for t in rows]
        for part, rows in episodes
    ]
    objective = torch.zeros(())
    for i, (part, rows) in enumerate(episodes):
        for t, row in enumerate(rows):
            others = [g[t] for j, g in enumerate(returns) if j != i and len(g) > t]
            baseline = sum(others) / len(others) if others else 0.0
            logits = network(torch.from_numpy(part.observations[row : row + 1]))
            log_prob = Categorical(logits=logits).log_prob(torch.tensor(part.actions[row]))
            objective = objective + log_prob.squeeze() * (returns[i][t] - baseline)
    (-objective / len(episodes)).backward()
    optimizer.step()

    _, weights = learner.update(PARTS)

    np.testing.assert_allclose(weights.values, network.flat_weights(), atol=1e-6)


def test_an_update_makes_the_next_version():
    learner = make_learner()

    report, weights = learner.update(PARTS)

    assert (report.version, weights.version, learner.version) == (1, 1, 1)


@pytest.mark.parametrize("micro_batch_steps", [1, 4, 17, 18, 10_000])
def test_micro_batches_do_not_change_the_update(micro_batch_steps):
    _, whole = make_learner(micro_batch_steps=18).update(PARTS)

    _, split = make_learner(micro_batch_steps=micro_batch_steps).update(PARTS)

    np.testing.assert_allclose(split.values, whole.values, atol=1e-5)


def test_the_same_batch_gives_the_same_bits():
    results = [make_learner().update(PARTS)[1].sha256 for _ in range(2)]

    assert results[0] == results[1]


def test_good_actions_become_more_probable():
    """Two-armed bandit: arm 1 pays. All episodes have one step."""
    learner = make_learner(baseline="leave_one_out", learning_rate=0.05, advantage_scale="none")
    actions = np.array([0, 1] * 8)
    network = first_network()
    part = Trajectories(
        0,
        np.ones((16, 3), np.float32),
        actions,
        actions.astype(np.float64),
        log_probs_of(network, np.ones((16, 3), np.float32), actions),
        np.ones(16, np.int64),
        np.ones(16, np.bool_),
        np.zeros(16, np.bool_),
        np.zeros((16, 3), np.float32),
    )
    before = network(torch.ones(1, 3)).softmax(dim=1)[0, 1]

    _, weights = learner.update([part])

    network.load_flat_weights(weights.values)
    assert network(torch.ones(1, 3)).softmax(dim=1)[0, 1] > before + 0.01


@pytest.mark.parametrize(
    ("baseline", "return_kind"),
    [("leave_one_out", "total"), ("time", "total"), ("time", "reward_to_go")],
)
@pytest.mark.parametrize("scale", ["none", "batch", "running"])
def test_equal_returns_teach_exactly_nothing(baseline, return_kind, scale):
    """Of rewards-to-go leave-one-out leaves how they shrink along an episode."""
    for reward in (0.1, 1e6 + 0.1):
        part = random_part(0, [3, 3, 3])
        part.rewards[:] = reward
        learner = make_learner(
            baseline=baseline, return_kind=return_kind, advantage_scale=scale, discount=1.0
        )

        report, _ = learner.update([part])

        assert report.metrics["gradient_norm"] == 0.0


@pytest.mark.parametrize(
    ("baseline", "return_kind"),
    [("leave_one_out", "total"), ("time", "total"), ("time", "reward_to_go")],
)
def test_a_large_constant_in_every_reward_leaves_the_gradient(baseline, return_kind):
    """Among episodes of one length: 0.01 next to 1e6 is small, but nothing that float64 loses."""
    small, large = (random_part(0, [100] * 8) for _ in range(2))
    small.rewards[:] *= 0.01
    large.rewards[:] = 1e6 + small.rewards
    options = {"baseline": baseline, "return_kind": return_kind, "discount": 1.0}

    expected = make_learner(**options).gradient([small])
    found = make_learner(**options).gradient([large])

    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("scale", ["none", "batch", "running", "episode"])
def test_zero_rewards_teach_exactly_nothing(scale):
    part = random_part(0, [1, 4, 2])
    part.rewards[:] = 0.0
    before = make_learner().weights()

    _, after = make_learner(baseline="none", advantage_scale=scale).update([part])

    assert after.sha256 == before.sha256


def test_the_gradient_is_clipped_to_its_limit_and_that_is_counted():
    free, _ = make_learner(advantage_scale="none").update(PARTS)
    norm = free.metrics["gradient_norm"]

    clipped, _ = make_learner(advantage_scale="none", max_gradient_norm=norm / 2).update(PARTS)
    loose, _ = make_learner(advantage_scale="none", max_gradient_norm=norm * 2).update(PARTS)

    assert free.metrics["clipped_fraction"] == loose.metrics["clipped_fraction"] == 0.0
    assert clipped.metrics["clipped_fraction"] == 1.0
    assert clipped.metrics["gradient_norm"] == pytest.approx(norm)  # as it was before


def test_gradients_that_are_one_tensor_are_clipped_once():
    architecture = replace(ARCHITECTURE, kind="user_package:Twinned")
    network = first_network(architecture)
    part = random_part(1, [9], network=network)
    settings = LearnerConfig(baseline="none", advantage_scale="none", optimizer="sgd")
    weights = Learner(settings, architecture, 0).weights().values

    def move(**config):
        learner = Learner(settings.model_copy(update=config), architecture, 0)
        return learner.update([part])[1].values - weights

    step, norm = move(learning_rate=1.0), np.linalg.norm(move(learning_rate=1.0))
    clipped = move(learning_rate=1.0, max_gradient_norm=float(norm) / 10)

    assert np.allclose(clipped, step / 10, rtol=1e-3, atol=1e-6)


def test_a_restored_learner_goes_on_bit_by_bit():
    learner = make_learner()
    learner.update(PARTS)
    restored = make_learner(seed=99)
    restored.load_state(learner.state())

    expected = learner.update(PARTS)[1]

    assert restored.update(PARTS)[1].sha256 == expected.sha256
    assert restored.version == 2


def test_a_state_does_not_change_when_the_learner_does():
    learner = make_learner()
    learner.update(PARTS)
    state = learner.state()
    before = {name: array.copy() for name, array in state.arrays.items()}

    learner.update(PARTS)

    for name, array in state.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_rewards_too_large_for_a_gradient_stop_the_run_with_a_reason():
    part = random_part(0, [3, 2])
    part.rewards[:] = 1e300
    learner = make_learner(baseline="none", advantage_scale="none")

    with (
        np.errstate(over="ignore"),
        pytest.raises(FloatingPointError, match="the gradient of update 0 has norm"),
    ):
        learner.update([part])


def test_another_policy_than_the_one_that_acted_stops_the_run_with_a_reason():
    learner = make_learner()
    part = random_part(0, [3, 2])
    before = learner.weights().sha256
    part.behavior_log_probs[1] = -0.75

    with pytest.raises(
        PolicyMismatchError, match=r"in update 0 a log-probability .* same function"
    ):
        learner.update([part])

    assert learner.weights().sha256 == before


def test_of_a_stale_policy_other_log_probabilities_are_expected():
    learner = make_learner()
    learner.update(PARTS)
    part = random_part(0, [3, 2])
    part.behavior_log_probs[1] = -0.75

    assert learner.update([part])[0].metrics["log_prob_drift_max"] > 0.04


def test_the_seed_decides_the_first_weights():
    assert make_learner(seed=1).weights().sha256 == make_learner(seed=1).weights().sha256
    assert make_learner(seed=1).weights().sha256 != make_learner(seed=2).weights().sha256


def test_an_update_of_the_article_preset_equals_the_article_s_listing():
    """Its update_policy(), double loop and all, on one episode."""
    from reinforce.configs.loading import load_config

    config = load_config("article").learner
    architecture = PolicyArchitecture.mlp(3, (128,), "relu", 2)
    learner = Learner(config, architecture, seed=0)
    network = first_network(architecture)
    part = random_part(3, [9], network=network)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-4)
    probabilities = network(torch.from_numpy(part.observations)).softmax(dim=1)
    log_probs = [torch.log(probabilities[t, part.actions[t]]) for t in range(9)]
    discounted_rewards = []
    for t in range(9):
        gt, power = 0.0, 0
        for reward in part.rewards[t:]:
            gt = gt + 0.9**power * reward
            power = power + 1
        discounted_rewards.append(gt)
    returns = torch.tensor(discounted_rewards)
    returns = (returns - returns.mean()) / returns.std()
    optimizer.zero_grad()
    torch.stack(
        [-log_prob * gt for log_prob, gt in zip(log_probs, returns, strict=True)]
    ).sum().backward()
    optimizer.step()

    _, weights = learner.update([part])

    np.testing.assert_allclose(weights.values, network.flat_weights(), atol=1e-6)


def test_the_order_of_arrival_is_irrelevant_once_tickets_are_in_order():
    arrived = [PARTS[1], PARTS[0]]

    in_order = sorted(arrived, key=lambda part: part.num_steps)

    assert (
        make_learner().update(in_order)[1].sha256
        == make_learner().update(sorted(PARTS, key=lambda part: part.num_steps))[1].sha256
    )


@pytest.mark.parametrize("baseline", ["none", "leave_one_out", "time", "linear", "value"])
@pytest.mark.parametrize("scale", ["none", "batch", "running"])
def test_statistics_are_those_of_the_whole_batch_however_it_is_cut_into_tickets(baseline, scale):
    options = {"baseline": baseline, "advantage_scale": scale}
    whole = concatenate(PARTS)

    _, cut = make_learner(**options).update(PARTS)
    _, uncut = make_learner(**options).update([whole])

    assert cut.sha256 == uncut.sha256


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_optimizer_goes_uphill_and_restores_bit_by_bit(optimizer):
    options = {"optimizer": optimizer, "learning_rate": 1e-3, "advantage_scale": "none"}
    learner = make_learner(**options)
    uphill = learner.gradient(PARTS)
    before = learner.weights().values
    _, after = learner.update(PARTS)
    restored = make_learner(seed=7, **options)
    restored.load_state(learner.state())

    assert float((after.values - before) @ uphill) > 0
    assert restored.update(PARTS)[1].sha256 == learner.update(PARTS)[1].sha256


@pytest.mark.parametrize("baseline", ["linear", "value"])
def test_a_restored_learner_with_a_fitted_baseline_goes_on_bit_by_bit(baseline):
    learner = make_learner(baseline=baseline)
    learner.update(PARTS)
    restored = make_learner(baseline=baseline)
    restored.update(PARTS[:1])
    restored.load_state(learner.state())

    for _ in range(3):
        assert restored.update(PARTS)[1].sha256 == learner.update(PARTS)[1].sha256


def test_scheduled_settings_move_with_the_version():
    learner = make_learner(learning_rate=(0.1, 0.01), schedule_updates=3)

    rates = [learner.update(PARTS)[0].metrics["learning_rate"] for _ in range(5)]

    np.testing.assert_allclose(rates, [0.1, 0.07, 0.04, 0.01, 0.01])


def test_an_update_reports_what_it_did():
    report, _ = make_learner(baseline="value").update(PARTS)

    assert {
        *("surrogate_loss", "entropy", "gradient_norm", "gradient_snr", "clipped_fraction"),
        *("gradient_signal", "gradient_noise"),
        *("advantage_std", "baseline_variance_removed", "kl", "learning_rate", "staleness_max"),
        *("effective_sample_size", "explained_variance", "log_prob_drift_max"),
    } == set(report.metrics)


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [4]])
@pytest.mark.parametrize("scale", ["none", "episode", "batch", "running"])
def test_degenerate_batches_give_finite_weights(lengths, scale):
    part = random_part(0, lengths)

    _, weights = make_learner(baseline="none", advantage_scale=scale).update([part])

    assert np.isfinite(weights.values).all()


def test_the_unit_of_the_rewards_does_not_matter_with_a_scale():
    def weights_with(factor):
        learner = make_learner(advantage_scale="running")
        for _ in range(3):
            parts = [random_part(1, [5, 2]), random_part(2, [7, 1, 3])]
            for part in parts:
                part.rewards[:] *= factor
            weights = learner.update(parts)[1].values
        return weights

    np.testing.assert_allclose(weights_with(1000.0), weights_with(1.0), atol=1e-5)


def test_a_learner_with_statistics_goes_on_to_the_bit():
    """What normalises observations, for the policy and for the value function, is in the state."""
    architecture = replace(ARCHITECTURE, normalize_observations=True)
    config = LearnerConfig(baseline="value", micro_batch_steps=8)
    learner, restored = (Learner(config, architecture, seed) for seed in (0, 1))
    learner.update(PARTS)
    restored.load_state(learner.state())

    again = [random_part(3, [4, 6])]
    weights = [one.update(again)[1] for one in (learner, restored)]

    assert weights[0].sha256 == weights[1].sha256


def test_the_value_function_is_fitted_under_the_statistics_that_it_is_used_with():
    """Those of the version to come: fitted under the old ones, it would be shown other numbers."""
    architecture = replace(ARCHITECTURE, normalize_observations=True)
    config = LearnerConfig(baseline="value", discount=0.9)
    learner = Learner(config, architecture, seed=0)
    _, weights = learner.update(PARTS)

    batch = concatenate(PARTS)
    by_hand = ValueBaseline(config, architecture, 0)
    by_hand.load_statistics(weights.values[-6:])
    by_hand.fit(batch, rewards_to_go(batch.rewards, batch.episode_lengths, 0.9))

    fitted = learner.state().arrays["estimator.value.weights"]
    np.testing.assert_array_equal(fitted, by_hand.arrays()["weights"])


def test_the_statistics_of_a_version_are_those_of_the_batches_before_it():
    learner = Learner(LearnerConfig(), replace(ARCHITECTURE, normalize_observations=True), 0)
    seen = np.concatenate([part.observations for part in PARTS])

    before, (_, after) = learner.weights(), learner.update(PARTS)

    np.testing.assert_array_equal(before.values[-6:], [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(after.values[-6:-3], seen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(after.values[-3:], 1 / seen.std(axis=0), rtol=1e-5)


def assert_same(state, other):
    assert state.version == other.version
    assert state.arrays.keys() == other.arrays.keys()
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)


@pytest.mark.parametrize("baseline", ["none", "time", "linear", "value"])
def test_when_a_baseline_is_fitted_changes_nothing(baseline):
    """At once, because the state is asked for, or with the next update."""
    at_once, later = make_learner(baseline=baseline), make_learner(baseline=baseline)

    for _ in range(3):
        report, _ = at_once.update(PARTS)
        at_once.state()
        later.update(PARTS)

    assert report.is_fit_due == (baseline in ("linear", "value"))
    assert_same(at_once.state(), later.state())


def test_a_fit_that_was_due_is_forgotten_with_the_state_that_it_was_due_for():
    learner = make_learner(baseline="value")
    before = learner.state()
    learner.update(PARTS)

    learner.load_state(before)

    assert_same(learner.state(), before)


def test_a_fit_that_failed_halfway_is_not_begun_again(monkeypatch):
    """What it has changed by then would be learned twice."""
    learner = make_learner(baseline="value")
    before = learner.state()
    learner.update(PARTS)

    def fail(*_):
        raise MemoryError("once")

    with monkeypatch.context() as patched:
        patched.setattr(ValueBaseline, "fit", fail)
        with pytest.raises(MemoryError, match="once"):
            learner.state()

    for go_on in (learner.state, lambda: learner.update(PARTS)):
        with pytest.raises(MemoryError, match="once"):
            go_on()
    learner.load_state(before)
    assert_same(learner.state(), before)

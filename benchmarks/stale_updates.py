"""Where does an update from stale data point? Capped weights on rewards against those on surprises.

    .venv/bin/python benchmarks/stale_updates.py

Five places in a row, two actions, a reward of 1 until the end of the row is left or 60 steps are
over: a baseline stands for many later rewards here. Batches of 64 episodes that one policy played
are differentiated for another, and compared with the exact gradient by the cosine of their angle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.advantages.baselines import LinearBaseline, time_leave_one_out
from reinforce.learner.advantages.estimator import Estimator
from reinforce.learner.advantages.importance import importance_weights
from reinforce.learner.advantages.returns import rewards_to_go
from reinforce.learner.policies.architecture import PolicyArchitecture
from reinforce.learner.policies.trajectories import Trajectories

PLACES, HORIZON, EPISODES, SEEDS = 5, 60, 64, 24
SLIP = 0.05
"""Probability that a step goes the other way."""

ARCHITECTURE = PolicyArchitecture.mlp(
    observation_size=PLACES, hidden_sizes=(), activation="tanh", num_actions=2
)
TO_THE_MIDDLE = np.array([[0, 1], [0, 0.5], [0, 0], [0.5, 0], [1, 0]])
"""Logits [place, action] of a policy that stays on the row; the more of it, the longer."""


@dataclass(frozen=True)
class Drift:
    """Two policies, one that played and one that is differentiated.

    Attributes:
        name: What the table calls it.
        behavior: Multiple of TO_THE_MIDDLE that played.
        learned: Steps on that way since.
        noise: Standard deviation of what was added to each logit since, another for each seed.
    """

    name: str
    behavior: float
    learned: float = 0.0
    noise: float = 0.0

    def policies(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits of both."""
        behavior = self.behavior * TO_THE_MIDDLE
        noise = np.random.default_rng(seed).normal(scale=self.noise, size=behavior.shape)
        return behavior, behavior + self.learned * TO_THE_MIDDLE + noise


DRIFTS = [
    Drift("good, moved at random", 3.0, noise=0.7),
    Drift("good, a step better", 3.0, learned=1.0),
    Drift("middling, moved at random", 1.0, noise=0.7),
    Drift("uniform, a step better", 0.0, learned=1.0),
    Drift("uniform, two steps better", 0.0, learned=2.0),
]


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return [place, action] the softmax."""
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def true_gradient(logits: np.ndarray) -> np.ndarray:
    """Return [place, action] the gradient of the expected return, step by step through time."""
    pi = probabilities(logits)
    moves = np.zeros((PLACES, 2, PLACES))  # without those that leave the row
    for place, action, step in np.ndindex(PLACES, 2, 2):
        following = place + 2 * step - 1
        if 0 <= following < PLACES:
            moves[place, action, following] = 1 - SLIP if step == action else SLIP
    action_values, values = [], np.zeros(PLACES)
    for _ in range(HORIZON):
        action_values.append(1 + moves @ values)
        values = (pi * action_values[-1]).sum(axis=1)
    gradient, occupancy = np.zeros((PLACES, 2)), np.eye(PLACES)[PLACES // 2]
    for of_step in reversed(action_values):
        advantages = of_step - (pi * of_step).sum(axis=1, keepdims=True)
        gradient += occupancy[:, None] * pi * advantages
        occupancy = np.einsum("s,sa,sat->t", occupancy, pi, moves)
    return gradient


def played(logits: np.ndarray, generator: np.random.Generator) -> Trajectories:
    """Return a batch of episodes of a policy."""
    pi, places = probabilities(logits), np.full(EPISODES, PLACES // 2)
    is_on, rows = np.ones(EPISODES, np.bool_), []
    for _ in range(HORIZON):
        action, slips = generator.random((2, EPISODES)) < [pi[places, 1], [SLIP] * EPISODES]
        rows.append((places, action, is_on))
        following = places + np.where(action ^ slips, 1, -1)
        is_on = is_on & (following >= 0) & (following < PLACES)
        places = np.clip(following, 0, PLACES - 1)
    # [episode, step], of which those that were played stand one episode after the other.
    states, actions, was_on = (np.array(column).T for column in zip(*rows, strict=True))
    observations = np.eye(PLACES, dtype=np.float32)
    return Trajectories(
        policy_version=0,
        observations=observations[states[was_on]],
        actions=actions[was_on].astype(np.int64),
        rewards=np.ones(int(was_on.sum())),
        behavior_log_probs=np.log(pi[states, actions.astype(int)][was_on]).astype(np.float32),
        episode_lengths=was_on.sum(axis=1),
        terminated=~is_on,
        truncated=is_on,
        final_observations=observations[places],
    )


@dataclass(frozen=True, eq=False)
class Stale:
    """What one policy played, to be differentiated for another.

    Attributes:
        before: The batch before, of the same policy: a fitted baseline knows it.
        batch: The batch.
        pi: [place, action] probabilities of the other policy.
        true: [place, action] gradient of its expected return.
    """

    before: Trajectories
    batch: Trajectories
    pi: np.ndarray
    true: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """Place at each step of the batch, [B]."""
        return self.batch.observations.argmax(axis=1)

    @property
    def log_ratios(self) -> np.ndarray:
        """Logarithm of the ratio of both policies at each step of the batch, [B]."""
        log_probs = np.log(self.pi[self.places, self.batch.actions])
        return log_probs - self.batch.behavior_log_probs.astype(np.float64)

    def cosine(self, advantages: np.ndarray) -> float:
        """Return the cosine of the update that [B] advantages make with the true gradient."""
        update = np.zeros((PLACES, 2))
        scores = np.eye(2)[self.batch.actions] - self.pi[self.places]
        np.add.at(update, self.places, scores * advantages[:, None])
        norms = np.linalg.norm(update) * np.linalg.norm(self.true)
        return float((update * self.true).sum() / norms)


@cache
def drawn(drift: Drift) -> list[Stale]:
    """Return one batch for each seed."""
    batches = []
    for seed in range(SEEDS):
        behavior, logits = drift.policies(seed)
        generator = np.random.default_rng([seed, 1])
        before, batch = played(behavior, generator), played(behavior, generator)
        batches.append(Stale(before, batch, probabilities(logits), true_gradient(logits)))
    return batches


Form = Callable[[Stale, str, float], np.ndarray]
"""``form(stale, baseline, cap)``: [B] advantages."""


def rewards_weighted(stale: Stale, baseline: str, cap: float) -> np.ndarray:
    """Return the advantages of before decision 0099: weights times rewards, and times baseline."""
    batch, before, lengths = stale.batch, stale.before, stale.batch.episode_lengths
    weights = importance_weights("per_decision", stale.log_ratios, lengths, cap=cap)
    returns = rewards_to_go(weights.prefix * batch.rewards, lengths, 1.0)
    if baseline == "time":
        return returns - weights.prefix * time_leave_one_out(returns, lengths, weights.reach)
    linear = LinearBaseline()
    linear.fit(before, rewards_to_go(before.rewards, before.episode_lengths, 1.0))
    return returns - weights.prefix * linear.values(batch)


def surprises_weighted(stale: Stale, baseline: str, cap: float) -> np.ndarray:
    """Return the advantages that the estimator gives."""
    before = stale.before
    options = {"baseline": baseline, "importance_cap": cap, "advantage_scale": "none"}
    config = LearnerConfig.model_validate({**options, "discount": 1.0})
    estimator = Estimator(config, ARCHITECTURE, seed=0)
    estimator.fit(before, rewards_to_go(before.rewards, before.episode_lengths, 1.0))
    return estimator.estimate(stale.batch, stale.log_ratios).advantages


def cosines(drift: Drift, form: Form, baseline: str, cap: float) -> list[float]:
    """Return the cosine of one update with the true gradient, for each seed."""
    return [stale.cosine(form(stale, baseline, cap)) for stale in drawn(drift)]


def main() -> None:
    """Print the table: the mean over the seeds and, in brackets, the lowest."""
    print("| drift | baseline | cap | rewards weighted | surprises weighted |")
    print("| --- | --- | --- | --- | --- |")
    for drift in DRIFTS:
        for baseline in ("time", "linear"):
            for cap in (1.5, 1.0):
                cells = []
                for form in (rewards_weighted, surprises_weighted):
                    found = cosines(drift, form, baseline, cap)
                    cells.append(f"{np.mean(found):.2f} ({min(found):.2f})")
                print(f"| {drift.name} | {baseline} | {cap} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()

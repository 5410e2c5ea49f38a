"""What each option of the estimator costs in bias and buys in variance: exact sums, no sampling.

    .venv/bin/python benchmarks/estimator_bias.py

Every batch of one or two episodes of the reference problem goes through the learner that trains,
and its gradient is weighted with its probability. `cos` and `ratio` compare the expected gradient
with the true one by direction and length, `error` is the length of their difference over that of
the true one, and `variance` is the trace of the covariance of the gradient of such a batch.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from reference_mdp import (
    ARCHITECTURE,
    HORIZON,
    THETA,
    all_batches,
    all_paths,
    as_table,
    as_trajectories,
    flat_weights,
    true_gradient,
)

from reinforce.configs.learning import LearnerConfig
from reinforce.learner.learner import Learner
from reinforce.learner.state import LearnerState

PLAIN: dict[str, Any] = {"baseline": "none", "advantage_scale": "none", "discount": 1.0}
GAMMA_T: dict[str, Any] = {"discount": 0.9, "discount_state_weight": True}
"""Exact for the discounted objective."""

SEES_TIME: dict[str, Any] = {"baseline": "value", "value_horizon_steps": HORIZON}

ENTROPY: dict[str, Any] = {"entropy_reward": 0.5}
"""Exact for the objective that pays for entropy."""

NEAR = THETA + np.array([[0.3, -0.3], [-0.3, 0.3]])
FAR = THETA + np.array([[1.0, -1.0], [-1.0, 1.0]])
"""Policies that acted before: a small and a large change away from the differentiated one."""


@dataclass(frozen=True)
class Case:
    """A configuration of the estimator and the circumstances it is judged in.

    Attributes:
        name: What the tables call it.
        options: Fields of the learner's configuration on top of PLAIN.
        num_episodes: Episodes in a batch.
        behavior: Policy that acts; differs from THETA where data is stale.
        objective_discount: Discount of the objective whose gradient is the true one.
        objective_entropy: What that objective pays for a nat of entropy.
        unbiased: It claims to have no bias.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    num_episodes: int = 1
    behavior: np.ndarray = field(default_factory=lambda: THETA)
    objective_discount: float = 1.0
    objective_entropy: float = 0.0
    unbiased: bool = True

    @property
    def objective(self) -> str:
        """What the tables call the objective whose gradient is the true one."""
        name = "J_1" if self.objective_discount == 1.0 else "J_.9"
        return f"{name} with entropy" if self.objective_entropy else name


CASES = [
    Case("reward_to_go"),
    Case("total", {"return_kind": "total"}),
    Case("total, discount .9", {"return_kind": "total", "discount": 0.9}, objective_discount=0.9),
    Case("discount .9 with gamma^t", GAMMA_T, objective_discount=0.9),
    Case("gamma^t, two episodes", GAMMA_T, 2, objective_discount=0.9),
    Case("discount .9 for J_.9", {"discount": 0.9}, objective_discount=0.9, unbiased=False),
    Case("discount .9 for J_1", {"discount": 0.9}, unbiased=False),
    Case("two episodes, no baseline", num_episodes=2),
    Case("leave_one_out", {"baseline": "leave_one_out"}, 2),
    Case("time", {"baseline": "time"}, 2),
    Case("time, gamma^t", {**GAMMA_T, "baseline": "time"}, 2, objective_discount=0.9),
    Case("total with time", {"baseline": "time", "return_kind": "total"}, 2),
    Case("linear", {"baseline": "linear"}),
    Case("value", {"baseline": "value"}),
    Case("value that sees time", SEES_TIME),
    Case("value that sees time, lambda .5", {**SEES_TIME, "gae_lambda": 0.5}, unbiased=False),
    Case("near: value that sees time", SEES_TIME, 1, NEAR),
    Case("value, gamma^t", {**GAMMA_T, "baseline": "value"}, 2, objective_discount=0.9),
    Case("value, lambda .5", {"baseline": "value", "gae_lambda": 0.5}, unbiased=False),
    Case("value, bootstrap", {"baseline": "value", "truncation": "bootstrap"}, unbiased=False),
    Case(
        "value, lambda .5, bootstrap, gamma^t",
        {**GAMMA_T, "baseline": "value", "gae_lambda": 0.5, "truncation": "bootstrap"},
        2,
        objective_discount=0.9,
        unbiased=False,
    ),
    Case("scale running, the default", {"baseline": "time", "advantage_scale": "running"}, 2),
    Case(
        "scale running, first batch",
        {"baseline": "time", "advantage_scale": "running"},
        2,
        unbiased=False,
    ),
    Case("scale batch", {"baseline": "time", "advantage_scale": "batch"}, 2, unbiased=False),
    Case("scale episode", {"advantage_scale": "episode"}, unbiased=False),
    *[
        Case(
            f"{name} for J with entropy",
            options,
            num_episodes,
            behavior,
            objective_discount=options.get("discount", 1.0),
            objective_entropy=0.5,
            unbiased="entropy_reward" in options,
        )
        for name, options, num_episodes, behavior in [
            ("entropy_reward", ENTROPY, 1, THETA),
            ("entropy_reward, total", {**ENTROPY, "return_kind": "total"}, 1, THETA),
            ("entropy_reward, time", {**ENTROPY, "baseline": "time"}, 2, THETA),
            (
                "entropy_reward, value, gamma^t",
                {**ENTROPY, **GAMMA_T, "baseline": "value"},
                1,
                THETA,
            ),
            ("near: entropy_reward", ENTROPY, 1, NEAR),
            (
                "near: entropy_reward, time, gamma^t",
                {**ENTROPY, **GAMMA_T, "baseline": "time"},
                2,
                NEAR,
            ),
            ("entropy_coefficient", {"entropy_coefficient": 0.5}, 1, THETA),
        ]
    ],
    Case("near: per_decision, gamma^t", GAMMA_T, 1, NEAR, objective_discount=0.9),
    *[
        Case(
            f"near: per_decision, {baseline}, gamma^t",
            {**GAMMA_T, "baseline": baseline},
            2,
            NEAR,
            objective_discount=0.9,
        )
        for baseline in ("time", "leave_one_out", "linear", "value")
    ],
    *[
        Case(
            f"near: per_decision, discount .9 for {label}",
            {"discount": 0.9},
            behavior=NEAR,
            objective_discount=objective_discount,
            unbiased=False,
        )
        for label, objective_discount in (("J_.9", 0.9), ("J_1", 1.0))
    ],
    Case(
        "near: self-normalised, cap 1.5",
        {"importance_self_normalize": True, "importance_cap": 1.5},
        2,
        NEAR,
        unbiased=False,
    ),
    *[
        Case(f"{label}: {name}", options, num_episodes, behavior, unbiased=unbiased)
        for label, behavior in (("near", NEAR), ("far", FAR))
        for name, options, num_episodes, unbiased in [
            ("none", {"importance_correction": "none"}, 1, False),
            ("per_step", {"importance_correction": "per_step"}, 1, False),
            ("per_decision", {}, 1, True),
            ("per_decision, time", {"baseline": "time"}, 2, True),
            ("per_decision, leave_one_out", {"baseline": "leave_one_out"}, 2, True),
            ("per_decision, linear", {"baseline": "linear"}, 1, True),
            ("per_decision, value", {"baseline": "value"}, 1, True),
            ("cap 1.5", {"importance_cap": 1.5}, 1, False),
            *[
                (f"cap {cap}, {name}", {"importance_cap": cap, "baseline": name}, number, False)
                for cap in (1.5, 1.0)
                for name, number in (("time", 2), ("leave_one_out", 2), ("linear", 1), ("value", 1))
            ],
            ("self-normalised", {"importance_self_normalize": True}, 2, False),
        ]
    ],
]


@dataclass(frozen=True)
class Judgement:
    """Expected gradient of a case against the true one."""

    expected: np.ndarray
    true: np.ndarray
    variance: float

    @property
    def cos(self) -> float:
        """Cosine of the angle between them."""
        norms = np.linalg.norm(self.expected) * np.linalg.norm(self.true)
        return float((self.expected * self.true).sum() / norms)

    @property
    def ratio(self) -> float:
        """Length of the expected gradient over that of the true one."""
        return float(np.linalg.norm(self.expected) / np.linalg.norm(self.true))

    @property
    def error(self) -> float:
        """Length of the difference over that of the true one."""
        return float(np.linalg.norm(self.expected - self.true) / np.linalg.norm(self.true))


def prepared_learner(case: Case) -> tuple[Learner, LearnerState, float]:
    """Return a learner with the weights THETA that knows an earlier batch, its state and scale.

    Baselines and scales that look at earlier batches have seen all paths once.
    """
    learner = Learner(LearnerConfig(**{**PLAIN, **case.options}), ARCHITECTURE, seed=0)
    first = learner.state()
    learner.load_state(LearnerState(0, {**first.arrays, "weights": flat_weights()}))
    learner.update([as_trajectories(tuple(all_paths()))])
    state = learner.state()
    is_stale = case.behavior is not THETA
    arrays = {**state.arrays, "weights": flat_weights()}
    mean_square, weight = arrays["estimator.running_scale"]
    scale = np.sqrt(mean_square / weight)
    if case.name.endswith("first batch"):
        arrays["estimator.running_scale"], scale = np.zeros(2), 1.0
    return learner, LearnerState(1 if is_stale else 0, arrays), float(scale)


def judge(case: Case) -> Judgement:
    """Send every batch through the learner and weight its gradient with its probability."""
    learner, state, scale = prepared_learner(case)
    expected, second_moment = np.zeros((2, 2)), 0.0
    for probability, batch in all_batches(case.num_episodes, case.behavior):
        learner.load_state(state)
        gradient = as_table(learner.gradient([batch]))
        if case.options.get("advantage_scale") == "running":
            gradient = gradient * scale
        expected += probability * gradient
        second_moment += probability * float((gradient**2).sum())
    variance = second_moment - float((expected**2).sum())
    true = true_gradient(case.objective_discount, entropy_reward=case.objective_entropy)
    return Judgement(expected, true, variance)


def main() -> None:
    """Print the table."""
    print("| case | objective | episodes | cos | ratio | error | variance |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        found = judge(case)
        print(
            f"| {case.name} | {case.objective} | {case.num_episodes} | {found.cos:.3f} "
            f"| {found.ratio:.3f} | {found.error:.3f} | {found.variance:.2f} |"
        )


if __name__ == "__main__":
    main()

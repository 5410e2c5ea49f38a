"""``reinforce evaluate``: how good a trained policy is, on fresh episodes."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from reinforce.cluster.commands.arguments import Flag, PlayCommand
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.errors import UsageError
from reinforce.cluster.evaluation import Evaluation
from reinforce.cluster.export.trained_policy import TrainedPolicy


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(PlayCommand):
    """Play fresh, seeded episodes with a trained policy, in this process and without Ray.

    Neither training nor its evaluations play these episodes, and nothing is written.

    Attributes:
        episodes: Episodes, >= 5; more narrow the 95 % interval.
        json: Print one line of JSON instead.
    """

    episodes: int = 100
    json: Flag = False

    def execute(self, started_s: float) -> int:
        """Play the episodes and print the result.

        Raises:
            UsageError, ConfigError, UnsuitableEnvironmentError: It cannot be evaluated.
            TicketFailedError: The environment failed.
        """
        console = PlainConsole()
        if self.episodes < 5:
            raise UsageError(f"--episodes {self.episodes} must be >= 5 for an interval")
        policy = TrainedPolicy.load(self.run, best=self.best)
        greedy = not self.sampled
        seed = policy.seed_or_own(self.seed)
        tickets = policy.tickets(seed, self.episodes, greedy=greedy)
        reports = [report for report, _ in policy.play(tickets)]
        returns = np.concatenate([report.episode_returns for report in reports])
        lengths = np.concatenate([report.episode_lengths for report in reports])
        result = Evaluation.of(returns, greedy=greedy)
        if self.json:
            values = _as_json(policy, seed, result, float(lengths.mean()))
            console.say(json.dumps(values))
        else:
            _print(console, policy, result, float(lengths.mean()))
        return 0


def _as_json(
    policy: TrainedPolicy, seed: int, result: Evaluation, mean_length: float
) -> dict[str, Any]:
    return {
        "run": str(policy.run.path),
        "checkpoint": policy.checkpoint,
        "update": policy.weights.version,
        "environment_steps": policy.environment_steps,
        "seed": seed,
        **result.as_json(),
        "episode_length_mean": mean_length,
    }


def _print(
    console: PlainConsole, policy: TrainedPolicy, result: Evaluation, mean_length: float
) -> None:
    low, high = result.return_ci95
    rows = {
        "policy": str(policy),
        "return": f"mean {result.return_mean:.1f} (95 % interval {low:.1f} to {high:.1f}), "
        f"from {result.return_min:.1f} to {result.return_max:.1f}",
        "episodes": f"{result.episodes} fresh ones of {mean_length:.1f} steps on average, "
        f"{'most probable' if result.greedy else 'sampled'} actions",
    }
    for name, text in rows.items():
        console.say(f"{name:<12}{text}")

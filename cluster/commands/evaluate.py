"""``reinforce evaluate``: measures a trained policy on fresh episodes."""

import json
from dataclasses import dataclass

import numpy as np

from reinforce.cluster.commands.arguments import Flag, PlayCommand
from reinforce.cluster.console import PlainConsole
from reinforce.cluster.evaluation import Evaluation, in_words
from reinforce.cluster.number_format import mean_and_interval, numbers
from reinforce.cluster.policy_sources import load_policy
from reinforce.configs.quoting import shown


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(PlayCommand):
    """Play fresh, seeded episodes with a trained policy, in this process and without Ray.

    Neither training nor its evaluations play these episodes, and nothing is written. Instead of a
    run directory, zoo:NAME is an agent that `reinforce zoo list` shows.

    Attributes:
        episodes: Number of episodes, 1 to 1,000,000; more episodes give a narrower 95 % interval.
        json: Print one line of JSON instead.
    """

    episodes: int = 100
    json: Flag = False

    def execute(self) -> int:
        policy = load_policy(
            self.run, best=self.best, trust=self.trust, changes=self.environment.given
        )
        seed = policy.config.run.seed if self.seed is None else self.seed
        tickets = policy.tickets(seed, self.episodes, greedy=not self.sampled)
        reports = [report for report, _ in policy.play(tickets)]
        length = float(np.concatenate([report.episode_lengths for report in reports]).mean())
        result = Evaluation.of_reports(reports)
        if self.json:
            values = {
                "run": policy.place,
                "checkpoint": policy.which,
                "update": policy.weights.version,
                "environment_steps": policy.environment_steps,
                "seed": seed,
                "environment": dict(policy.differs),
                **result.as_json(),
                "episode_length_mean": length,
            }
            PlainConsole().say_data(json.dumps(values))
            return 0
        metrics = {"metrics": in_words(result.as_json())} if result.metrics else {}
        where = ", ".join(f"{name} {shown(value)}" for name, value in policy.differs.items())
        rows = {
            "policy": str(policy),
            **({"environment": f"not as in training: {where}"} if where else {}),
            "return": f"mean {mean_and_interval(result.return_mean, *result.return_ci95)}, "
            f"from {' to '.join(numbers(result.return_min, result.return_max))}",
            **metrics,
            "episodes": f"{result.episodes} fresh, {length:.1f} steps on average, "
            f"{'sampled' if self.sampled else 'most probable'} actions",
        }
        PlainConsole().say_rows(rows, whole=("policy",))
        if result.num_cut:
            PlainConsole(stderr=True).warn(result.cuts_in_words())
        return 0

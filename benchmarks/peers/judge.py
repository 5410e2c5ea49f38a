"""When a program has learned CartPole-v1, and after how long: one judgement for every peer.

There are two, both at a mean of 475 over 100 episodes:

* sampled: the last 100 episodes that training finished, with the actions that it drew.
* greedy: 100 fresh episodes with the most probable actions, confirmed by 100 more on other seeds.
  This is how `reinforce train` decides. A peer is asked every few thousand environment steps, and
  its clock stands still meanwhile; ours is asked less often, on its own time.

A run ends when both are reached. On any other task nothing is judged: only the steps are timed.
"""

import argparse
import contextlib
import json
import platform
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

JUDGED_TASK = "CartPole-v1"
TARGET_RETURN = 475.0
MAX_RETURN = 500.0
EPISODES = 100
EVERY_STEPS = 5_000
SEEDS_PER_RUN = 100_000
"""The evaluation seeds of one run are this far from those of the next, and from training's."""

Act = Callable[[NDArray[np.float32]], NDArray[np.integer[Any]]]
"""Greedy actions [N] for observations [N, 4]."""


class Over(Exception):  # noqa: N818  (not an error: how one leaves another library's loop)
    """Both targets are reached, or time or steps are used up."""


class RecentReturns:
    """The returns of the last 100 finished episodes of training."""

    def __init__(self) -> None:
        self._returns: deque[float] = deque(maxlen=EPISODES)

    def add(self, episode_return: float) -> None:
        """Count an episode, at most at what CartPole-v1 is worth: some play on beyond its end."""
        self._returns.append(min(episode_return, MAX_RETURN))

    def mean(self) -> float | None:
        """Return their mean, or None while there are fewer than 100."""
        return float(np.mean(self._returns)) if len(self._returns) == EPISODES else None


class Recorded(gymnasium.Wrapper):
    """An environment whose finished episodes are counted, for libraries that do not tell."""

    def __init__(self, environment: gymnasium.Env, returns: RecentReturns) -> None:
        super().__init__(environment)
        self._returns = returns
        self._return = 0.0

    def reset(self, **options: Any) -> Any:
        """Reset, and forget the episode that was not finished."""
        self._return = 0.0
        return self.env.reset(**options)

    def step(self, action: Any) -> Any:
        """Step and count."""
        result = self.env.step(action)
        self._return += float(result[1])
        if result[2] or result[3]:
            self._returns.add(self._return)
            self._return = 0.0
        return result


@dataclass
class Judge:
    """Watches one run of one peer.

    Attributes:
        seed: of the run; evaluations use seeds that follow from it.
        time_limit_s: seconds of training, judgements not counted, after which the run is over.
        max_steps: environment steps after which the run is over (tests); None: no such limit.
        task: the environment's id.
        compilation_s: seconds of training that went into compiling, which a peer that compiles
            adds; they count as training.
        started: when training began, on the clock of ``time.perf_counter``.
    """

    seed: int
    time_limit_s: float
    max_steps: int | None = None
    task: str = JUDGED_TASK
    compilation_s: float = 0.0
    started: float = field(default=0.0, init=False)
    _outcome: str = field(default="budget used up", init=False)
    _judging_s: float = field(default=0.0, init=False)
    _training_s: float = field(default=0.0, init=False)
    _steps: int = field(default=0, init=False)
    _warm: tuple[float, int] | None = field(default=None, init=False)
    _judged_steps: int = field(default=0, init=False)
    _num_evaluations: int = field(default=0, init=False)
    _reached: dict[str, tuple[float, int]] = field(default_factory=dict, init=False)

    def start(self) -> None:
        """Start the clock: everything is imported and built, the first step comes now."""
        self.started = time.perf_counter()

    def look(
        self, environment_steps: int, act: Act, recent_return: float | None, *, last: bool = False
    ) -> None:
        """Judge the policy if it is time to.

        Args:
            environment_steps: taken in training so far.
            act: the policy as it is now; only called inside this call.
            recent_return: mean of the last 100 episodes of training; None while there are fewer.
            last: judge in any case, since no more training follows.

        Raises:
            Over: the run is to end here.
        """
        now = time.perf_counter()
        self._training_s = now - self.started - self._judging_s
        self._steps = environment_steps
        if environment_steps:  # Stable-Baselines3 shows its policy before the first step, too
            self._warm = self._warm or (self._training_s, environment_steps)
        if self.task == JUDGED_TASK:
            self._judge(now, act, recent_return, last=last)
        self._end_if_over()

    def _judge(self, now: float, act: Act, recent_return: float | None, *, last: bool) -> None:
        environment_steps = self._steps
        here = (round(self._training_s, 3), environment_steps)
        if recent_return is not None and recent_return >= TARGET_RETURN:
            self._reached.setdefault("sampled", here)
        is_due = last or environment_steps - self._judged_steps >= EVERY_STEPS
        if is_due and "greedy" not in self._reached:
            self._judged_steps = environment_steps
            if self._evaluate(act) and self._evaluate(act):
                self._reached["greedy"] = here
            self._judging_s += time.perf_counter() - now

    def _end_if_over(self) -> None:
        if len(self._reached) == 2:
            self._outcome = "reached"
        elif self._training_s >= self.time_limit_s:
            self._outcome = "time limit"
        elif self.max_steps is None or self._steps < self.max_steps:
            return
        raise Over

    def _evaluate(self, act: Act) -> bool:
        self._num_evaluations += 1
        seed = SEEDS_PER_RUN * (self.seed + 1) + EPISODES * self._num_evaluations
        return bool(play(act, seed).mean() >= TARGET_RETURN)

    def _steps_per_s(self) -> int:
        """Return the steps per second since the first look after a step.

        Programs warm up before it; ours leave out their first update. With one look there is
        nothing else, so all counts.
        """
        warm_s, warm_steps = self._warm or (0.0, 0)
        if warm_steps == self._steps:
            warm_s, warm_steps = 0.0, 0
        return round((self._steps - warm_steps) / max(self._training_s - warm_s, 1e-9))

    def report(self) -> dict[str, Any]:
        """Return what there is to say about the run, as one flat object."""
        greedy = self._reached.get("greedy", (None, None))
        sampled = self._reached.get("sampled", (None, None))
        return {
            "seed": self.seed,
            "task": self.task,
            "outcome": self._outcome,
            "greedy_training_s": greedy[0],
            "greedy_environment_steps": greedy[1],
            "sampled_training_s": sampled[0],
            "sampled_environment_steps": sampled[1],
            "environment_steps": self._steps,
            "training_s": round(self._training_s, 3),
            "compilation_s": round(self.compilation_s, 3),
            "environment_steps_per_s": self._steps_per_s(),
            "judging_s": round(self._judging_s, 3),
        }


def play(act: Act, seed: int, num_episodes: int = EPISODES) -> NDArray[np.float64]:
    """Play one episode per lane, all from the seed on, and return the returns [num_episodes]."""
    # What Gymnasium 0.29 calls "custom" has this name since 1.0.
    mode = "custom" if gymnasium.__version__ < "1" else "vector_entry_point"
    environments = gymnasium.make_vec(JUDGED_TASK, num_envs=num_episodes, vectorization_mode=mode)
    observations, _ = environments.reset(seed=seed)
    returns = np.zeros(num_episodes)
    playing = np.ones(num_episodes, dtype=bool)
    while playing.any():
        observations, rewards, terminated, truncated, _ = environments.step(act(observations))
        returns += rewards * playing
        playing &= ~(terminated | truncated)
    environments.close()
    return returns


def run(train: Callable[[int, Judge], None], packages: Iterable[str]) -> None:
    """Run a peer as a program: read the command line, train, print one line of JSON.

    Args:
        train: takes the seed and the judge and returns when its published budget is used up.
        packages: whose versions belong into the report.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-limit-s", type=float, default=120.0)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--task", default=JUDGED_TASK)
    arguments, _ = parser.parse_known_args()
    judge = Judge(arguments.seed, arguments.time_limit_s, arguments.max_steps, arguments.task)
    with contextlib.suppress(Over):
        train(arguments.seed, judge)
    versions = {"python": platform.python_version()} | {name: version(name) for name in packages}
    print(json.dumps(judge.report() | {"versions": versions}), flush=True)

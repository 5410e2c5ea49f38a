"""A callback that watches a run, records its own numbers, and ends the run when it is good enough.

Ending a run that no longer improves needs no callback: use ``stop.patience_evaluations``.
"""

import statistics

import reinforce


class StopWhenSteady:
    """Ends a run once the last few batches all returned enough."""

    def __init__(self, enough, batches=3):
        self.enough, self.batches, self.means = enough, batches, []

    def __call__(self, event):
        if event.is_evaluation:
            return
        self.means.append(event.metrics["rollout/return_mean"])
        event.record("return_median", statistics.median(event.episode_returns))
        if min(self.means[-self.batches :]) >= self.enough and len(self.means) >= self.batches:
            event.stop(f"{self.batches} batches in a row returned {self.enough} or more")


run = reinforce.train("cartpole", callbacks=[StopWhenSteady(120)], backend="inline")
print(run.summary["stop_reason"])
print(run.updates[["updates", "rollout/return_mean", "custom/return_median"]])
assert run.status == "finished"

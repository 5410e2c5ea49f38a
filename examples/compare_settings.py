"""Compares three settings over three seeds, and draws their learning curves."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import reinforce

runs = [
    reinforce.train(
        "cartpole",
        {"learner.learning_rate": rate, "stop.max_updates": 4, "tracking.enabled": False},
        seed=seed,
        backend="inline",
        progress=False,
    )
    for rate in (0.003, 0.01, 0.03)
    for seed in range(3)
]
comparison = reinforce.compare(runs)
print(comparison)

for number, (group, curves) in enumerate(comparison.curves().groupby("group")):
    plt.plot("steps", "value", f"C{number}", data=curves[curves["run"] == ""], label=group)
    for _, seed in curves[curves["run"] != ""].groupby("run"):
        plt.plot(seed["steps"], seed["value"], f"C{number}", alpha=0.4)
plt.xlabel("environment steps")
plt.ylabel("mean return of a batch")
plt.legend()
plt.savefig("learning_rates.pdf")
assert len(comparison.scores) == 3

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

for group, curve in comparison.curves().groupby("group"):
    (line,) = plt.plot(curve["steps"], curve["value"], label=group)
    plt.fill_between(curve["steps"], curve["low"], curve["high"], alpha=0.2, color=line.get_color())
plt.xlabel("environment steps")
plt.ylabel("mean return of a batch")
plt.legend()
plt.savefig("learning_rates.pdf")
assert len(comparison.scores) == 3

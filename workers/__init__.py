"""Sampling: tickets, environments, rollouts and the worker that plays tickets.

Plain classes that run in one process and know neither Ray nor MLflow. From the learner they use
only the policy, its weights and the trajectory type. Nothing here imports Torch.
"""

if __name__ != "reinforce.workers":
    raise ImportError("this package is called reinforce.workers")

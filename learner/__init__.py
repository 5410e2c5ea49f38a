"""Learning: trajectories, policy, returns, baselines, loss and the learner itself.

Plain classes and pure functions that run in one process and know neither Gymnasium, Ray nor MLflow.
The learner owns the policy and the trajectory type, because whoever consumes data defines it:
workers act with a copy of the policy and fill in trajectories.
"""

if __name__ != "reinforce.learner":
    raise ImportError("this package is called reinforce.learner")

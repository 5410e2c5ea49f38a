"""What learning is: trajectories, policy, returns, baselines, loss and the learner itself.

Plain classes and pure functions that run in one process; they know neither Gymnasium nor Ray nor
MLflow. The learner owns the policy and the trajectory type: workers act with a copy of the one and
fill in the other, because who consumes data owns its contract.
"""

if __name__ != "reinforce.learner":
    raise ImportError("this package is called reinforce.learner")

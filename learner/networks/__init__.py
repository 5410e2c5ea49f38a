"""The policy as Torch networks, which the learner differentiates."""

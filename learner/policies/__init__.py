"""The policy without Torch: observations, actions and trajectories."""

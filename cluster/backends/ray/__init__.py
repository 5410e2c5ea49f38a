"""The Ray backend: one learner actor, many rollout actors, and who plays what."""

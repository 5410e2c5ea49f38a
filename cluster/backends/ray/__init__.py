"""The Ray backend: one learner actor, many rollout actors, and who plays what."""

import warnings

# Before anything imports Ray: in a notebook it looks for widgets, which nothing of ours shows.
warnings.filterwarnings("ignore", "IProgress not found")

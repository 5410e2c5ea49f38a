"""The Ray backend: one learner actor, many rollout actors, and who plays what."""

import warnings

# Before anything imports Ray: in a notebook it looks for widgets, which nothing of ours shows.
warnings.filterwarnings("ignore", "IProgress not found")
# Of JAX, if the environment is written in it: what Ray forks becomes another program at once.
warnings.filterwarnings("ignore", r"os\.fork\(\) was called.*JAX")

"""The run directory with journal, checkpoints and summary: the truth about a run."""

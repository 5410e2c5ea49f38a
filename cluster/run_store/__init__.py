"""The run directory: the journal, checkpoints and the summary; the truth of a run."""

"""MLflow follows the journal: in a process of its own that training never waits for."""

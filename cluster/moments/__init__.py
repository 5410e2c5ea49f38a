"""Any moment of a run, recomputed from seeds and checkpoints and compared with its journal."""

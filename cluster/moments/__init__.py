"""Any moment of a run, made again from its seeds and checkpoints, and held against its journal."""

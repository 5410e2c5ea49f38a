"""Where it runs: the loop, the backends, the run directory, tracking and the command line.

The top floor, and the only one that knows Ray and MLflow.
"""

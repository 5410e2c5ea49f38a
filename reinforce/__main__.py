"""The command ``reinforce``, the same as ``python -m reinforce``."""

import sys
from pathlib import Path


def main() -> int:
    """Run the command line and return its exit code; Ctrl-C ends even its imports in one line."""
    try:
        from reinforce.cluster.cli import main as run
        from reinforce.cluster.sudden_end import end_if_in_a_hurry

        exit_code = run()
        end_if_in_a_hurry(exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("reinforce: interrupted\n")
        return 130
    return exit_code


if __name__ == "__main__":
    if sys.path[0] == str(Path.cwd()):  # where Python puts it, before all that is installed
        del sys.path[0]
    sys.exit(main())

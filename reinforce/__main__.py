"""The command ``reinforce``, the same as ``python -m reinforce``."""

import sys


def main() -> int:
    """Run the command line and return its exit code; Ctrl-C ends even its imports in one line."""
    try:
        from reinforce.cluster.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("reinforce: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())

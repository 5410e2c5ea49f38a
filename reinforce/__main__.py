"""``python -m reinforce`` is the same as the console script ``reinforce``."""

import sys

from reinforce.cluster.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""The programs that measure our peers find their judge beside them, and so do the tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "peers"))

"""Wrong inputs by the thousand: none may end in a traceback, hang, or leave anything behind.

    python tests/fuzz/fuzz.py --cases 10000 --seed 0

Prints counts by category and what was found, each with the command line that shows it. Exits with
1 if anything was. A short form is in the suite: tests/test_fuzz.py.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

from explore import STRATEGIES, explore, finished_run  # noqa: E402
from verdict import Judge  # noqa: E402


def report(findings):
    """Print each with what shows it."""
    for category, verdict, case, said in findings:
        print(f"\n== {category}: {verdict}\n   reinforce {case.words!r}")
        print(f"   {case.files or case.spoil}"[:2000])
        print("   " + "\n   ".join(said.strip().splitlines()[-4:])[:1000], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=STRATEGIES, default=None, help="one category alone")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reinforce-fuzz-") as folder:
        run = finished_run(Path(folder))
        judge = Judge(Path(folder), run)
        names = [options.only] if options.only else list(STRATEGIES)
        for name in names:
            explore(name, judge, run, options.cases // len(names), options.seed)
            shown = {what: n for (category, what), n in judge.counts.items() if category == name}
            print(f"{name:<18}", shown, f"{time.monotonic() - started_s:.0f} s", flush=True)
            report([finding for finding in judge.findings if finding[0] == name])
    print(f"\n{len(judge.findings)} findings")
    return 1 if judge.findings else 0


if __name__ == "__main__":
    sys.exit(main())

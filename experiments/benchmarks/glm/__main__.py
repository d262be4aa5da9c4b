"""Compare gnsopt's default with its peers.

python -m experiments.benchmarks.glm --group small --targets g8
python -m experiments.benchmarks.glm --group core --methods 'gnsopt*' 'sklearn*' --repeats 3
python -m experiments.benchmarks.glm --quick
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.benchmarks.glm import figure, registry, report, tasks
from experiments.benchmarks.glm.cell import TARGETS
from experiments.benchmarks.glm.schedule import Schedule
from experiments.run import results_folder
from experiments.storage import write_json, write_text
from gnsopt.cli.interrupt import interruptible

QUICK = ("gnsopt", "L-BFGS-B, m = 10", "sklearn newton-cholesky")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m experiments.benchmarks.glm", description=__doc__.partition("\n")[0])
    found.add_argument("--group", default="small", help="of problems: small, core, real, synthetic, full (small)")
    found.add_argument("--problems", nargs="+", default=["*"], metavar="GLOB", help="only those of these names")
    found.add_argument("--l2", nargs="+", metavar="TEXT", help="only these penalties, as in 1e-4/n")
    found.add_argument("--methods", nargs="+", default=["*"], metavar="GLOB", help="only those of these names")
    found.add_argument("--targets", nargs="+", default=list(TARGETS), choices=TARGETS, help="of the tables")
    found.add_argument("--repeats", type=int, default=1, help="processes for each method and problem (1)")
    found.add_argument("--timeout", type=float, default=60.0, help="seconds for each of them (60)")
    found.add_argument("--wall", action="store_true", help="wall seconds at all threads, not CPU seconds at one")
    found.add_argument("--worst-first", action="store_true", help="sort the problems by what we lose")
    found.add_argument("--force", action="store_true", help="run the cells that are there once more, minima excepted")
    found.add_argument(
        "--table", action="store_true", help="run nothing: tables and figure of the cells that are there"
    )
    found.add_argument("--list", action="store_true", help="list problems and installed methods, run nothing")
    found.add_argument("--quick", action="store_true", help="a few seconds: one small problem, three methods")
    found.add_argument("--results", type=Path, help="folder of the results (default: results, or results/quick)")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 where a stored minimum is refuted."""
    line = parser()
    options = line.parse_args(arguments)
    try:
        everything = tasks.read("quick" if options.quick else options.group)
        problems = [
            p for p in everything if any(fnmatch.fnmatchcase(p.name, g) or p.data == g for g in options.problems)
        ]
        problems = [p for p in problems if options.l2 is None or p.l2 in options.l2]
        methods = registry.select(QUICK if options.quick and options.methods == ["*"] else options.methods)
    except ValueError as error:
        line.error(str(error))
    if options.list:
        print(*(problem.name for problem in problems), "", *(method.name for method in methods), sep="\n")
        return 0
    if not problems:
        line.error("no problem has that name and that penalty; --list shows them")
    folder = (options.results or results_folder(options.quick)).resolve() / "benchmarks" / "glm"
    clock = "wall" if options.wall else "cpu"
    schedule = Schedule(folder / "cells", problems, methods, options.repeats, clock, options.timeout, options.force)
    signals = interruptible()
    try:
        with signals:  # SIGTERM too, and Ctrl-C where a shell started it in the background
            if not options.table:
                schedule.run()
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept; the same command goes on from there", file=sys.stderr)
        return signals.code
    finally:
        write_tables(schedule, options.targets, folder, options.worst_first)
    troubles = report.refuted(schedule)
    for trouble in troubles:
        print(trouble, file=sys.stderr)
    return 1 if troubles else 0


def write_tables(schedule: Schedule, targets: Sequence[str], folder: Path, worst_first: bool) -> None:
    """Write tables, figure and their data, and print the tables against the best peer."""
    ours = [method.name for method in schedule.methods if method.ours]
    tables = {target: report.rows(schedule, target) for target in targets}
    text = []
    for target, found in tables.items():
        best = report.versus_best(found, ours, worst_first)
        text += [f"## {target}\n", best, report.means(found, ours), report.ratios(found, ours)]
        print(f"## {target}\n", best, sep="\n")
    write_text(folder / f"tables-{schedule.clock}.md", "\n".join(text))
    write_json(
        folder / f"tables-{schedule.clock}.json",
        {
            target: [
                {
                    "problem": row.problem.name,
                    "minimum": row.minimum,
                    "methods": {name: vars(entry) for name, entry in row.entries.items()},
                }
                for row in found
            ]
            for target, found in tables.items()
        },
    )
    if any(tables.values()):
        figure.draw(tables, folder / f"profiles-{schedule.clock}.png")


if __name__ == "__main__":
    sys.exit(main())

"""Compare gnsopt's transport with its peers.

python -m experiments.benchmarks.ot
python -m experiments.benchmarks.ot --methods 'gnsopt*' 'regot SSNS' --instances 'rand*'
python -m experiments.benchmarks.ot --quick
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments import environment
from experiments.run import results_folder
from experiments.storage import read_json, write_json, write_text

TARGETS = (1e-6, 1e-9)
README = Path(__file__).with_name("README.md")
MARKS = ("<!-- tables: begin -->", "<!-- tables: end -->")
PATIENCE = 25.0  # wall seconds for each of the seconds given, which a busy machine and lowered thresholds need (chosen)
KILLED = -9


class Job:
    """The cells, run on demand, each in its own process."""

    def __init__(self, folder: Path, seconds: float, threads: int, force: bool) -> None:
        self.folder, self.seconds, self.threads, self.force = folder, seconds, threads, force

    def path(self, instance: str, method: str, target: float) -> Path:
        """Return the file of a cell."""
        name = f"{instance}@{method}@{target:.0e}@{self.seconds:g}s@{self.threads}".replace("/", "-over-")
        return self.folder / "cells" / f"{name}.json"

    def ask(self, instance: str, method: str, target: float, run: bool = True) -> dict[str, Any] | None:
        """Return the answer of a cell, from its file or, with `run`, from a process; None where there is none."""
        path = self.path(instance, method, target)
        if not run or (path.exists() and not self.force):
            return read_json(path) if path.exists() else None
        print(f"{instance}, {method}, {target:.0e}", file=sys.stderr, flush=True)
        path.unlink(missing_ok=True)
        arguments = [instance, method, repr(target), repr(self.seconds), str(path)]
        limited = {**os.environ, **dict.fromkeys(environment.VARIABLES, str(self.threads))}
        code = KILLED
        with suppress(subprocess.TimeoutExpired):
            code = subprocess.run(
                [sys.executable, "-m", "experiments.benchmarks.ot.cell", *arguments],
                env=limited,
                cwd=Path(__file__).parents[3],
                timeout=PATIENCE * self.seconds,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process, which kills that one: it would write half a run
            ).returncode
        if code > 0:  # not even an exception of a peer: something is broken here, which is no measurement
            raise SystemExit(f"{instance}, {method}, {target:.0e}: the process ended with code {code}; see above")
        if not path.exists():  # by the clock, or for want of memory
            write_json(path, {"reached": False, "error": float("inf"), "killed": True})
        return read_json(path)


def selected(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that a pattern matches, in their order."""
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 where two plans disagree."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.ot", description=__doc__.partition("\n")[0])
    parser.add_argument("--instances", nargs="+", default=["*"], metavar="GLOB", help="only those of these names")
    parser.add_argument("--methods", nargs="+", default=["*"], metavar="GLOB", help="only those of these names")
    parser.add_argument("--seconds", type=float, default=6.0, help="of CPU for a run of a peer, about (6)")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS, OpenMP and Numba (1)")
    parser.add_argument("--force", action="store_true", help="run the cells that are there once more")
    parser.add_argument(
        "--table", action="store_true", help="run nothing: make the tables from the cells that are there"
    )
    parser.add_argument("--readme", action="store_true", help="put the tables into the README")
    parser.add_argument("--quick", action="store_true", help="a few seconds: one small instance")
    parser.add_argument("--list", action="store_true", help="list instances and methods, run nothing")
    parser.add_argument("--results", type=Path, help="folder of the results (default: results, or results/quick)")
    options = parser.parse_args(arguments)
    environment.limit_threads_from_start(options.threads)

    from experiments.benchmarks.ot import report  # from here on NumPy is imported
    from experiments.benchmarks.ot.instances import INSTANCES, QUICK
    from experiments.benchmarks.ot.methods import METHODS
    from gnsopt.cli.interrupt import interruptible

    instances = selected(QUICK if options.quick else INSTANCES, options.instances)
    asked = selected(METHODS, options.methods)
    methods = [name for name in asked if options.table or METHODS[name].installed]
    if options.list:
        print(*instances, "", *asked, sep="\n")
        return 0
    if not (instances and methods):
        parser.error("no instance and no installed method of these names; --list shows them")
    absent = sorted({METHODS[name].module for name in asked} - {METHODS[name].module for name in methods})
    if absent:
        print(f"not installed, left out: {', '.join(absent)} (pip install 'gnsopt[bench]')", file=sys.stderr)
    folder = (options.results or results_folder(options.quick)).resolve() / "benchmarks" / "ot"
    job = Job(folder, options.seconds, options.threads, options.force)
    cells: dict[tuple[str, str, float], dict[str, Any]] = {}
    signals = interruptible()
    try:
        with signals:
            for instance in instances:
                for name in methods:
                    for target in TARGETS[:1] if METHODS[name].exact else TARGETS:
                        found = job.ask(instance, name, target, not options.table)
                        if found is None:
                            continue
                        cells[instance, name, target] = found
                        if not found["reached"]:
                            break
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept; the same command goes on from there", file=sys.stderr)
        return signals.code
    text = []
    for target in TARGETS:
        text += [
            f"To {target:.0e}: CPU seconds (iterations)\n",
            report.table(cells, instances, methods, target),
            report.versus_best(cells, instances, methods, target),
            report.means(cells, instances, methods, target, options.seconds),
        ]
    tables = "\n".join(text)
    write_text(folder / "tables.md", tables)
    print(tables)
    if options.readme:
        before, _, rest = README.read_text().partition(MARKS[0])
        write_text(README, f"{before}{MARKS[0]}\n\n{tables}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")
    spans = {name: float((C := INSTANCES[name]()[2]).max() - C.min()) for name in instances}
    wrong = report.disagreements(cells, spans)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

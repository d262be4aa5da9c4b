"""The main job: logistic and softmax regression on real data with default options, from zero to ``|g|_inf <= 1e-8``.

    python -m experiments.benchmarks.main_job
    python -m experiments.benchmarks.main_job --only a9a --only leu --readme

Each cell runs in a fresh process and is kept in its own file; a job that was stopped goes on from there. The objective
is compared with that of an independent solver: the first peer of `peers` whose gradient, evaluated independently, is at
most 1e-9. This process imports neither NumPy nor gnsopt before it writes: its memory is that of its children at their
start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import environment
from experiments.storage import read_json, write_json, write_text

DATA = (
    *("a9a", "w8a", "mushrooms", "ijcnn1", "covtype.libsvm.binary.scale", "covtype", "usps", "letter.scale"),
    *("mnist.scale", "news20", "reuters21578-tfidf", "leu", "colon-cancer", "madelon"),
)
L2 = ("1/n", "1e-4/n")
CONVERGED = 1e-9  # gradient norm below which a peer has converged
FEW = 3000  # variables up to which scikit-learn's dense Newton method is the first peer
ROUNDING = 1e-13  # relative error that the evaluations of f may have (chosen: sums of up to a million terms)
SCORES = 1e-15  # and absolute: logsumexp(z) - z_y cancels scores of size 10, whose rounding is that (chosen)
README = Path(__file__).with_name("README.md")
MARKS = ("<!-- main job: begin -->", "<!-- main job: end -->")
COLUMNS = {
    "data": "data",
    "size": "samples x features (classes)",
    "l2": "l2",
    "status": "status",
    "nit": "iterations",
    "nhev": "Hessians",
    "nhessp": "products",
    "njev": "gradients",
    "seconds": "seconds",
    "peak_gib": "peak GiB",
    "curvature": "curvature",
    "fun": "objective",
    "agreement": "agreement with a peer",
}


def peers(variables: int) -> tuple[str, ...]:
    """Return the peers to ask, in this order, until one converges."""
    dense = ("newton-cholesky",) if variables <= FEW else ()
    return (*dense, "L-BFGS-B", "trust-krylov", "lbfgs")


class Job:
    """The cells of the job, run on demand, each in its own process."""

    def __init__(self, folder: Path, threads: int, peer_seconds: float, force: bool) -> None:
        self.folder, self.threads, self.peer_seconds, self.force = folder, threads, peer_seconds, force

    def ask(self, data: str, l2: str, mode: str, run: bool = True) -> dict[str, Any] | None:
        """Return the answer of a cell, from its file or, with `run`, from a process; None where there is none."""
        path = self.folder / "cells" / f"{data}@{l2.replace('/', '-over-')}@{mode}@{self.threads}-threads.json"
        if not run or (path.exists() and not self.force):
            return read_json(path) if path.exists() else None
        print(f"{data}, l2 = {l2}, {mode}", file=sys.stderr, flush=True)
        path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "experiments.benchmarks.measure", data, l2, mode, str(path)]
        limited = {**os.environ, **dict.fromkeys(environment.VARIABLES, str(self.threads))}
        is_peer = mode not in ("load", "default", "limit")
        slack = 120.0  # for loading; SciPy's methods end by themselves, scikit-learn's do not
        try:
            done = subprocess.run(
                [*command, str(self.peer_seconds)],
                env=limited,
                cwd=Path(__file__).parents[2],
                timeout=self.peer_seconds + slack if is_peer else None,
                start_new_session=True,  # Ctrl-C is for this process, which kills that one: it would write half a run
            )
            how = f"the process ended with code {done.returncode}"
        except subprocess.TimeoutExpired:
            how = f"no answer in {self.peer_seconds:g} seconds"
        if not path.exists():  # killed: by the clock, or for want of memory
            write_json(path, {"error": how})
        return read_json(path)

    def row(self, data: str, l2: str, with_peers: bool, run: bool) -> dict[str, Any] | None:
        """Return a row of the table; None where the data are absent or, without `run`, the cell is."""
        size = self.ask(data, L2[0], "load", run)
        if size is None or "n" not in size:
            if run and size:
                print(f"{data} is left out: {size.get('absent') or size.get('error')}", file=sys.stderr)
            return None
        found = self.ask(data, l2, "default", run)
        if found is None:
            return None
        row = {"data": data, "l2": l2, **size, **found, "agreement": "not run"}
        if "error" in found:
            return row | {"status": found["error"]}
        outputs = 1 if size["classes"] == 2 else size["classes"]
        if with_peers:
            row |= self.agreement(data, l2, size["d"] * outputs, run)
        return row

    def agreement(self, data: str, l2: str, variables: int, run: bool) -> dict[str, Any]:
        """Compare our value with that of the first peer that converges."""
        ours = self.ask(data, l2, "limit", run)
        if ours is None:
            return {}
        if "error" in ours:
            return {"agreement": f"ours failed: {ours['error']}"}
        tried: dict[str, float] = {}
        for name in peers(variables):
            theirs = self.ask(data, l2, name, run)
            if theirs is None or "error" in theirs:
                continue
            tried[name] = theirs["gnorm"]
            if theirs["gnorm"] <= CONVERGED:
                return compare(ours, theirs, name)
        best = min(tried, key=lambda name: tried[name], default=None)
        reached = f" ({best}: gradient {tried[best]:.0e})" if best else ""
        return {"agreement": f"peer did not converge{reached}", "independent_gnorm": ours["gnorm"]}


def compare(ours: dict[str, Any], theirs: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the relative difference, and whether it is more than both gradients and rounding allow.

    The objective is strongly convex with constant l2, so ``f - f* <= |g|^2/(2 l2)`` at either point.
    """
    f = ours["fun"]
    difference = abs(f - theirs["fun"])
    rounding = ROUNDING * abs(f) + SCORES
    allowed = max(ours["gnorm_2"], theirs["gnorm_2"]) ** 2 / (2 * ours["l2_value"]) + rounding
    return {
        "agreement": f"{difference / abs(f):.0e} ({name}, gradient {theirs['gnorm']:.0e})",
        "relative_difference": difference / abs(f),
        "allowed_difference": allowed / abs(f),
        "contradiction": difference > allowed or abs(f - ours["independent_fun"]) > rounding,
        "peer": name,
        "peer_gnorm": theirs["gnorm"],
        "independent_gnorm": ours["gnorm"],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a markdown table."""

    def text(row: dict[str, Any], name: str) -> str:
        if name == "size":
            return f"{row['n']} x {row['d']} ({row['classes']})"
        value = row.get(name, "")
        digits = {"seconds": "{:.3g}", "peak_gib": "{:.2f}", "fun": "{:.12g}"}
        return (digits[name].format(value) if name in digits and value != "" else str(value)).replace("|", "\\|")

    lines = [COLUMNS.values(), ["---"] * len(COLUMNS), *([text(row, name) for name in COLUMNS] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_readme(markdown: str) -> None:
    """Put the table between its marks in the README."""
    before, _, rest = README.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    write_text(README, f"{before}{MARKS[0]}\n{markdown}{MARKS[1]}{after}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 where a peer contradicts us."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.main_job")
    parser.add_argument("--only", action="append", metavar="NAME", help="this data set; may be given several times")
    parser.add_argument("--skip", action="append", default=[], metavar="NAME", help="leave this data set out")
    parser.add_argument("--no-peers", action="store_true", help="leave the comparison with peers out")
    parser.add_argument("--force", action="store_true", help="run the cells that are there once more")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS and Numba (default: 1)")
    parser.add_argument("--peer-seconds", type=float, default=1800.0, help="for each peer (default: 1800)")
    parser.add_argument(
        "--table", action="store_true", help="run nothing: make the table from the cells that are there"
    )
    parser.add_argument("--readme", action="store_true", help="put the table of all cells into the README")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    options = parser.parse_args(arguments)
    unknown = sorted({*(options.only or ()), *options.skip} - set(DATA))
    if unknown:
        parser.error(f"{unknown[0]!r} is no data set of the main job: {', '.join(DATA)}")
    folder = options.results.resolve() / "benchmarks" / "main_job"
    chosen = {name for name in options.only or DATA if name not in options.skip}
    job = Job(folder, options.threads, options.peer_seconds, options.force)
    try:
        if not options.table:
            for data in DATA:
                for l2 in L2 if data in chosen else ():
                    job.row(data, l2, not options.no_peers, run=True)
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept; the same command goes on from there", file=sys.stderr)
        return 130
    finally:  # the table is of all cells that are there, whichever were asked for now
        found = [job.row(data, l2, True, run=False) for data in DATA for l2 in L2]
        rows = [row for row in found if row is not None]
        write_json(folder / "main_job.json", rows)
        write_text(folder / "table.md", table(rows))
    print(table(rows))
    if options.readme:
        write_readme(table(rows))
    contradicted = [f"{row['data']}, l2 = {row['l2']}" for row in rows if row.get("contradiction")]
    for name in contradicted:
        print(
            f"contradiction: {name}: the values differ by more than the gradients and rounding allow", file=sys.stderr
        )
    return 1 if contradicted else 0


if __name__ == "__main__":
    sys.exit(main())

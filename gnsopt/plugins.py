"""What other packages bring by name: solvers and curvature models that they declare as entry points.

A package writes, in its ``pyproject.toml``,

    [project.entry-points."gnsopt.solvers"]
    their-name = "their_package:TheirSolver"

and ``their-name`` is a method of `gnsopt.minimize`, of the estimators and of the command line; a curvature model of the
group ``gnsopt.curvatures`` is a name for ``curvature=``. What does not fit is left out with a warning that says why:
nothing that another package does breaks the rest, and nothing takes the place of a name that is there.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

SOLVERS = "gnsopt.solvers"
CURVATURES = "gnsopt.curvatures"
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")  # what stands before a colon on the command line


def names(group: str) -> list[str]:
    """Return the names that other packages declare in a group, in small letters; nothing is imported.

    Parameters
    ----------
    group : str
        Group of the entry points.

    Returns
    -------
    list of str
        The names, in order.
    """
    return sorted({point.name.lower() for point in entry_points(group=group)})


def load(
    group: str,
    taken: Mapping[str, Any],
    misfit: Callable[[Any], str],
    only: str | None = None,
    fold: Callable[[str], str] = str.lower,
) -> dict[str, Any]:
    """Return what other packages declare in a group, by name.

    Parameters
    ----------
    group : str
        Group of the entry points.
    taken : mapping of str
        Names that are not to be had, to what they stand for.
    misfit : callable
        ``misfit(thing)`` says why a thing that was loaded is of no use, or ``""``.
    only : str, optional
        Look for this name alone: the other packages are not imported.
    fold : callable, optional
        Turns the name of an entry point into the one that is looked up.

    Returns
    -------
    dict
        Name to thing.

    Warns
    -----
    RuntimeWarning
        For an entry point that fails to load, does not fit, or takes a name that is there: it is left out.
    """
    table: dict[str, Any] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (fold(point.name), point.value)):
        name = fold(point.name)
        if only is not None and name != only:
            continue
        owner = taken.get(name, table.get(name))
        if owner is not None:
            trouble = f"its name is taken by {getattr(owner, '__module__', 'gnsopt')}"
        elif not NAME.fullmatch(name):
            trouble = "a name has letters, digits, '-', '_' and '.'"
        else:
            try:
                thing = point.load()
                trouble = misfit(thing)
            except (Exception, SystemExit) as error:  # another package's import: whatever it raises, ours must go on
                trouble = f"{type(error).__name__}: {error}"
            else:
                if not trouble:
                    table[name] = thing
        if trouble:
            message = f"{group.rpartition('.')[2][:-1]} {point.name!r} ({point.value}) is left out: {trouble}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
    return table

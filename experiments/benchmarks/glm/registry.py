"""The methods: one decorated function adds one.

A method is called as ``fit(task, tol, watch)`` and returns the flat variables, in the layout of `oracle.py`. One that
sees its iterates calls ``watch(x)`` on each, which may end it by raising `Enough` (a StopIteration: minimisers take it
as the wish to stop); it has one tolerance. One that does not is run at each tolerance, loose to tight.
"""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.benchmarks.glm.tasks import Size, Task

Fit = Callable[[Task, float, Any], Any]
SWEEP = tuple(10.0 ** (-power / 2) for power in range(2, 29))  # 0.1 to 1e-14, two in a decade
TIGHT = (1e-9,)  # of methods that are stopped by their iterates: below every target
METHODS: dict[str, Method] = {}


class Enough(StopIteration):
    """All that was to be seen of a run has been seen."""


@dataclass(frozen=True)
class Method:
    """What the harness knows of a method.

    Parameters
    ----------
    name : str
        In tables and files.
    fit : callable
        ``fit(task, tol, watch) -> x``.
    needs : str
        The library that must be installed.
    tolerances : tuple of float
        To be tried in this order.
    takes : callable
        Whether it can minimise this objective at this size: ``takes(size) -> bool``.
    ours : bool
        Whether it is gnsopt's.
    """

    name: str
    fit: Fit
    needs: str
    tolerances: tuple[float, ...]
    takes: Callable[[Size], bool]
    ours: bool

    @property
    def installed(self) -> bool:
        """Whether its library is there."""
        return importlib.util.find_spec(self.needs) is not None


def method(
    name: str,
    needs: str,
    tolerances: Sequence[float] = SWEEP,
    takes: Callable[[Size], bool] = lambda size: True,
    ours: bool = False,
) -> Callable[[Fit], Fit]:
    """Register the function under a name; see `Method`."""

    def register(fit: Fit) -> Fit:
        METHODS[name] = Method(name, fit, needs, tuple(tolerances), takes, ours)
        return fit

    return register


def load() -> dict[str, Method]:
    """Return all methods; importing their files registers them, their libraries are imported at the first call."""
    from experiments.benchmarks.glm import ours, peers, scipy_peers  # noqa: F401

    return METHODS


def select(patterns: Sequence[str]) -> list[Method]:
    """Return the installed methods whose name matches one of the patterns, in the order of registration."""
    known = load()
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            raise ValueError(f"no method is called {pattern!r}; there are {', '.join(known)}")
    chosen = [each for name, each in known.items() if any(fnmatch.fnmatchcase(name, p) for p in patterns)]
    return [each for each in chosen if each.installed]

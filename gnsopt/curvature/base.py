"""The curvature protocol: a model maps a point to a `Curvature`, which answers ``solve(lam, b)`` and ``matvec(v)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from gnsopt._typing import Array
from gnsopt.linalg.forms import Form, Shifted
from gnsopt.point import Counts, Point


class Curvature:
    """An approximate Hessian ``H`` at one point, ready for shifted solves.

    Parameters
    ----------
    form : Form
        ``H`` by its structure.
    shifted : Shifted
        How ``(H + lam B)^{-1} b`` is computed.
    counts : Counts
        Where solves and products are counted.
    """

    def __init__(self, form: Form, shifted: Shifted, counts: Counts) -> None:
        self.form, self.shifted, self._counts = form, shifted, counts

    @property
    def lam_noise(self) -> float:
        """Shift below which rounding in ``H`` decides whether ``H + lam B`` is positive definite."""
        return self.shifted.lam_noise

    def solve(self, lam: float, b: Array) -> Array:
        """Return ``(H + lam B)^{-1} b``; raise `NotPositiveDefinite` where that matrix is not."""
        self._counts.nsolve += 1
        return self.shifted.solve(lam, b)

    def matvec(self, v: Array) -> Array:
        """Return ``H v``."""
        self._counts.nhessp += 1
        return np.asarray(self.form.matvec(v))


Build: TypeAlias = Callable[[Point], Curvature]


@runtime_checkable
class CurvatureModel(Protocol):
    """Anything with ``start(x) -> (Point -> Curvature)``: what a run has to remember lives in the returned function.

    A checkpoint does not hold it. A model whose matrix depends on the point alone says so by ``remembers = False``.
    """

    def start(self, x: Point) -> Build:
        """Begin a run at `x`; refuse problems that lack what the model needs."""


def start(model: Any, x: Point) -> Build:
    """Begin a run of `model`.

    Parameters
    ----------
    model : CurvatureModel or callable
        A model, or any callable ``Point -> Curvature``, which is taken as it is.
    x : Point
        Where the run begins.

    Returns
    -------
    callable
        ``Point -> Curvature``.

    Raises
    ------
    TypeError
        If it is neither.
    """
    x.counts.memory |= getattr(model, "remembers", True)
    if hasattr(model, "start"):
        return model.start(x)
    if callable(model):
        return model
    raise TypeError(f"curvature={model!r} is neither a curvature model nor a callable Point -> Curvature")

r"""Averaging of models by their curvatures: the minimiser of the sum of their quadratic approximations [1].

    theta* = argmin sum_i lam_i |theta - theta_i|^2_{F_i} = (sum_i lam_i F_i)^{-1} sum_i lam_i F_i theta_i.

With the Hessians of least-squares problems it is the solution of the pooled problem; with identities the weighted mean,
with diagonals the weighted mean of each entry by itself, whatever the size of the others.

References
----------
[1] Matena, Raffel, "Merging models with Fisher-weighted averaging", 2111.09832.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, shown
from gnsopt.curvature.selection import Engine
from gnsopt.linalg.forms import Form, as_form
from gnsopt.linalg.metric import DiagonalMetric
from gnsopt.linalg.structured import Diagonal, Sum, Zero
from gnsopt.objective import Objective
from gnsopt.point import Point


def merge(
    models: ArrayLike, curvatures: Sequence[Any], weights: ArrayLike | None = None, *, shift: float = 0.0
) -> Array:
    r"""Return the average of `models`, each weighted by its curvature.

    Parameters
    ----------
    models : array_like of shape (m, n)
        The variables ``theta_i`` of each model.
    curvatures : sequence of length m
        ``F_i``, positive semidefinite: a `Curvature`, a form, an array of shape (n, n), or a diagonal of shape (n,).
    weights : array_like of shape (m,), optional
        ``lam_i``, non-negative, not all zero; equal by default.
    shift : float, default=0.0
        Relative to the mean eigenvalue of the sum: along directions in which no curvature exceeds it, the result is the
        weighted mean of the models. Where rounding decides, it is so for ``shift=0`` too.

    Returns
    -------
    ndarray of shape (n,)
        The average.

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is not finite, or a weight, the shift or an entry of a diagonal is negative.

    Notes
    -----
    Solved for the correction of the weighted mean c, ``(sum_i lam_i F_i)^{-1} sum_i lam_i F_i (theta_i - c)``, so that
    equal models give that model whatever the matrices. [1] divides each diagonal by its norm and raises it to 1e-6 at
    least: pass such diagonals.

    Examples
    --------
    >>> from gnsopt.curvature import merge
    >>> merge([[1, 1], [2, 2]], [[1, 1], [1, 3]])
    array([1.5 , 1.75])
    """
    theta = as_array(models, "models", finite=False)
    if theta.ndim != 2 or 0 in theta.shape or not np.isfinite(theta).all():
        raise ValueError(f"models has shape {theta.shape}; it must be finite, of shape (m, n) with a model in each row")
    m, n = theta.shape
    if not hasattr(curvatures, "__len__"):
        raise TypeError(f"curvatures={shown(curvatures)} must be a sequence, with an entry for each model")
    if len(curvatures) != m:
        raise ValueError(f"curvatures has {len(curvatures)} entries for {m} models; pass one for each")
    lam = np.ones(m) if weights is None else as_array(weights, "weights", finite=False)
    if lam.shape != (m,) or not np.isfinite(lam).all() or np.any(lam < 0) or not lam.any():
        raise ValueError(f"weights={shown(weights)} must be {m} non-negative numbers, not all zero")
    if not 0 <= as_number(shift, "shift") < np.inf:
        raise ValueError(f"shift={shown(shift)} must be a finite number >= 0")
    lam = lam / lam.sum()
    forms = [_as_form(F, n, f"curvatures[{i}]") for i, F in enumerate(curvatures)]
    center = lam @ theta
    known = [(w, F, t) for w, F, t in zip(lam, forms, theta, strict=True) if w > 0]
    if all(isinstance(F, Diagonal) for _, F, _ in known):
        each = np.array([w * np.asarray(F.diagonal()) for w, F, _ in known])
        return _entrywise(center, np.array([t for _, _, t in known]), each, shift)
    b = np.sum([w * F.matvec(t - center) for w, F, t in known], axis=0)
    x = Point(_Models(n), center, metric=DiagonalMetric())
    total = _sum([(w, F) for w, F, _ in known], n)
    shifted = Engine("auto", theta=1e-12, floor=1e-14, max_products=10 * n + 100).attach(total, x, "sum of curvatures")
    d = total.diagonal()
    scale = float(np.mean(np.abs(d))) if d is not None else float(abs(b @ total.matvec(b)) / max(float(b @ b), 1e-300))
    least = max(shift * scale, shifted.lam_noise)
    return center if not b.any() else np.asarray(center + shifted.solve(least, b))


def _entrywise(center: Array, theta: Array, d: Array, shift: float) -> Array:
    """Return the average by diagonals, shape (m, n); the mean where they are all zero."""
    total = d.sum(axis=0)
    total = total + shift * float(np.mean(total))
    share = np.divide(d, total, out=np.zeros_like(d), where=total > 0)
    return np.asarray(center + np.sum(share * (theta - center), axis=0))


def _sum(terms: list[tuple[float, Form]], n: int) -> Form:
    start: Form = Zero(n)
    return reduce(lambda H, term: Sum(H, term[0], term[1]), terms, start)


def _as_form(F: Any, n: int, name: str) -> Form:
    form = F if isinstance(F, Form) else getattr(F, "form", None)
    if not isinstance(form, Form):
        array = as_array(F, name, finite=False).copy()
        if array.shape not in ((n,), (n, n)) or not np.isfinite(array).all():
            raise ValueError(f"{name} has shape {array.shape}; it must be finite, of shape ({n},) or ({n}, {n})")
        form = Diagonal(array) if array.ndim == 1 else as_form(array, n)
    if form.n != n:
        raise ValueError(f"{name} is of order {form.n}; the models have {n} variables")
    if isinstance(form, Diagonal) and np.any(form.d < 0):
        raise ValueError(f"{name} has the entry {np.min(form.d)}; it must not be negative: clip it at zero")
    return form


class _Models(Objective):
    """What a point needs to belong to: the number of variables."""

    def __init__(self, n: int) -> None:
        self.n = n

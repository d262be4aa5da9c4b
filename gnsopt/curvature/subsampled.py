r"""Curvature of a fixed subset of the rows of a linear model.

    H_S = sum_{i in S} (w_i / sum_{j in S} w_j) A_i' D_i A_i + ridge,

where the whole sum is the Hessian (or the empirical Fisher matrix). The gradient stays that of all rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnsopt._typing import Array, IntArray
from gnsopt.arguments import settle
from gnsopt.curvature.base import Build, Curvature
from gnsopt.curvature.selection import METHODS, Engine
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.design import Design
from gnsopt.linalg.forms import Gram
from gnsopt.point import Point

KINDS = ("hess", "gauss_newton", "fisher")


@dataclass(frozen=True)
class Subsampled:
    r"""Hessian, Gauss-Newton or Fisher matrix of a seeded subset of rows, the same one for the whole run.

    Parameters
    ----------
    rows : float or int
        A fraction of the rows, a float in (0, 1], or their number, an int of at least 1. Rows of weight zero do not
        count.
    kind : {"hess", "gauss_newton", "fisher"}, default="hess"
        Which matrix.
    seed : int, default=0
        Seed of the subset.
    solver : {"auto", "cholesky", "tridiagonal", "spectral", "row-space", "cg"}, default="auto"
        How shifted systems are solved; with fewer rows than columns that is in the space of the rows.
    theta, floor : float, default=0.25, 1e-3
        Accuracy of inexact solves, see `FromProblem`.
    max_products : int, default=20000
        Products per inexact solve at the most.

    Notes
    -----
    Rows are drawn uniformly without replacement and their weights renormalised to sum to one; the ridge is kept whole.
    For m rows drawn of many, matrix concentration gives ``|hess f - H|_* = O(R^2 sqrt(log(n)/m))`` with high
    probability, ``R = max_i |a_i|_*``, for losses with bounded second derivatives [1]: in the condition
    ``C1 + C2 |g|_*^{1 - beta}`` that is C1, with C2 = 0, so the local rate is linear, the faster the more rows. With
    ``kind="fisher"`` the inexactness of the Fisher matrix is added, ``C1 = R^2 f*`` and ``C2 = R^2 D`` with beta = 0.

    References
    ----------
    [1] Roosta-Khorasani, Mahoney, "Sub-sampled Newton methods", Math. Program. 174 (2019), 1601.04737 and 1601.04738.
    """

    rows: float | int
    kind: str = "hess"
    seed: int = 0
    solver: str = "auto"
    theta: float = 0.25
    floor: float = 1e-3
    max_products: int = 20_000
    remembers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse sizes, kinds, solvers and accuracies that make no sense."""
        settle(self)
        whole = isinstance(self.rows, int | np.integer) and not isinstance(self.rows, bool)
        if not (self.rows >= 1 if whole else isinstance(self.rows, float) and 0 < self.rows <= 1):
            raise ValueError(f"rows={self.rows!r} must be a fraction in (0, 1] or a number of rows, an int >= 1")
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is unknown; choose one of {KINDS}")
        if self.solver not in METHODS:
            raise ValueError(f"solver={self.solver!r} is unknown; choose one of {METHODS}")
        if not (0 < self.theta < 1 and 0 <= self.floor < 1):
            raise ValueError(f"theta={self.theta} and floor={self.floor} must lie in (0, 1) and [0, 1)")

    def start(self, x: Point) -> Build:
        """Draw the subset and begin a run; refuse problems that are not linear models."""
        objective = x.objective
        design, weight = getattr(objective, "design", None), getattr(objective, "weight", None)
        if not isinstance(design, Design) or weight is None:
            raise MissingRequirement(
                f"{type(objective).__name__} has no rows to subsample: curvature 'subsampled' needs a linear model "
                "(Logistic, Softmax, ...); use curvature='lazy:5' or 'topk:20'"
            )
        objective.require(self.kind, "curvature 'subsampled'")
        index = self._draw(weight)
        part = Design(design.X[index], design.intercept)
        scale = 1.0 / float(weight[index].sum())
        label = f"{self.kind} of {index.size} of {design.n_samples} rows"
        engine = Engine(self.solver, self.theta, self.floor, self.max_products)

        def build(x: Point) -> Curvature:
            whole = x.hess(self.kind)
            if not isinstance(whole, Gram):
                raise MissingRequirement(
                    f"curvature 'subsampled' needs a Hessian that is a sum over rows, not a {type(whole).__name__}"
                )
            form = Gram(part, whole.rows.take(index, scale), whole.ridge)
            return Curvature(form, engine.attach(form, x, label), x.counts)

        return build

    def _draw(self, weight: Array) -> IntArray:
        """Sorted indices of the subset."""
        counted = np.flatnonzero(weight > 0)
        m = math.ceil(self.rows * counted.size) if isinstance(self.rows, float) else int(self.rows)
        if m > counted.size:
            raise ValueError(f"rows={self.rows}: the problem has {counted.size} rows of positive weight")
        return np.sort(np.random.default_rng(self.seed).choice(counted, m, replace=False))

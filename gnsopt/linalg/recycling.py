"""Ritz vectors of the curvature, recycled from the directions of conjugate gradients along a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnsopt._typing import Array
from gnsopt.linalg.forms import Form
from gnsopt.linalg.krylov import RitzCollector
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.nystrom import Nystrom
from gnsopt.linalg.precond import Apply, Preconditioner, Renewal


@dataclass(frozen=True)
class RecycledRitz:
    r"""The largest Ritz pairs that CG met at earlier points, as ``preconditioner=``: a spectral one at no first cost.

    Parameters
    ----------
    k : int, default=20
        Ritz vectors to keep.
    most : int, default=60
        Directions of one solve that are looked at.

    Notes
    -----
    The pairs take the place of a Nystrom approximation's. They are renewed at the first point before which CG has spent
    more than 4 k products: the k largest Ritz vectors of its directions join those at hand, and the Rayleigh-Ritz
    process of all of them with the new matrix, 2 k products at the most, leaves the k largest.
    """

    k: int = 20
    most: int = 60

    def __post_init__(self) -> None:
        """Refuse sizes that make no sense."""
        RitzCollector(self.k, self.most)

    def start(self) -> Renewal:
        """Begin a run."""
        return _Recycled(self)


class _Recycled(Renewal, Preconditioner):
    def __init__(self, settings: RecycledRitz) -> None:
        self.name = f"{settings.k} recycled Ritz vectors"
        self._k = settings.k
        self._collector = RitzCollector(settings.k, settings.most, which="largest")
        self._pairs: Nystrom | None = None
        self._used = 0
        self._metric: Metric | None = None

    def at_point(self, form: Form, product: Apply, metric: Metric) -> Preconditioner:
        self._metric = metric
        if self._used > 4 * self._k:
            _, V = self._collector.ritz()
            if self._pairs is not None:
                V = np.hstack([self._pairs.U, V])
            Q, s, _ = np.linalg.svd(V, full_matrices=False)
            Q = Q[:, s > 1e-8 * s[0]]
            HQ = np.stack([metric.to_white(product(metric.from_white(np.ascontiguousarray(q)))) for q in Q.T], axis=1)
            theta, U = np.linalg.eigh((M := Q.T @ HQ) / 2 + M.T / 2)
            self._pairs = Nystrom((Q @ U)[:, ::-1][:, : self._k], np.maximum(theta[::-1][: self._k], 0.0))
            self._used = 0
        self._collector.forget()
        return self

    def at(self, lam: float, metric: Metric) -> Apply:
        if self._pairs is None:
            return metric.solve
        inverse = self._pairs.inverse(lam)
        return lambda r: metric.from_white(inverse(metric.to_white(r)))

    def spend(self, lam: float) -> Preconditioner | None:
        self._used += 1
        return None

    def watch(self, v: Array, Hv: Array) -> None:
        metric = self._metric
        assert metric is not None  # a product follows a point
        self._collector.watch(metric.to_white(metric.apply(v)), metric.to_white(Hv))

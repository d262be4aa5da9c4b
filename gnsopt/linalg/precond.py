"""Preconditioners for the shifted systems ``(H + lam B) h = b``: each answers ``at(lam) -> (r -> M^{-1} r)``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from scipy.linalg import lapack

from gnsopt._typing import Array
from gnsopt.linalg.forms import Form, Gram
from gnsopt.linalg.metric import Metric

Apply = Callable[[Array], Array]

NEAR = 4.0  # a shift that is off by this factor costs CG at the most a few more products (chosen)


class Preconditioner(ABC):
    """An approximation of ``H`` that is cheap to solve with for any shift."""

    @abstractmethod
    def at(self, lam: float, metric: Metric) -> Apply:
        """Return ``r -> M^{-1} r`` for ``M ~ H + lam B``."""


class Jacobi(Preconditioner):
    """``M = diag(H) + lam diag(B)``; the metric alone where the diagonal of `H` is unknown.

    Parameters
    ----------
    form : Form
        ``H``.
    """

    def __init__(self, form: Form) -> None:
        self._d = form.diagonal()

    def at(self, lam: float, metric: Metric) -> Apply:
        """Return division by the shifted diagonal."""
        if metric.diagonal is None or self._d is None:
            return metric.solve
        d = np.maximum(self._d, 0.0) + lam * metric.diagonal
        safe = np.where(d > 0, d, 1.0)
        return lambda r: r / safe


class Factored(Preconditioner):
    """A preconditioner whose factor serves every shift within a factor of `NEAR`: it is only a preconditioner."""

    def __init__(self) -> None:
        self._lam = np.nan
        self._apply: Apply | None = None

    def at(self, lam: float, metric: Metric) -> Apply:
        """Return the solve with the factor at hand, or with a new one where `lam` has moved too far."""
        if self._apply is None or not self._lam / NEAR <= lam <= self._lam * NEAR:
            self._lam, self._apply = lam, self.factor(lam, metric)
        return self._apply

    @abstractmethod
    def factor(self, lam: float, metric: Metric) -> Apply:
        """Factor the shifted matrix and return its solve."""


class ClassBlocks(Factored):
    r"""Cholesky factors of the k diagonal class blocks of a linear model's Hessian, frozen at one point.

    Parameters
    ----------
    form : Gram
        The Hessian; block c is ``A' diag((D_i)_cc) A + ridge_c``.
    """

    def __init__(self, form: Gram) -> None:
        super().__init__()
        self._blocks = [form.block(c, c) for c in range(form.k)]
        self._ridge = form.ridge.reshape(-1, form.k)
        self._noise = [16 * np.finfo(float).eps * float(np.trace(G)) for G in self._blocks]
        self._k = form.k

    @staticmethod
    def price(form: Gram) -> float:
        """Counted work of the blocks and one factorisation of each."""
        return form.k * (form.design.gram_price + form.design.n_columns**3 / 3)

    def factor(self, lam: float, metric: Metric) -> Apply:
        """Factor the shifted blocks and return the block-diagonal solve."""
        k = self._k
        shift = (
            lam if metric.diagonal is None else lam * np.broadcast_to(metric.diagonal, self._ridge.size).reshape(-1, k)
        )
        factors = [
            _factor(G, (self._ridge + shift)[:, c], noise)
            for c, (G, noise) in enumerate(zip(self._blocks, self._noise, strict=True))
        ]

        def apply(r: Array) -> Array:
            R = r.reshape(-1, k)
            out = np.empty_like(R)
            for c, L in enumerate(factors):
                out[:, c] = lapack.dpotrs(L, R[:, c], lower=1)[0]
            return out.reshape(-1)

        return apply


class Frozen(Factored):
    """Cholesky of a dense ``H(x_ref) + lam B``: the Hessian of an earlier point as a preconditioner.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        Lower triangle of the reference Hessian, Fortran order.
    """

    def __init__(self, H: Array) -> None:
        super().__init__()
        self._H = H
        self._noise = 16 * np.finfo(float).eps * float(np.trace(H))

    def factor(self, lam: float, metric: Metric) -> Apply:
        """Factor the shifted reference Hessian."""
        M = self._H.copy(order="F")
        metric.add_to(M, lam)
        L = _factor(M, 0.0, self._noise)
        return lambda r: np.asarray(lapack.dpotrs(L, r, lower=1)[0])


def _factor(G: Array, shift: Array | float, noise: float) -> Array:
    """Cholesky of ``G + diag(shift)``; what rounding makes indefinite is lifted by a growing multiple of the noise."""
    while True:
        M = G.copy(order="F")
        M.flat[:: M.shape[0] + 1] += shift + noise
        L, info = lapack.dpotrf(M, lower=1, overwrite_a=1, clean=0)
        if info == 0:
            return np.asarray(L)
        if not np.isfinite(M).all() or noise == 0.0:
            return np.eye(M.shape[0], order="F")
        noise *= 10

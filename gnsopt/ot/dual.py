r"""The dual of entropic transport in both potentials ("Lyapunov potential" with its sign changed).

In dimensionless potentials (over reg) and for mass one,

    F(x, y) = sum P - <a, x> - <b, y>,      P_ij = exp(x_i + y_j - C_ij/reg),
    grad = (P 1 - a, P'1 - b),              hess = [[diag(P 1), P], [P', diag(P'1)]].

``|grad|_1`` is the L1 error of both marginals. F may overflow: such a point is not finite and a step to it is rejected.
Along (1, -1) F is constant, and the gradient is orthogonal to that direction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from gnsopt._typing import Array
from gnsopt.kernels import sinkhorn as passes
from gnsopt.linalg.design import DENSE_PASS
from gnsopt.linalg.forms import Form
from gnsopt.linalg.metric import DiagonalMetric
from gnsopt.objective import Objective
from gnsopt.ot.geometry import Geometry

LARGEST = 700.0  # exponents above are taken for an overflow
MEMORY = 2e9  # bytes of one plan


class Plan:
    """The plan at one point.

    Parameters
    ----------
    P : ndarray of shape (n, m)
        Entries.
    """

    def __init__(self, P: Array) -> None:
        self.P, self.r, self.c = P, P.sum(axis=1), P.sum(axis=0)


class Dual(Objective):
    """The dual of one transport problem between positive marginals of mass one.

    Parameters
    ----------
    geometry : Geometry
        The n x m cost.
    a, b : ndarray of shape (n,), (m,)
        Positive marginals of sum one.
    reg : float
        Regularisation, in units of the cost.

    Raises
    ------
    ValueError
        If the plan takes more than 2 GB.
    """

    convex = True

    def __init__(self, geometry: Geometry, a: Array, b: Array, reg: float) -> None:
        n, m = geometry.shape
        if 8.0 * n * m > MEMORY:
            raise ValueError(f"a plan of shape {geometry.shape} is too large for this method; use method='auto'")
        self.geometry, self.a, self.b, self.reg = geometry, a, b, reg
        self.n = n + m

    def begin(self, x: Array, y: Array) -> Array:
        """Return the variables of the potentials."""
        return np.concatenate([x, y])

    def split(self, w: Array) -> tuple[Array, Array]:
        """Return row and column potentials of the variables."""
        return w[: self.a.size], w[self.a.size :]

    def start(self) -> Array:
        """Return ``y = log b`` with the best x."""
        y = np.log(self.b)
        return self.begin(self.row_update(y), y)

    def metric(self) -> DiagonalMetric:
        """Return the diagonal of both marginals."""
        return DiagonalMetric(self.begin(self.a, self.b))

    def row_update(self, y: Array) -> Array:
        """Return ``log a - log sum_j exp(y_j - C_ij/reg)``: then the rows are exact."""
        E, top = self._exponents(y)
        passes.exponentials(E, top)
        return np.asarray(np.log(self.a) - top - np.log(E.sum(axis=1)))

    def _exponents(self, y: Array) -> tuple[Array, Array]:
        E, top = np.empty(self.geometry.shape), np.empty(self.a.size)
        p, q = self.geometry.offsets
        for rows, C in self.geometry.blocks():
            passes.exponents(C, p[rows], q, 1.0 / self.reg, y, E[rows], top[rows])
        return E, top

    def prepare(self, w: Array) -> Plan:
        """Return the plan; NaN where an entry would overflow."""
        x, y = self.split(w)
        E, top = self._exponents(y)
        if not np.all(top + x < LARGEST):
            E[:] = np.nan
            return Plan(E)
        passes.exponentials(E, -x)
        return Plan(E)

    def fun(self, w: Array, z: Plan) -> float:
        """Return F."""
        x, y = self.split(w)
        return float(z.r.sum()) - float(self.a @ x) - float(self.b @ y)

    def grad(self, w: Array, z: Plan) -> Array:
        """Return the errors of the marginals."""
        return np.concatenate([z.r - self.a, z.c - self.b])

    def hess(self, w: Array, z: Plan) -> Coupling:
        """Return the Hessian as a form."""
        return Coupling(z.r, z.c, z.P)


class Coupling(Form):
    """``[[diag(r), K], [K', diag(c)]]``.

    Parameters
    ----------
    r, c : ndarray of shape (n,), (m,)
        The diagonal.
    K : ndarray or csr_array of shape (n, m)
        The plan, or part of it.
    """

    def __init__(self, r: Array, c: Array, K: Any) -> None:
        self.r, self.c, self.K = r, c, K
        self.n = r.size + c.size
        self.product_price = 2 * DENSE_PASS * r.size * c.size
        self.dense_price = float(r.size) * c.size

    def matvec(self, v: Array) -> Array:
        """Return the product."""
        x, y = v[: self.r.size], v[self.r.size :]
        return np.concatenate([self.r * x + self.K @ y, self.c * y + self.K.T @ x])

    def diagonal(self) -> Array:
        """Return ``(r, c)``."""
        return np.concatenate([self.r, self.c])

    def lower(self) -> Array:
        """Return the lower triangle."""
        H = np.zeros((self.n, self.n), order="F")
        H[self.r.size :, : self.r.size] = np.asarray(self.K.toarray() if issparse(self.K) else self.K).T  # type: ignore[attr-defined]
        H.flat[:: self.n + 1] = self.diagonal()
        return H

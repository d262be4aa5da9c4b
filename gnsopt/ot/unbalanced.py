r"""Unbalanced transport: marginals that are not met have a price.

    minimise  <C, P> + reg KL(P | a b') + rho_1 KL(P 1 | a) + rho_2 KL(P'1 | b),     KL(p | q) = sum p log(p/q) - p + q.

Masses are divided by their geometric mean M, so P, a and b stand for ``P/M, a/M, b/M`` from here on. Over reg, with
``f = x - log a``, ``g = y - log(M b)`` and ``k = rho/reg``, the dual to minimise is

    F(x, y) = sum P + k_1 <a, exp(-f/k_1)> + k_2 <b, exp(-g/k_2)>,     P_ij = exp(x_i + y_j - C_ij/reg),

at whose minimum ``P 1 = a exp(-f/k_1)`` and ``P'1 = b exp(-g/k_2)``. Eliminating the rows as in the balanced case gives
``x = tau_1 (log a + log a/k_1 - L(y))`` with ``tau = k/(1 + k)`` and the row sums ``r = exp(x + L)``, and

    f(y) = (1 + k_1) sum r + k_2 <b, exp(-g/k_2)>,     grad = P'1 - b exp(-g/k_2),
    hess = diag(P'1 + b exp(-g/k_2)/k_2) - tau_1 P' diag(1/r) P,

positive definite: nothing is constant along (1, -1) any more. With rho infinite on one side that side is balanced.

For large k the total mass hardly reacts to the potentials. The best constant to be added to y is known in closed form,

    t = log(sum b exp(-g/k_2) / sum r) / (1/(1 + k_1) + 1/k_2),

and each Sinkhorn iteration begins with it (translation-invariant Sinkhorn [1]).

References
----------
[1] Sejourne, Vialard, Peyre, "Faster unbalanced optimal transport: translation invariant Sinkhorn and 1-D Frank-Wolfe",
AISTATS 2022.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from gnsopt._typing import Array
from gnsopt.ot.anchor import Anchor
from gnsopt.ot.geometry import Geometry
from gnsopt.ot.semidual import SemiDual, State, TransportHessian, column_logs
from gnsopt.point import Point

LARGEST = 600.0  # logarithms of masses above are taken for an overflow


class UnbalancedState(State):
    """The plan at one y.

    Parameters
    ----------
    anchor : Anchor
        The kernel of the run.
    y : ndarray of shape (m,)
        Column potentials over reg.
    problem : UnbalancedSemiDual
        The objective.
    """

    def __init__(self, anchor: Anchor, y: Array, problem: UnbalancedSemiDual) -> None:
        self.log_target = problem.log_target(y)
        with np.errstate(over="ignore"):
            self.target = np.exp(self.log_target)
        super().__init__(anchor, problem.reg, y, problem.a, problem.b)
        if not np.isfinite(y).all():
            return
        kernel, _, v = self.scalings()
        self.log_r = problem.row_potentials(self) + self.L
        with np.errstate(over="ignore"):
            self._a = np.exp(self.log_r)
        if not max(self.log_r.max(), self.log_target.max()) < LARGEST:
            self.c, self.f = np.full_like(self.c, np.nan), np.nan
            return
        self._u = self._a / self._s
        self.c = v * kernel.rdot(self._u)
        self.trusted = bool(self.c.min() > kernel.tiny)
        self.f = problem.value(y, self)

    @property
    def r(self) -> Array:
        """Row sums of the plan."""
        return self._a


class UnbalancedSemiDual(SemiDual):
    """The semi-dual of an unbalanced problem between positive measures.

    Parameters
    ----------
    geometry : Geometry
        The n x m cost.
    a, b : ndarray of shape (n,), (m,)
        Positive masses, of any sums.
    reg : float
        Regularisation, in units of the cost.
    rho : tuple of float
        Prices of rows and columns, in units of the cost; one of them may be infinite.
    mass : float, default=1.0
        What the masses have been divided by.
    keep : bool, default=True
        Keep a kernel for several points of a run; False computes in the log domain.
    """

    def __init__(
        self,
        geometry: Geometry,
        a: Array,
        b: Array,
        reg: float,
        rho: tuple[float, float],
        mass: float = 1.0,
        *,
        keep: bool = True,
    ) -> None:
        super().__init__(geometry, a, b, reg, keep=keep)
        self.rho, self.mass = rho, mass

    @property
    def k(self) -> tuple[float, float]:
        """``rho/reg``."""
        return self.rho[0] / self.reg, self.rho[1] / self.reg

    def start(self) -> Array:
        """Return the best translation of ``g = 0``."""
        y = np.log(self.mass * self.b) - self.geometry.offsets[1] / self.reg
        return np.asarray(y + self.translation(self.prepare(y)))

    def centred(self, y: Array) -> Array:
        """Return `y`: its mean matters."""
        return y

    def prepare(self, y: Array) -> UnbalancedState:
        """Return the plan at `y`."""
        return UnbalancedState(Anchor(self.geometry, self.keep) if self._anchor is None else self._anchor, y, self)

    def log_target(self, y: Array) -> Array:
        """Return the logarithm of ``b exp(-g/k_2)``, what the column sums are to be."""
        g = y + self.geometry.offsets[1] / self.reg - np.log(self.mass * self.b)
        return np.asarray(np.log(self.b) - g / self.k[1])

    def value(self, y: Array, z: UnbalancedState) -> float:
        """Return f."""
        k, l = self.k
        rows = float(self.a @ z.L) if k == np.inf else (1 + k) * float(z.r.sum())
        columns = -float(self.b @ y) if l == np.inf else l * float(z.target.sum())
        return rows + columns

    def grad(self, y: Array, z: State) -> Array:
        """Return ``P'1 - b exp(-g/k_2)``."""
        assert isinstance(z, UnbalancedState)
        return z.c - z.target

    def hess(self, y: Array, z: State) -> TransportHessian:
        """Return the Laplacian and its diagonal term as a form."""
        assert isinstance(z, UnbalancedState)
        return TransportHessian(z, _tau(self.k[0]), z.target / self.k[1])

    def row_potentials(self, z: State) -> Array:
        """Return ``x = tau_1 (log a - (p/reg - log a)/k_1 - L(y))``; p are the offsets of the cost."""
        logs, k = np.log(self.a), self.k[0]
        return np.asarray(_tau(k) * (logs - (self.geometry.offsets[0] / self.reg - logs) / k - z.L))

    def translation(self, z: UnbalancedState) -> float:
        """Return the best constant to be added to y."""
        k, l = self.k
        return float(logsumexp(z.log_target) - logsumexp(z.log_r)) / (1.0 / (1.0 + k) + 1.0 / l)

    def column_update(self, y: Array, z: State) -> Array:
        """Return Sinkhorn's step from the best translation of `y`: the formula of the rows, for the columns."""
        assert isinstance(z, UnbalancedState)
        logs, k = np.log(self.b), self.k[1]
        sums = np.log(z.c) - y if z.trusted else column_logs(self.geometry, self.reg, self.row_potentials(z))
        sums = sums - _tau(self.k[0]) * self.translation(z)
        offset = self.geometry.offsets[1] / self.reg - np.log(self.mass * self.b)
        return np.asarray(_tau(k) * (logs - offset / k - sums))

    def sinkhorn(self, x: Point, steps: int) -> Point:
        """Return the point after as many Sinkhorn iterations."""
        for _ in range(steps):
            _ = x.g
            x = x.at(self.column_update(x.x, x.z))
        return x


def _tau(k: float) -> float:
    return 1.0 if k == np.inf else k / (1.0 + k)

"""What a transport run with linear constraints returns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from scipy.special import xlogy

from gnsopt._typing import Array
from gnsopt.ot.result import Interval, Moments, OTResult, inner


class ConstrainedResult(OTResult):
    """Solution of a problem with linear constraints: ``P_ij = exp((phi_i + psi_j - C_ij + sum_k lambda_k D_kij)/reg)``.

    `converged` includes the constraints. There are no `gap` and no `interval`.

    Parameters
    ----------
    problem, x, y, run, tol, infeasible, method : object
        As in `OTResult`; y holds the multipliers too.
    """

    @cached_property
    def reduced_potentials(self) -> tuple[Array, Array]:
        """Row and column potentials of the reduced problem, over reg."""
        objective = self.problem.semidual()
        return objective.row_potentials(objective.prepare(self._y)), objective.split(self._y)[1]

    @property
    def _tilt(self) -> Array:
        """``sum_k w_k D_k`` of the reduced problem."""
        D, _ = self.problem.coefficients
        return np.asarray(np.tensordot(self._y[-D.shape[0] :], D, 1))

    @property
    def multipliers(self) -> Array:
        """Multipliers lambda of the constraints, in units of the cost over those of D."""
        D, sizes = self.problem.coefficients
        return np.asarray(self.problem.reg * self._y[-D.shape[0] :] / sizes)

    @cached_property
    def potentials(self) -> tuple[Array, Array]:
        """Potentials in units of the cost."""
        phi, psi = self.problem.potentials(*self.reduced_potentials)
        bounds = np.array([constraint.bound for constraint in self.problem.constraints])
        return phi - 0.5 * float(self.multipliers @ bounds) / self.problem.mass, psi - 0.5 * float(
            self.multipliers @ bounds
        ) / self.problem.mass

    def blocks(self, out: Array | None = None) -> Iterator[tuple[slice, Array, Array]]:
        """Iterate over ``(slice of rows, P, C)`` of the reduced problem; P is written to `out` where it is given."""
        tilt = self._tilt
        x, y = self.reduced_potentials
        p, q = self.problem.reduced.offsets
        for rows, C in self.problem.reduced.blocks():
            logs = x[rows, None] + y - ((C - p[rows, None]) - q) / self.problem.reg + tilt[rows]
            yield rows, np.multiply(self.problem.mass, np.exp(logs), out=None if out is None else out[rows]), C

    @cached_property
    def moments(self) -> Moments:
        """Marginals, cost and entropy of the plan of the reduced problem."""
        n, m = self.problem.reduced.shape
        r, c, cost, entropy = np.empty(n), np.zeros(m), 0.0, 0.0
        for rows, P, C in self.blocks():
            r[rows] = P.sum(axis=1)
            c += P.sum(axis=0)
            cost += inner(P, C)
            entropy += float(xlogy(P, P).sum())
        return Moments(r, c, cost, entropy)

    @property
    def value_kl(self) -> float:
        """``<C, P> + reg KL(P | a b'/mass)``."""
        return self.value + self.problem.kl_shift

    @property
    def slacks(self) -> Array:
        """``<D_k, P> - bound_k``."""
        P = self.plan
        return np.array([float(np.sum(P * np.asarray(k.D))) - k.bound for k in self.problem.constraints])

    @property
    def gap(self) -> float:
        """None: rounding keeps the marginals but not the constraints."""
        raise ValueError("gap: not available with constraints, which a rounded plan need not satisfy")

    @property
    def interval(self) -> Interval:
        """None: rounding keeps the marginals but not the constraints."""
        raise ValueError("interval: not available with constraints, which a rounded plan need not satisfy")

"""What an unbalanced transport run returns."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.special import kl_div, xlogy

from gnsopt._typing import Array
from gnsopt.ot.result import Interval, OTResult, inner


class UnbalancedResult(OTResult):
    """Solution of an unbalanced problem; `value` is that of the problem with its penalties.

    The potentials still give the plan, ``P_ij = exp((phi_i + psi_j - C_ij)/reg)``. With ``f = phi - reg log a`` the row
    sums are ``a exp(-f/rho)``, and `err1` measures how far that is from true.

    Parameters
    ----------
    problem, x, y, run, tol, infeasible, method : object
        As in `OTResult`.
    """

    @property
    def _floor(self) -> float:
        """Infinite: rounding is amplified by exp(-f/rho), so convergence is always judged from the plan."""
        return np.inf

    def _duals(self) -> list[tuple[Array, Array, Array, float]]:
        """For each side: masses, sums of the plan, f or g, and rho."""
        problem = self.problem
        assert problem.rho is not None
        sides = []
        for mass, sums, phi, rho, there in zip(
            (problem.a, problem.b), self.marginals, self.potentials, problem.rho, problem.places, strict=True
        ):
            f = phi[there] - problem.reg * np.log(mass[there])
            sides.append((mass[there], sums[there], f, rho))
        return sides

    @property
    def err1(self) -> float:
        """``|P 1 - a exp(-f/rho)|_1 + |P'1 - b exp(-g/rho)|_1``, from the plan itself."""
        return float(sum(np.abs(sums - mass * np.exp(-f / rho)).sum() for mass, sums, f, rho in self._duals()))

    @property
    def value(self) -> float:
        """``<C, P> + reg KL(P | a b') + rho KL(P 1 | a) + rho KL(P'1 | b)``; exact sides are taken as met."""
        return self._value(*(np.ones_like(sums) for _, sums, _, _ in self._duals()))

    @property
    def value_kl(self) -> float:
        """The same as `value`."""
        return self.value

    def _value(self, *scalings: Array) -> float:
        """Value of the plan with its rows and columns rescaled."""
        problem = self.problem
        one, other = problem.oriented(*scalings)
        r, c = np.zeros(one.size), np.zeros(other.size)
        cost, entropy = 0.0, 0.0
        for rows, P, C in self.blocks():
            Q = P * one[rows, None] * other
            r[rows] = Q.sum(axis=1)
            c += Q.sum(axis=0)
            cost += inner(Q, C)
            entropy += float(xlogy(Q, Q).sum())
        logs, penalties = 0.0, problem.destroyed
        for sums, (mass, _, _, rho) in zip(problem.oriented(r, c), self._duals(), strict=True):
            logs += float(xlogy(sums, mass).sum())
            penalties += 0.0 if rho == np.inf else rho * float(kl_div(sums, mass).sum())
        a, b = problem.a.sum(), problem.b.sum()
        return cost + problem.reg * (entropy - logs - float(r.sum()) + a * b) + penalties

    @cached_property
    def _met(self) -> float:
        """Value of the plan with exact sides scaled to be met."""
        sides = self._duals()
        return self._value(*(mass / sums if rho == np.inf else np.ones_like(sums) for mass, sums, _, rho in sides))

    @property
    def value_error(self) -> float:
        """Bound of ``|value - its minimum|``: `gap`, what exact sides are missed by, and rounding."""
        return self.gap + abs(self._met - self.value) + self._rounding_error

    @cached_property
    def gap(self) -> float:
        """Upper bound of the suboptimality: value minus dual value, of the plan with exact sides scaled to be met."""
        problem, dual = self.problem, self.problem.destroyed
        for mass, _, f, rho in self._duals():
            with np.errstate(over="ignore"):
                dual += float(mass @ f) if rho == np.inf else -rho * float(mass @ np.expm1(-f / rho))
        dual += problem.reg * (float(problem.a.sum() * problem.b.sum()) - float(self.moments.r.sum()))
        return max(self._met - dual, 0.0)

    @property
    def interval(self) -> Interval:
        """Bounds of the balanced linear program: none here."""
        raise ValueError("interval bounds the cost of balanced transport; this problem is unbalanced, see gap")

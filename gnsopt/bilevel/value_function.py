r"""The value function of a bilevel problem: one core for all methods that need no Hessian.

With ``h_s = h + s g`` and ``l(theta, s) = min_{x in Y} h_s(x, theta)``, attained at ``x_s`` (g is the upper objective),

    psi_ab = (l(theta, a) - l(theta, b)) / (a - b),
    grad psi_ab = [ grad_theta h_a(x_a) - grad_theta h_b(x_b) ] / (a - b)             (Danskin)

- ``(a, b) = (sigma, 0)`` is the penalty function psi_sigma of [1]; ``psi_sigma <= f``, ``|f - psi_sigma| = O(sigma)``;
- ``(a, b) = (sigma, -sigma)`` is its central twin: two solves as well, an error of ``O(sigma^2)``. Its gradient is the
  central difference of [2]; since that is the exact gradient of this psi, values and gradients go together.

Nothing but gradients of h and g is needed. An inner iteration costs one gradient of h and, for s != 0, one of g: each
is counted as a unit of work.

References
----------
[1] Kwon, Kwon, Wright, Nowak, "On penalty methods for nonconvex bilevel optimization and first-order stochastic
    approximation", ICLR 2024, arXiv 2309.01753.
[2] Chen, Xiao, Zhang, "Faster gradient methods for highly-smooth stochastic bilevel optimization", arXiv 2509.02937.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.penalised import EPS, Level, theta_gradient
from gnsopt.bilevel.run import Iterate, Run

TINY = 1e-300


@dataclass(frozen=True)
class ValueFunction:
    """psi_ab for one sigma, at any theta.

    Parameters
    ----------
    run : Run
        The run.
    sigma : float
        ``a``.
    central : bool
        Whether ``b = -a``; else ``b = 0``.
    inner : str
        Inner method.
    """

    run: Run
    sigma: float
    central: bool
    inner: str

    def at(self, theta: Array, warm: Quotient | None = None) -> Quotient:
        """Return psi at `theta`, started from another quotient; nothing is solved yet."""
        blocks = self.run.problem.blocks
        weights = (self.sigma, -self.sigma if self.central else 0.0)
        pairs = []
        for i, block in enumerate(blocks):
            olds = (None, None) if warm is None else warm.pairs[i]
            starts = (block.start() if old is None else old.x for old in olds)
            a, b = (
                Level(self.run, block, theta, s, x, self.inner, old)
                for s, x, old in zip(weights, starts, olds, strict=True)
            )
            pairs.append((a, b))
        return Quotient(self, theta, pairs)


class Quotient:
    """psi_ab at one theta: an interval ``V +- E`` that holds it, its gradient, and what both say about f.

    Parameters
    ----------
    psi : ValueFunction
        Of which sigma.
    theta : ndarray of shape (d,)
        Upper variables.
    pairs : list of tuple of Level
        The levels a and b of each block.
    """

    def __init__(self, psi: ValueFunction, theta: Array, pairs: list[tuple[Level, Level]]) -> None:
        self.psi, self.run, self.theta, self.pairs = psi, psi.run, theta, pairs
        self.width = pairs[0][0].s - pairs[0][1].s
        self.levels = [level for pair in self.pairs for level in pair]
        self._z: Array | None = None

    # ----------------------------------------------------------------------- what an outer method asks, as of MAID

    @property
    def gradient(self) -> float:
        """Largest residual of the levels."""
        return max(level.residual for level in self.levels)

    @property
    def exhausted(self) -> bool:
        """Whether no level can be made sharper."""
        return all(level.exhausted for level in self.levels)

    def solve(self, target: float) -> None:
        """Solve all levels to residuals of at most `target`."""
        self._z = None
        for level in self.levels:
            level.solve(target)

    def refine(self, factor: float, *, gradient: bool = False) -> bool:
        """Sharpen the level of the largest error that can be sharpened; return whether there was one.

        Parameters
        ----------
        factor : float
            By which its residual is divided.
        gradient : bool, default=False
            Whether the error of z matters, which is linear in the residuals; else that of the value.

        Returns
        -------
        bool
            Whether float64 allowed it.
        """
        self._z = None
        size = (lambda level: level.residual) if gradient else self._gap
        for level in sorted(self.levels, key=size, reverse=True):
            before = level.residual
            level.solve(before / factor)
            if level.residual < before:
                return True
        return False

    def wanted(self, error: float) -> float:
        """Return the residual with which E is about `error`, E being quadratic in it."""
        return self.gradient * float(np.clip(np.sqrt(error / max(self.E, TINY)), 1e-3, 1e3)) if error > 0 else 0.0

    @property
    def V(self) -> float:
        """Middle of the interval."""
        gaps = np.mean([self._gap(b) - self._gap(a) for a, b in self.pairs])
        return self._plain + 0.5 * (float(gaps) if np.isfinite(gaps) else 0.0) / self.width

    @property
    def E(self) -> float:
        """Half of its width."""
        gaps = float(np.mean([self._gap(a) + self._gap(b) for a, b in self.pairs]))
        return 0.5 * gaps / self.width + self._rounding

    @property
    def z(self) -> Array:
        """Approximate gradient of psi_ab, shape (d,)."""
        if self._z is None:
            parts = []
            for pair in self.pairs:
                self.run.work.adjoint_products += 2
                a, b = (theta_gradient(level.problem, level.x, self.theta, level.s) for level in pair)
                parts.append((a - b) / self.width)
            self._z = np.asarray(np.mean(parts, axis=0))
        return self._z

    @property
    def error(self) -> float:
        """Bound (certified) or estimate of the error of `z` as the gradient of psi_ab; NaN where nothing is known."""
        total = 0.0
        for a, b in self.pairs:
            for level in (a, b):
                m = self._strength(level)
                if not m > 0:
                    return np.nan
                eps = level.residual / m
                total += self._slope(level, a, b, eps) * eps / self.width
        return total / len(self.pairs)

    # ------------------------------------------------------------------------------------------------- its parts

    def _strength(self, level: Level) -> float:
        return level.strength(self.run.certified)

    def _gap(self, level: Level) -> float:
        """Bound of ``h_s(x) - l(s)``; without strong convexity the residual stands for the distance."""
        m = self._strength(level)
        if m > 0:
            return level.residual**2 / (2 * m)
        return np.inf if self.run.certified else level.residual**2

    @property
    def _plain(self) -> float:
        return float(np.mean([a.value - b.value for a, b in self.pairs])) / self.width

    @property
    def _rounding(self) -> float:
        """What rounding of the values may do to the quotient."""
        return 4 * EPS * float(np.mean([abs(a.value) + abs(b.value) for a, b in self.pairs])) / self.width

    def _slope(self, level: Level, a: Level, b: Level, eps: float) -> float:
        """Lipschitz constant of ``grad_theta h_s`` in x on the way to x_s: declared, or a secant."""
        problem = level.problem
        if problem.offers("J_norm") and problem.offers("constants"):
            c = problem.constants(self.theta)
            return problem.J_norm(level.x, self.theta) + 0.5 * c.L_J * eps + abs(level.s) * c.L_gt
        apart = float(np.linalg.norm(a.x - b.x))
        return float(np.linalg.norm(self.z)) * self.width / apart if apart > 0 else 0.0

    # -------------------------------------------------------------------------------------------- what it says of f

    def iterate(self, drift: float = np.nan, **scalars: float) -> Iterate:
        """Return what the driver wants to know, about f and not about psi.

        Parameters
        ----------
        drift : float, default=nan
            Estimate of ``|grad psi - grad f|`` for runs that are not certified.
        **scalars : float
            Columns of the trace.

        Returns
        -------
        Iterate
            The iterate. Certified: ``V - E - below`` and ``V + E + above`` of `bias`. Else the interval is that of
            ``psi_sigma <= f <= g(x_0)`` and ``g(x_sigma) <= f <= g(x_{-sigma})``, which hold for exact lower solutions
            since l is concave in s, widened by E.
        """
        central = self.psi.central
        x = np.concatenate([(a.x + b.x) / 2 if central else b.x for a, b in self.pairs])
        self.run.work.lower_gradients += 2 * len(self.pairs)
        ga, gb = (
            float(np.mean([pair[i].problem.upper(pair[i].x, self.theta)[0] for pair in self.pairs])) for i in (0, 1)
        )
        V, E, error, certified = self.V, self.E, self.error, False
        low, high, slope = (min(V, ga) if central else V) - E, max(V, gb) + E, drift
        if self.run.certified:
            below, above, slope = self.bias()
            certified = bool(np.isfinite(slope + above + E))
            if np.isfinite(above + E):
                low, high = V - E - below, V + E + above
        known = 0.0 if np.isnan(slope) else slope
        fun = V if central else gb
        columns = {"sigma": self.psi.sigma, "residual": self.gradient, **scalars}
        return Iterate(self.theta, x, fun, low, high, self.z, error + known, certified, columns)

    def bias(self) -> tuple[float, float, float]:
        r"""Return (below, above, slope) with ``psi - below <= f <= psi + above`` and ``|grad psi - grad f| <= slope``.

        With ``G = |grad_x g(x*)|``, ``D = s G/m_s`` the bound of ``|x_s - x*|`` and m_s the strong convexity of h_s,

            |psi_s - f| <= s G^2/(2 m_s),
            |grad psi_s - grad f| <= L_gt D + L_J D^2/(2 s) + |J*|/mu (L_H D^2/(2 s) + L_g D),

        the second without constraints; the central twin has half the sum over ``+s`` and ``-s``. NaN where the problem
        does not declare what is needed.

        Returns
        -------
        below, above, slope : float
            Means over the blocks.
        """
        below, above, slope = np.mean([self._bias(*pair) for pair in self.pairs], axis=0)
        return float(below), float(above), float(slope)

    def _bias(self, a: Level, b: Level) -> tuple[float, float, float]:
        problem, s, unknown = a.problem, self.psi.sigma, (np.nan, np.nan, np.nan)
        mu = problem.mu(self.theta) if problem.offers("mu") else 0.0
        strengths = [level.strength(True) for level in (a, b) if level.s != 0]
        if not (mu > 0 and min(strengths) > 0 and problem.offers("constants")):
            return unknown
        c, near = problem.constants(self.theta), a if self.psi.central else b
        apart = near.residual / near.strength(True)  # bound of |x - x*|
        G = float(np.linalg.norm(problem.upper(near.x, self.theta)[1])) + c.L_g * apart
        if near.s:  # |x_s - x*| <= s |grad g(x_s)|/mu
            apart += s * G / mu
            G += c.L_g * s * G / mu
        values = [s * G * G / (2 * m) for m in strengths]
        slope = np.nan
        if a.free and problem.offers("J_norm"):
            J = problem.J_norm(near.x, self.theta) + c.L_J * apart
            terms = []
            for m in strengths:
                D = s * G / m
                bend = D * D / (2 * s)
                terms.append(c.L_gt * D + c.L_J * bend + J / mu * (c.L_H * bend + c.L_g * D))
            slope = float(np.mean(terms))
        if not self.psi.central:
            return 0.0, values[0], slope
        return values[1] / 2, values[0] / 2, slope


def report(run: Run, theta: Array, sigma: float, y: Array, z: Array, **scalars: float) -> Iterate:
    """Return the iterate of a method of constant steps; what the trace needs beyond them is not counted as work.

    Parameters
    ----------
    run : Run
        The run.
    theta : ndarray of shape (d,)
        Upper variables.
    sigma : float
        Penalty parameter.
    y, z : ndarray of shape (n,)
        Approximate minimisers of h_sigma and of h.
    **scalars : float
        Columns of the trace.

    Returns
    -------
    Iterate
        With the value function's interval, gradient and error at these points.
    """
    counted, run.work = run.work, replace(run.work)
    try:
        levels = [Level(run, run.problem, theta, s, x, "gradient") for s, x in ((sigma, y), (0.0, z))]
        psi = ValueFunction(run, sigma, False, "gradient")
        return Quotient(psi, theta, [(levels[0], levels[1])]).iterate(**scalars)
    finally:
        run.work = counted

r"""Exact penalties: smooth functions whose unconstrained minimisers solve the constrained problem.

=============================  =================================================================  ==================
`AugmentedLagrangian` [1]      ``L_eta(x, y) = f + y'c + eta1/2 |c|^2 + eta2/2 |g_L(x, y)|^2``     variables (x, y)
`Fletcher` [2]                 ``phi(x) = f + c'y_ls(x) + rho/2 |c|^2``                            variables x
=============================  =================================================================  ==================

with ``g_L = grad f + G'y`` and ``y_ls(x)`` the y of least ``|g_L|``. Both need first derivatives for a value, and
products with the Hessian of the Lagrangian for a slope.

References
----------
[1] Di Pillo, Grippo, "A new class of augmented Lagrangians in nonlinear programming", SIAM J. Control 17, 1979.
[2] Estrin, Friedlander, Orban, Saunders, "Implementing a smooth exact penalty function for equality-constrained
    nonlinear optimization", SIAM J. Sci. Comput. 42, 2020 (their y has the other sign).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import settle
from gnsopt.constrained.point import KKTPoint
from gnsopt.constrained.rows import RowSpace

ETA1_MAX, ETA2_MIN = 1e8, 1e-8  # where the authors' code gives up raising the penalties
RHO_MAX = 1e12  # the same for Fletcher's (chosen)


@dataclass
class AugmentedLagrangian:
    """The exact augmented Lagrangian.

    Parameters
    ----------
    eta1, eta2 : float
        Penalties, positive.
    nu : float
        Above 1: a descent test that fails multiplies `eta1` by its square and divides `eta2` by it.
    """

    eta1: float = 1.0
    eta2: float = 0.1
    nu: float = 1.5

    def __post_init__(self) -> None:
        """Refuse penalties that are none."""
        settle(self)
        if not (0 < self.eta1 < np.inf and 0 < self.eta2 < np.inf and 1 < self.nu < np.inf):
            both = f"eta1={self.eta1} and eta2={self.eta2} must be positive"
            raise ValueError(f"{both}, and nu={self.nu} above 1, all of them finite")

    def value(self, p: KKTPoint) -> float:
        """Return L_eta; infinite where something is not finite."""
        if not p.finite:
            return np.inf
        with np.errstate(over="ignore", invalid="ignore"):
            value = float(p.f + p.y @ p.c + 0.5 * self.eta1 * (p.c @ p.c) + 0.5 * self.eta2 * (p.gL @ p.gL))
        return value if np.isfinite(value) else np.inf

    def gradient(self, p: KKTPoint) -> tuple[Array, Array]:
        """Return ``(g_L + eta2 H g_L + eta1 G'c, c + eta2 G g_L)``, H the Hessian of the Lagrangian."""
        gx = p.gL + self.eta2 * np.asarray(p.H @ p.gL) + self.eta1 * np.asarray(p.G.T @ p.c)
        return gx, p.c + self.eta2 * np.asarray(p.G @ p.gL)

    def slope(self, p: KKTPoint, dx: Array, dy: Array) -> float:
        """Return the derivative along (dx, dy)."""
        gx, gy = self.gradient(p)
        return float(gx @ dx + gy @ dy)

    def descends(self, p: KKTPoint, slope: float) -> bool:
        """Return whether a slope is at most ``-eta2/2 |F|^2``."""
        return slope <= -0.5 * self.eta2 * p.F**2

    def sharpen(self) -> bool:
        """Raise `eta1`, lower `eta2`; return False where they are at their bounds already."""
        if self.eta1 > ETA1_MAX or self.eta2 < ETA2_MIN:
            return False
        self.eta1 *= self.nu**2
        self.eta2 /= self.nu
        return True

    def adapt(self, p: KKTPoint, dx: Array, dy: Array, curvature: float) -> float:
        """Sharpen until the step descends or the bounds are met; return its slope."""
        Hg, Gc, Gg = np.asarray(p.H @ p.gL), np.asarray(p.G.T @ p.c), np.asarray(p.G @ p.gL)
        plain = float(p.gL @ dx + p.c @ dy)
        first, second = float(Gc @ dx), float(Hg @ dx + Gg @ dy)
        while True:
            slope = plain + self.eta1 * first + self.eta2 * second
            if self.descends(p, slope) or not self.sharpen():
                return slope

    def trial(self, p: KKTPoint, dx: Array, dy: Array, t: float) -> KKTPoint:
        """Return ``(x + t dx, y + t dy)``."""
        return p.at(p.x + t * dx, p.y + t * dy)


@dataclass
class Fletcher:
    """Fletcher's smooth exact penalty; its points carry the least-squares multipliers.

    Parameters
    ----------
    rho : float
        Penalty, non-negative.
    """

    rho: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a penalty that is none."""
        settle(self)
        if not 0 <= self.rho < np.inf:
            raise ValueError(f"rho={self.rho} must be at least 0 and finite")

    def value(self, p: KKTPoint) -> float:
        """Return ``f + c'y_ls + rho/2 |c|^2``; infinite where something is not finite."""
        if not p.finite:
            return np.inf
        with np.errstate(over="ignore", invalid="ignore"):
            value = float(p.f + p.y @ p.c + 0.5 * self.rho * (p.c @ p.c))
        return value if np.isfinite(value) else np.inf

    def multiplier_change(self, p: KKTPoint, dx: Array) -> Array:
        """Return the derivative of y_ls along dx, ``-(GG')^+ (G H dx + G'[dx] g_L)``: it keeps ``G g_L = 0``."""
        size = float(np.linalg.norm(dx))
        if size == 0.0:
            return np.zeros_like(p.y)
        t = 1e-6 * max(1.0, float(np.linalg.norm(p.x))) / size
        q = p.at(p.x + t * dx, p.y)  # the change of G along dx is a difference of two Jacobians
        turned = np.asarray((q.G @ p.gL - p.G @ p.gL) / t)
        if not np.isfinite(turned).all():
            turned = np.zeros_like(p.y)
        return -RowSpace.of(p).gram_solve(np.asarray(p.G @ (p.H @ dx)) + turned)

    def slope(self, p: KKTPoint, dx: Array, dy: Array) -> float:
        """Return the derivative along dx, ``g_L'dx + c'y_ls'[dx] + rho c'G dx``; `dy` plays no part."""
        along = float(p.c @ (p.G @ dx))
        return float(p.gL @ dx + p.c @ self.multiplier_change(p, dx)) + self.rho * along

    def adapt(self, p: KKTPoint, dx: Array, dy: Array, curvature: float) -> float:
        """Raise rho until the slope is at most ``-(curvature - rho c'G dx)/2``; return the slope."""
        along = float(p.c @ (p.G @ dx))
        plain = float(p.gL @ dx + p.c @ self.multiplier_change(p, dx))
        if along < 0.0 and plain + self.rho * along > -0.5 * (curvature - self.rho * along):
            self.rho = min(max(2.0 * self.rho, -2.0 * (plain + 0.5 * curvature) / along), RHO_MAX)
        return plain + self.rho * along

    def trial(self, p: KKTPoint, dx: Array, dy: Array, t: float) -> KKTPoint:
        """Return ``x + t dx`` with its least-squares multipliers."""
        q = p.at(p.x + t * dx, p.y)
        return RowSpace.of(q).least_squares_point(q) if q.finite else q

r"""BOME: one descent direction for the upper level and for the value function constraint ``h - h* <= 0``.

    y_T = T gradient steps on h from y;     q(theta, y) = h(y, theta) - h(y_T, theta), with y_T frozen
    grad q = (grad_theta h(y) - grad_theta h(y_T),  grad_x h(y))
    lam = max{ (phi - <grad g, grad q>)/|grad q|^2, 0 },     phi = eta |grad q|^2  or  eta q
    (theta, y) <- (theta, y) - xi (grad g + lam grad q)

With a constant xi the iterates stall at an infeasibility ``|grad_x h(y)|`` proportional to xi: let it fall (`decay`).

Departures: theta is projected on its box.

References
----------
[1] Ye, Liu, Wright, Stone, Liu, "BOME! Bilevel optimization made easy: a simple first-order approach", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnsopt.bilevel.certificates import sandwich
from gnsopt.bilevel.constrained import refuse_constraints
from gnsopt.bilevel.f2ba import descend
from gnsopt.bilevel.fields import check_count, check_positive
from gnsopt.bilevel.penalised import check_size, lipschitz
from gnsopt.bilevel.run import Iterate, Method, Run

PHI = ("gradient", "value")


@dataclass(frozen=True)
class Bome(Method):
    r"""BOME (``"bome"``).

    Parameters
    ----------
    xi : float, optional
        Outer step of theta and y; ``0.1/L`` by default.
    decay : float, default=0.0
        Step k is ``xi/(1 + k)^decay``.
    T : int, default=10
        Inner steps.
    alpha : float, optional
        Inner step; ``1/L`` by default.
    eta : float, default=0.5
        Rate at which the constraint is asked to fall.
    phi : {"gradient", "value"}, default="gradient"
        ``eta |grad q|^2`` or ``eta q``.
    """

    name: ClassVar[str] = "bome"
    requires: ClassVar[tuple[str, ...]] = ("upper", "lower_theta")

    xi: float | None = None
    decay: float = 0.0
    T: int = 10
    alpha: float | None = None
    eta: float = 0.5
    phi: str = "gradient"

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_positive(xi=self.xi, alpha=self.alpha, eta=self.eta)
        check_count(T=self.T)
        if not 0 <= self.decay < np.inf:
            raise ValueError(f"decay={self.decay!r} must be a number >= 0")
        if self.phi not in PHI:
            raise ValueError(f"phi={self.phi!r} is unknown; choose one of {', '.join(PHI)}")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield theta and y with ``lam``, ``infeasibility`` = |grad_x h(y)|, ``gap`` = q and ``xi``."""
        # The hypergradient is the direction in theta; its error is that in y plus the infeasibility, so that the
        # tolerance asks for a stationary pair.
        refuse_constraints(run.problem, self.name)
        problem, theta, k = run.problem, run.theta, 0
        y = problem.start()
        while True:
            alpha = 1 / lipschitz(problem, theta, 0.0) if self.alpha is None else self.alpha
            xi = (0.1 / lipschitz(problem, theta, 0.0) if self.xi is None else self.xi) / (1 + k) ** self.decay
            check_size(theta, y)
            y_T = descend(run, problem, theta, 0.0, y, alpha, self.T)
            run.spend()
            run.work.lower_gradients += 1  # the gradient of h at y is that of the first inner step; this one is g's
            run.work.adjoint_products += 2
            (h, h_y), (h_T, _) = problem.lower(y, theta), problem.lower(y_T, theta)
            g, g_y, g_theta = problem.upper(y, theta)
            q_theta = problem.lower_theta(y, theta) - problem.lower_theta(y_T, theta)
            g_theta = np.zeros_like(theta) if g_theta is None else g_theta
            size = float(q_theta @ q_theta + h_y @ h_y)
            phi = self.eta * (size if self.phi == "gradient" else h - h_T)
            lam = max((phi - float(g_theta @ q_theta + g_y @ h_y)) / size, 0.0) if size > 0 else 0.0
            d_theta, d_y = g_theta + lam * q_theta, g_y + lam * h_y
            infeasible = float(np.linalg.norm(h_y))
            low = high = g
            if problem.offers("mu") and problem.offers("constants"):
                eps = infeasible / problem.mu(theta)
                low, high = sandwich(g, float(np.linalg.norm(g_y)), eps, problem.constants(theta).L_g)
            error = float(np.linalg.norm(d_y)) + infeasible
            scalars = {"lam": lam, "infeasibility": infeasible, "gap": h - h_T, "xi": xi}
            yield Iterate(theta, y, g, low, high, d_theta, error, False, scalars)
            theta, y, k = run.clip(theta - xi * d_theta), y - xi * d_y, k + 1

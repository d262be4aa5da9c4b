r"""ScaleBiO: a minimax form of the bilevel problem, alternating single steps; here in the full-batch setting.

    min_{theta, w} max_u  g(w, theta) + alpha [h(w, theta) - h(u, theta)]
    u <- u - eta_u alpha grad h(u);      w <- w - eta_w [grad_x g(w) + alpha grad h(w)]
    theta <- theta - eta_theta { grad_theta g(w) + alpha [grad_theta h(w) - grad_theta h(u)] }

After each round alpha is multiplied by `growth` and the steps are divided by it. For weights ``p = softmax(theta)``
(`gnsopt.bilevel.Reweighting`) the last line is the paper's ``alpha p_i {[l_i(w) - l(w)] - [l_i(u) - l(u)]}``.

Departures: no blocks of layers (a random subset of the variables, for models that do not fit into memory); theta is
projected on its box.

References
----------
[1] Pan et al., "ScaleBiO: scalable bilevel optimization for LLM data reweighting", arXiv 2406.19976.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from gnsopt.bilevel.constrained import refuse_constraints
from gnsopt.bilevel.f2ba import descend
from gnsopt.bilevel.fields import check_count, check_positive
from gnsopt.bilevel.penalised import check_size, lipschitz, theta_gradient
from gnsopt.bilevel.run import Iterate, Method, Run
from gnsopt.bilevel.value_function import report


@dataclass(frozen=True)
class ScaleBiO(Method):
    r"""ScaleBiO (``"scalebio"``): alternating steps on u, w and theta.

    Parameters
    ----------
    alpha : float, default=10.0
        Penalty, ``1/sigma``.
    growth : float, default=1.0
        Factor of alpha from round to round.
    steps : int, default=10
        Alternations in a round.
    eta_u : float, optional
        Step of u; ``1/(alpha L)`` by default.
    eta_w : float, optional
        Step of w; ``1/(alpha L + L_g)`` by default.
    eta_theta : float, default=1.0
        Step of theta.
    """

    name: ClassVar[str] = "scalebio"
    requires: ClassVar[tuple[str, ...]] = ("upper", "lower_theta")

    alpha: float = 10.0
    growth: float = 1.0
    steps: int = 10
    eta_u: float | None = None
    eta_w: float | None = None
    eta_theta: float = 1.0

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_positive(alpha=self.alpha, eta_u=self.eta_u, eta_w=self.eta_w, eta_theta=self.eta_theta)
        check_count(steps=self.steps)
        if not 1 <= self.growth < float("inf"):
            raise ValueError(f"growth={self.growth!r} must be a number >= 1")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield theta with w and u after each alternation, and ``alpha``."""
        refuse_constraints(run.problem, self.name)
        problem, theta, alpha, shrink = run.problem, run.theta, self.alpha, 1.0
        w = u = problem.start()
        while True:
            for _ in range(self.steps):  # of alpha h and alpha h + g: alpha times those of h and h + g/alpha
                eta_u = 1 / lipschitz(problem, theta, 0.0) if self.eta_u is None else self.eta_u * shrink * alpha
                eta_w = 1 / lipschitz(problem, theta, 1 / alpha) if self.eta_w is None else self.eta_w * shrink * alpha
                u = descend(run, problem, theta, 0.0, u, eta_u, 1)
                w = descend(run, problem, theta, 1 / alpha, w, eta_w, 1)
                check_size(theta, w, u)
                yield report(run, theta, 1 / alpha, w, u, alpha=alpha)
                run.work.adjoint_products += 2
                slope = theta_gradient(problem, w, theta, 1 / alpha) - theta_gradient(problem, u, theta, 0.0)
                theta = run.clip(theta - self.eta_theta * shrink * alpha * slope)
            alpha *= self.growth
            shrink /= self.growth

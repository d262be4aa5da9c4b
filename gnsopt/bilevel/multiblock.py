r"""Single-loop method for many lower levels that share theta, with one tracked adjoint each.

    min_theta (1/m) sum_i g_i(y_i*(theta), theta),      y_i* = argmin h_i(., theta)
    of the blocks that take part in a step:
    y_i <- y_i - tau grad h_i(y_i);      v_i <- v_i - gamma (H_i v_i - grad_x g_i(y_i))
    theta <- theta - alpha m,      m <- (1 - momentum) m + momentum (1/m) sum_i [grad_theta g_i - J_i' v_i]

K-fold cross-validation is of this kind. Blocks take part in cyclic order: a run is deterministic; the others keep
their y_i, v_i and their last contribution to m.

Departures: the paper samples blocks and data; with all data its variance reduction is the plain gradient. It
was at hand as an abstract only, so the constants of the steps are chosen.

References
----------
[1] Hu, Qiu, Guo, Zhang, Yang, "Blockwise stochastic variance-reduced methods with parallel speedup for multi-block
    bilevel optimization", ICML 2023, arXiv 2305.18730.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.certificates import hypergradient_error, value_error
from gnsopt.bilevel.constrained import refuse_constraints
from gnsopt.bilevel.fields import check_count, check_positive
from gnsopt.bilevel.penalised import check_size, lipschitz
from gnsopt.bilevel.problem import BilevelProblem
from gnsopt.bilevel.run import Iterate, Method, Run
from gnsopt.point import Point


@dataclass(frozen=True)
class BlockTracking(Method):
    r"""Tracked adjoints, block by block (``"multi-block"``).

    Parameters
    ----------
    alpha : float, default=0.1
        Step of theta.
    blocks : int, optional
        Blocks that take part in a step, in cyclic order; all by default.
    inner : int, default=1
        Steps of y_i and v_i for each step of theta.
    tau, gamma : float, optional
        Steps of y_i and of v_i; ``1/L`` by default.
    momentum : float, default=1.0
        Weight of the new hypergradient, in (0, 1].
    """

    name: ClassVar[str] = "multi-block"
    requires: ClassVar[tuple[str, ...]] = ("upper", "cross_t", "mu")

    alpha: float = 0.1
    blocks: int | None = None
    inner: int = 1
    tau: float | None = None
    gamma: float | None = None
    momentum: float = 1.0

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_positive(alpha=self.alpha, tau=self.tau, gamma=self.gamma)
        check_count(inner=self.inner, blocks=1 if self.blocks is None else self.blocks)
        if not 0 < self.momentum <= 1:
            raise ValueError(f"momentum={self.momentum!r} must lie in (0, 1]")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield theta with the blocks after their steps, ``eps`` and ``delta``: the largest residuals."""
        refuse_constraints(run.problem, self.name)
        problems, theta, first = list(run.problem.blocks), run.theta, 0
        many = len(problems) if self.blocks is None else min(self.blocks, len(problems))
        states = [Tracked(block) for block in problems]
        for state in states:  # every block has a first contribution
            state.move(run, theta, self.inner, self.tau, self.gamma)
        slope = np.mean([state.z for state in states], axis=0)
        while True:
            yield self.iterate(run, theta, states)
            theta = run.clip(theta - self.alpha * slope)
            for i in range(first, first + many):
                states[i % len(states)].move(run, theta, self.inner, self.tau, self.gamma)
            first = (first + many) % len(states)
            slope = (1 - self.momentum) * slope + self.momentum * np.mean([state.z for state in states], axis=0)

    def iterate(self, run: Run, theta: Array, states: list[Tracked]) -> Iterate:
        """Return the iterate: means over the blocks of corrected values, hypergradients and their bounds."""
        measured = [state.measure(theta) for state in states]
        V, E, error = (float(np.mean(column)) for column in zip(*(m[:3] for m in measured), strict=True))
        scalars = {"eps": max(m[3] for m in measured), "delta": max(m[4] for m in measured)}
        z = np.mean([state.hypergradient(theta) for state in states], axis=0)
        low, high = (V - E, V + E) if np.isfinite(E) else (V, V)
        certified = run.certified and bool(np.isfinite(E + error))
        x = np.concatenate([state.y for state in states])
        return Iterate(theta, x, V, low, high, z, error, certified, scalars)


class Tracked:
    """A block with its lower iterate, its adjoint and its last hypergradient.

    Parameters
    ----------
    problem : BilevelProblem
        The block.
    """

    def __init__(self, problem: BilevelProblem) -> None:
        self.problem = problem
        self.y, self.v = problem.start(), np.zeros(problem.n)
        self.z = np.zeros(problem.d)

    def move(self, run: Run, theta: Array, steps: int, tau: float | None, gamma: float | None) -> None:
        """Take the steps of y and v, counted."""
        h = self.problem.objective(theta)
        L = 1.0 if tau is not None and gamma is not None else lipschitz(self.problem, theta, 0.0)
        for _ in range(steps):
            run.spend()
            run.work.lower_gradients += 2
            run.work.adjoint_products += 1
            point = Point(h, self.y)
            residual = point.hessp(self.v) - self.problem.upper(self.y, theta)[1]
            self.v = self.v - (1 / L if gamma is None else gamma) * residual
            self.y = self.y - (1 / L if tau is None else tau) * point.g
        check_size(theta, self.y, self.v)
        run.work.adjoint_products += 1
        self.z = self.hypergradient(theta)

    def hypergradient(self, theta: Array) -> Array:
        """Return ``grad_theta g - J' v`` at the present y and v."""
        cross = self.problem.cross_t(self.y, theta, self.v)
        direct = self.problem.upper(self.y, theta)[2]
        return -cross if direct is None else direct - cross

    def measure(self, theta: Array) -> tuple[float, float, float, float, float]:
        """Return corrected value, its error, that of the hypergradient (NaN where unknown), and both residuals."""
        point = Point(self.problem.objective(theta), self.y)
        g, gx, _ = self.problem.upper(self.y, theta)
        lower, rho = float(np.linalg.norm(point.g)), float(np.linalg.norm(point.hessp(self.v) - gx))
        V = g - float(self.v @ point.g)
        if not self.problem.offers("constants"):
            return V, np.nan, np.nan, lower, rho
        mu, c, size = self.problem.mu(theta), self.problem.constants(theta), float(np.linalg.norm(self.v))
        E, error = value_error(lower / mu, rho, size, c), np.nan
        if self.problem.offers("J_norm"):
            error = hypergradient_error(lower / mu, rho, size, self.problem.J_norm(self.y, theta), mu, c)
        return V, E, error, lower, rho

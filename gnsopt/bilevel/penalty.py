r"""The penalty method: descent on psi_sigma, whose gradient needs no Hessian.

    psi_sigma(theta) = min_{y in Y} { g(y, theta) + (h(y, theta) - h*(theta))/sigma }  <=  f(theta)

``loop="double"`` and ``"single"`` are the paper's first-order methods on Moreau envelopes, with constant steps,

    u <- T_in steps  u - gamma [grad h_s(u) + (u - y)/rho], projected on Y;    v, z alike with h;
    y <- y + beta (u - y),   z <- z + beta (v - z),
    theta <- clip(theta - alpha [grad_theta h_s(y) - grad_theta h(z)]/sigma),           h_s = h + sigma g,

with ``T_in = 1`` for the single loop and ``gamma = 1/(l_s + 1/rho)``, l_s the Lipschitz constant of ``grad h_s``.
``loop="adaptive"`` (the default) minimises psi_sigma, or its central twin, along quasi-Newton directions: intervals
decide a three-way test, and sigma falls as the gradient does.

Departures from the paper: its constants of the step lengths were not at hand, those here are chosen (see the fields);
in the full-batch setting its momentum terms are the plain gradients. The adaptive loop is not in the paper.

References
----------
[1] Kwon, Kwon, Wright, Nowak, "On penalty methods for nonconvex bilevel optimization and first-order stochastic
    approximation", ICLR 2024, arXiv 2309.01753.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.fields import check_count, check_inner, check_positive
from gnsopt.bilevel.lbfgs import LBFGS
from gnsopt.bilevel.penalised import check_size, lipschitz, penalised, project, theta_gradient
from gnsopt.bilevel.problem import BilevelProblem
from gnsopt.bilevel.run import EndOfRun, Iterate, Method, Run
from gnsopt.bilevel.three_way import SHARPER, direction, search, sharpen
from gnsopt.bilevel.value_function import Quotient, ValueFunction, report

LOOPS = ("adaptive", "double", "single")
STAGE = 0.1  # a stage ends when the gradient has fallen to this, times sigma/sigma_0, of the first one (chosen)
SPEED = 0.25  # of theta's default step, alpha = beta rho mu sigma / 4: y and z must keep up (chosen)


@dataclass(frozen=True)
class Penalty(Method):
    r"""Penalty method on the value function (``"penalty"``); the lower variables may be constrained.

    Parameters
    ----------
    loop : {"adaptive", "double", "single"}, default="adaptive"
        Certified values and quasi-Newton steps, or one of the paper's loops.
    sigma : float, default=0.1
        First penalty parameter, relative weight of the upper level in h_s.
    sigma_end : float, default=1e-4
        Last one; the same as `sigma` for no continuation. The paper's loops keep `sigma`.
    factor : float, default=0.1
        From one sigma to the next.
    central : bool, default=False
        Use ``(l(sigma) - l(-sigma))/(2 sigma)``, which is exact to second order in sigma; ``h - sigma g`` must be
        strongly convex. Not with the paper's loops.
    inner : {"l-bfgs", "gradient"}, default="l-bfgs"
        How h_s is minimised in the adaptive loop. Under constraints of x it is always the accelerated projected
        gradient method.
    memory : int, default=20
        Pairs of the outer quasi-Newton matrix; 0 is a gradient method.
    lam : float, default=1e-4
        Fraction of the slope by which psi must fall.
    first : float, default=1e-2
        Residual of the first solve relative to that at the start.
    T_in : int, default=10
        Inner steps of the double loop.
    beta : float, default=1.0
        Step on the envelopes, in (0, 1].
    rho : float, optional
        Of the proximal terms; ``1/(4 l_s)`` by default (the paper asks for less than ``1/(2 l_s)``).
    alpha : float, optional
        Step of theta in the paper's loops; ``beta rho mu sigma/4`` by default (the paper asks for much less than
        ``beta rho mu sigma``).
    """

    name: ClassVar[str] = "penalty"
    requires: ClassVar[tuple[str, ...]] = ("upper", "lower_theta")

    loop: str = "adaptive"
    sigma: float = 0.1
    sigma_end: float = 1e-4
    factor: float = 0.1
    central: bool = False
    inner: str = "l-bfgs"
    memory: int = 20
    lam: float = 1e-4
    first: float = 1e-2
    T_in: int = 10
    beta: float = 1.0
    rho: float | None = None
    alpha: float | None = None

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        if self.loop not in LOOPS:
            raise ValueError(f"loop={self.loop!r} is unknown; choose one of {', '.join(LOOPS)}")
        check_inner(self.inner)
        if not (0 < self.sigma < np.inf and 0 < self.sigma_end <= self.sigma):
            raise ValueError(f"sigma={self.sigma} and sigma_end={self.sigma_end} must satisfy 0 < sigma_end <= sigma")
        if self.central and self.loop != "adaptive":
            raise ValueError(f"central=True: loop={self.loop!r} has no central difference; use loop='adaptive'")
        for name in ("factor", "first"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in (0, 1)")
        if not 0 < self.beta <= 1:
            raise ValueError(f"beta={self.beta} must lie in (0, 1]")
        check_count(T_in=self.T_in)
        check_positive(rho=self.rho, alpha=self.alpha)
        if not (isinstance(self.memory, int | np.integer) and self.memory >= 0):
            raise ValueError(f"memory={self.memory!r} must be an integer >= 0")
        if not 0 < self.lam < 0.5:
            raise ValueError(f"lam={self.lam} must lie in (0, 1/2)")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield the start and the accepted iterates, with ``sigma`` and ``residual``."""
        return self._adaptive(run) if self.loop == "adaptive" else self._paper(run)

    # ----------------------------------------------------------------------------------------- the adaptive loop

    def _adaptive(self, run: Run) -> Iterator[Iterate]:
        """Stages of falling sigma, each started from the last; a change of sigma is an iterate too."""
        B, psi = LBFGS(max(self.memory, 1)), ValueFunction(run, self.sigma, self.central, self.inner)
        check_convexity(psi, run)
        now = psi.at(run.theta)
        now.solve(self.first * now.gradient)
        sharpen(now, run)
        first = run.stationarity(now.theta, now.z)
        drift = np.nan if self.sigma == self.sigma_end else np.inf  # of grad psi from grad f: seen when sigma changes
        yield now.iterate(drift)
        while True:
            sigma, size, found = now.psi.sigma, run.stationarity(now.theta, now.z), None
            last, done = sigma == self.sigma_end, size + now.error <= run.tol
            if last and done:  # as far as psi goes; the bias may be smaller here than where sigma fell
                if sigma < self.sigma and not run.certified:
                    drift = drift_of(self._stage(run, min(sigma / self.factor, self.sigma), now), now)
                    yield now.iterate(drift)
                raise EndOfRun("accuracy-floor")
            if last or not done and size > STAGE * first * sigma / self.sigma:
                found = search(now.psi, run, now, *direction(B, now, run), self.lam)
            if found is not None:
                sharpen(found, run)
                if self.memory:
                    B.update(found.theta - now.theta, found.z - now.z)
                now = found
            elif not last:
                smaller = self.factor * sigma
                before, now = now, self._stage(run, smaller if smaller > 1.01 * self.sigma_end else self.sigma_end, now)
                drift = drift_of(before, now)
            else:  # along -z only accuracy can be lacking
                steepest = not len(B)
                B.forget()
                if not now.refine(SHARPER, gradient=True) and steepest:
                    raise EndOfRun("accuracy-floor")
                continue
            yield now.iterate(drift)

    def _stage(self, run: Run, sigma: float, before: Quotient) -> Quotient:
        """Return psi of another sigma at the same theta, with z of an accuracy to go on with."""
        now = ValueFunction(run, sigma, self.central, self.inner).at(before.theta, before)
        now.solve(before.gradient * sigma / before.psi.sigma)
        sharpen(now, run)
        return now

    # ----------------------------------------------------------------------------------------- the paper's loops

    def _paper(self, run: Run) -> Iterator[Iterate]:
        """Double loop, and with one inner step the single loop; y, z and theta move in turns."""
        problem, sigma, theta = run.problem, self.sigma, run.theta
        if self.alpha is None:
            problem.require("mu", f"the default step of theta of loop={self.loop!r}; or pass alpha=")
        steps, beta = self.T_in if self.loop == "double" else 1, self.beta
        y = z = problem.start()
        while True:
            length = lipschitz(problem, theta, sigma)
            rho = 1 / (4 * length) if self.rho is None else self.rho
            y = y + beta * (proximal(run, problem, theta, sigma, y, rho, 1 / (length + 1 / rho), steps) - y)
            z = z + beta * (proximal(run, problem, theta, 0.0, z, rho, 1 / (length + 1 / rho), steps) - z)
            check_size(theta, y, z)
            yield report(run, theta, sigma, y, z)
            run.work.adjoint_products += 2
            slope = theta_gradient(problem, y, theta, sigma) - theta_gradient(problem, z, theta, 0.0)
            alpha = SPEED * beta * rho * problem.mu(theta) * sigma if self.alpha is None else self.alpha
            theta = run.clip(theta - alpha * slope / sigma)


def proximal(
    run: Run, problem: BilevelProblem, theta: Array, s: float, y: Array, rho: float, gamma: float, steps: int
) -> Array:
    """Return `steps` projected gradient steps on ``h_s(u) + |u - y|^2/(2 rho)`` from y.

    Parameters
    ----------
    run : Run
        Where work is counted.
    problem : BilevelProblem
        The problem.
    theta : ndarray of shape (d,)
        Upper variables.
    s : float
        Weight of the upper objective.
    y : ndarray of shape (n,)
        Centre and first point.
    rho, gamma : float
        Proximal parameter and step.
    steps : int
        How many.

    Returns
    -------
    ndarray of shape (n,)
        The last point.
    """
    u = y
    for _ in range(steps):
        _, grad = penalised(run, problem, u, theta, s)
        u = project(problem, u - gamma * (grad + (u - y) / rho))
    return u


def drift_of(before: Quotient, now: Quotient) -> float:
    """Estimate ``|grad psi - grad f|`` at the smaller of two sigmas by Richardson's rule.

    Parameters
    ----------
    before, now : Quotient
        At one theta, the second with the smaller sigma.

    Returns
    -------
    float
        The estimate: the error is of first order in sigma, of second order for the central twin.
    """
    order = 2 if now.psi.central else 1
    ratio = (before.psi.sigma / now.psi.sigma) ** order
    return float(np.linalg.norm(before.z - now.z)) / (ratio - 1)


def check_convexity(psi: ValueFunction, run: Run) -> None:
    """Raise ValueError where h_s is known not to be strongly convex for a sigma of the run.

    Parameters
    ----------
    psi : ValueFunction
        For the first sigma.
    run : Run
        The run.

    Raises
    ------
    ValueError
        With the largest sigma that is known to be safe.
    """
    for block in run.problem.blocks:
        if not (block.offers("mu") and block.offers("constants")):
            continue
        mu, L_g = block.mu(run.theta), block.constants(run.theta).L_g
        bend = -L_g if psi.central else float(getattr(block, "upper_mu", -L_g))
        if (psi.central or run.certified) and mu + psi.sigma * bend <= 0:
            raise ValueError(
                f"sigma={psi.sigma:g}: h + sigma g, or h - sigma g, is not known to be strongly convex at theta0; "
                f"take sigma below mu/L_g = {mu / -bend:.3g}"
            )

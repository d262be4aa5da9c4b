r"""f and its gradient at one theta, from an inexact lower and an inexact adjoint solve, with their error bounds.

    V = g(x) - q' grad h(x),      z = grad_theta g(x) - J(x)' q,      H(x) q ~ grad_x g(x)

V is g corrected by the adjoint ("dual-weighted"): its error is of second order in ``|x - x*|``, and z is exactly its
derivative in theta with (x, q) frozen, so that value and gradient agree. Blocks (folds) are averaged, and so are their
bounds.

With ``certified`` the bounds of `gnsopt.bilevel.certificates` hold, with the declared constants, and with what rounding
may hide of ``grad h``, of the adjoint's residual, of g and of ``J'q``: 4 units in the last place of their terms, which
are sized by ``|Hx|``, the start's gradient and, for losses ``l >= 0``, by ``|l'|^2 <= 2 L l``. These are worst cases,
and the bounds are wide: by factors of a hundred to a million on logistic regression (measured). So otherwise estimates
take their place, in which no constant enters: the curvature is the one that the last lower step s and the adjoint met,

    m = min(|grad h_prev| / |s|, |grad_x g| / |q|) / 2,      eps = |grad h| / max(m, mu),
    E = rho eps + 0.3 |g - V|,      error of z = 2 j |q| ((rho + l eps) / |grad_x g| + eps / |x|),

with l the rate at which ``grad_x g`` was last seen to change with x and ``j = |J' grad_x g| / |grad_x g|``: near a
stationary point ``|J'q|`` is small by cancellation and tells nothing about its error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.certificates import distance, hypergradient_error, paper_error, sandwich, value_error
from gnsopt.bilevel.lower import EPS, Descent, LowerSolver
from gnsopt.bilevel.problem import BilevelProblem, as_vector, value_and_gradient
from gnsopt.bilevel.run import EndOfRun, Iterate, Run
from gnsopt.exceptions import NotPositiveDefinite, StepFailure

FORGET = 2.0  # by which the least curvature met so far is raised at a new theta (chosen)
SAFETY = 2.0  # of the measured curvature (the spec's factor for the estimate of the distance)
SHARE = 0.3  # of |g - V| that stands for the error of V: it is of first order, the error of second (median 3e-3)
ROUNDING = 4 * EPS  # of a sum of products, relative to its terms (chosen: their number is not known here)
LOOSE, TIGHTEST = 3e-2, 1e-13  # relative residual of an adjoint solve: the first and the last one (chosen)


class Block:
    """One lower-level problem at one theta.

    Parameters
    ----------
    solver : LowerSolver
        Of this block.
    theta : ndarray of shape (d,)
        Upper variables.
    before : Block, optional
        The same block at a nearby theta: warm start of x and q.
    certified : bool, default=False
        Whether distances are rigorous.
    """

    def __init__(self, solver: LowerSolver, theta: Array, before: Block | None = None, certified: bool = False) -> None:
        self.solver, self.theta, self.certified = solver, theta, certified
        self.problem: BilevelProblem = solver.problem
        x = self.problem.start() if before is None else before.x
        self.descent: Descent = solver.begin(theta, x)
        self.q: Array = np.zeros(self.problem.n) if before is None else before.q
        self.stiffness: float = np.nan if before is None else before.stiffness
        self.mu = self.problem.mu(theta) if self.problem.offers("mu") else 0.0
        self.c = self.problem.constants(theta) if self.problem.offers("constants") else None
        self.x: Array = x
        self.g = self.rho = self.gradient = np.nan
        self.rounding = 0.0  # of the lower gradient, in certificates
        self.gx = self.q
        self.gt: Array | None = None
        self._step = self._J = np.nan
        self._loose = LOOSE if before is None else min(LOOSE, 3 * before.relative)
        self._seen: Array | None = None  # x at which the upper oracle was called

    @property
    def exhausted(self) -> bool:
        """Whether float64 allows no smaller lower gradient."""
        return self.descent.exhausted or self.descent.residual <= self.rounding

    def solve(self, target: float) -> None:
        """Drive the lower gradient to `target` and look at the upper level there."""
        self.descent.to(target)
        self.x = self.descent.point.x
        if self.certified and self._seen is not self.x:
            self.rounding = self._gradient_rounding()
        self.gradient = self.descent.residual + max(self.rounding, self.descent.rounding)
        self.stiffness = float(
            np.fmin(FORGET * self.stiffness if self._seen is None else self.stiffness, self.descent.stiffness)
        )
        self._step = np.nan
        if not self.certified:
            with np.errstate(all="ignore"):
                self._step = self.solver.curvature.newton_step(self.descent.point.g)
        if self._seen is not self.x:
            self._seen = self.x
            out = self.problem.upper(self.x, self.theta)
            self.g, gx = value_and_gradient(out, self.problem.n, "upper")
            self.solver.watch(self.x, gx)
            self.gx, self._J = gx, np.nan
            self.gt = None if out[2] is None else as_vector(out[2], self.problem.d, "upper: gradient in theta")
            self.rho = np.nan
        if not (np.isfinite(self.g) and np.isfinite(self.gx).all()):
            raise EndOfRun("not-finite")

    def _gradient_rounding(self) -> float:
        """Return the rounding error of grad h, whose terms are the start's gradient, Hx and, as h >= 0, sqrt(2 L h)."""
        assert self.c is not None
        point = self.descent.point
        terms = self.solver.scale + float(np.linalg.norm(point.hessp(self.x)))
        return ROUNDING * terms + EPS * float(np.sqrt(2 * self.c.L * abs(point.f)))

    def adjoint(self, delta: float) -> None:
        """Solve ``H q = grad_x g`` to an absolute residual, from the last q."""
        point = self.descent.point
        if not np.isfinite(self.rho):
            self.rho = self._residual(point)
        try:
            for _ in range(3):  # conjugate gradients' own residual may drift from the true one
                if not self.rho > delta:  # a tolerance that is not finite asks for nothing
                    break
                rest = self.gx - self._Hq
                previous, rho = self.q, self.rho
                self.q = self.q + self.solver.curvature.adjoint(point, rest, 0.7 * delta)
                self.rho = self._residual(point)
                if not self.rho < 0.5 * rho:
                    if not self.rho < rho:
                        self.q = previous
                        self.rho = self._residual(point)
                    break
        except (NotPositiveDefinite, StepFailure):
            raise EndOfRun("not-convex") from None
        finally:
            self.solver.account(adjoint=True)

    def _residual(self, point: Any) -> float:
        self._Hq = point.hessp(self.q) if self.q.any() else np.zeros_like(self.q)
        return float(np.linalg.norm(self._Hq - self.gx))

    def natural(self) -> float:
        """Return the adjoint residual that goes with the accuracy of x: as much error as the lower solve adds."""
        size = float(np.linalg.norm(self.gx))
        if not self.certified:
            return max(self._loose, TIGHTEST) * size
        assert self.c is not None
        wanted = (self.c.L_H * float(np.linalg.norm(self.q)) + self.c.L_g) * self.eps
        return min(max(wanted, TIGHTEST * size), LOOSE * size)

    def refine(self, factor: float, *, gradient: bool = False) -> bool:
        """Reduce the error of the value, or of the hypergradient, by about `factor`; return whether it became less."""
        rho, residual = self.rho, self.gradient
        if not self.certified and gradient and rho >= self.drift and self.gx.any():
            self.adjoint(rho / factor)
            return self.rho < rho
        if self.exhausted:
            self.adjoint(rho / factor)
            return self.rho < 0.5 * rho
        self.solve(residual / factor)
        self.adjoint(min(self.natural(), rho))
        return self.gradient < residual

    @property
    def relative(self) -> float:
        """Residual of the adjoint relative to its right-hand side."""
        size = float(np.linalg.norm(self.gx))
        return self.rho / size if size > 0 and np.isfinite(self.rho) else LOOSE

    @property
    def drift(self) -> float:
        """What the error of x is estimated to add to the residual of the adjoint."""
        return (self.solver.rate + float(np.linalg.norm(self.gx)) / self.length) * self.eps

    @property
    def length(self) -> float:
        """``|x|``, never zero."""
        return max(float(np.linalg.norm(self.x)), 1e-300)

    # ----------------------------------------------------------------------------------------------- certificates

    @property
    def curvature(self) -> float:
        """The strong convexity that enters the bounds: mu, or what was measured."""
        if self.certified:
            return self.mu
        sizes = [self.stiffness]
        if np.isfinite(self.rho) and self.q.any():
            sizes.append(float(np.linalg.norm(self.gx) / np.linalg.norm(self.q)))
        known = [s for s in sizes if np.isfinite(s)]
        return max(min(known) / SAFETY if known else self.mu, self.mu, 1e-300)

    @property
    def eps(self) -> float:
        """Bound (estimate) of ``|x - x*|``: with a factor at hand, twice the length of one more Newton step."""
        if np.isfinite(self._step):
            return min(SAFETY * self._step, distance(self.gradient, self.mu) if self.mu > 0 else np.inf)
        return distance(self.gradient, self.curvature)

    @property
    def value(self) -> float:
        """The corrected value V."""
        return self.g - float(self.q @ self.descent.point.g)

    @property
    def value_error(self) -> float:
        """Bound (estimate) of ``|V - f|``."""
        if not self.certified:
            return self.rho * self.eps + SHARE * abs(self.g - self.value)
        assert self.c is not None
        size = float(np.linalg.norm(self.q))
        return value_error(self.eps, self.residual, size, self.c) + self.value_rounding

    @property
    def value_rounding(self) -> float:
        """What rounding adds to ``|V - f|``; the scores of a loss ``g >= 0`` enter by ``|l'|^2 <= 2 L_g g``."""
        assert self.c is not None
        slope = max(float(np.linalg.norm(self.gx)), float(np.sqrt(2 * self.c.L_g * abs(self.g))))
        size = float(np.linalg.norm(self.q))
        return ROUNDING * abs(self.g) + EPS * slope * self.length + size * self.rounding

    @property
    def residual(self) -> float:
        """Residual of the adjoint, with what rounding may hide of it."""
        return self.rho + ROUNDING * float(np.linalg.norm(self._Hq) + np.linalg.norm(self.gx))

    def hypergradient(self) -> Array:
        """Return z."""
        self.solver.run.work.adjoint_products += 1
        cross = as_vector(self.problem.cross_t(self.x, self.theta, self.q), self.problem.d, "cross_t")
        return -cross if self.gt is None else self.gt - cross

    def error(self, cross: float) -> float:
        """Return the bound (estimate) of the error of z; `cross` is ``|J' q|``."""
        if not self.certified:
            size = float(np.linalg.norm(self.gx))
            if size == 0:  # at an unsolved x this tells nothing of the solution
                return 0.0 if self.exhausted and not self.descent.stalled else np.inf
            if np.isnan(self._J):
                along = as_vector(self.problem.cross_t(self.x, self.theta, self.gx), self.problem.d, "cross_t")
                self._J = float(np.linalg.norm(along)) / size
            return 2 * max(self._J * float(np.linalg.norm(self.q)), cross) * (self.rho + self.drift) / size
        assert self.c is not None
        J = self.problem.J_norm(self.x, self.theta)
        size = float(np.linalg.norm(self.q))
        return hypergradient_error(self.eps, self.residual, size, J, self.mu, self.c) + 2 * ROUNDING * cross

    def wanted(self, error: float) -> float:
        """Return the lower gradient at which the error of the value is about `error`."""
        size = max(float(np.linalg.norm(self.q)), 1e-300)
        if not self.certified:
            return error / (SHARE * size)
        assert self.c is not None
        slope = max(self.c.L_H * size + self.c.L_g, 1e-300)
        return self.mu * float(np.sqrt(2 * error / slope))

    def paper_error(self) -> float:
        """Return the papers' bound of the error of z, with the attained accuracies."""
        assert self.c is not None
        J = self.problem.J_norm(self.x, self.theta)
        return paper_error(self.eps, self.residual, float(np.linalg.norm(self.gx)), J, self.curvature, self.c)

    def sandwich(self, convex: bool) -> tuple[float, float]:
        """Return the papers' bounds of f."""
        L_g = 0.0 if self.c is None else self.c.L_g
        return sandwich(self.g, float(np.linalg.norm(self.gx)), self.eps, L_g, convex)


class Evaluation:
    """f and its gradient at one theta, to an accuracy that can be raised.

    Parameters
    ----------
    oracle : Oracle
        Who made it.
    theta : ndarray of shape (d,)
        Upper variables.
    before : Evaluation, optional
        Warm start.
    """

    def __init__(self, oracle: Oracle, theta: Array, before: Evaluation | None = None) -> None:
        self.oracle, self.theta = oracle, theta
        warm: Sequence[Block | None] = [None] * len(oracle.solvers) if before is None else before.blocks
        self.blocks: list[Block] = [
            Block(solver, theta, block, oracle.certified) for solver, block in zip(oracle.solvers, warm, strict=True)
        ]
        self._z: Array | None = None
        self._cross: list[float] = []

    def solve(self, target: float, delta: float | None = None) -> Evaluation:
        """Drive every block's lower gradient to `target` and its adjoint to `delta` (the natural accuracy if None)."""
        for block in self.blocks:
            block.solve(target)
            block.adjoint(block.natural() if delta is None else delta)
            if delta is None and block.rho > 2 * block.natural():  # q, and with it what is natural, has changed
                block.adjoint(block.natural())
        self._z = None
        return self

    def wanted(self, error: float) -> float:
        """Return the lower gradient at which the error of the value is about `error`."""
        return min(block.wanted(error) for block in self.blocks)

    def refine(self, factor: float, *, gradient: bool = False) -> bool:
        """Refine the block of largest error that can be refined; return whether there was one.

        Parameters
        ----------
        factor : float
            By which residuals are reduced.
        gradient : bool, default=False
            Whether the error of the hypergradient matters; else that of the value.

        Returns
        -------
        bool
            Whether float64 allowed it.
        """
        if gradient:
            _ = self.z
            errors = [block.error(cross) for block, cross in zip(self.blocks, self._cross, strict=True)]
        else:
            errors = [block.value_error for block in self.blocks]
        order = np.argsort(errors, kind="stable")[::-1]
        done = any(self.blocks[i].refine(factor, gradient=gradient) for i in order)
        self._z = None
        return done

    @property
    def x(self) -> Array:
        """Lower iterates, one block after the other."""
        return np.concatenate([block.x for block in self.blocks])

    @property
    def gradient(self) -> float:
        """Largest lower gradient of the blocks."""
        return max(block.gradient for block in self.blocks)

    @property
    def start(self) -> float:
        """Largest lower gradient of the blocks before anything is solved."""
        return max(max(block.descent.residual for block in self.blocks), 1e-300)

    @property
    def eps(self) -> float:
        """Largest distance of the blocks to their solutions."""
        return max(block.eps for block in self.blocks)

    @property
    def rho(self) -> float:
        """Largest adjoint residual of the blocks."""
        return max(block.rho for block in self.blocks)

    @property
    def exhausted(self) -> bool:
        """Whether no block can be solved more accurately."""
        return all(block.exhausted for block in self.blocks)

    @property
    def stalled(self) -> bool:
        """Whether a block's solver gave up far above the limit of float64."""
        return any(block.descent.stalled for block in self.blocks)

    @property
    def V(self) -> float:
        """Corrected value, the mean over the blocks."""
        return float(np.mean([block.value for block in self.blocks]))

    @property
    def E(self) -> float:
        """Its error bound, with what rounding of the values adds."""
        error = float(np.mean([block.value_error for block in self.blocks]))
        return error + 4 * np.finfo(float).eps * abs(self.V)

    @property
    def z(self) -> Array:
        """Hypergradient, the mean over the blocks."""
        if self._z is None:
            parts = [block.hypergradient() for block in self.blocks]
            self._cross = [
                float(np.linalg.norm(part if block.gt is None else part - block.gt))
                for part, block in zip(parts, self.blocks, strict=True)
            ]
            self._z = np.mean(parts, axis=0)
        return self._z

    @property
    def error(self) -> float:
        """Bound (estimate) of the error of z."""
        _ = self.z
        return float(np.mean([b.error(cross) for b, cross in zip(self.blocks, self._cross, strict=True)]))

    @property
    def sandwich(self) -> tuple[float, float]:
        """The papers' bounds of f from uncorrected values."""
        bounds = [block.sandwich(self.oracle.convex_upper) for block in self.blocks]
        return float(np.mean([b[0] for b in bounds])), float(np.mean([b[1] for b in bounds]))

    @property
    def paper_error(self) -> float:
        """The papers' bound of the error of z."""
        return float(np.mean([block.paper_error() for block in self.blocks]))

    def iterate(self, **scalars: float) -> Iterate:
        """Return what the driver wants to know."""
        V, E = self.V, self.E
        scalars = {"eps": self.eps, "delta": self.rho, **scalars}
        return Iterate(self.theta, self.x, V, V - E, V + E, self.z, self.error, self.oracle.certified, scalars)


class Oracle:
    """Maker of evaluations: what stays along a run.

    Parameters
    ----------
    run : Run
        The run.
    lower_solver : str or Solver
        As in `LowerSolver`.
    linear : str
        As in `LowerSolver`.
    forcing : float
        As in `LowerSolver`.
    convex_upper : bool, default=False
        Whether g is convex in x.
    """

    def __init__(self, run: Run, lower_solver: Any, linear: str, forcing: float, convex_upper: bool = False) -> None:
        self.run, self.certified, self.convex_upper = run, run.certified, convex_upper
        self.solvers = [LowerSolver(block, lower_solver, linear, forcing, run) for block in run.problem.blocks]

    def at(self, theta: Array, before: Evaluation | None = None) -> Evaluation:
        """Return the evaluation at `theta`, not yet solved.

        Parameters
        ----------
        theta : ndarray of shape (d,)
            Upper variables.
        before : Evaluation, optional
            Warm start.

        Returns
        -------
        Evaluation
            To be solved to any accuracy.
        """
        return Evaluation(self, theta, before)

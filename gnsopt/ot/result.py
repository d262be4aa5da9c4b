r"""What a transport run returns: potentials, and everything that follows from them, computed when asked for.

All sums run over blocks of rows of ``P_ij = mass exp(x_i + y_j - C_ij/reg)``, so that only `plan` needs n x m memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.special import kl_div, xlogy

from gnsopt._typing import Array
from gnsopt.kernels import sinkhorn as passes
from gnsopt.ot.problem import Infeasible, Problem
from gnsopt.ot.rounding import Rounded, rounding, rounding_within
from gnsopt.stopping import Status

EPS = float(np.finfo(float).eps)
FEW = 8.0  # roundings that a bound allows for (chosen)
NAMES = {
    Status.CONVERGED: "converged",
    Status.MAXITER: "max_iter",
    Status.MAXTIME: "max_time",
    Status.PRECISION_LIMIT: "stalled",
    Status.STEP_FAILURE: "step_failure",
    Status.NOT_FINITE: "not_finite",
    Status.AT_INFINITY: "infeasible",
    Status.INTERRUPTED: "interrupted",
    Status.TARGET_REACHED: "target_reached",
    Status.CALLBACK: "callback",
}


class NotConverged(UserWarning):
    """A transport run ended before its tolerance; the message says why and what helps."""


class Interval(NamedTuple):
    """Bounds of the unregularised transport cost.

    Parameters
    ----------
    lower : float
        Value of a feasible dual point (c-transforms of the potentials).
    upper : float
        Cost of a feasible plan (the rounded one).
    """

    lower: float
    upper: float


class Moments(NamedTuple):
    """Sums over the plan of the reduced problem.

    Parameters
    ----------
    r, c : ndarray
        Row and column sums.
    cost : float
        ``<C, P>``.
    entropy : float
        ``sum P log P``.
    """

    r: Array
    c: Array
    cost: float
    entropy: float


class OTResult:
    """Solution of an entropic transport problem.

    Parameters
    ----------
    problem : Problem
        What was solved.
    x, y : ndarray
        Row and column potentials of the reduced problem, over reg; x None is found from y.
    run : OptimizeResult
        What the driver returned.
    tol : float
        L1 error asked for, relative to the mass.
    infeasible : Infeasible, optional
        Certificate.
    method : str, default="auto"
        What was used.

    Attributes
    ----------
    status : str
        ``"converged"``, ``"max_iter"``, ``"max_time"``, ``"stalled"`` (at the limit of float64), ``"step_failure"``,
        ``"infeasible"``, ``"interrupted"`` or ``"callback"``.
    converged : bool
        Whether the tolerance was reached.
    message : str
        The status in a sentence.
    trace : Trace
        One row for each step.
    n_iter : int
        Sinkhorn iterations and Newton trials: gradients of the dual.
    n_cg : int
        Products with the Hessian.
    method : str
        Name of the method; of an instance of a class without one, that of the class.
    infeasible : Infeasible or None
        Certificate.
    """

    def __init__(
        self,
        problem: Problem,
        x: Array | None,
        y: Array,
        run: Any,
        tol: float,
        infeasible: Infeasible | None = None,
        method: str = "auto",
    ) -> None:
        self.problem, self._x, self._y, self.run, self.tol = problem, x, y, run, tol
        self.infeasible, self.method = infeasible, method
        self.status = "infeasible" if infeasible is not None else NAMES[Status(run.status)]
        reached = float(run.trace["gnorm"][-1])
        if self.status == "converged" and self._floor > 0.1 * tol:
            reached = self.err1 / problem.mass
            if reached > tol:
                self.status = "stalled"  # the next digit of the potentials decides, and there is none
        self.converged = self.status == "converged"
        self.trace, self.n_iter, self.n_cg = run.trace, run.njev - 1, run.nhessp
        self.message = self._sentence(reached)

    @property
    def _floor(self) -> float:
        """L1 error that rounding of ``(phi + psi - C)/reg`` may leave."""
        x, y = self.reduced_potentials if self._x is not None else (self._y, self._y)
        return 4 * EPS * float(np.ptp(y) + np.ptp(x))

    def _sentence(self, reached: float) -> str:
        state = f"L1 error of the marginals {reached:.1e} of the mass, asked for {self.tol:.1e}"
        if self.infeasible is not None:
            cut = self.infeasible
            return (
                f"infeasible: {cut.columns.size} targets can be reached from {cut.rows.size} sources only, whose mass "
                f"is {cut.excess:.3g} too small; allow more pairs, or use rho= (unbalanced transport)"
            )
        other = "" if self.method == "auto" else ", or use method='auto'"
        if self.method != "auto":
            step = "use method='auto'"
        else:  # Sinkhorn does not move the multipliers of constraints
            step = "raise reg" if self.problem.constraints else "raise reg, or use method='sinkhorn'"
        return {
            "converged": f"converged: {state}",
            "max_iter": f"stopped after max_iter iterations: {state}; raise max_iter{other}",
            "max_time": f"stopped after max_time seconds: {state}",
            "step_failure": f"stopped without an acceptable step: {state}; {step}",
            "infeasible": "infeasible: no plan satisfies the constraints; relax their bounds",
            "stalled": f"stopped at the limit of float64: {state}; raise tol or reg",
        }.get(self.status, f"{self.run.message}: {state}")

    def __repr__(self) -> str:
        """Return a summary in one line."""
        n, m = self.problem.geometry.shape
        return f"<OTResult {n} x {m}, reg={self.problem.reg:.4g}: {self.message}>"

    # ------------------------------------------------------------------------------------------------ potentials

    @cached_property
    def reduced_potentials(self) -> tuple[Array, Array]:
        """Row and column potentials of the reduced problem, over reg."""
        if self._x is not None:
            return self._x, self._y
        objective = self.problem.semidual()
        return objective.row_potentials(objective.prepare(self._y)), self._y

    @cached_property
    def potentials(self) -> tuple[Array, Array]:
        """Potentials ``(phi, psi)`` in units of the cost: ``P_ij = exp((phi_i + psi_j - C_ij)/reg)``."""
        return self.problem.potentials(*self.reduced_potentials)

    @property
    def phi(self) -> Array:
        """Row potentials, shape (n,)."""
        return self.potentials[0]

    @property
    def psi(self) -> Array:
        """Column potentials, shape (m,)."""
        return self.potentials[1]

    # ------------------------------------------------------------------------------------------------------ plan

    def blocks(self, out: Array | None = None) -> Iterator[tuple[slice, Array, Array]]:
        """Iterate over ``(slice of rows, P, C)`` of the reduced problem.

        Parameters
        ----------
        out : ndarray, optional
            The rows of P are written here; by default each block is an array of its own.

        Yields
        ------
        tuple
            Of all rows, block by block.
        """
        x, y = self.reduced_potentials
        geometry, inv = self.problem.reduced, 1.0 / self.problem.reg
        p, q = geometry.offsets
        for rows, C in geometry.blocks():
            P, top = np.empty(C.shape) if out is None else out[rows], np.empty(C.shape[0])
            passes.exponents(C, p[rows], q, inv, y, P, top)
            passes.exponentials(P, -x[rows])
            if self.problem.mass != 1.0:
                P *= self.problem.mass
            yield rows, P, C

    @cached_property
    def plan(self) -> Array:
        """The plan, shape (n, m)."""
        P = np.empty(self.problem.reduced.shape)
        for _ in self.blocks(P):
            pass
        return self.problem.expand(P)

    def sparse_plan(self, drop: float = 1e-6) -> Any:
        """Return the plan without its small entries.

        Parameters
        ----------
        drop : float, default=1e-6
            Entries below ``drop`` times the mean entry of their row (of the reduced problem) are left out: of each row
            not more than this fraction of its mass.

        Returns
        -------
        csr_array of shape (n, m)
            The kept entries.
        """
        parts = []
        for _, P, _ in self.blocks():
            P[P < drop * P.mean(axis=1, keepdims=True)] = 0.0
            parts.append(csr_array(P))
        return self.problem.expand(csr_array(vstack(parts)))

    @cached_property
    def moments(self) -> Moments:
        """Marginals, cost and entropy of the plan of the reduced problem."""
        x, y = self.reduced_potentials
        r, c, cost = np.empty(x.size), np.zeros(y.size), 0.0
        for rows, P, C in self.blocks():
            r[rows] = P.sum(axis=1)
            c += P.sum(axis=0)
            cost += inner(P, C)
        problem = self.problem
        p, q = problem.reduced.offsets
        logs = (float(p @ r) + float(q @ c) - cost) / problem.reg
        entropy = float(x @ r) + float(y @ c) + logs + float(r.sum()) * np.log(problem.mass)
        return Moments(r, c, cost, entropy)

    @cached_property
    def marginals(self) -> tuple[Array, Array]:
        """Row and column sums of the plan, shapes (n,) and (m,)."""
        return self.problem.expand_places(self.moments.r, self.moments.c)

    @property
    def err1(self) -> float:
        """``|P 1 - a|_1 + |P'1 - b|_1``, from the plan itself."""
        r, c = self.marginals
        return float(np.abs(r - self.problem.a).sum() + np.abs(c - self.problem.b).sum())

    # ---------------------------------------------------------------------------------------------------- values

    @property
    def cost(self) -> float:
        """Transport cost ``<C, P>``."""
        return self.moments.cost

    @property
    def value(self) -> float:
        """Entropic value ``<C, P> + reg sum P log P``."""
        return self.moments.cost + self.problem.reg * self.moments.entropy

    @property
    def value_kl(self) -> float:
        """``<C, P> + reg KL(P | a b'/mass)``: POT's ``reg_type="KL"``, OTT's and GeomLoss's convention.

        Summed from the potentials, ``<f, P 1> + <g, P'1>``: at a large reg the terms of the definition cancel.
        """
        f, g = self._kl_potentials
        return float(self.moments.r @ f) + float(self.moments.c @ g)

    @property
    def _kl_potentials(self) -> tuple[Array, Array]:
        """``f`` and ``g`` of the reduced problem, with ``P_ij = a_i b_j exp((f_i + g_j - C_ij)/reg)/mass``."""
        x, y = self.reduced_potentials
        return tuple(  # type: ignore[return-value]
            offset + self.problem.reg * (v - np.log(mass))
            for v, mass, offset in zip((x, y), self.problem.marginals, self.problem.reduced.offsets, strict=True)
        )

    @property
    def value_error(self) -> float:
        """Bound of ``|value_kl - its minimum|``: distance from the dual value, `gap`, and rounding."""
        problem, (f, g), (r, c, *_) = self.problem, self._kl_potentials, self.moments
        a, b = (problem.mass * v for v in problem.marginals)
        beyond = float((r - a) @ f) + float((c - b) @ g) - problem.reg * (problem.mass - float(r.sum()))
        return abs(beyond) + self.gap + self._rounding_error

    @property
    def _rounding_error(self) -> float:
        """What a few roundings of the largest summands of the value amount to."""
        problem = self.problem
        logs = sum(float(np.abs(v).max()) for v in (*self.reduced_potentials, *map(np.log, problem.marginals)))
        costs = problem.reduced.extent + sum(float(np.abs(v).max()) for v in problem.reduced.offsets)
        return FEW * EPS * problem.mass * (problem.reg * logs + costs)

    @cached_property
    def _rounded(self) -> Rounded:
        a, b = (self.problem.mass * v for v in self.problem.marginals)
        found = None
        if self.problem.forbids:
            least = float(np.finfo(float).tiny)  # an allowed pair has an entry, also where it has underflowed
            parts = [csr_array(np.where(np.isfinite(C), np.maximum(P, least), 0.0)) for _, P, C in self.blocks()]
            found = rounding_within(csr_array(vstack(parts)), a, b)
        return rounding(lambda: ((rows, P) for rows, P, _ in self.blocks()), a, b) if found is None else found

    @cached_property
    def gap(self) -> float:
        """Upper bound of the suboptimality: entropic value of the rounded plan Q minus the dual value.

        It equals ``reg sum Q log(Q/P) - Q + P``, a sum of non-negative terms. Infinite where the rounded plan needs a
        forbidden pair: with forbidden pairs, far from convergence.
        """
        x, y = self.reduced_potentials
        p, q = self.problem.reduced.offsets
        total = 0.0
        for rows, P, C in self.blocks():
            Q = self._rounded.rows(rows, P)
            terms = kl_div(Q, P)
            if not np.isfinite(terms).all():  # P has underflowed where Q has not: its logarithm is still there
                logs = x[rows, None] + y - ((C - p[rows, None]) - q) / self.problem.reg + np.log(self.problem.mass)
                terms = xlogy(Q, Q) - np.multiply(Q, logs, where=Q > 0, out=np.zeros_like(Q)) - Q + P
            total += float(np.maximum(terms, 0.0).sum())
        return self.problem.reg * total

    @cached_property
    def interval(self) -> Interval:
        """Bounds of the unregularised cost: a feasible dual point, and the cost of the rounded plan.

        The dual point is ``psi_j = min_i(C_ij - phi_i)``, then ``phi_i = min_j(C_ij - psi_j)``, and begins with the
        potentials less ``reg log a``: it is feasible whatever it begins with. Both ends are moved out by a few
        roundings. The upper bound is infinite where rounding the plan would need a forbidden pair.
        """
        problem = self.problem
        a, b = (problem.mass * v for v in problem.marginals)
        phi = self._kl_potentials[0]
        phi -= float(a @ phi) / problem.mass
        psi, upper, size = np.full(b.size, np.inf), 0.0, 0.0
        for rows, P, C in self.blocks():
            psi = np.minimum(psi, (C - phi[rows, None]).min(axis=0))
            Q = self._rounded.rows(rows, P)
            upper += inner(Q, C)
            size += inner(Q, np.abs(C))
        lower, magnitude = float(b @ psi), float(b @ np.abs(psi))
        for rows, C in problem.reduced.blocks():
            least = (C - psi).min(axis=1)
            lower += float(a[rows] @ least)
            magnitude += float(a[rows] @ np.abs(least))
        return Interval(lower - FEW * EPS * magnitude, upper + FEW * EPS * size)

    def rounded_plan(self) -> Array:
        """Return the plan rounded to the marginals, shape (n, m): exactly feasible.

        Returns
        -------
        ndarray of shape (n, m)
            The plan.
        """
        Q = np.empty(self.problem.reduced.shape)
        for rows, P, _ in self.blocks():
            Q[rows] = self._rounded.rows(rows, P)
        return self.problem.expand(Q)


def inner(P: Array, C: Array) -> float:
    """Return ``<C, P>``, where a forbidden pair without mass costs nothing.

    Parameters
    ----------
    P : ndarray
        Plan.
    C : ndarray
        Costs of the same shape.

    Returns
    -------
    float
        The sum.
    """
    total = float(np.vdot(P, C))
    return total if np.isfinite(total) else float(np.sum(P[P > 0] * C[P > 0]))

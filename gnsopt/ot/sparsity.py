r"""Transport plans with at most k nonzeros in a column: ``ot.sparsity_constrained(a, b, C, gamma, k)``.

    minimise  <C, T> + gamma/2 |T|^2      over  T >= 0,  T 1 = a,  T'1 = b,  |t_j|_0 <= k for every column j

1. The convex relaxation (`gnsopt.ot.sparse_duals`) is solved by the proximal method of multipliers: stage after stage
   minimises the smooth semi-dual of the relaxation plus ``eps/2 |T - T_before|^2`` by a semismooth Newton method, which
   is gradient-normalised smoothness on the generalised Hessian. Stages are warm starts of each other and eps falls.
2. Where the k-sparse maximisers of the semi-dual meet the row sums at its minimum, they are the optimal plan: the
   relaxation is tight.
3. Elsewhere some columns of the relaxation's plan have more than k nonzeros. The k largest of each are kept, places
   that are left go to the best scores, and the quadratic problem on this support is solved in the same way: a plan
   whose value is compared with the lower bound. Where this support carries no plan, which ties among the costs may do,
   the same is tried with costs that a little noise has untied, and with a vertex of the transport polytope, which has
   less than n + m nonzeros. Whether there is a plan at all is NP-hard to decide (k = 3: 3-partition); where none was
   found, one of exact column sums that misses the row sums is returned, and is said to.

Departures from [1]: Newton's method in place of L-BFGS (from zero it takes fewer passes over the costs, and gets to the
limit of float64); the proximal terms, without which first- and second-order methods stall at the kinks of the
semi-dual, where its minimum is whenever the relaxation is not tight; the third step.

References
----------
[1] Liu, Puigcerver, Blondel, "Sparsity-constrained optimal transport", 2209.15466.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, linear_sum_assignment, linprog
from scipy.sparse import csc_array, csr_array, vstack

from gnsopt._typing import Array, ArrayLike, IntArray
from gnsopt.arguments import as_number, shown
from gnsopt.ot.problem import Problem, in_range
from gnsopt.ot.sparse_duals import SharedColumns, SparseSemiDual
from gnsopt.point import COUNTS
from gnsopt.solvers import GradNormSmooth
from gnsopt.stopping import Status

FIRST, FALL, LAST = 0.25, 0.2, 1e-4  # of eps times the mean mass of a column over the range of the costs (chosen)
STAGES, STEPS = 200, 50  # stages, and Newton steps of one, at the most; 10 to 30 stages are usual (chosen)
NEAR, POLISH = 1e-2, 30  # from so near, so many Newton steps on the semi-dual itself: one is enough on its support
AFTER = 200  # Newton steps that a plan is always allowed after the relaxation (chosen)
NOISE = (1e-6, 1e-3)  # added to costs that tie, in their range (chosen)
VERTEX = 10**5  # pairs up to which a linear program is solved for a vertex (chosen: some seconds)
RIDGE = 1e-3  # potential, in ranges of the costs, that a row sum missed by its whole is worth: rows come first (chosen)
MESSAGES = {
    "optimal": "the relaxation is tight: the plan is optimal",
    "feasible": "the plan has the right sums, and a value at most gap above the optimum",
    "row_error": "no plan with the right row sums was found among those of so few nonzeros: row_error is what they are "
    "missed by; raise k",
    "infeasible": "no plan exists: the forbidden pairs leave none with these sums and so few nonzeros in a column",
    "max_iter": "stopped after max_iter Newton steps, without a plan of the right row sums; the lower bound holds",
}


@dataclass(frozen=True)
class SparsePlan:
    """Result of `sparsity_constrained`.

    Parameters
    ----------
    plan : csc_array of shape (n, m)
        At most k nonzeros in a column, non-negative.
    relaxed_plan : csc_array of shape (n, m)
        Plan of the convex relaxation: right row and column sums, columns of more than k nonzeros where it is not tight.
    alpha, beta : ndarray of shape (n,), (m,)
        Potentials in units of the cost, which prove `lower_bound`.
    cost : float
        ``<C, T>`` of the plan.
    value : float
        ``<C, T> + gamma/2 |T|^2`` of the plan.
    lower_bound : float
        Value of the dual: no plan with at most k nonzeros in a column has a lower value, whatever the status.
    row_error, column_error : float
        ``|T 1 - a|_1`` and ``|T'1 - b|_1`` of the plan, over the mass.
    relaxation : {"tight", "solved", "infeasible", "max_iter", "stalled"}
        How the relaxation ended: with a plan of at most k nonzeros in a column, with another one, with the proof that
        there is none, after max_iter steps, or at the limit of float64.
    shared_columns : int
        Columns of the relaxation's plan with more than k nonzeros.
    status : {"optimal", "feasible", "row_error", "infeasible", "max_iter"}
        What the plan is.
    nit : int
        Newton steps of all stages.
    history : tuple of dict
        A row for each run of Newton's method: ``run`` (its name), ``eps``, ``status``, ``nit``, counts and ``seconds``;
        the last run of a stage has a ``bound``, the dual value of the relaxation or, for runs on a support, of theirs.
    """

    plan: csc_array
    relaxed_plan: csc_array
    alpha: Array
    beta: Array
    cost: float
    value: float
    lower_bound: float
    row_error: float
    column_error: float
    relaxation: str
    shared_columns: int
    status: str
    nit: int
    history: tuple[dict[str, Any], ...]

    @property
    def relaxation_tight(self) -> bool:
        """Whether the plan attains the lower bound: then it is optimal."""
        return self.relaxation == "tight"

    @property
    def success(self) -> bool:
        """Whether the plan has the right sums."""
        return self.status in ("optimal", "feasible")

    @property
    def message(self) -> str:
        """The status as a sentence."""
        return MESSAGES[self.status]

    @property
    def gap(self) -> float:
        """``value - lower_bound``: how far from optimal the plan is at the most, where its sums are right."""
        return self.value - self.lower_bound

    def __repr__(self) -> str:
        """Return a summary in one line."""
        n, m = self.plan.shape
        return f"<SparsePlan {n} x {m}, {self.plan.nnz} nonzeros: {self.message}>"


def sparsity_constrained(
    a: ArrayLike | None,
    b: ArrayLike | None,
    C: Any,
    gamma: float,
    k: int,
    *,
    tol: float = 1e-9,
    max_iter: int = 10_000,
    alpha0: ArrayLike | None = None,
    normalize: bool = False,
) -> SparsePlan:
    r"""Minimise ``<C, T> + gamma/2 |T|^2`` over plans T of marginals a and b with at most k nonzeros in a column.

    Parameters
    ----------
    a : array_like of shape (n,) or None
        Row sums, non-negative; None is uniform of mass one.
    b : array_like of shape (m,) or None
        Column sums, of the same mass.
    C : Geometry, array_like or sparse array of shape (n, m)
        Cost; +inf, and in a sparse array what is not stored, forbids a pair.
    gamma : float
        Weight of the quadratic term, positive, in units of the cost over those of the mass.
    k : int
        Nonzeros of a column at the most, at least 1; n or more is quadratic transport without a constraint.
    tol : float, default=1e-9
        L1 error of the row sums over the mass, and gap of the relaxation over the range of its values.
    max_iter : int, default=10000
        Newton steps at the most.
    alpha0 : array_like of shape (n,), optional
        Row potential to begin with, in units of the cost.
    normalize : bool, default=False
        Divide `a` and `b` by their sums. Without it sums that differ are refused.

    Returns
    -------
    SparsePlan
        The plan, a lower bound of the optimal value, and whether the plan attains it.

    Raises
    ------
    TypeError, ValueError
        For misuse, and for a k with which no plan exists, as far as counting tells; before any work.

    Notes
    -----
    A stage stops at ``|T 1 - a|_1 <= tol/10``, the stages where ``<C, T> + gamma/2 sum_j |t_j|_(k)^2`` is within `tol`
    of the lower bound. Each step is O(n m) for the columns, by heaps, and a solve of order n.
    """
    _check_settings(gamma, k, tol, max_iter)
    problem = Problem(a, b, C, float(gamma), normalize=normalize)
    task = _Task(problem, int(k), float(tol), int(max_iter))
    x = np.zeros(task.a.size) if alpha0 is None else task.reduced(alpha0)
    relaxed = task.solve(task.Ct, task.k, x)
    if relaxed.outcome == "tight":
        return task.result(relaxed, relaxed.z, "optimal")
    plan, feasible = task.feasible(relaxed)
    failed = relaxed.outcome if relaxed.outcome in ("infeasible", "max_iter") else "row_error"
    return task.result(relaxed, plan, "feasible" if feasible else failed)


@dataclass(frozen=True)
class _Solved:
    """Potential, plan, lower bound, and how the relaxation ended."""

    x: Array
    z: SharedColumns
    lower: float
    outcome: str


class _Task:
    """The problem between rows and columns with mass: mass one, costs less their offsets and over their range."""

    def __init__(self, problem: Problem, k: int, tol: float, max_iter: int) -> None:
        self.problem, self.tol, self.left = problem, tol, max_iter
        self.rows, self.columns = np.flatnonzero(problem.a > 0), np.flatnonzero(problem.b > 0)
        self.a, self.b = problem.a[self.rows] / problem.mass, problem.b[self.columns] / problem.mass
        self.k, gamma = min(k, self.a.size), problem.reg * problem.mass
        refuse_small_k(self.a, self.b, self.k)
        geometry = problem.geometry.take(self.rows, self.columns)
        self.p, self.q = geometry.offsets
        self.Ct: Array = np.ascontiguousarray(geometry.dense().T) - self.p
        self.Ct -= self.q[:, None]
        self.unit = max(geometry.extent, gamma * float(self.b.max()))  # range of the potentials
        if not np.finfo(float).tiny <= self.unit < np.inf:
            raise ValueError(f"the costs and gamma span {self.unit:.3g}: too little or too much for float64")
        self.Ct /= self.unit
        self.gamma = gamma / self.unit
        self.most = geometry.extent / self.unit + 0.5 * self.gamma * float(self.b @ self.b)  # the value of any plan
        self.history: list[dict[str, Any]] = []

    def reduced(self, alpha: ArrayLike) -> Array:
        """Return the user's potential on the rows with mass."""
        x = np.asarray(alpha, dtype=float)
        if x.shape != self.problem.a.shape or not np.isfinite(x).all():
            raise ValueError(f"alpha0 has shape {x.shape}; it must be {self.problem.a.shape}, and finite")
        return (x[self.rows] - self.p) / self.unit

    def semi_dual(self, Ct: Array, k: int, eps: float = 0.0, ridge: float = 0.0) -> SparseSemiDual:
        return SparseSemiDual(Ct, self.a, self.b, self.gamma, k, eps, ridge)

    def minimize(self, name: str, objective: SparseSemiDual, x: Array, **options: Any) -> OptimizeResult:
        """Run the semismooth Newton method and write its row of the history."""
        options["maxiter"] = min(options.get("maxiter", self.left), self.left)
        run = GradNormSmooth().minimize(objective, x, norm=1.0, **options)
        self.left -= run.nit
        counts = {count: int(run[count]) for count in ("nit", *COUNTS)}
        facts = {
            "run": name,
            "eps": objective.eps * self.unit / self.problem.mass,
            "status": Status(run.status).name.lower(),
        }
        self.history.append({**facts, **counts, "seconds": float(run.trace["time"][-1])})
        return run

    def solve(self, cost: Array, k: int, x: Array, name: str = "proximal") -> _Solved:
        """Solve the relaxation by the proximal method of multipliers, up to a plan that is certified, if there is one.

        The outcome is ``"infeasible"`` where a lower bound rises above the value that any plan would have.
        """
        exact, Ct = self.semi_dual(cost, k), cost.copy()
        places: Any = ([], [])
        before = np.zeros(0)
        for stage, eps in enumerate(self.weights()):
            Ct[places] -= eps * before  # the proximal term: costs less eps times the plan before
            smooth = self.semi_dual(Ct, k, eps)
            above = (self.most + 0.5 * eps * float(self.b @ self.b)) * (1 + 1e-9)  # the smooth value of any plan
            gtol = max(0.1 * self.tol, 1e-3 * 0.1**stage)
            run = self.minimize(name, smooth, x, gtol=gtol, f_target=-above, maxiter=STEPS)
            x = run.x
            z, sparse = smooth.prepare(x), exact.prepare(x)
            if not z.sharing().any() and self.tol < _row_error(sparse, self.a) <= NEAR and self.left > 0:
                polished = self.minimize(f"{name}, polished", exact, x, gtol=self.tol, maxiter=POLISH)
                if polished.success:
                    x, sparse = polished.x, exact.prepare(polished.x)
            lower = -exact.fun(x, sparse)
            self.history[-1]["bound"] = self.bound(lower)
            for plan in (sparse, z):
                if self.meets(plan, cost, lower):
                    return _Solved(x, plan, lower, "tight" if plan.counts().max() <= k else "solved")
            if run.status == Status.TARGET_REACHED or self.left <= 0:
                return _Solved(x, z, lower, "max_iter" if self.left <= 0 else "infeasible")
            Ct[places] = cost[places]
            places, before = (z.columns(), z.rows), z.t
        return _Solved(x, z, lower, "stalled")

    def weights(self) -> Iterator[float]:
        """Yield eps for each stage."""
        ratio = FIRST * self.b.size  # a mean mass of a column is one over their number
        for _ in range(STAGES):
            yield ratio
            ratio = max(FALL * ratio, LAST * self.b.size)

    def meets(self, z: SharedColumns, cost: Array, lower: float) -> bool:
        """Whether a plan has the right row sums and attains the lower bound of the relaxation."""
        value = float(cost[z.columns(), z.rows] @ z.t) + 0.5 * self.gamma * z.norm()
        return _row_error(z, self.a) <= self.tol and abs(value - lower) <= self.tol * self.most

    def feasible(self, relaxed: _Solved) -> tuple[SharedColumns, bool]:
        """Return the first plan of at most k nonzeros in a column found, or one that misses the row sums, and which."""
        z = relaxed.z
        first, found = self.restrict(relaxed.x, z.columns(), z.rows, z.ranks())
        if found or relaxed.outcome in ("infeasible", "max_iter"):
            return first, found
        columns, rows = self.vertex()
        fits = columns.size > 0 and bool(np.bincount(columns).max() <= self.k)
        if fits and self.k == 1:  # the quadratic term is a constant then: this is the best
            return self.restrict(relaxed.x, columns, rows, 0)
        for size in NOISE:
            noise = size * np.random.default_rng(0).random(self.Ct.shape)
            self.left = max(self.left, AFTER)
            z = self.solve(self.Ct + noise, self.k, relaxed.x, "untied").z
            if z.counts().max() <= self.k and _row_error(z, self.a) <= self.tol:
                return z, True
            plan, found = self.restrict(relaxed.x, z.columns(), z.rows, z.ranks())
            if found:
                return plan, True
        if fits:
            plan, found = self.restrict(relaxed.x, columns, rows, 0)
        return (plan, True) if found else (first, False)

    def vertex(self) -> tuple[IntArray, IntArray]:
        """Return columns and rows of the nonzeros of a cheapest vertex of the polytope; none where it is too large."""
        (m, n), allowed, none = self.Ct.shape, np.isfinite(self.Ct), (np.zeros(0, int), np.zeros(0, int))
        if n == m and np.ptp(self.a) + np.ptp(self.b) <= self.tol / n:
            try:
                return linear_sum_assignment(self.Ct)
            except ValueError:  # the forbidden pairs leave no permutation
                return none
        if n * m > VERTEX:
            return none
        columns, rows = np.nonzero(allowed)
        at = np.arange(rows.size)
        sides = (columns, m), (rows, n)
        sums: Any = vstack([csr_array((np.ones(at.size), (i, at)), shape=(size, at.size)) for i, size in sides])
        costs = self.Ct[columns, rows]
        found: Any = linprog(costs, A_eq=sums, b_eq=np.concatenate([self.b, self.a]), method="highs-ds")
        kept = found.x > self.tol * self.b[columns] if found.success else np.zeros(at.size, dtype=bool)
        return columns[kept], rows[kept]

    def restrict(self, x: Array, columns: IntArray, rows: IntArray, ranks: Any) -> tuple[SharedColumns, bool]:
        """Solve on k places a column: those given, lowest ranks first, then the highest scores.

        Returns
        -------
        SharedColumns
            The plan, or where none has these row sums one that misses them by least squares, nearly.
        bool
            Whether it has the row sums.
        """
        order = x - self.Ct
        order[columns, rows] = np.max(np.abs(order), where=np.isfinite(order), initial=0.0) + 1.0 + rows.size - ranks
        kept = np.argpartition(-order, self.k - 1, axis=1)[:, : self.k]
        Ct = np.full_like(self.Ct, np.inf)
        np.put_along_axis(Ct, kept, np.take_along_axis(self.Ct, kept, axis=1), axis=1)
        self.left = max(self.left, AFTER)
        found = self.solve(Ct, self.a.size, x, "support")
        if found.outcome == "tight":
            return found.z, True
        penalised = self.semi_dual(Ct, self.a.size, ridge=RIDGE / self.a.size)
        run = self.minimize("row sums", penalised, x, gtol=self.tol, maxiter=AFTER)
        return penalised.prepare(run.x), False

    def result(self, relaxed: _Solved, z: SharedColumns, status: str) -> SparsePlan:
        """Return the result in the user's rows, columns and units."""
        problem, mass = self.problem, self.problem.mass
        exact = self.semi_dual(self.Ct, self.k).prepare(relaxed.x)
        alpha, beta = np.zeros(problem.a.size), np.zeros(problem.b.size)
        alpha[self.rows], beta[self.columns] = self.unit * relaxed.x + self.p, self.q - self.unit * exact.tau
        plan = self.expand(z)
        costs = self.unit * self.Ct[z.columns(), z.rows] + self.p[z.rows] + self.q[z.columns()]
        cost = mass * float(costs @ z.t)
        row_sums, column_sums = np.asarray(plan.sum(axis=1)), np.asarray(plan.sum(axis=0))
        return SparsePlan(
            plan=plan,
            relaxed_plan=self.expand(relaxed.z),
            alpha=alpha,
            beta=beta,
            cost=cost,
            value=cost + 0.5 * problem.reg * float(plan.data @ plan.data),
            lower_bound=self.bound(relaxed.lower),
            row_error=float(np.abs(row_sums - problem.a).sum()) / mass,
            column_error=float(np.abs(column_sums - problem.b).sum()) / mass,
            relaxation=relaxed.outcome,
            shared_columns=int((relaxed.z.counts() > self.k).sum()),
            status=status,
            nit=sum(row["nit"] for row in self.history),
            history=tuple(self.history),
        )

    def bound(self, lower: float) -> float:
        """Return a lower bound in the user's units."""
        return self.problem.mass * (self.unit * lower + float(self.a @ self.p) + float(self.b @ self.q))

    def expand(self, z: SharedColumns) -> csc_array:
        """Return the plan between all rows and columns, without zeros."""
        keep = z.t > 0
        places = self.rows[z.rows[keep]], self.columns[z.columns()[keep]]
        return csc_array((self.problem.mass * z.t[keep], places), shape=self.problem.geometry.shape)


def _row_error(z: SharedColumns, a: Array) -> float:
    return float(np.abs(z.sums() - a).sum())


def refuse_small_k(a: Array, b: Array, k: int) -> None:
    """Raise ValueError where counting shows that no plan has at most k nonzeros in a column.

    Column j needs the c_j largest rows to fill it, row i the r_i largest columns to empty it: every c_j must be at most
    k, and the r_i together at most ``k m``.

    Parameters
    ----------
    a : ndarray of shape (n,)
        Row sums, positive.
    b : ndarray of shape (m,)
        Column sums, positive, of the same sum.
    k : int
        Nonzeros of a column.

    Raises
    ------
    ValueError
        With the smallest k that passes.
    """
    fill, empty = _cover(b, a), _cover(a, b)
    least = max(int(fill.max()), -(-int(empty.sum()) // b.size))
    if k < least:
        raise ValueError(
            f"k={k} is infeasible: {a.size} rows need {int(empty.sum())} places in {b.size} columns, and a column "
            f"needs up to {int(fill.max())} rows to be filled; take k >= {least}"
        )


def _cover(masses: Array, parts: Array) -> IntArray:
    """Return how many of the largest `parts` it takes to reach each of `masses`, up to rounding."""
    reach = np.cumsum(np.sort(parts)[::-1])
    return np.minimum(np.searchsorted(reach, masses * (1 - 1e-9)) + 1, parts.size)


def _check_settings(gamma: float, k: int, tol: float, max_iter: int) -> None:
    if isinstance(gamma, bool) or not 0 < as_number(gamma, "gamma") < np.inf:
        raise ValueError(f"gamma={shown(gamma)} must be a positive number")
    in_range(float(gamma), f"gamma={shown(gamma)}")
    if not (isinstance(k, int | np.integer) and not isinstance(k, bool) and k >= 1):
        raise ValueError(f"k={k!r} must be an integer of at least 1")
    if not (isinstance(tol, Real) and 0 < tol < 1):
        raise ValueError(f"tol={tol!r} must lie between 0 and 1")
    if not (isinstance(max_iter, int | np.integer) and max_iter >= 1):
        raise ValueError(f"max_iter={max_iter!r} must be an integer of at least 1")

r"""Lasso, weighted lasso and elastic net: implicit differentiation on the support.

    h(w, theta) = |y - X w|^2/(2 n) + sum_j l1_j |w_j| + l2/2 |w|^2,        g = mean of (a'w - y)^2/2 on held-out data

h is not smooth, but where the support S of the solution and its signs s do not change, the solution is that of

    min_v  |y - X_S v_S|^2/(2 n) + sum_{j in S} l1_j s_j v_j + l2/2 |v_S|^2 + c/2 |v_off|^2,

a quadratic in all variables whose minimiser is w*, with zeros off the support. This is the lower level that the
methods see: coordinate descent finds S and s, a linear system then gives w* to rounding, and the optimality of w* for h
itself is checked. All bounds hold as for any quadratic; the Jacobian of w* on S is ``-H_SS^{-1} J_S``, as of [1].

f is continuous and piecewise smooth, with kinks where S changes; a run that ends in one has the status
"accuracy-floor" and a hypergradient that does not vanish. A penalty of a feature outside of S has no influence, and
where all are, f is constant: start from penalties that leave some features in.

References
----------
[1] Bertrand et al., "Implicit differentiation for fast hyperparameter selection in non-smooth convex learning",
    JMLR 2022.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from gnsopt._typing import Array, IntArray
from gnsopt.arguments import as_number, shown
from gnsopt.bilevel.problem import BilevelProblem, Constants
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.kernels.elastic_net import sweep
from gnsopt.linalg.forms import Form, Shifted
from gnsopt.linalg.metric import Metric
from gnsopt.objective import Objective
from gnsopt.problems.squared import check_targets
from gnsopt.problems.validation import check_design

PENALTIES = ("lasso", "weighted-lasso", "elastic-net", "weighted-elastic-net")
SWEEPS = 5  # over the support, after one over all features
MAXIMUM = 2000  # rounds of sweeps; the support was then found to float64 or is not unique
SLACK = 1e-9  # relative, of the optimality conditions off the support
DEPTH = 12.0  # of the default box below the largest useful penalty, in logarithms (chosen)


class ElasticNet(BilevelProblem):
    """Penalties of a lasso or an elastic net, chosen on held-out data; theta holds their logarithms.

    Parameters
    ----------
    X_train, y_train : array_like
        Training samples, shape (n_samples, n_features), and targets; sparse data are made dense.
    X_val, y_val : array_like
        Held-out samples and targets.
    penalty : {"elastic-net", "lasso", "weighted-lasso", "weighted-elastic-net"}, default="elastic-net"
        theta is ``(log l1, log l2)``, ``log l1``, the logarithms of the l1 of all features, or these and ``log l2``.
    l2 : float, default=0.0
        Ridge penalty of the two lassos.
    bounds : pair of array_like, optional
        Box of theta; by default from 12 below to the logarithm of the largest penalty with a nonzero solution.

    Attributes
    ----------
    l1_max : float
        Smallest common l1 for which the solution is zero.

    Raises
    ------
    ValueError
        For data that are not finite or do not fit, an unknown penalty, a negative l2.

    Notes
    -----
    No intercept: centre the data. ``upper``, ``mu`` and all constants are exact for the support at hand.
    """

    upper_mu = 0.0

    def __init__(
        self,
        X_train: Any,
        y_train: Any,
        X_val: Any,
        y_val: Any,
        penalty: str = "elastic-net",
        l2: float = 0.0,
        bounds: Any = None,
    ) -> None:
        if not isinstance(penalty, str) or penalty not in PENALTIES:
            raise ValueError(f"penalty={shown(penalty)} is unknown; choose one of {', '.join(PENALTIES)}")
        if not 0 <= as_number(l2, "l2") < np.inf:
            raise ValueError(f"l2={shown(l2)} must be a number >= 0")
        self.ridge = "elastic-net" in penalty
        if self.ridge and l2 != 0:
            raise ValueError(f"l2={l2}: penalty={penalty!r} has its own, the last of theta; leave l2 out")
        self.X, self.X_val = (
            np.asfortranarray(X.toarray() if hasattr(X, "toarray") else X)
            for X in (check_design(X_train, "X_train"), check_design(X_val, "X_val"))
        )
        (self.samples, p), (held, q) = self.X.shape, self.X_val.shape
        if p != q:
            raise ValueError(f"X_val has {q} features, X_train {p}: give the same features")
        self.y, self.y_val = check_targets(y_train, self.samples), check_targets(y_val, held)
        self.weighted, self.l2 = penalty.startswith("weighted"), float(l2)
        self.l1_max = float(np.abs(self.X.T @ self.y).max()) / self.samples
        if not self.l1_max > 0:
            raise ValueError("y_train is orthogonal to every feature: the solution is zero for every penalty")
        d = (p if self.weighted else 1) + int(self.ridge)
        top = np.log(self.l1_max)
        super().__init__(p, d, bounds=(top - DEPTH, top) if bounds is None else bounds)
        self._squares = np.einsum("ij,ij->j", self.X, self.X) / self.samples
        self._pin = float(self._squares.max())
        self._L_g = float(np.linalg.norm(self.X_val, 2)) ** 2 / held
        self._found: dict[bytes, OnSupport] = {}
        self._last = np.zeros(p)

    def penalties(self, theta: Array) -> tuple[Array, float]:
        """Return the l1 of each feature, shape (p,), and l2."""
        e = np.exp(theta)
        l1 = e[: self.n] if self.weighted else np.full(self.n, e[0])
        return l1, float(e[-1]) if self.ridge else self.l2

    def solution(self, theta: Array) -> Array:
        """Return the solution w* of the problem at `theta`, shape (p,)."""
        return self.objective(theta).solution.copy()

    def objective(self, theta: Array) -> OnSupport:
        """Return the quadratic on the support of the solution at `theta`; that of the last few is kept."""
        key = theta.tobytes()
        if key not in self._found:
            if len(self._found) >= 4:
                self._found.pop(next(iter(self._found)))
            self._found[key] = self._solve(theta)
            self._last = self._found[key].solution
        return self._found[key]

    def _solve(self, theta: Array) -> OnSupport:
        """Sweeps of coordinate descent until the linear system on the support satisfies the optimality conditions."""
        l1, l2 = self.penalties(theta)
        w, every = self._last.copy(), np.arange(self.n)
        r = self.y - self.X @ w
        for _ in range(MAXIMUM):
            sweep(self.X, self._squares, l1, np.full(self.n, l2), every, w, r)
            support = np.flatnonzero(w)
            for _ in range(SWEEPS):
                sweep(self.X, self._squares, l1, np.full(self.n, l2), support, w, r)
            support = np.flatnonzero(w)
            found = OnSupport(self, support, np.sign(w[support]), l1[support], l2)
            if found.is_optimal(l1):
                break
        return found

    # -------------------------------------------------------------------------------------------------- oracles

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        """Return half of the held-out mean squared error and its gradient."""
        e = self.X_val @ x - self.y_val
        return 0.5 * float(e @ e) / e.size, self.X_val.T @ e / e.size, None

    def cross_t(self, x: Array, theta: Array, q: Array) -> Array:
        """Return ``J' q``: only the support takes part."""
        h = self.objective(theta)
        by_feature = np.zeros(self.n)
        by_feature[h.support] = h.l1 * h.signs * q[h.support]
        first = by_feature if self.weighted else [by_feature.sum()]
        return np.concatenate([first, [h.l2 * float(x[h.support] @ q[h.support])][: int(self.ridge)]])

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return ``l1_j |w_j|`` and ``l2 |w|^2/2``."""
        h = self.objective(theta)
        by_feature = np.zeros(self.n)
        by_feature[h.support] = h.l1 * h.signs * x[h.support]
        first = by_feature if self.weighted else [by_feature.sum()]
        return np.concatenate([first, [0.5 * h.l2 * float(x[h.support] @ x[h.support])][: int(self.ridge)]])

    def mu(self, theta: Array) -> float:
        """Return the least eigenvalue on the support, or that off it."""
        return self.objective(theta).range[0]

    def constants(self, theta: Array) -> Constants:
        """Return exact constants: h is quadratic on the support."""
        h = self.objective(theta)
        return Constants(L=h.range[1], L_g=self._L_g, L_H=0.0, L_J=h.l2 if self.ridge else 0.0)

    def J_norm(self, x: Array, theta: Array) -> float:
        """Return a bound of the norm of J: that of both parts."""
        h = self.objective(theta)
        size = float(np.max(h.l1, initial=0.0)) if self.weighted else float(np.linalg.norm(h.l1))
        return float(np.hypot(size, h.l2 * np.linalg.norm(x[h.support]) if self.ridge else 0.0))

    def start(self) -> Array:
        """Return zero weights."""
        return np.zeros(self.n)


class OnSupport(Objective):
    """The quadratic on one support.

    Parameters
    ----------
    problem : ElasticNet
        The data.
    support : ndarray of int
        Features with a weight.
    signs, l1 : ndarray of the shape of `support`
        Signs of the weights, and their penalties.
    l2 : float
        Ridge penalty.
    """

    convex = True

    def __init__(self, problem: ElasticNet, support: IntArray, signs: Array, l1: Array, l2: float) -> None:
        self.problem, self.n = problem, problem.n
        self.support, self.signs, self.l1, self.l2 = support, signs, l1, l2
        self.off = np.ones(self.n, dtype=bool)
        self.off[support] = False
        X = self._X = problem.X[:, support]
        self.H = X.T @ X / problem.samples
        self.H[np.diag_indices_from(self.H)] += l2
        self.b = X.T @ problem.y / problem.samples - l1 * signs
        self._constant = 0.5 * float(problem.y @ problem.y) / problem.samples
        self.solution = np.zeros(self.n)
        try:
            self.solution[support] = _solve(self.H, self.b)
        except NotPositiveDefinite:  # features that depend on each other: the solution is not unique
            self.solution[support] = np.linalg.lstsq(self.H, self.b, rcond=None)[0]
        values = np.linalg.eigvalsh(self.H) if support.size else np.empty(0)
        pin = problem._pin
        self.range = float(np.min(values, initial=pin)), float(np.max(values, initial=pin))

    def is_optimal(self, l1: Array) -> bool:
        """Whether the minimiser satisfies the optimality conditions of the elastic net with penalties `l1`."""
        if np.any(self.solution[self.support] * self.signs < 0):
            return False
        slope = self.problem.X.T @ (self.problem.y - self._X @ self.solution[self.support]) / self.problem.samples
        return bool(np.all(np.abs(slope[self.off]) <= l1[self.off] + SLACK * self.problem.l1_max))

    def start(self) -> Array:
        """Return the solution."""
        return self.solution.copy()

    def prepare(self, x: Array) -> Array:
        """Return ``H x - b`` on the support."""
        return np.asarray(self.H @ x[self.support] - self.b)

    def fun(self, x: Array, z: Array) -> float:
        """Return the value; at the solution it is that of the elastic net."""
        v, rest = x[self.support], x[self.off]
        return self._constant + 0.5 * float(v @ (z - self.b)) + 0.5 * self.problem._pin * float(rest @ rest)

    def grad(self, x: Array, z: Array) -> Array:
        """Return the gradient."""
        g = self.problem._pin * x
        g[self.support] = z
        return g

    def hess(self, x: Array, z: Array) -> Form:
        """Return the Hessian by its block."""
        return Block(self)


class Block(Form):
    """A dense block on the support and a multiple of the identity off it.

    Parameters
    ----------
    h : OnSupport
        Whose Hessian.
    """

    def __init__(self, h: OnSupport) -> None:
        self.h, self.n = h, h.n
        self.product_price = float(h.support.size**2 + h.n)

    def matvec(self, v: Array) -> Array:
        """Return ``H v``."""
        out = self.h.problem._pin * v
        out[self.h.support] = self.h.H @ v[self.h.support]
        return np.asarray(out)

    def diagonal(self) -> Array:
        """Return the diagonal."""
        d = np.full(self.n, self.h.problem._pin)
        d[self.h.support] = self.h.H.diagonal()
        return d

    def structured(self, metric: Metric) -> Shifted | None:
        """Return solves by a factor of the block."""
        return None if metric.diagonal is None else BlockShifted(self, metric)


class BlockShifted(Shifted):
    """Solves with the block, shifted.

    Parameters
    ----------
    form : Block
        The matrix.
    metric : Metric
        Diagonal.
    """

    def __init__(self, form: Block, metric: Metric) -> None:
        self._h, self._B = form.h, np.broadcast_to(np.asarray(metric.diagonal, dtype=float), form.n)

    def solve(self, lam: float, b: Array) -> Array:
        """Return the solution."""
        h = self._h
        out = b / (h.problem._pin + lam * self._B)
        out[h.support] = _solve(h.H + lam * np.diag(self._B[h.support]), b[h.support])
        return np.asarray(out)


def _solve(H: Array, b: Array) -> Array:
    if b.size == 0:
        return b
    try:
        return np.asarray(cho_solve(cho_factor(H, lower=True), b))
    except np.linalg.LinAlgError:
        raise NotPositiveDefinite("the features of the support depend on each other") from None

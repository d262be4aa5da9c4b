r"""Curvature by eigenpairs of the pencil (H, B): the positive part of an indefinite Hessian, and its top k pairs.

With ``B = L L'`` and orthonormal eigenvectors ``V`` of the whitened matrix ``L^{-1} H L^{-T}``, both are

    H = L (V diag(s) V' + rest (I - V V')) L',

    (H + lam B)^{-1} b = L^{-T} (V (V'y / (s + lam)) + (y - V V'y) / (rest + lam)),      y = L^{-1} b,

so that after one decomposition every further shift costs a product with ``V`` and one with ``V'``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import eigh, eigh_tridiagonal

from gnsopt._typing import Array
from gnsopt.arguments import settle
from gnsopt.curvature.base import Build, Curvature
from gnsopt.curvature.selection import MEMORY, assemble
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.linalg.forms import EPS, Form, Shifted, noise
from gnsopt.linalg.metric import Metric
from gnsopt.point import Point

MODES = {"clip": "positive part", "absolute": "absolute value"}


class Spectral(Form):
    """``L (V diag(s) V' + rest (I - V V')) L'`` with ``B = L L'``.

    A `LowRank` form whose eigenvectors in the metric are known, so that nothing is decomposed again, with an eigenvalue
    for the rest of the space.

    Parameters
    ----------
    V : ndarray of shape (n, k)
        Orthonormal columns, in white coordinates.
    s : ndarray of shape (k,)
        Eigenvalues of the pencil that belong to them.
    metric : Metric
        ``B``.
    rest : float, default=0.0
        Eigenvalue of all that is orthogonal to `V`.
    noise : float, default=0.0
        Shift below which rounding decides.
    """

    def __init__(self, V: Array, s: Array, metric: Metric, rest: float = 0.0, noise: float = 0.0) -> None:
        self.V, self.s, self.metric, self.rest, self.noise = V, s, metric, rest, noise
        self.n = V.shape[0]

    def matvec(self, v: Array) -> Array:
        """Return ``H v``."""
        y = self.metric.to_white(self.metric.apply(v))  # L'v = L^{-1} B v
        out = self.V @ ((self.s - self.rest) * (self.V.T @ y)) + self.rest * y
        return np.asarray(self.metric.apply(self.metric.from_white(out)))  # L y = B L^{-T} y

    def diagonal(self) -> Array | None:
        """Return the diagonal where the metric is diagonal."""
        if self.metric.diagonal is None:
            return None
        return np.asarray(self.metric.diagonal * ((self.V * self.V) @ (self.s - self.rest) + self.rest))

    def structured(self, metric: Metric) -> Shifted | None:
        """Return solves in the eigenbasis, in the metric of the decomposition."""
        return SpectralSolves(self) if metric is self.metric else None


class SpectralSolves(Shifted):
    """Shifted solves of a `Spectral` form, O(n k) for any ``lam``.

    Parameters
    ----------
    form : Spectral
        ``H``.
    """

    def __init__(self, form: Spectral) -> None:
        self._form, self.lam_noise = form, form.noise

    def solve(self, lam: float, b: Array) -> Array:
        """Divide by the shifted eigenvalues; project ``V`` out twice, lest large eigenvalues magnify rounding."""
        form, V = self._form, self._form.V
        least = float(np.min(form.s, initial=np.inf if form.n == form.s.size else form.rest))
        if not least + lam > 0:
            raise NotPositiveDefinite(f"smallest eigenvalue {least}")
        y = form.metric.to_white(b)
        c = V.T @ y
        out = V @ (c / (form.s + lam))
        if form.n > form.s.size:
            y = y - V @ c
            y -= V @ (V.T @ y)
            out += y / (form.rest + lam)
        return form.metric.from_white(out)


def project(H: Array, metric: Metric, mode: str = "clip") -> Spectral:
    r"""Return the projection of a symmetric matrix onto the positive semidefinite ones, in the metric.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        Lower triangle.
    metric : Metric
        ``B``.
    mode : {"clip", "absolute"}, default="clip"
        ``V max(Lambda, 0) V'``, the nearest one in the metric's spectral and Frobenius norms, or ``V |Lambda| V'``.

    Returns
    -------
    Spectral
        The projection.

    Raises
    ------
    StepFailure
        If `H` is not finite.
    """
    W = metric.whiten(H)
    if not np.isfinite(np.tril(W)).all():
        raise StepFailure("the Hessian is not finite")
    s, V = eigh(W, lower=True, check_finite=False)
    s = np.abs(s) if mode == "absolute" else np.maximum(s, 0.0)
    return Spectral(V, s, metric, noise=noise(H.diagonal(), metric.scale))


def check_room(n: int, name: str) -> None:
    """Refuse a dense eigendecomposition that would not fit into memory.

    Parameters
    ----------
    n : int
        Number of variables.
    name : str
        The model's name, for the message.

    Raises
    ------
    ValueError
        If five dense matrices (H, its whitened copy, V, LAPACK's workspace of two) exceed the limit.
    """
    need = 40.0 * n**2
    if need > MEMORY:
        raise ValueError(
            f"{name} needs {need / 1e9:.0f} GB for the eigendecomposition of a {n} x {n} matrix (limit "
            f"{MEMORY / 1e9:.0f} GB); use curvature='topk:20', 'gauss_newton', or 'exact:cg'"
        )


@dataclass(frozen=True)
class Projected:
    r"""The exact Hessian made positive semidefinite by one eigendecomposition in the metric.

    ``hess f = B V Lambda V' B`` with ``V' B V = I`` becomes ``B V max(Lambda, 0) V' B`` or ``B V |Lambda| V' B``; each
    shift then costs O(n^2).

    Parameters
    ----------
    mode : {"clip", "absolute"}, default="clip"
        Negative eigenvalues become zero, or change their sign.

    Notes
    -----
    The theory of gradient-normalised smoothness asks for ``H >= 0``, which the exact Hessian of a non-convex f is not
    [1]. With ``nu = max(0, -lambda_min)`` the inexactness ``|hess f - H|_* <= C1 + C2 |g|_*^{1 - beta}`` has C2 = 0
    and ``C1 = sup nu`` for ``"clip"``, ``C1 = sup 2 nu`` for ``"absolute"``: where f is convex around
    the solution both end as the exact Hessian. Along negative curvature ``"clip"`` steps as far as the radius allows,
    ``"absolute"`` as along a positive curvature of that size (saddle-free Newton).

    References
    ----------
    [1] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
    """

    mode: str = "clip"
    remembers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse unknown modes."""
        settle(self)
        if self.mode not in MODES:
            raise ValueError(f"mode={self.mode!r} is unknown; choose one of {sorted(MODES)}")

    def start(self, x: Point) -> Build:
        """Check that there is a Hessian and that it fits into memory, and begin a run."""
        if not x.objective.offers("hessp"):
            x.objective.require("hess", "curvature 'projected'")
        check_room(x.x.size, "curvature 'projected'")

        def build(x: Point) -> Curvature:
            form = project(assemble(x.hess(), x), x.metric, self.mode)
            return attached(form, x, f"{MODES[self.mode]} of the Hessian by dense eigendecomposition")

        return build


@dataclass(frozen=True)
class TopK:
    r"""The k largest eigenvalues of the Hessian in the metric, clipped at zero: ``B V_k max(Lambda_k, 0) V_k' B``.

    Parameters
    ----------
    k : int
        Eigenpairs, at least 1.
    residual : bool, default=False
        Give the rest of the space the eigenvalue ``max(lambda_{k+1}, 0)`` in place of zero, so that, up to the
        accuracy `tol` of the pairs, ``H >= hess f`` and a step along the rest is no longer than that of the largest
        curvature there.
    kind : str, default="hess"
        ``"hess"``, ``"gauss_newton"`` or ``"fisher"``.
    tol : float, default=0.1
        The pairs are accurate to ``tol |lambda_{k+1}|``, a tenth of what is cut off anyway (measured: finer ones save
        few steps and cost more products).
    max_products : int, default=500
        Products a point at the most, and length of the Lanczos basis; the pairs found by then are taken.
    seed : int, default=0
        Seed of the start vector.

    Notes
    -----
    Pairs come from the Lanczos process with full reorthogonalisation (`lanczos`); small matrices are assembled.
    Products are counted in ``nhessp``. The inexactness ``|hess f - H|_* <= C1 + C2 |g|_*^{1 - beta}`` has C2 = 0 and
    ``C1 = sup max(lambda_{k+1}, -lambda_n)`` for exact pairs (1.2 times that was
    seen at ``tol=0.1``); this is the spectral preconditioning of [1], where graded
    spectra make it small.

    References
    ----------
    [1] Doikov, Stich, Jaggi, "Spectral preconditioning for gradient methods on graded non-convex functions",
       2402.04843.
    """

    k: int
    residual: bool = False
    kind: str = "hess"
    tol: float = 0.1
    max_products: int = 500
    seed: int = 0
    remembers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse k < 1, accuracies outside (0, 1) and a basis that cannot hold k + 1 vectors."""
        settle(self)
        if not (isinstance(self.k, int | np.integer) and self.k >= 1):
            raise ValueError(f"k={self.k!r} must be an integer of at least 1")
        if not 0 < self.tol < 1:
            raise ValueError(f"tol={self.tol} must lie in (0, 1)")
        if not self.max_products > self.k:
            raise ValueError(f"max_products={self.max_products} must be larger than k={self.k}")

    def start(self, x: Point) -> Build:
        """Check that the problem offers the matrix and begin a run."""
        if not (self.kind == "hess" and x.objective.offers("hessp")):
            x.objective.require(self.kind, f"curvature 'topk:{self.k}'")

        def build(x: Point) -> Curvature:
            s, V = self._pairs(x)
            if not np.isfinite(s).all():
                raise StepFailure("the Hessian is not finite")
            rest = max(float(s[self.k]), 0.0) if self.residual and s.size > self.k else 0.0
            floor = 10 * EPS * (float(np.abs(s).sum()) + rest * (x.x.size - s.size)) / x.x.size
            form = Spectral(V[:, : self.k], np.maximum(s[: self.k], 0.0), x.metric, rest, floor)
            return attached(form, x, f"top {min(self.k, x.x.size)} eigenpairs")

        return build

    def _pairs(self, x: Point) -> tuple[Array, Array]:
        """The k + 1 largest pairs; from the dense matrix where Lanczos would span nearly the whole space."""
        n, form, metric = x.x.size, x.hess(self.kind), x.metric
        if n <= max(2 * self.k + 1, 20):
            W = metric.whiten(assemble(form, x))
            if not np.isfinite(np.tril(W)).all():
                raise StepFailure("the Hessian is not finite")
            s, V = eigh(W, lower=True, check_finite=False)
            return s[::-1][: self.k + 1], V[:, ::-1][:, : self.k + 1]

        def product(y: Array) -> Array:
            x.counts.nhessp += 1
            return metric.to_white(form.matvec(metric.from_white(y)))

        return lanczos(product, n, self.k, tol=self.tol, max_products=self.max_products, seed=self.seed)


def attached(form: Spectral, x: Point, what: str) -> Curvature:
    """Return the curvature of a spectral form at `x` and note the choice.

    Parameters
    ----------
    form : Spectral
        ``H``, in the metric of `x`.
    x : Point
        Where.
    what : str
        What it is, for ``result.curvature``.

    Returns
    -------
    Curvature
        Ready for shifted solves.
    """
    x.counts.choices["curvature"] = f"{what} (n = {form.n})"
    return Curvature(form, SpectralSolves(form), x.counts)


def lanczos(
    matvec: Callable[[Array], Array],
    n: int,
    k: int,
    *,
    by_size: bool = False,
    tol: float = 0.1,
    max_products: int = 500,
    seed: int = 0,
) -> tuple[Array, Array]:
    r"""Largest eigenpairs of a symmetric matrix by the Lanczos process with full reorthogonalisation.

    Parameters
    ----------
    matvec : callable
        ``v -> A v`` for `v` of shape (n,).
    n : int
        Order of the matrix.
    k : int
        Pairs that must be accurate.
    by_size : bool, default=False
        Largest in absolute value, not largest.
    tol : float, default=0.1
        Stop when ``|A v - theta v| <= tol |theta_{k+1}|`` for the first k pairs, or at rounding.
    max_products : int, default=500
        Products at the most.
    seed : int, default=0
        Seed of the start vector, and of further ones where an invariant subspace is met.

    Returns
    -------
    theta : ndarray of shape (k + 1,)
        Ritz values, largest first; fewer where `n` or `max_products` is smaller; NaN where a product is.
    V : ndarray of shape (n, k + 1)
        Orthonormal Ritz vectors.

    Notes
    -----
    ARPACK (``scipy.sparse.linalg.eigsh``) fails on a zero matrix, raises where it does not converge, and cannot stop at
    an accuracy relative to ``theta_{k+1}``.
    """
    rng = np.random.default_rng(seed)
    limit = min(n, max_products)
    Q = np.empty((min(limit, 2 * k + 20), n))
    alpha, beta = np.zeros(limit), np.zeros(limit)
    w, b = rng.standard_normal(n), 0.0
    for m in range(1, limit + 1):
        if m > Q.shape[0]:
            Q = np.concatenate([Q, np.empty((min(Q.shape[0], limit - Q.shape[0]), n))])
        Q[m - 1] = w / np.linalg.norm(w)
        w = np.array(matvec(Q[m - 1]))
        alpha[m - 1] = Q[m - 1] @ w
        if not np.isfinite(alpha[m - 1]):
            return np.full(1, np.nan), Q[:1].T
        w = _orthogonal(w, Q[:m])
        b = float(np.linalg.norm(w))
        if not np.isfinite(b):
            return np.full(1, np.nan), Q[:1].T
        rounding = 10 * n * EPS * float(np.max(np.abs(alpha[:m])) + np.max(beta[:m]))
        if m == limit or b <= rounding or (m > k and m % 4 == 0):  # looking costs O(m^2): not at each step
            theta, S = eigh_tridiagonal(alpha[:m], beta[: m - 1])
            order = np.argsort(-np.abs(theta) if by_size else -theta, kind="stable")[: k + 1]
            error = b * float(np.max(np.abs(S[-1, order[:k]])))
            if m == limit or (m > k and error <= max(tol * abs(theta[order[-1]]), rounding)):
                break
        if b <= rounding:  # invariant subspace: go on in its complement
            w, b = _orthogonal(rng.standard_normal(n), Q[:m]), 0.0
        beta[m - 1] = b
    return np.asarray(theta[order], dtype=float), Q[:m].T @ S[:, order]


def _orthogonal(w: Array, Q: Array) -> Array:
    """`w` minus its projection on the rows of `Q`; twice is enough."""
    w = w - Q.T @ (Q @ w)
    return np.asarray(w - Q.T @ (Q @ w))

r"""Shifted solves ``(H + lam B)^{-1} b``: factorise once, solve for many ``lam``.

=================  ==============================================================================================
`DenseShifted`     a Cholesky factor per ``lam``; from the fourth ``lam`` on one tridiagonalisation of the whitened
                   matrix (about three and a half Cholesky factorisations), then O(n^2) for any ``lam``
`RowSpaceShifted`  linear models with fewer rows than columns: an n x n system in the space of the rows
`Rented`           one of these, made once quick steps have cost as much
`KrylovShifted`    preconditioned conjugate gradients, stopped by ``|r|_* <= theta lam |h|``
structured forms   bring their own, see `gnsopt.linalg.structured`
=================  ==============================================================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh, lapack

from gnsopt._typing import Array
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.linalg.forms import EPS, Apply, Gram, Shifted, noise
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.precond import Preconditioner

PATIENT = 8  # products of a solve before it may stall: shorter ones cost little


class DenseShifted(Shifted):
    """Cholesky per ``lam``, then a tridiagonalisation once that is the cheaper way (rent or buy).

    Parameters
    ----------
    H : ndarray of shape (n, n)
        Lower triangle of ``H``, Fortran order; not modified.
    metric : Metric
        ``B``.
    rent : int, default=3
        Number of Cholesky factorisations before the tridiagonal form is bought; 0 buys at once.
    """

    def __init__(self, H: Array, metric: Metric, rent: int = 3) -> None:
        self._H, self._metric, self._rent = H, metric, rent
        self._lam: float | None = None
        self._factor: Array | None = None
        self._tridiagonal: tuple[Array, Array, Array, Array] | None = None
        self.lam_noise = noise(H.diagonal(), metric.scale)

    def solve(self, lam: float, b: Array) -> Array:
        """Solve by the factor of this ``lam``, or in the tridiagonal basis."""
        if self._tridiagonal is not None:
            return self._tridiagonal_solve(lam, b)
        if lam != self._lam:
            if self._rent == 0:
                self._tridiagonalise()
                return self._tridiagonal_solve(lam, b)
            self._rent -= 1
            M = self._H.copy(order="F")
            self._metric.add_to(M, lam)
            L, info = lapack.dpotrf(M, lower=1, overwrite_a=1, clean=0)
            if info != 0:
                self._lam = None
                raise NotPositiveDefinite("Cholesky failed")
            self._lam, self._factor = lam, L
        x: Array = lapack.dpotrs(self._factor, b, lower=1)[0]
        return x

    def _tridiagonalise(self) -> None:
        """``L^{-1} H L^{-T} = Q T Q'`` by ``dsytrd``; Q stays in its reflectors."""
        W = np.array(self._metric.whiten(self._H), order="F")
        work, _ = lapack.dsytrd_lwork(W.shape[0], lower=1)
        c, d, e, tau, _ = lapack.dsytrd(W, lower=1, lwork=int(work), overwrite_a=1)
        self._tridiagonal = (np.asfortranarray(c[1:, :-1]), d, e, tau)
        self._factor = None

    def _rotate(self, y: Array, trans: str) -> Array:
        """Apply ``Q`` or ``Q'``: the reflectors act on all coordinates but the first (SciPy has no ``dormtr``)."""
        c, d, _, tau = self._tridiagonal  # type: ignore[misc]
        if d.shape[0] < 2:
            return y
        out = y.copy()
        block = np.asfortranarray(y[1:, None])
        out[1:] = lapack.dormqr("L", trans, c, tau, block, lwork=64 * block.shape[0])[0][:, 0]
        return out

    def _tridiagonal_solve(self, lam: float, b: Array) -> Array:
        _, d, e, _ = self._tridiagonal  # type: ignore[misc]
        y = self._rotate(self._metric.to_white(b), "T")
        if d.shape[0] == 1:
            if not d[0] + lam > 0:
                raise NotPositiveDefinite("tridiagonal factorisation failed")
            return self._metric.from_white(y / (d + lam))
        _, _, t, info = lapack.dptsv(d + lam, e, y)
        if info != 0:
            raise NotPositiveDefinite("tridiagonal factorisation failed")
        return self._metric.from_white(self._rotate(t, "N"))


class SpectralShifted(Shifted):
    """One eigendecomposition of the whitened ``H``; O(n^2) for any ``lam``.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        Lower triangle of ``H``.
    metric : Metric
        ``B``.
    """

    def __init__(self, H: Array, metric: Metric) -> None:
        self._metric = metric
        self.eigenvalues, self._V = eigh(metric.whiten(H), lower=True, check_finite=False)
        self.lam_noise = noise(H.diagonal(), metric.scale)

    def solve(self, lam: float, b: Array) -> Array:
        """Return ``L^{-T} V (Lambda + lam)^{-1} V' L^{-1} b``."""
        total = self.eigenvalues + lam
        if not total[0] > 0:
            raise NotPositiveDefinite(f"smallest eigenvalue {self.eigenvalues[0]}")
        return self._metric.from_white(self._V @ ((self._V.T @ self._metric.to_white(b)) / total))


class RowSpaceShifted(Shifted):
    r"""``(A' L L' A + ridge + lam B)^{-1}`` through ``F = Â Â' + rho I`` with ``Â = L'X``, of order n_samples * k.

    With ``rho = ridge + lam B`` constant over the features, ``C`` the unpenalised intercept's columns of ``L'A`` and
    ``sigma`` its own shift,

        S = sigma I + rho C' F^{-1} C,      t = S^{-1} (beta - C' F^{-1} Â b),
        x = (b - Â' F^{-1} (Â b + rho C t)) / rho,

    in which the Schur complement S does not cancel; the last line does as rho goes to zero, and one step of refinement
    brings its digits back. ``X X'`` is built once per problem; where rho differs between
    features it is ``X rho^{-1} X'``, built anew for each ``lam``.

    Parameters
    ----------
    form : Gram
        ``H``.
    metric : Metric
        ``B``, diagonal.
    """

    def __init__(self, form: Gram, metric: Metric) -> None:
        if metric.diagonal is None:
            raise ValueError("metric: the row-space solve needs a diagonal metric; use curvature solver='cholesky'")
        self._form, self._metric = form, metric
        self._lam: float | None = None
        mean_gram = float(form.rows.diagonals().sum(axis=1) @ form.design.row_norms**2) / form.design.n_samples
        self.lam_noise = 10 * EPS * mean_gram / float(np.max(metric.diagonal))

    def _inner(self, scale: Array | None) -> Array:
        """``L' (X diag(1/scale) X' (x) I) L`` as a dense matrix of order n_samples * k (lower triangle is enough)."""
        design, rows, k = self._form.design, self._form.rows, self._form.k
        if scale is None:
            K = design.row_gram
        else:
            K = (
                np.asarray((design.X * (1.0 / scale)) @ design.X.T)
                if not design.sparse
                else np.asarray((design.X.multiply(1.0 / scale).tocsr() @ design.X.T).toarray())
            )
        n = design.n_samples
        if k == 1:
            s = rows.half(np.ones(n))
            return np.asfortranarray(K * s * s[:, None])
        F = np.empty((n, k, n, k))
        basis = np.zeros((n, k))
        for c in range(k):  # columns of L for class c: l_{i, a} = (L_i e_c)_a
            basis[:, c] = 1.0
            column = rows.half(basis)
            basis[:, c] = 0.0
            for a in range(c, k):  # entries (i, a), (j, c): K_ij <L_i e_a, L_j e_c>
                basis[:, a] = 1.0
                other = rows.half(basis)
                basis[:, a] = 0.0
                block = K * (other @ column.T)
                F[:, a, :, c] = block
                if a != c:
                    F[:, c, :, a] = block.T
        return np.asfortranarray(F.reshape(n * k, n * k))

    def _prepare(self, lam: float) -> None:
        form, design, k = self._form, self._form.design, self._form.k
        assert self._metric.diagonal is not None  # checked by __init__
        shifts = (form.ridge + lam * self._metric.diagonal).reshape(-1, k)
        features = shifts[: design.n_features]
        if not shifts.min() > 0:
            raise NotPositiveDefinite("ridge + lam B is not positive")
        uniform = bool(features.min() == features.max())
        if not uniform and not (features == features[:, :1]).all():
            raise ValueError("l2 or metric: the row-space solve needs one value per feature; use solver='cholesky'")
        self._unit = float(features[0, 0]) if uniform else 1.0
        self._rho: Array | None = None if uniform else features[:, 0]  # where it is not `_unit`
        F = self._inner(self._rho)
        self._tiny = self._unit < 1e-8 * float(F.diagonal().mean())  # half of float64's digits (chosen)
        F.flat[:: F.shape[0] + 1] += self._unit
        L, info = lapack.dpotrf(F, lower=1, overwrite_a=1, clean=0)
        if info != 0:
            raise NotPositiveDefinite("Cholesky failed in the row space")
        self._L, self._lam = L, lam
        if design.intercept:
            self._C = np.stack([form.rows.half_t(self._ones(c)).reshape(-1) for c in range(k)], axis=1)
            self._FC = lapack.dpotrs(L, np.asfortranarray(self._C), lower=1)[0]
            S = self._unit * (self._C.T @ self._FC)
            S.flat[:: k + 1] += shifts[-1]
            self._S = S

    def _ones(self, c: int) -> Array:
        k, n = self._form.k, self._form.design.n_samples
        if k == 1:
            return np.ones(n)
        U = np.zeros((n, k))
        U[:, c] = 1.0
        return U

    def _shape(self, y: Array) -> Array:
        return y if self._form.k == 1 else y.reshape(-1, self._form.k)

    def solve(self, lam: float, b: Array) -> Array:
        """Solve in the space of the rows; one Cholesky of order n_samples * k per ``lam``."""
        if lam != self._lam:
            self._lam = None
            self._prepare(lam)
        x = self._apply(b)
        if self._tiny:  # b - Â' F^{-1} Â b has lost the digits of rho: one step of refinement brings them back
            x += self._apply(b - self._form.matvec(x) - lam * self._metric.apply(x))
        return x

    def _apply(self, b: Array) -> Array:
        form, design, k = self._form, self._form.design, self._form.k
        B = self._shape(b)
        bx = B[: design.n_features]
        rho = self._rho if self._rho is None or k == 1 else self._rho[:, None]
        Ab = form.rows.half_t(np.asarray(design.X @ (bx if rho is None else bx / rho))).reshape(-1)
        y = lapack.dpotrs(self._L, Ab, lower=1)[0]
        x = np.empty_like(B)
        if design.intercept:
            t = np.linalg.solve(self._S, np.atleast_1d(B[-1]) - self._C.T @ y)
            y = y + self._unit * (self._FC @ t)
            x[-1] = t if k > 1 else t[0]
        back = design.X.T @ form.rows.half(self._shape(y))
        x[: design.n_features] = (bx - back) / (self._unit if rho is None else rho)
        return x.reshape(-1)


@dataclass(frozen=True)
class Pace:
    """What quick steps need of shifted solves.

    Parameters
    ----------
    memory : int
        Number of pairs of steps and gradients to keep.
    price : float
        What a step costs, in products.
    begin : callable
        ``r -> M^{-1} r``, M of unknown scale: the preconditioner before a better one is bought.
    foresee : callable
        ``foresee(lam, ahead)``, called before a step with the products that are still to come: something better, or
        None for as long as that does not pay.
    """

    memory: int
    price: float
    begin: Apply
    foresee: Callable[[float, float], Any]


class Rented(Shifted):
    """Shifted solves that are dear to begin with, and quick steps before them, for as long as those are cheaper.

    Parameters
    ----------
    make : callable
        Return the solves.
    pace : Pace
        What quick steps are made with.
    """

    def __init__(self, make: Callable[[], Shifted], pace: Pace) -> None:
        self._make, self._pace = make, pace
        self._solves: Shifted | None = None
        self.memory, self.quick_price = pace.memory, pace.price

    def quick(self, lam: float, ahead: float) -> tuple[Apply, bool] | None:
        """Return what there is, until the solves are worth their price."""
        return (self._pace.begin, False) if self._pace.foresee(lam, ahead) is None else None

    def solve(self, lam: float, b: Array) -> Array:
        """Solve by what is made at the first call."""
        if self._solves is None:
            self._solves = self._make()
            self.lam_noise = self._solves.lam_noise
        return self._solves.solve(lam, b)


@dataclass(frozen=True)
class Accuracy:
    r"""When a residual r of ``(H + lam B) h = b`` is small enough: any of the four bounds.

    Parameters
    ----------
    theta : float
        ``|r|_* <= theta lam |h|``: keeps the progress inequality of the method with its constant.
    floor : float
        ``|r|_* <= floor |b|_*``: a safeguard against bounds that rounding cannot meet.
    enough : float
        ``max_j |r_j| <= enough``: the step ends the run, for the gradient behind it is r to first order.
    max_products : int
        Limit of products per solve; the best iterate is returned there, and the outer test judges it.
    stall : float
        Or where the j-th product, j > `PATIENT`, adds at most ``stall / j`` of what the quadratic model has fallen by
        (Nash, Sofer, "Assessing a search direction within a truncated-Newton method", Oper. Res. Lett. 9, 1990).
    """

    theta: float
    floor: float = 0.0
    enough: float = 0.0
    max_products: int = 20_000
    stall: float = 0.0


class KrylovShifted(Shifted):
    r"""Preconditioned conjugate gradients from zero, stopped once an `Accuracy` is reached.

    CG from zero gives ``<r, h> = 0`` (until a preconditioner is bought in the middle of a solve). Non-positive
    curvature raises `NotPositiveDefinite`. `spend` is told of each product and may answer with a better preconditioner.

    Parameters
    ----------
    matvec : callable
        ``v -> H v`` (counted by the caller).
    metric : Metric
        ``B``.
    preconditioner : Preconditioner or None
        Approximation of ``H``; None where `renew` gives the first one.
    accuracy : Accuracy
        When to stop.
    spend : callable, optional
        ``spend(lam) -> Preconditioner | None``, called after each product.
    window : int or None, default=1
        Former directions that the next one is made conjugate to, None for all: one is enough for a linear symmetric
        preconditioner, others need two or more (flexible conjugate gradients).
    renew : callable, optional
        ``renew(lam) -> Preconditioner | None``, called before each solve.
    pace : Pace, optional
        What quick steps are made with; there are none without it.
    """

    def __init__(
        self,
        matvec: Callable[[Array], Array],
        metric: Metric,
        preconditioner: Preconditioner | None,
        accuracy: Accuracy,
        spend: Callable[[float], Preconditioner | None] | None = None,
        window: int | None = 1,
        renew: Callable[[float], Preconditioner | None] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._matvec, self._metric, self._preconditioner = matvec, metric, preconditioner
        self._accuracy, self._spend, self._window, self._renew = accuracy, spend, window, renew
        self._pace = pace
        if pace is not None:
            self.memory, self.quick_price = pace.memory, pace.price

    def quick(self, lam: float, ahead: float) -> tuple[Apply, bool] | None:
        """Return what was bought, or is bought for the products ahead, or what there is before."""
        if self._pace is None:
            return None
        if ahead > 0 and (better := self._pace.foresee(lam, ahead)) is not None:
            self._preconditioner = better
        if self._preconditioner is None:
            return self._pace.begin, False
        return self._preconditioner.about(lam, self._metric), True

    def solve(self, lam: float, b: Array) -> Array:
        """Run PCG; on a new preconditioner restart from the iterate reached."""
        h = np.zeros_like(b)
        r = b.copy()
        floor = self._accuracy.floor * self._metric.dual_norm(b)
        used = 0
        if self._renew is not None and (renewed := self._renew(lam)) is not None:
            self._preconditioner = renewed
        while True:
            assert self._preconditioner is not None
            apply = self._preconditioner.at(lam, self._metric)
            used, better = self._run(lam, h, r, apply, floor, used)
            if better is None:
                return h
            self._preconditioner = better

    def _run(
        self, lam: float, h: Array, r: Array, apply: Apply, floor: float, used: int
    ) -> tuple[int, Preconditioner | None]:
        """Improve `h` and `r` in place; return the products used and a better preconditioner, if one was bought."""
        metric, rule = self._metric, self._accuracy
        z = apply(r)
        p = z.copy()
        rz = float(r @ z)
        gains = 0.0  # twice what the quadratic model has fallen by
        former: deque[tuple[Array, Array, float]] = deque(maxlen=self._window)
        while rz > 0 and used < rule.max_products:
            q = self._matvec(p) + lam * metric.apply(p)
            used += 1
            curvature = float(p @ q)
            if not np.isfinite(curvature):
                raise StepFailure("a product with the curvature is not finite")
            if not curvature > 0:
                raise NotPositiveDefinite(f"curvature {curvature} along a conjugate direction")
            alpha = rz / curvature
            h += alpha * p
            r -= alpha * q
            gain = alpha * rz
            gains += gain
            if used > PATIENT and used * gain <= rule.stall * gains:
                return used, None
            size = metric.dual_norm(r)
            if size <= max(rule.theta * lam * metric.norm(h), floor) or not np.isfinite(size):
                return used, None
            if max(r.max(), -r.min()) <= rule.enough:
                return used, None
            if self._spend is not None and (better := self._spend(lam)) is not None:
                return used, better
            z = apply(r)
            rz, previous = float(r @ z), rz
            if self._window == 1:
                p *= rz / previous
                p += z
            else:
                former.append((p, q, curvature))
                p = z - sum((float(q @ z) / curvature) * p for p, q, curvature in former)
        return used, None

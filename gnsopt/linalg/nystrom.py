r"""Randomised Nystrom approximations of positive semidefinite matrices, as preconditioners for their shifts.

    A_nys = (A Omega) (Omega' A Omega)^{-1} (A Omega)' = U diag(s) U',        0 <= A_nys <= A,

    P^{-1} v = (s_l + mu) U diag(1 / (s + mu)) U' v + (v - U U' v),

for which ``P^{-1/2} (A + mu I) P^{-1/2}`` has a condition of at the most ``(s_l + mu + |A - A_nys|) / mu``; its mean is
below 28 with ``l = 2 ceil(1.5 d_e) + 1`` columns, where ``d_e = tr A (A + mu I)^{-1}`` is the effective dimension [1].

References
----------
[1] Frangella, Tropp, Udell, "Randomized Nystrom preconditioning", SIAM J. Matrix Anal. Appl. 44 (2023), 2110.02820.
[2] Tropp, Yurtsever, Udell, Cevher, "Fixed-rank approximation of a positive-semidefinite matrix from streaming data",
   NeurIPS 2017, 1706.05736.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, lapack, solve_triangular

from gnsopt._typing import Array
from gnsopt.linalg.forms import EPS, Form
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.precond import Apply, Preconditioner, Renewal
from gnsopt.linalg.sketches import keyed

GREW = 1.5  # growth of CG's products that says that a preconditioner is stale
ENOUGH = 2.0  # bound on the condition below which no further columns are bought


class Nystrom:
    """``U diag(s) U'`` with orthonormal columns and falling non-negative eigenvalues.

    Parameters
    ----------
    U : ndarray of shape (n, l)
        Eigenvectors.
    s : ndarray of shape (l,)
        Eigenvalues.
    """

    def __init__(self, U: Array, s: Array) -> None:
        self.U, self.s = U, s

    def matvec(self, v: Array) -> Array:
        """Return ``U (s (U'v))``."""
        return np.asarray(self.U @ (self.s * (self.U.T @ v)))

    def inverse(self, mu: float) -> Apply:
        """Return ``v -> P^{-1} v``, of size one on the complement.

        Parameters
        ----------
        mu : float
            The shift, positive where the last eigenvalue is zero.

        Returns
        -------
        callable
            The preconditioner of ``A + mu I``, symmetric positive definite.
        """
        U = self.U
        last = float(self.s[-1]) + mu
        gain = last / (self.s + mu) - 1.0 if last > 0 else np.zeros_like(self.s)
        return lambda v: v + U @ (gain * (U.T @ v))


class Range:
    """Products of a matrix with a growing orthonormal set of random vectors: ``Y = A Omega``.

    Parameters
    ----------
    product : callable
        ``v -> A v``, positive semidefinite up to rounding.
    n : int
        Order.
    rng : numpy.random.Generator
        What draws the vectors.
    """

    def __init__(self, product: Callable[[Array], Array], n: int, rng: np.random.Generator) -> None:
        self._product, self._rng = product, rng
        self._Omega, self._Y = np.empty((n, 0)), np.empty((n, 0))

    @property
    def rank(self) -> int:
        """Number of vectors."""
        return int(self._Y.shape[1])

    def grow(self, rank: int) -> None:
        """Draw vectors up to `rank`, orthogonal to those at hand, and multiply the new ones."""
        new = self._rng.standard_normal((self._Y.shape[0], rank - self.rank))
        for _ in range(2):  # twice is enough
            new -= self._Omega @ (self._Omega.T @ new)
            new = np.linalg.qr(new)[0]
        self._Omega = np.hstack([self._Omega, new])
        self._Y = np.hstack([self._Y, *(np.asarray(self._product(v))[:, None] for v in new.T)])

    def approximation(self) -> Nystrom:
        """Return the Nystrom approximation; what makes the core indefinite (rounding, or A itself) is shifted away."""
        n = self._Y.shape[0]
        shift = np.sqrt(n) * EPS * float(np.linalg.norm(self._Y))
        if not (shift > 0 and np.isfinite(shift)):
            return Nystrom(self._Omega, np.zeros(self.rank))
        while True:
            Y = self._Y + shift * self._Omega
            core = self._Omega.T @ Y
            C, info = lapack.dpotrf((core + core.T) / 2, lower=0, clean=1)
            if info == 0:
                break
            shift += max(shift, -2.0 * float(eigh(core, eigvals_only=True, subset_by_index=[0, 0])[0]))
        U, s, _ = np.linalg.svd(solve_triangular(C, Y.T, trans="T", check_finite=False).T, full_matrices=False)
        return Nystrom(U, np.maximum(s**2 - shift, 0.0))


def nystrom(product: Callable[[Array], Array], n: int, rank: int, rng: np.random.Generator) -> Nystrom:
    """Return the randomised Nystrom approximation of a matrix.

    Parameters
    ----------
    product : callable
        ``v -> A v`` for a symmetric positive semidefinite A.
    n : int
        Order of A.
    rank : int
        Columns l, from 1 to n; as many products are made.
    rng : numpy.random.Generator
        What draws the random vectors.

    Returns
    -------
    Nystrom
        ``U diag(s) U'``: exact where the rank of A is at the most l.

    Raises
    ------
    ValueError
        If the rank is not between 1 and n.
    """
    if not 1 <= rank <= n:
        raise ValueError(f"rank={rank} must lie between 1 and n={n}")
    space = Range(product, n, rng)
    space.grow(rank)
    return space.approximation()


@dataclass(frozen=True)
class NystromPreconditioner:
    r"""A Nystrom approximation of the curvature, kept over the points of a run: ``exact.using("cg", preconditioner=)``.

    Parameters
    ----------
    rank : int, default=20
        Columns; of the first approximation where it is adaptive.
    adaptive : bool, default=True
        Rent or buy: CG starts plain, and columns are bought when the products since the last purchase have cost as
        much: the first `rank`, then twice as many at the same point, where the old ones are kept, up to `most` and
        while the last eigenvalue says that it pays; at later points once solves have taken as much more than when the
        columns were new. With False the columns are bought at the first solve, and anew at a later point once solves of
        more than 1.5 times the products of the first one have cost as much beyond that.
    most : int, default=320
        Columns at the most; never more than half of the variables when adaptive.
    reuse : bool, default=True
        With False columns are bought at every point.
    seed : int, default=0
        Seed of the random vectors; each purchase has a generator of its own.

    Notes
    -----
    One approximation serves every shift. Where the condition is below some thousands plain CG needs fewer products than
    any approximation costs: then an adaptive one is never bought.
    """

    rank: int = 20
    adaptive: bool = True
    most: int = 320
    reuse: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse ranks that make no sense."""
        if not (isinstance(self.rank, int | np.integer) and 1 <= self.rank <= self.most):
            raise ValueError(f"rank={self.rank!r} must be an integer from 1 to most={self.most}")

    def start(self) -> Renewal:
        """Begin a run."""
        return _Kept(self)


class _Kept(Renewal, Preconditioner):
    """The approximation of one run: its purchases, and what CG has spent since the last one."""

    def __init__(self, settings: NystromPreconditioner) -> None:
        self._settings = settings
        self.name = f"Nystrom of rank {settings.rank}" + (" and more" if settings.adaptive else "")
        self._known: Nystrom | None = None
        self._space: Range | None = None  # products at this point, None at a later one
        self._purchases = 0
        self._spent = 0  # products since the last purchase
        self._used, self._first = 0, 0  # products of this solve, and of the first one after a purchase
        self._excess = 0  # products of later solves beyond the first one, where they are many more

    def at_point(self, form: Form, product: Apply, metric: Metric) -> Preconditioner:
        self._space = None
        self._n, self._floor = form.n, _floor(form, metric)
        self._white = lambda y: metric.to_white(product(metric.from_white(y)))
        self._close_solve()
        return self

    def _close_solve(self) -> None:
        if self._used and not self._first:
            self._first = self._used
        elif self._used > GREW * self._first:
            self._excess += self._used - self._first
        self._used = 0

    def at(self, lam: float, metric: Metric) -> Apply:
        self._close_solve()
        settings = self._settings
        if not settings.adaptive and (self._known is None or (self._space is None and self._worn())):
            self._buy(min(settings.rank, self._n))
        if self._known is None:
            return metric.solve
        inverse = self._known.inverse(lam)
        return lambda r: metric.from_white(inverse(metric.to_white(r)))

    def _worn(self) -> bool:
        """Whether what solves took beyond the first one has cost as much as new columns."""
        return not self._settings.reuse or self._excess >= self._settings.rank

    def spend(self, lam: float) -> Preconditioner | None:
        self._used += 1
        self._spent += 1
        settings = self._settings
        if not settings.adaptive:
            return None
        rank = min(settings.rank if self._known is None else self._next(lam), settings.most, max(1, self._n // 2))
        here = 0 if self._space is None else self._space.rank
        if rank <= here or not self._paid(rank - here):
            return None
        self._buy(rank)
        return self

    def _paid(self, price: int) -> bool:
        """Whether as much was spent: in all, or at later points beyond what the columns at hand took when new."""
        if self._known is None or self._space is not None:
            return self._spent >= price
        late = self._used - GREW * self._first
        return self._excess + max(late, 0.0) >= price if self._first else False

    def _next(self, lam: float) -> int:
        """Columns of the next purchase: twice as many where those at hand leave a large condition."""
        assert self._known is not None
        rank = self._known.s.size
        return 2 * rank if self._known.s[-1] + lam > ENOUGH * (self._floor + lam) else rank

    def _buy(self, rank: int) -> None:
        if self._space is None:
            self._space = Range(self._white, self._n, keyed(self._settings.seed, "nystrom", self._purchases))
        self._space.grow(rank)
        self._known = self._space.approximation()
        self._purchases += 1
        self._spent = self._used = self._first = self._excess = 0


def _floor(form: Form, metric: Metric) -> float:
    """A lower bound of the eigenvalues that is known: the least of the ridge."""
    ridge = getattr(form, "ridge", None)
    return 0.0 if ridge is None else float(np.min(ridge / metric.scale))

r"""Newton-Schulz iteration for inverses, and an inverse that is tracked along a run.

    M <- M (2 I - S M)      with      I - M S <- (I - M S)^2,

so an inverse that is right to 5 % is right to 2.5e-3, 6e-6, 4e-11 after three steps of two products of matrices each.
From ``M_0 = alpha S'`` it converges, to the pseudo-inverse, for ``0 < alpha < 2/|S|_2^2``, in about
``2 log2(kappa) + log2 log(1/eps)`` steps: from scratch that is dear, from the inverse of a close matrix it is cheap.

References
----------
[1] Schulz, "Iterative Berechnung der reziproken Matrix", ZAMM 13 (1933), 57-59.
[2] Ben-Israel, Cohen, "On iterative computation of generalized inverses and associated projections", SIAM J. Numer.
   Anal. 3 (1966), 410-419.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from gnsopt._typing import Array
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.forms import Form
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.precond import Apply, Preconditioner, Renewal


class Inverse(NamedTuple):
    """What the iteration found.

    Parameters
    ----------
    M : ndarray of shape (n, m)
        The (pseudo-)inverse.
    converged : bool
        Whether the last change was within the tolerance.
    errors : ndarray of shape (iterations,)
        ``|M_{k+1} - M_k|_F / |M_{k+1}|_F``: to first order the error of ``M_k``.
    """

    M: Array
    converged: bool
    errors: Array


def newton_schulz(S: Array, M: Array | None = None, *, tol: float = 1e-12, maxiter: int = 200) -> Inverse:
    """Invert a matrix, or find its pseudo-inverse.

    Parameters
    ----------
    S : ndarray of shape (m, n)
        The matrix. If it is square and not singular the result is its inverse, else the Moore-Penrose pseudo-inverse
        (of ``ones((2, 3))``: ``ones((3, 2))/6``): M S is then a projection, not the identity.
    M : ndarray of shape (n, m), optional
        Start with ``|I - M S| < 1``; ``S' / |S S'|_F`` by default. For a pseudo-inverse: ``M = S' C S'`` for some C,
        and ``|P - M S| < 1`` on the range of S'.
    tol : float, default=1e-12
        Relative change at which to stop; the error behind it is of the order of its square.
    maxiter : int, default=200
        Steps at the most.

    Returns
    -------
    Inverse
        Not converged also where the start was too far away.

    Raises
    ------
    ValueError
        If S is no finite matrix, or M has not the shape of its transpose.
    """
    S = np.asarray(S, dtype=float)
    if S.ndim != 2 or S.size == 0 or not np.isfinite(S).all():
        raise ValueError(f"S has shape {S.shape}; it must be a finite matrix")
    if M is not None and np.shape(M) != S.T.shape:
        raise ValueError(f"M has shape {np.shape(M)}; the inverse of S has shape {S.T.shape}")
    if M is None:
        size = float(np.linalg.norm(S @ S.T))
        M = S.T / size if size > 0 else S.T.copy()
    errors: list[float] = []
    while len(errors) < maxiter:
        with np.errstate(over="ignore", invalid="ignore"):
            step = M - M @ (S @ M)
            size = float(np.linalg.norm(M + step))
        if not np.isfinite(size):
            break
        M = M + step
        errors.append(float(np.linalg.norm(step)) / size if size > 0 else 0.0)
        if errors[-1] <= tol:
            break
    return Inverse(M, bool(errors and errors[-1] <= tol), np.array(errors))


def contraction(S: Array, M: Array, steps: int = 10) -> float:
    """Estimate ``|I - M S|_2`` for symmetric M and S by power iteration on its square, from below.

    Parameters
    ----------
    S, M : ndarray of shape (n, n)
        The matrix and its approximate inverse.
    steps : int, default=10
        Power steps.

    Returns
    -------
    float
        The estimate.
    """
    v = 1.0 + 0.5 * np.sin(np.arange(1.0, S.shape[0] + 1) ** 2)
    v /= np.linalg.norm(v)
    size = 0.0
    for _ in range(steps):
        w = v - M @ (S @ v)
        w = w - S @ (M @ w)  # the transpose of I - M S is I - S M
        square = float(np.linalg.norm(w))
        if not (square > 0 and np.isfinite(square)):
            break
        size, v = np.sqrt(square), w / square
    return size


@dataclass(frozen=True)
class InverseTracker:
    r"""The inverse of the shifted curvature, corrected by Newton-Schulz steps along a run, as ``preconditioner=``.

    Parameters
    ----------
    accept : float, default=0.5
        The inverse at hand is corrected where ``|I - M (H + lam B)| < accept``, and factorised anew elsewhere.
    steps : int, default=1
        Newton-Schulz steps for each new matrix: the error is squared as often.

    Notes
    -----
    For up to some thousand variables: matrices are dense. `factorised` and `corrected` of a run count which happened.
    """

    accept: float = 0.5
    steps: int = 1

    def __post_init__(self) -> None:
        """Refuse thresholds that would diverge."""
        if not 0 < self.accept < 1:
            raise ValueError(f"accept={self.accept} must lie in (0, 1)")
        if not (isinstance(self.steps, int | np.integer) and self.steps >= 0):
            raise ValueError(f"steps={self.steps!r} must be an integer of at least 0")

    def start(self) -> Renewal:
        """Begin a run."""
        return Tracked(self)


class Tracked(Renewal, Preconditioner):
    """The inverse of one run.

    Parameters
    ----------
    settings : InverseTracker
        When to correct and when to factorise.
    """

    name = "inverse tracked by Newton-Schulz steps"
    assembles = True

    def __init__(self, settings: InverseTracker) -> None:
        self._settings = settings
        self._M: Array | None = None
        self._lam = np.nan
        self.factorised = self.corrected = 0

    def at_point(self, form: Form, product: Apply, metric: Metric) -> Preconditioner:
        """Assemble the matrix; what to do with it is decided at the first shift."""
        self._H, self._lam = form.dense(), np.nan
        return self

    def at(self, lam: float, metric: Metric) -> Apply:
        """Return products with the inverse, corrected for this shift."""
        if lam != self._lam:
            S = np.asfortranarray(self._H.copy())
            metric.add_to(S, lam)
            S = np.tril(S) + np.tril(S, -1).T
            self._update(S)
            self._lam = lam
        M = self._M
        assert M is not None
        return lambda r: np.asarray(M @ r)

    def _update(self, S: Array) -> None:
        if self._M is not None and contraction(S, self._M) < self._settings.accept:
            M = self._M
            for _ in range(self._settings.steps):
                M = M + (M - M @ (S @ M))
            self._M = (M + M.T) / 2
            self.corrected += 1
            return
        L, info = lapack.dpotrf(S, lower=1)
        if info != 0:
            raise NotPositiveDefinite("Cholesky failed")
        M, _ = lapack.dpotri(L, lower=1)
        self._M = np.tril(M) + np.tril(M, -1).T
        self.factorised += 1

r"""Spectra of Hessians and their approximations: density, extremes, trace, log-determinant, inertia.

Small matrices are decomposed. Of large ones the spectral measure of each probe vector is known by the Gauss quadrature
of the Lanczos process (`gnsopt.linalg.lanczos`), exact for polynomials of degree ``2 m - 1``; the mean over the probes,
whose entries are +1 and -1, is the density of all eigenvalues, ``tr f(A) = n E v' f(A) v / |v|^2`` [1, 2].

References
----------
[1] Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix Anal. 38 (2017).
[2] Ghorbani, Krishnan, Xiao, "An investigation into neural net optimization via Hessian eigenvalue
density", 1901.10159.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigvalsh
from scipy.sparse import issparse

from gnsopt._typing import Array
from gnsopt.arguments import as_array, as_count, as_seed, check_kind, shown
from gnsopt.linalg.forms import EPS, Form, Operator, as_form
from gnsopt.linalg.lanczos import ritz
from gnsopt.point import Point


@dataclass(frozen=True)
class Spectrum:
    """A spectral measure: one row of values and weights for each probe, or all eigenvalues in one row.

    Parameters
    ----------
    n : int
        Order of the matrix.
    values : ndarray of shape (probes, m)
        Eigenvalues or Ritz values, rising in each row; rows that ended early are filled with values of weight 0.
    weights : ndarray of shape (probes, m)
        Weights; each row adds up to 1.
    errors : ndarray of shape (probes, m)
        An eigenvalue lies within that distance of each value.
    exact : bool
        Whether these are all eigenvalues.
    """

    n: int
    values: Array
    weights: Array
    errors: Array
    exact: bool

    def mean(self, f: Callable[[Array], Array]) -> tuple[float, float]:
        """Return ``tr f(A) / n`` and its standard error over the probes (0 where exact, NaN for one probe).

        Parameters
        ----------
        f : callable
            A function of an array of eigenvalues.

        Returns
        -------
        mean, error : float
            Estimate and standard error.
        """
        each = np.sum(np.where(self.weights > 0, self.weights * f(self.values), 0.0), axis=1)
        if self.exact:
            return float(each[0]), 0.0
        error = float(np.std(each, ddof=1) / np.sqrt(each.size)) if each.size > 1 else np.nan
        return float(np.mean(each)), error

    def trace(self) -> float:
        """Return the trace."""
        return self.n * self.mean(lambda a: a)[0]

    def logdet(self) -> float:
        """Return the logarithm of the determinant; NaN where an eigenvalue is not positive."""
        if np.min(self.values) <= 0:
            return np.nan
        return self.n * self.mean(np.log)[0]

    def participation(self) -> float:
        """Return ``tr(A)^2 / tr(A^2)``: how many eigenvalues the matrix seems to have."""
        square = self.mean(np.square)[0]
        return self.n * self.mean(lambda a: a)[0] ** 2 / square if square > 0 else 0.0

    def inertia(self, tol: float | None = None) -> tuple[float, float, float]:
        """Return how many eigenvalues are below -tol, within, and above tol.

        Parameters
        ----------
        tol : float, optional
            What counts as zero; by default rounding, ``n eps`` times the largest absolute value.

        Returns
        -------
        negative, zero, positive : float
            Counts; whole numbers where the spectrum is exact, estimates otherwise.
        """
        tol = self.n * EPS * float(np.max(np.abs(self.values))) if tol is None else tol
        weights = self.weights * self.n / self.values.shape[0]
        if self.exact:
            weights = np.ones_like(self.values)  # whole numbers, without rounding
        below, above = self.values < -tol, self.values > tol
        return (
            float(weights[below].sum()),
            float(weights[~below & ~above].sum()),
            float(weights[above].sum()),
        )

    def extremes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the least and the largest value, each with the distance within which an eigenvalue is certain.

        Returns
        -------
        least, largest : tuple of float
            ``(value, error)``. No eigenvalue is known beyond them: Ritz values lie inside the spectrum.
        """
        low, high = np.argmin(self.values), np.argmax(self.values)
        ends = [(float(self.values.flat[i]), float(self.errors.flat[i])) for i in (low, high)]
        return ends[0], ends[1]

    def density(self, grid: Array, width: float) -> Array:
        """Return the density of the eigenvalues, each blurred to a normal law.

        Parameters
        ----------
        grid : ndarray of shape (k,)
            Where.
        width : float
            Standard deviation of the law.

        Returns
        -------
        ndarray of shape (k,)
            The density; its integral is 1.
        """
        away = (np.asarray(grid)[:, None] - self.values.ravel()) / width
        blurred = np.exp(-0.5 * away**2) / (np.sqrt(2 * np.pi) * width)
        return np.asarray(blurred @ self.weights.ravel() / self.values.shape[0])


def spectrum(
    A: Any,
    n: int | None = None,
    *,
    kind: str = "hess",
    probes: int = 8,
    steps: int = 100,
    dense: int = 500,
    seed: int | None = None,
) -> Spectrum:
    """Return the spectrum of a symmetric matrix.

    Parameters
    ----------
    A : Point, Form, ndarray of shape (n, n) or callable
        A point stands for its Hessian; a callable is ``v -> A v`` and needs `n`.
    n : int, optional
        Order, for a callable.
    kind : str, default="hess"
        Which matrix of a point: ``"hess"``, ``"gauss_newton"`` or ``"fisher"``.
    probes : int, default=8
        Probe vectors.
    steps : int, default=100
        Lanczos steps for each, one product a step.
    dense : int, default=500
        Order up to which all eigenvalues are computed.
    seed : int, optional
        Seed of the random signs; 0 by default, the same probes every time.

    Returns
    -------
    Spectrum
        Its spectral measure.

    Raises
    ------
    ValueError
        If a number is out of range, `n` is missing, or a product is not finite.

    Examples
    --------
    >>> from gnsopt.diagnostics import spectrum
    >>> found = spectrum([[2, 0, 0], [0, 1, 0], [0, 0, -1]])
    >>> found.inertia(), round(found.trace(), 12)
    ((1.0, 0.0, 2.0), 2.0)
    """
    form = as_matrix(A, n, kind)
    for name, value in (("probes", probes), ("steps", steps)):
        as_count(value, name)
    if seed is not None:
        as_seed(seed)
    if form.n <= dense:
        values = np.array(eigvalsh(form.dense()), dtype=np.float64)[None]
        error = form.n * EPS * float(np.max(np.abs(values)))
        return Spectrum(form.n, values, np.full_like(values, 1 / form.n), np.full_like(values, error), True)
    runs = [ritz(form.matvec, v, steps) for v in signs(form.n, probes, seed)]
    if not all(run.values.size for run in runs):
        raise ValueError(f"A: a product of this {type(form).__name__} with a vector is not finite; it has no spectrum")
    longest = max(run.values.size for run in runs)
    filled = [np.minimum(np.arange(longest), run.values.size - 1) for run in runs]
    values, errors = (np.array([run[part][at] for run, at in zip(runs, filled, strict=True)]) for part in (0, 2))
    weights = np.array([np.append(run.weights, np.zeros(longest - run.weights.size)) for run in runs])
    return Spectrum(form.n, values, weights, errors, False)


def as_matrix(A: Any, n: int | None = None, kind: str = "hess") -> Form:
    """Return what stands for a symmetric matrix as a form.

    Parameters
    ----------
    A : Point, Form, ndarray or callable
        See `spectrum`.
    n : int, optional
        Order, for a callable.
    kind : str, default="hess"
        Which matrix of a point.

    Returns
    -------
    Form
        The matrix.

    Raises
    ------
    ValueError
        If `n` is missing or the array is not square.
    """
    if isinstance(A, Point):
        if not (isinstance(kind, str) and (A.objective.offers(kind) or kind == "hess")):
            raise ValueError(f"kind={shown(kind)} is nothing that {type(A.objective).__name__} offers")
        return A.hess(kind)
    if isinstance(A, Form):
        return A
    if callable(A):
        if n is None:
            raise ValueError("n=None: a callable needs the order of its matrix")
        return Operator(as_count(n, "n"), A)
    sparse = bool(issparse(A))
    A = as_array(A.toarray() if sparse and A.dtype.kind in "fiub" else A, "A")
    if A.ndim != 2 or A.shape[0] != A.shape[1] or A.size == 0:
        raise ValueError(f"A has shape {A.shape}; it must be square")
    if not np.allclose(A, A.T, rtol=1e-8, atol=0):
        raise ValueError("A is not symmetric; its spectrum is not real: pass (A + A.T) / 2")
    return as_form(A, A.shape[0])


def signs(n: int, probes: int, seed: int | None = None) -> Array:
    """Return probe vectors of entries +1 and -1.

    Parameters
    ----------
    n : int
        Their length.
    probes : int
        How many.
    seed : int, optional
        Seed; 0 by default. (Random, not the first columns of a Hadamard matrix: these have short periods, as have
        Hessians of networks.)

    Returns
    -------
    ndarray of shape (probes, n)
        The vectors.
    """
    return np.asarray(np.random.default_rng(0 if seed is None else seed).choice([-1.0, 1.0], size=(probes, n)))


@dataclass(frozen=True)
class Split:
    """A Hessian and the two parts of it.

    Parameters
    ----------
    hessian, part, rest : Spectrum
        Of ``hess f``, of the Gauss-Newton matrix, and of their difference: what the second derivatives of the inner
        map add.
    """

    hessian: Spectrum
    part: Spectrum
    rest: Spectrum


def split(x: Point, kind: str = "gauss_newton", **settings: Any) -> Split:
    """Return the spectra of the Hessian, of its Gauss-Newton part, and of the rest.

    Parameters
    ----------
    x : Point
        Where.
    kind : str, default="gauss_newton"
        Which approximation is the part.
    **settings : dict
        Those of `spectrum`.

    Returns
    -------
    Split
        The three.
    """
    check_kind(x, "x", Point)
    H, G = x.hess(), as_matrix(x, kind=kind)
    rest = Operator(H.n, lambda v: H.matvec(v) - G.matvec(v))
    return Split(spectrum(H, **settings), spectrum(G, **settings), spectrum(rest, **settings))

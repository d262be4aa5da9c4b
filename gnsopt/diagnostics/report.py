"""What kind of solution a point is: flat or sharp, large or small, sparse, of low rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnsopt.arguments import as_number, check_kind, shown
from gnsopt.diagnostics.spectrum import spectrum
from gnsopt.point import Point


@dataclass(frozen=True)
class Report:
    """Numbers of a solution.

    Parameters
    ----------
    fun, gradient : float
        Value and norm of the gradient.
    sharpness, least : float
        Largest and least eigenvalue of the Hessian (or Ritz values).
    sharpness_error, least_error : float
        An eigenvalue lies within that distance of them.
    trace : float
        Trace of the Hessian.
    along_gradient : float
        ``g'Hg / |g|^2``; NaN where the gradient vanishes.
    norm : float
        Euclidean norm of x.
    sparsity : float
        Part of the entries of x that are at most `tol` times the largest.
    rank : int
        Singular values of x, as a matrix, above `tol` times the largest.
    stable_rank : float
        ``|X|_F^2 / |X|_2^2``.
    """

    fun: float
    gradient: float
    sharpness: float
    least: float
    sharpness_error: float
    least_error: float
    trace: float
    along_gradient: float
    norm: float
    sparsity: float
    rank: int
    stable_rank: float

    def __str__(self) -> str:
        """Return a line for each number."""
        return "\n".join(f"{name:>16} {value:.6g}" for name, value in vars(self).items())


def report(x: Point, shape: tuple[int, int] | None = None, tol: float = 1e-6, seed: int | None = None) -> Report:
    """Return the numbers of the solution `x`.

    Parameters
    ----------
    x : Point
        Where; its objective must offer a Hessian or products of it.
    shape : tuple of int, optional
        Shape of x as a matrix; one column by default.
    tol : float, default=1e-6
        What counts as zero, relative to the largest.
    seed : int, optional
        Seed of the probes of `spectrum`.

    Returns
    -------
    Report
        The numbers.
    """
    check_kind(x, "x", Point)
    tol, n = as_number(tol, "tol"), x.x.size
    if not 0 < tol < np.inf:
        raise ValueError(f"tol={tol} must be positive and finite")
    sides = (n, 1) if shape is None else shape
    whole = isinstance(sides, tuple | list) and len(sides) == 2 and all(isinstance(k, int | np.integer) for k in sides)
    if not whole or min(sides) < 1 or sides[0] * sides[1] != n:
        raise ValueError(f"shape={shown(shape)} must be a pair of integers whose product is {n}")
    found = spectrum(x, seed=seed)
    (least, least_error), (largest, error) = found.extremes()
    squared = float(x.g @ x.g)
    along = float(x.g @ x.hess().matvec(x.g)) / squared if squared > 0 else np.nan
    X = x.x.reshape(sides)
    singular = np.linalg.svd(X, compute_uv=False)
    top = float(singular[0])
    return Report(
        fun=x.f,
        gradient=float(np.linalg.norm(x.g)),
        sharpness=largest,
        least=least,
        sharpness_error=error,
        least_error=least_error,
        trace=found.trace(),
        along_gradient=along,
        norm=float(np.linalg.norm(x.x)),
        sparsity=float(np.mean(np.abs(x.x) <= tol * np.max(np.abs(x.x)))),
        rank=int(np.sum(singular > tol * top)),
        stable_rank=float(np.sum(singular**2) / top**2) if top > 0 else 0.0,
    )

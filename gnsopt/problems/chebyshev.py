r"""Chebyshev chain: nested polynomials as a chain of equations [1].

    u_1 = (1 - x_1)/2,   u_i = x_i - (2 x_{i-1}^2 - 1),  i = 2..n,      f = |u|^p / p,  zero at x = 1 only
    J lower bidiagonal:  J_11 = -1/2, J_ii = 1, J_{i,i-1} = -4 x_{i-1}
    J'J tridiagonal;     sum_i v_i hess u_i = diag(-4 v_2, ..., -4 v_n, 0)

A solution of the last n - 1 equations has ``x_n = T_{2^{n-1}}(x_1)``, a Chebyshev polynomial. f is not convex, and far
from the solution its exact Hessian is indefinite. All curvature is tridiagonal plus rank one: a trial costs O(n).

References
----------
[1] Gurbuzbalaban, Overton, "On Nesterov's nonsmooth Chebyshev-Rosenbrock functions", Nonlinear Analysis 75 (2012).
[2] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
"""

from __future__ import annotations

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_seed
from gnsopt.linalg.forms import Form
from gnsopt.linalg.structured import BandedMatrix, Diagonal
from gnsopt.problems.nonlinear_equations import NonlinearEquations, check_count


class ChebyshevChain(NonlinearEquations):
    """``|u(x)|^p / p`` for the Chebyshev chain; not convex, minimised at ones with value 0.

    Parameters
    ----------
    n : int
        Number of variables, at least 2.
    p : float, default=4.0
        Power, at least 2.
    seed : int, default=3124
        Seed of the default start, uniform in the unit cube; the default gives the start of the paper.

    Raises
    ------
    ValueError
        If ``n < 2`` or ``p < 2``.
    """

    f_star = 0.0

    def __init__(self, n: int, p: float = 4.0, seed: int = 3124) -> None:
        n = check_count(n, "n", 2)
        super().__init__(chain, chain_jacobian, n, p, chain_curvature, chain_change)
        self.seed = as_seed(seed, 2**32 - 1)
        self.x_star = np.ones(n)

    def start(self) -> Array:
        """Return the paper's start, drawn by NumPy's legacy generator as theirs was."""
        return np.random.RandomState(self.seed).rand(self.n)


def chain(x: Array) -> Array:
    """Return the residual u.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Where.

    Returns
    -------
    ndarray of shape (n,)
        The residual.
    """
    u = np.empty_like(x)
    u[0] = 0.5 * (1.0 - x[0])
    u[1:] = x[1:] - (2.0 * x[:-1] ** 2 - 1.0)
    return u


def chain_jacobian(x: Array) -> BandedMatrix:
    """Return the Jacobian of `chain`.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Where.

    Returns
    -------
    BandedMatrix
        The two diagonals.
    """
    n = x.size
    data = np.ones((2, n))
    data[0, 0] = -0.5
    data[1] = -4.0 * x
    return BandedMatrix((0, -1), data, (n, n))


def chain_curvature(x: Array, v: Array) -> Form:
    """Return ``sum_i v_i hess u_i``.

    Parameters
    ----------
    x, v : ndarray of shape (n,)
        Where, and the weights.

    Returns
    -------
    Diagonal
        The sum.
    """
    return Diagonal(np.append(-4.0 * v[1:], 0.0))


def chain_change(x: Array, h: Array) -> Array:
    """Return ``u(x + h) - u(x)`` without cancellation: a square changes by ``h (2x + h)``.

    Parameters
    ----------
    x, h : ndarray of shape (n,)
        Where, and the step.

    Returns
    -------
    ndarray of shape (n,)
        The change.
    """
    d = np.empty_like(h)
    d[0] = -0.5 * h[0]
    with np.errstate(over="ignore", invalid="ignore"):
        d[1:] = h[1:] - 2.0 * h[:-1] * (2.0 * x[:-1] + h[:-1])
    return d

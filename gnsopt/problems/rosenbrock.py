r"""Rosenbrock's function of two variables, and as a system of two equations.

    f(x) = (a - x_1)^2 + b (x_2 - x_1^2)^2,      minimised at (a, a^2), where f = 0;  a = 1, b = 100 by default
    grad = (-2 (a - x_1) - 4 b x_1 d,  2 b d),   d = x_2 - x_1^2
    hess = [[2 - 4 b (x_2 - 3 x_1^2), -4 b x_1], [-4 b x_1, 2 b]]

    u(x) = (a - x_1, sqrt(b) (x_2 - x_1^2)),  so that  f = |u|^2

The start of [2] is (-2, 2), where ``f = |u|^2 = 409``.

References
----------
[1] Rosenbrock, "An automatic method for finding the greatest or least value of a function", Computer J. 3 (1960).
[2] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_number, shown
from gnsopt.objective import Objective
from gnsopt.problems.nonlinear_equations import NonlinearEquations

START = (-2.0, 2.0)  # of [2]
LARGEST = 1e150  # constant whose square is a float


class Rosenbrock(Objective):
    """``(a - x_1)^2 + b (x_2 - x_1^2)^2`` with its exact Hessian, which is indefinite in places.

    Parameters
    ----------
    a : float, default=1.0
        First coordinate of the minimiser.
    b : float, default=100.0
        Steepness of the valley, positive.

    Raises
    ------
    ValueError
        If `a` is not finite, or `b` not positive and finite.
    """

    n = 2
    f_star = 0.0

    def __init__(self, a: float = 1.0, b: float = 100.0) -> None:
        self.a, self.b = check_valley(a, b)
        self.x_star = np.array([self.a, self.a**2])

    def start(self) -> Array:
        """Return (-2, 2)."""
        return np.array(START)

    def prepare(self, x: Array) -> Array:
        """Return the residual u."""
        return residual(x, self.a, self.b)

    def fun(self, x: Array, z: Array) -> float:
        """Return ``|u|^2``."""
        with np.errstate(over="ignore"):
            return float(z @ z)

    def grad(self, x: Array, z: Array) -> Array:
        """Return ``2 J'u``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return 2 * jacobian(x, self.b).T @ z

    def hess(self, x: Array, z: Array) -> Array:
        """Return the exact Hessian as a 2 x 2 array."""
        b, x1 = self.b, x[0]
        return np.array([[2 - 4 * b * (x[1] - 3 * x1**2), -4 * b * x1], [-4 * b * x1, 2 * b]])

    def difference(self, x: Array, z: Array, h: Array) -> float:
        """Return ``-<d, 2u + d>`` for the change d of u."""
        d = residual_change(x, h, self.b)
        with np.errstate(over="ignore", invalid="ignore"):
            return -float(d @ (2 * z + d))


class RosenbrockEquations(NonlinearEquations):
    """``|u(x)|^p / p`` for Rosenbrock's two equations; ``p = 2`` is half of `Rosenbrock`.

    Parameters
    ----------
    p : float, default=2.0
        Power, at least 2.
    a : float, default=1.0
        First coordinate of the solution.
    b : float, default=100.0
        Steepness of the valley, positive.

    Raises
    ------
    ValueError
        If ``p < 2``, `a` is not finite, or `b` not positive and finite.
    """

    f_star = 0.0

    def __init__(self, p: float = 2.0, a: float = 1.0, b: float = 100.0) -> None:
        a, b = check_valley(a, b)
        super().__init__(
            partial(residual, a=a, b=b),
            partial(jacobian, b=b),
            2,
            p,
            hess_u=partial(second, b=b),
            change=partial(residual_change, b=b),
        )
        self.x_star = np.array([a, a**2])

    def start(self) -> Array:
        """Return (-2, 2)."""
        return np.array(START)


def residual(x: Array, a: float, b: float) -> Array:
    """Return ``u = (a - x_1, sqrt(b) (x_2 - x_1^2))``.

    Parameters
    ----------
    x : ndarray of shape (2,)
        Where.
    a, b : float
        Constants of the function.

    Returns
    -------
    ndarray of shape (2,)
        The residual; not finite where it overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([a - x[0], np.sqrt(b) * (x[1] - x[0] ** 2)])


def jacobian(x: Array, b: float) -> Array:
    """Return the Jacobian of `residual`, shape (2, 2).

    Parameters
    ----------
    x : ndarray of shape (2,)
        Where.
    b : float
        Constant of the function.

    Returns
    -------
    ndarray of shape (2, 2)
        The Jacobian.
    """
    root = np.sqrt(b)
    return np.array([[-1.0, 0.0], [-2 * root * x[0], root]])


def second(x: Array, v: Array, b: float) -> Array:
    """Return ``sum_i v_i hess u_i``, which does not depend on x.

    Parameters
    ----------
    x, v : ndarray of shape (2,)
        Where, and the weights.
    b : float
        Constant of the function.

    Returns
    -------
    ndarray of shape (2, 2)
        The sum.
    """
    return np.array([[-2 * np.sqrt(b) * v[1], 0.0], [0.0, 0.0]])


def residual_change(x: Array, h: Array, b: float) -> Array:
    """Return ``u(x + h) - u(x)`` without cancellation: the square changes by ``h (2x + h)``.

    Parameters
    ----------
    x, h : ndarray of shape (2,)
        Where, and the step.
    b : float
        Constant of the function.

    Returns
    -------
    ndarray of shape (2,)
        The change.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([-h[0], np.sqrt(b) * (h[1] - h[0] * (2 * x[0] + h[0]))])


def check_valley(a: Any, b: Any) -> tuple[float, float]:
    """Return the constants as floats.

    Parameters
    ----------
    a, b : float
        Constants of the function.

    Returns
    -------
    tuple of float
        ``(a, b)``.

    Raises
    ------
    ValueError
        If `a` is not finite, or `b` not positive and finite.
    """
    first, steep = as_number(a, "a"), as_number(b, "b")
    if not (abs(first) <= LARGEST and 0 < steep < np.inf):
        both = f"a={shown(a)} must be finite, at most {LARGEST:g} in size, and b={shown(b)} positive and finite"
        raise ValueError(both)
    return first, steep

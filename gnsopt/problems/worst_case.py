r"""The chain that is hardest for methods of second and higher order [1, 2].

    f(x) = (|x_1|^q + sum_{i >= 2} |x_i - x_{i-1}|^q) / q,      minimised at 0, where f = 0
    grad = D'w,  w_i = |d_i|^{q-1} sign(d_i),  d = Dx;          hess = (q-1) D' diag(|d|^{q-2}) D, tridiagonal

D is the matrix of backward differences with ``d_1 = x_1``. From ones, information about the first coordinate travels
one place an iteration. For ``H = (6 2^{q-1} (q-1)!)^{1/(q-1)}`` and ``alpha = (q-2)/(q-1)`` the shift ``H |g|^alpha``
needs no search [2].

References
----------
[1] Nesterov, "Implementable tensor methods in unconstrained convex optimization", Math. Prog. 186 (2021), section 6.
[2] Doikov, Mishchenko, Nesterov, "Super-universal regularized Newton method", 2208.05888.
"""

from __future__ import annotations

import numpy as np

from gnsopt._typing import Array
from gnsopt.linalg.forms import Form
from gnsopt.linalg.structured import Banded
from gnsopt.objective import Objective
from gnsopt.problems.nonlinear_equations import check_count, check_power, power_difference


class WorstCaseChain(Objective):
    """``(|x_1|^q + sum |x_i - x_{i-1}|^q) / q``, convex, with a tridiagonal Hessian.

    Parameters
    ----------
    n : int
        Number of variables, at least 2.
    q : float, default=3.0
        Power, at least 2.

    Raises
    ------
    ValueError
        If ``n < 2`` or ``q < 2``.
    """

    convex = True
    f_star = 0.0

    def __init__(self, n: int, q: float = 3.0) -> None:
        self.n, self.q = check_count(n, "n", 2), check_power(q, "q")
        self.x_star = np.zeros(self.n)

    def start(self) -> Array:
        """Return ones, where ``f = 1/q``."""
        return np.ones(self.n)

    def prepare(self, x: Array) -> Array:
        """Return the differences d."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.diff(x, prepend=0.0)

    def fun(self, x: Array, z: Array) -> float:
        """Return ``sum |d|^q / q``; inf on overflow."""
        with np.errstate(over="ignore"):
            return float(np.sum(np.abs(z) ** self.q)) / self.q

    def grad(self, x: Array, z: Array) -> Array:
        """Return ``D'w``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return -np.diff(np.abs(z) ** (self.q - 1) * np.sign(z), append=0.0)

    def hess(self, x: Array, z: Array) -> Form:
        """Return the tridiagonal Hessian."""
        t = (self.q - 1) * np.abs(z) ** (self.q - 2)
        after = np.append(t[1:], 0.0)
        return Banded(np.stack([t + after, -after]))

    def difference(self, x: Array, z: Array, h: Array) -> float:
        """Return ``f(x) - f(x + h)`` term by term."""
        return -float(np.sum(power_difference(z, np.diff(h, prepend=0.0), self.q))) / self.q

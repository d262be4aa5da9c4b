r"""Problems in closed form on which penalty methods show what they do, and where their assumptions fail.

====================  =========================================  ===========================  ========================
problem               upper g                                    lower h, Y                   what it shows
====================  =========================================  ===========================  ========================
`StronglyConvex`      ``|x - c|^2/2 + theta'Q theta/2``          ``x'Ax/2 - x'(B theta+b)``   bias of order sigma
`RankOne`             ``(x - c)'W(x - c)/2``                     ``(a'x - theta)^2/2``        solutions not unique
`Interval`            ``(x - 2)^2/2``                            ``(x - theta)^2/2, [0, 1]``  constraints, kinks
`Jump`                ``theta^2 + x^2``                          ``theta x``, [-1, 1]         f jumps at 0
`Quartic`             ``(x - theta)^2/2``                        ``x^4/4``                    bias of order sigma^1/3
====================  =========================================  ===========================  ========================

Each has `value` and `slope`, f and its gradient, and `penalty`, the penalty function psi_sigma with its gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.constrained import ConstrainedProblem
from gnsopt.bilevel.problem import BilevelProblem, Constants


class StronglyConvex(BilevelProblem):
    """A quadratic in everything: ``x* = A^{-1}(B theta + b)``, ``x_sigma = (A + sigma I)^{-1}(B theta + b + sigma c)``.

    Parameters
    ----------
    n, d : int, default=6, 3
        Numbers of lower and upper variables.
    seed : int, default=0
        Of A (eigenvalues 0.1 to 1), B, b and c; Q is the identity.
    """

    upper_mu = 1.0

    def __init__(self, n: int = 6, d: int = 3, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        V = np.linalg.qr(rng.standard_normal((n, n)))[0]
        self.A = (V * np.linspace(0.1, 1.0, n)) @ V.T
        self.A = (self.A + self.A.T) / 2
        self.B, self.b, self.c, self.Q = rng.standard_normal((n, d)), *rng.standard_normal((2, n)), np.eye(d)
        super().__init__(n, d)
        self._J = float(np.linalg.norm(self.B, 2))

    def solution(self, theta: Array, sigma: float = 0.0) -> Array:
        """Return the minimiser of ``h + sigma g``."""
        rhs = self.B @ theta + self.b + sigma * self.c
        return np.asarray(np.linalg.solve(self.A + sigma * np.eye(self.n), rhs))

    def lower(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Return h and its gradient."""
        Ax, rhs = self.A @ x, self.B @ theta + self.b
        return 0.5 * float(x @ Ax) - float(x @ rhs), Ax - rhs

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, Array]:
        """Return g and its gradients."""
        gap, Qt = x - self.c, self.Q @ theta
        return 0.5 * float(gap @ gap) + 0.5 * float(theta @ Qt), gap, Qt

    def hvp(self, x: Array, theta: Array) -> Array:
        """Return A."""
        return self.A

    def cross_t(self, x: Array, theta: Array, q: Array) -> Array:
        """Return ``-B' q``."""
        return -self.B.T @ q

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return ``-B' x``."""
        return -self.B.T @ x

    def mu(self, theta: Array) -> float:
        """Return the least eigenvalue of A."""
        return float(np.linalg.eigvalsh(self.A)[0])

    def constants(self, theta: Array) -> Constants:
        """Return exact constants; g depends on x and theta separately."""
        return Constants(L=float(np.linalg.eigvalsh(self.A)[-1]), L_g=1.0, L_H=0.0, L_J=0.0)

    def J_norm(self, x: Array, theta: Array) -> float:
        """Return the norm of B."""
        return self._J

    def value(self, theta: Array) -> float:
        """Return f."""
        return self.upper(self.solution(theta), theta)[0]

    def slope(self, theta: Array) -> Array:
        """Return the gradient of f: ``Q theta + B' A^{-1}(x* - c)``."""
        return np.asarray(
            self.Q @ theta + self.B.T @ np.linalg.solve(self.A, self.solution(theta) - self.c), dtype=float
        )

    def minimiser(self, sigma: float = 0.0) -> Array:
        """Return the theta that minimises psi_sigma, or f."""
        M = np.linalg.inv(self.A + sigma * np.eye(self.n))
        if sigma == 0:  # grad f = Q theta + B' A^{-1}(A^{-1}(B theta + b) - c)
            return np.asarray(np.linalg.solve(self.Q + self.B.T @ M @ M @ self.B, self.B.T @ M @ (self.c - M @ self.b)))
        N = (np.linalg.inv(self.A) - M) / sigma  # grad psi = Q theta + B'(x* - x_sigma)/sigma
        return np.asarray(np.linalg.solve(self.Q + self.B.T @ N @ self.B, self.B.T @ (M @ self.c - N @ self.b)))

    def penalty(self, theta: Array, sigma: float) -> tuple[float, Array]:
        """Return psi_sigma and its gradient; minus sigma gives the other half of the central twin."""
        x, x0 = self.solution(theta, sigma), self.solution(theta)
        value = self.upper(x, theta)[0] + (self.lower(x, theta)[0] - self.lower(x0, theta)[0]) / sigma
        return value, self.Q @ theta - self.B.T @ (x - x0) / sigma


class RankOne(BilevelProblem):
    """A lower level whose solutions fill a hyperplane; f is that of the one of least g, and no other will do.

    Parameters
    ----------
    n : int, default=4
        Number of lower variables.
    seed : int, default=0
        Of a, c and W, diagonal with entries 1 to n.
    """

    upper_mu = 1.0

    def __init__(self, n: int = 4, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.W, self.a, self.c = np.diag(np.arange(1.0, n + 1)), *rng.standard_normal((2, n))
        super().__init__(n, 1)

    def lower(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Return h and its gradient."""
        gap = float(self.a @ x - theta[0])
        return 0.5 * gap * gap, gap * self.a

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        """Return g and its gradient in x."""
        slope = self.W @ (x - self.c)
        return 0.5 * float((x - self.c) @ slope), slope, None

    def hvp(self, x: Array, theta: Array) -> Array:
        """Return ``a a'``."""
        return np.outer(self.a, self.a)

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return ``theta - a'x``."""
        return np.array([theta[0] - self.a @ x])

    def value(self, theta: Array) -> float:
        """Return f."""
        along = float(self.a @ np.linalg.solve(self.W, self.a))
        return 0.5 * float(theta[0] - self.a @ self.c) ** 2 / along

    def slope(self, theta: Array) -> Array:
        """Return the gradient of f: the multiplier of ``a'x = theta``."""
        return np.asarray((theta - self.a @ self.c) / (self.a @ np.linalg.solve(self.W, self.a)))

    def penalty(self, theta: Array, sigma: float) -> tuple[float, Array]:
        """Return psi_sigma and its gradient."""
        x = np.linalg.solve(
            sigma * self.W + np.outer(self.a, self.a), sigma * self.W @ self.c + self.a * float(theta[0])
        )
        value = self.upper(x, theta)[0] + self.lower(x, theta)[0] / sigma
        return value, self.lower_theta(x, theta) / sigma


class Scalar(ConstrainedProblem):
    """Base of the toys with one variable each.

    Parameters
    ----------
    lower_bounds : pair of float
        Y.
    **oracles : object
        As in `ConstrainedProblem`.
    """

    def __init__(self, lower_bounds: Any, **oracles: Any) -> None:
        super().__init__(1, 1, lower_bounds=lower_bounds, **oracles)

    def penalised_solution(self, theta: float, sigma: float) -> float:
        """Return the minimiser of ``h + sigma g`` over Y."""
        raise NotImplementedError

    def value(self, theta: Array) -> float:
        """Return f."""
        raise NotImplementedError

    def slope(self, theta: Array) -> Array:
        """Return the derivative of f where it exists."""
        raise NotImplementedError

    def penalty(self, theta: Array, sigma: float) -> tuple[float, Array]:
        """Return psi_sigma and its derivative."""
        x, x0 = (np.array([self.penalised_solution(float(theta[0]), s)]) for s in (sigma, 0.0))
        value = self.upper(x, theta)[0] + (self.lower(x, theta)[0] - self.lower(x0, theta)[0]) / sigma
        direct = self.upper(x, theta)[2]
        slope = (self.lower_theta(x, theta) - self.lower_theta(x0, theta)) / sigma
        return value, slope if direct is None else slope + direct


class Interval(Scalar):
    """A constrained lower level: ``x* = clip(theta, 0, 1)``; f' is x* - 2 inside, 0 outside, with kinks at 0 and 1."""

    upper_mu = 1.0

    def __init__(self) -> None:
        super().__init__((0.0, 1.0), mu=1.0, constants=Constants(1.0, 1.0, 0.0, 0.0), J_norm=lambda x, theta: 1.0)

    def lower(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Return h and its derivative."""
        return 0.5 * float(x[0] - theta[0]) ** 2, x - theta

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        """Return g and its derivative in x."""
        return 0.5 * float(x[0] - 2) ** 2, x - 2, None

    def hvp(self, x: Array, theta: Array) -> Array:
        """Return 1."""
        return np.eye(1)

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return ``theta - x``."""
        return theta - x

    def penalised_solution(self, theta: float, sigma: float) -> float:
        """Return ``clip((theta + 2 sigma)/(1 + sigma), 0, 1)``."""
        return float(np.clip((theta + 2 * sigma) / (1 + sigma), 0, 1))

    def value(self, theta: Array) -> float:
        """Return f."""
        return 0.5 * float(np.clip(theta[0], 0, 1) - 2) ** 2

    def slope(self, theta: Array) -> Array:
        """Return f' away from the kinks."""
        return np.where((theta > 0) & (theta < 1), theta - 2, 0.0)


class Jump(Scalar):
    """A lower level with a jump of its solutions: ``f = theta^2 + 1`` but ``f(0) = 0``; psi' has no limit at 0."""

    upper_mu = 2.0

    def __init__(self) -> None:
        super().__init__((-1.0, 1.0))

    def lower(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Return h and its derivative."""
        return float(theta[0] * x[0]), theta.copy()

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, Array]:
        """Return g and its derivatives."""
        return float(theta[0] ** 2 + x[0] ** 2), 2 * x, 2 * theta

    def hvp(self, x: Array, theta: Array) -> Array:
        """Return 0."""
        return np.zeros((1, 1))

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return x."""
        return x.copy()

    def penalised_solution(self, theta: float, sigma: float) -> float:
        """Return ``clip(-theta/(2 sigma), -1, 1)``; ``-sign(theta)`` without a penalty."""
        return float(np.clip(-theta / (2 * sigma), -1, 1) if sigma else -np.sign(theta))

    def value(self, theta: Array) -> float:
        """Return f."""
        return float(theta[0] ** 2 + (theta[0] != 0))

    def slope(self, theta: Array) -> Array:
        """Return f' away from 0."""
        return 2 * theta


class Quartic(BilevelProblem):
    """A lower level that is flat at its solution, 0: no error bound, ``f - psi ~ 3/4 sigma^{1/3} theta^{4/3}``."""

    upper_mu = 1.0

    def __init__(self) -> None:
        super().__init__(1, 1)

    def lower(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Return h and its derivative."""
        return 0.25 * float(x[0]) ** 4, x**3

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, Array]:
        """Return g and its derivatives."""
        gap = x - theta
        return 0.5 * float(gap[0]) ** 2, gap, -gap

    def hvp(self, x: Array, theta: Array) -> Array:
        """Return ``3 x^2``."""
        return np.diag(3 * x * x)

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return 0."""
        return np.zeros(1)

    def penalised_solution(self, theta: float, sigma: float) -> float:
        """Return the root of ``sigma (x - theta) + x^3 = 0``, by Cardano's formula in its stable form."""
        p, q = sigma / 3, sigma * abs(theta) / 2
        u = np.cbrt(q + np.sqrt(q * q + p**3))
        return float(np.sign(theta) * (2 * q / (u * u + p + (p / u) ** 2))) if u > 0 else 0.0

    def value(self, theta: Array) -> float:
        """Return ``theta^2/2``."""
        return 0.5 * float(theta[0]) ** 2

    def slope(self, theta: Array) -> Array:
        """Return theta."""
        return theta.copy()

    def penalty(self, theta: Array, sigma: float) -> tuple[float, Array]:
        """Return psi_sigma and its derivative."""
        x = np.array([self.penalised_solution(float(theta[0]), sigma)])
        return self.upper(x, theta)[0] + self.lower(x, theta)[0] / sigma, theta - x

"""The paper's problems beyond CUTEst: control of an elliptic equation, logistic regression on a sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array, eye_array, hstack, kron
from scipy.sparse.linalg import LinearOperator

from gnsopt._typing import Array
from gnsopt.constrained import ConstrainedProblem, Equalities, LinearEqualities, Stacked
from gnsopt.linalg.sketches import keyed
from gnsopt.objective import Objective
from gnsopt.problems import Logistic


class Tracking(Objective):
    """``(|w - w_d|^2 + 0.1 |u|^2) / 2`` of the state w and the control u.

    Parameters
    ----------
    target : ndarray of shape (N^2,)
        w_d.
    products : bool
        Whether the Hessian is known by products only.
    """

    convex = True

    def __init__(self, target: Array, products: bool) -> None:
        self.target, self.n = target, 2 * target.size
        self.weights = np.repeat([1.0, 0.1], target.size)
        self.shift = np.concatenate([target, np.zeros(target.size)])
        self.products = products

    def offers(self, name: str) -> bool:
        """Whether products or a sparse matrix is offered."""
        return name == ("hessp" if self.products else "hess")

    def fun(self, x: Array, z: Any) -> float:
        """Return the value."""
        return 0.5 * float(self.weights @ (x - self.shift) ** 2)

    def grad(self, x: Array, z: Any) -> Array:
        """Return the gradient."""
        return self.weights * (x - self.shift)

    def hess(self, x: Array, z: Any) -> Any:
        """Return the diagonal Hessian."""
        return diags_array(self.weights, format="csr")

    def hessp(self, x: Array, z: Any, v: Array) -> Array:
        """Return its product."""
        return self.weights * v


def pde_control(N: int = 3, products: bool = False) -> ConstrainedProblem:
    """Return the control of ``Laplace w + u = 0`` on the square of side 2, N x N interior points, zero boundary.

    Unknowns are state and control at each point; the desired state is ``sin(4 + s t_i) + cos(3 + s t_j)`` with
    ``t_i = i - (N+1)/2`` and ``s = 0.1 / sqrt(15)``. Start: all ones, multipliers too.

    Parameters
    ----------
    N : int
        Points in each direction.
    products : bool
        Whether the Hessian is known by products only.
    """
    h = 2.0 / (N + 1)
    second = diags_array([np.ones(N - 1), np.full(N, -2.0), np.ones(N - 1)], offsets=(-1, 0, 1)) / h**2
    eye = eye_array(N)
    laplace = kron(eye, second) + kron(second, eye)
    A = csr_array(hstack([laplace, eye_array(N * N)]))
    t = 0.1 / np.sqrt(15.0) * (np.arange(1, N + 1) - (N + 1) / 2)
    target = (np.sin(4.0 + t)[:, None] + np.cos(3.0 + t)[None, :]).reshape(-1, order="F")
    constraints = LinearEqualities(A, np.zeros(N * N))
    return ConstrainedProblem(Tracking(target, products), constraints, np.ones(2 * N * N), np.ones(N * N))


def sphere(n: int) -> Equalities:
    """Return ``|x|^2 = 1`` for n variables."""

    def curved(x: Array, y: Array) -> Any:
        return (
            LinearOperator((n, n), matvec=lambda v: 2.0 * y[0] * v, dtype=float) if n > 1000 else 2.0 * y[0] * np.eye(n)
        )

    return Equalities(lambda x: x @ x - 1.0, n, 1, lambda x: 2.0 * x[None, :], curved)


def constrained_logistic(X: Any, labels: Array, rows: int = 10, seed: int = 0) -> ConstrainedProblem:
    """Return mean logistic loss subject to ``A x = b`` with Gaussian A, b and ``|x|^2 = 1``; x0 and y0 are ones.

    Labels become -1 and 1, whatever they are in the file: the published runs took mushrooms (1, 2) and phishing (0, 1)
    as they are.

    Parameters
    ----------
    X : ndarray or sparse array of shape (n_samples, d)
        Features.
    labels : ndarray of shape (n_samples,)
        Two classes.
    rows : int
        Linear constraints.
    seed : int
        Key of A and b.
    """
    loss = Logistic(X, np.where(labels == labels.max(), 1.0, -1.0), l2=0.0)
    rng = keyed(seed, "constrained logistic")
    A, b = rng.standard_normal((rows, loss.n)), rng.standard_normal(rows)
    constraints = Stacked([LinearEqualities(A, b), sphere(loss.n)])
    return ConstrainedProblem(loss, constraints, np.ones(loss.n), np.ones(rows + 1))

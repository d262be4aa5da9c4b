r"""Training of a two-layer ReLU network, with a certificate of its global minimum.

    f(U, a) = |sum_j (X u_j)_+ a_j - y|^2 / 2 + beta/2 sum_j (|u_j|^2 + a_j^2)                  (not convex)

has, for enough neurons, the minimum of a convex program over the activation patterns ``D_i = diag(1[X h >= 0])`` [1],

    min_v  |F v - y|^2/2 + beta sum_b |v_b|   with  G_b v_b >= 0,        F_b = +-D_i X,   G_b = (2 D_i - I) X,

the sign being that of the outer weight. It is `gnsopt.problems.relu_convex.ConvexProgram`; any feasible v gives a
network of the same value, ``u_j = v_b/sqrt|v_b|, a_j = +-sqrt|v_b|``, and any residual gives a lower bound, so that the
minimum is certified by their gap. With all patterns (enumerated exactly in the plane) the lower bound is one for
networks of every width; with sampled patterns it is one for networks whose neurons have those patterns.

References
----------
[1] Pilanci, Ergen, "Neural networks are convex regularizers", 2002.10553.
[2] Bai, Gautam, Sojoudi, "Efficient global optimization of two-layer ReLU networks: quadratic-time algorithms and
adversarial training", 2201.01965.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeWarning

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, as_seed, shown
from gnsopt.objective import Objective
from gnsopt.problems.composite import check_count
from gnsopt.problems.relu_convex import Certificate, ConvexProgram
from gnsopt.problems.squared import check_targets

CERTIFIED = 1e-6  # gap, relative to the value, at which the upper bound is the minimum (chosen)
TINY = float(np.finfo(float).tiny)


@dataclass
class Activations:
    """What f, gradient and curvature share at one point.

    Parameters
    ----------
    S : ndarray of shape (n, m)
        Scores ``X u_j``.
    r : ndarray of shape (n,)
        Residual of the network.
    """

    S: Array
    r: Array


class TwoLayerReLU(Objective):
    """A ReLU network with one hidden layer, squared loss (a sum over the samples) and weight decay.

    The variables are ``(u_1, ..., u_m, a)`` in a row. Derivatives are those of the smooth piece at hand, with the
    derivative 0 of the ReLU at 0.

    Parameters
    ----------
    X : array_like of shape (n, d)
        Samples; append a column of ones for a bias.
    y : array_like of shape (n,)
        Targets.
    neurons : int
        Width m.
    beta : float
        Weight decay, positive.
    seed : int, default=0
        Seed of the start.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from gnsopt.problems import TwoLayerReLU
    >>> problem = TwoLayerReLU([[0, 1], [1, 1], [2, 1]], [0, 1, 0], neurons=4, beta=0.01)
    >>> found = problem.certified_optimum()
    >>> print(f"{found.value:.6f}", found.gap < 1e-9)
    0.034530 True
    """

    def __init__(self, X: ArrayLike, y: ArrayLike, neurons: int, beta: float, seed: int = 0) -> None:
        self.X: Array = as_array(X, "X", finite=False).copy()
        if self.X.ndim != 2 or self.X.size == 0 or not np.isfinite(self.X).all():
            raise ValueError(f"X has shape {self.X.shape}; it must be a finite matrix, samples in rows")
        self.y = check_targets(y, self.X.shape[0])
        self.beta = as_number(beta, "beta")
        if not 0 < self.beta < np.inf:
            raise ValueError(f"beta={shown(beta)} must be positive and finite")
        self.m, self.seed = check_count(neurons, "neurons", 1), as_seed(seed)
        self.d = self.X.shape[1]
        self.n = self.m * (self.d + 1)

    def start(self) -> Array:
        """Return normal weights of the seed."""
        return np.random.default_rng(self.seed).standard_normal(self.n) / np.sqrt(self.m)

    def unpack(self, x: Array) -> tuple[Array, Array]:
        """Return the weights of the two layers, shapes (m, d) and (m,).

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables.

        Returns
        -------
        U, a : ndarray
            Views of x.
        """
        return x[: self.m * self.d].reshape(self.m, self.d), x[self.m * self.d :]

    def prepare(self, x: Array) -> Activations:
        """Return scores and residual."""
        U, a = self.unpack(x)
        with np.errstate(over="ignore", invalid="ignore"):
            S = self.X @ U.T
            return Activations(S, np.maximum(S, 0.0) @ a - self.y)

    def fun(self, x: Array, z: Activations) -> float:
        """Return f."""
        with np.errstate(over="ignore", invalid="ignore"):
            return 0.5 * float(z.r @ z.r) + 0.5 * self.beta * float(x @ x)

    def grad(self, x: Array, z: Activations) -> Array:
        """Return ``J'r + beta x``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._back(x, z, z.r) + self.beta * x

    def hessp(self, x: Array, z: Activations, v: Array) -> Array:
        """Return the product with the Hessian of the piece at hand."""
        (dU, da), (_, a) = self.unpack(v), self.unpack(x)
        on = z.S > 0
        R = (on * z.r[:, None]).T @ self.X  # second derivatives: between u_j and a_j alone
        second = np.concatenate([(R * da[:, None]).ravel(), np.sum(R * dU, axis=1)])
        forward = (on * (self.X @ dU.T)) @ a + np.maximum(z.S, 0.0) @ da
        return self._back(x, z, forward) + second + self.beta * v

    def gauss_newton(self, x: Array, z: Activations) -> Array:
        """Return ``J'J + beta``."""
        _, a = self.unpack(x)
        on = z.S > 0
        J = np.concatenate([((on * a)[:, :, None] * self.X[:, None]).reshape(len(self.y), -1), on * z.S], axis=1)
        return np.asarray(J.T @ J + self.beta * np.eye(self.n))

    def _back(self, x: Array, z: Activations, r: Array) -> Array:
        _, a = self.unpack(x)
        on = (z.S > 0) * r[:, None]
        return np.concatenate([((on * a).T @ self.X).ravel(), np.maximum(z.S, 0.0).T @ r])

    def balanced(self, x: Array) -> Array:
        """Return the weights of the same network with ``|u_j| = |a_j|``, which lowers the penalty.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables.

        Returns
        -------
        ndarray of shape (n,)
            The balanced ones.
        """
        U, a = (part.copy() for part in self.unpack(x))
        sizes, weights = np.linalg.norm(U, axis=1), np.abs(a)
        alive = (sizes > 0) & (weights > 0)
        root = np.sqrt(np.where(alive, weights, 0.0) / np.where(alive, sizes, 1.0))
        U *= root[:, None]
        a = np.where(alive, a / np.where(alive, root, 1.0), 0.0)
        return np.concatenate([U.ravel(), a])

    def convex_program(self, patterns: int | None = None, seed: int = 0) -> ConvexProgram:
        """Return the convex program of all patterns, or of sampled ones.

        Parameters
        ----------
        patterns : int, optional
            Normal vectors that are drawn to sample patterns; by default all patterns, for d at most 2.
        seed : int, default=0
            Seed of the sample.

        Returns
        -------
        ConvexProgram
            The program.
        """
        return ConvexProgram(self.X, self.y, self.beta, patterns, seed)

    def certified_optimum(self, patterns: int | None = None, seed: int = 0, **settings: Any) -> Certificate:
        """Return the global minimum with its certificate; sets `f_star` and `x_star` where it is one.

        That is where the pattern list is complete, the network is wide enough for the solution, and the gap is at most
        1e-6 of the value.

        Parameters
        ----------
        patterns : int, optional
            As in `convex_program`.
        seed : int, default=0
            Seed of the sample.
        **settings : dict
            Those of `ConvexProgram.solve`.

        Returns
        -------
        Certificate
            Value, lower bound, gap, solution.

        Warns
        -----
        OptimizeWarning
            Where the list is complete and the gap is larger: nothing is certified but the two bounds.
        """
        program = self.convex_program(patterns, seed)
        found = program.solve(**settings)
        closed = found.gap <= CERTIFIED * max(abs(found.value), TINY)
        if program.complete and closed and program.neurons(found.v) <= self.m:
            self.f_star = found.value
            self.x_star = self.network(found)
        elif program.complete and not closed:
            text = f"the minimum is not certified: it lies between {found.lower:.6g} and {found.value:.6g}"
            warnings.warn(f"{text}; raise maxiter, or scale X and y to the size of 1", OptimizeWarning, stacklevel=2)
        return found

    def network(self, found: Certificate) -> Array:
        """Return the variables of the network of a solution, padded with neurons of zero.

        Parameters
        ----------
        found : Certificate
            A solution of `convex_program`.

        Returns
        -------
        ndarray of shape (n,)
            Its variables: f there is the value of the program.

        Raises
        ------
        ValueError
            If the network has fewer neurons than the solution has blocks that are not zero.
        """
        V = found.v.reshape(-1, self.d)
        sizes = np.linalg.norm(V, axis=1)
        alive = np.flatnonzero(sizes > 0)
        if alive.size > self.m:
            raise ValueError(f"neurons={self.m}: the solution has {alive.size}; take a wider network")
        U, a = np.zeros((self.m, self.d)), np.zeros(self.m)
        root = np.sqrt(sizes[alive])
        U[: alive.size] = V[alive] / root[:, None]
        a[: alive.size] = np.where(alive < len(V) // 2, root, -root)
        return np.concatenate([U.ravel(), a])

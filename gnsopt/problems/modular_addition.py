r"""Modular addition by a two-layer network of quadratic activations, all p^2 pairs at once.

    score_c(a, b) = sum_j v_cj (u_ja + w_jb)^2,      target  1[c = a + b mod p] - 1/p
    f = sum (score - target)^2 / (2 p^2) + l2/2 |variables|^2

`fourier_network` solves it exactly (l2 = 0) with ``3 (p - 1)`` neurons for odd p: the pairs ``+-w`` leave the products
``4 u_ja w_jb``, and three phases of each frequency leave ``cos(2 pi k (a + b - c)/p)``, whose sum over the frequencies
is the target. For fixed u and w the best v is a ridge regression, `top_layer`.

References
----------
[1] Gromov, "Grokking modular arithmetic", 2301.02679.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_number, as_seed, shown
from gnsopt.objective import Objective
from gnsopt.problems.composite import check_count
from gnsopt.problems.validation import check_variables


@dataclass
class Forward:
    """What f, gradient and curvature share at one point.

    Parameters
    ----------
    U, W, V : ndarray
        The weights, shapes (m, p), (m, p) and (p, m).
    S, Q : ndarray of shape (p^2, m)
        Sums ``u + w`` and their squares.
    R : ndarray of shape (p^2, p)
        Residuals over p^2.
    """

    U: Array
    W: Array
    V: Array
    S: Array
    Q: Array
    R: Array


class ModularAddition(Objective):
    """Modular addition; variables are (U, W, V) in a row.

    Parameters
    ----------
    p : int
        Modulus, at least 2.
    neurons : int
        Width m.
    l2 : float, default=0.0
        Weight decay.
    seed : int, default=0
        Seed of the start.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(self, p: int, neurons: int, l2: float = 0.0, seed: int = 0) -> None:
        self.p, self.m = check_count(p, "p", 2), check_count(neurons, "neurons", 1)
        self.l2, self.seed, self.n = as_number(l2, "l2"), as_seed(seed), 3 * self.p * self.m
        if not 0 <= self.l2 < np.inf:
            raise ValueError(f"l2={shown(l2)} must be finite and at least 0")
        a, b = np.divmod(np.arange(self.p**2), self.p)
        self.a, self.b, self.sums = a, b, (a + b) % self.p
        self.target = np.eye(self.p)[self.sums] - 1 / self.p
        if self.l2 == 0 and self.p % 2 and self.m >= 3 * (self.p - 1):
            self.f_star = 0.0

    def start(self) -> Array:
        """Return normal weights of the seed, of variance 1 over the modulus."""
        return np.random.default_rng(self.seed).standard_normal(self.n) / np.sqrt(self.p)

    def unpack(self, x: Array) -> tuple[Array, Array, Array]:
        """Return the weights as views of x.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables.

        Returns
        -------
        U, W, V : ndarray
            Shapes (m, p), (m, p) and (p, m).
        """
        U, W, V = x.reshape(3, -1)
        return U.reshape(self.m, self.p), W.reshape(self.m, self.p), V.reshape(self.p, self.m)

    def prepare(self, x: Array) -> Forward:
        """Return sums, squares and residuals."""
        U, W, V = self.unpack(x)
        with np.errstate(over="ignore", invalid="ignore"):
            S = U.T[self.a] + W.T[self.b]
            Q = S * S
            return Forward(U, W, V, S, Q, (Q @ V.T - self.target) / self.p**2)

    def fun(self, x: Array, z: Forward) -> float:
        """Return f."""
        with np.errstate(over="ignore", invalid="ignore"):
            return 0.5 * self.p**2 * float(np.sum(z.R * z.R)) + 0.5 * self.l2 * float(x @ x)

    def grad(self, x: Array, z: Forward) -> Array:
        """Return the gradient."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._gather(2 * z.S * (z.R @ z.V), z.R.T @ z.Q) + self.l2 * x

    def hessp(self, x: Array, z: Forward, v: Array) -> Array:
        """Return the product with the Hessian."""
        dU, dW, dV = self.unpack(v)
        dS = dU.T[self.a] + dW.T[self.b]
        dQ = 2 * z.S * dS
        dR = (dQ @ z.V.T + z.Q @ dV.T) / self.p**2
        inner = 2 * dS * (z.R @ z.V) + 2 * z.S * (dR @ z.V + z.R @ dV)
        return self._gather(inner, dR.T @ z.Q + z.R.T @ dQ) + self.l2 * v

    def _gather(self, T: Array, G: Array) -> Array:
        """Return ``(sum over b of T, sum over a of T, G)`` as a vector."""
        cube = T.reshape(self.p, self.p, self.m)
        return np.concatenate([cube.sum(axis=1).T.ravel(), cube.sum(axis=0).T.ravel(), G.ravel()])

    def accuracy(self, x: Array) -> float:
        """Return the part of the pairs whose largest score is that of their sum.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables.

        Returns
        -------
        float
            The part.
        """
        z = self.prepare(check_variables(x, self.n))
        return float(np.mean(np.argmax(z.Q @ z.V.T, axis=1) == self.sums))

    def top_layer(self, x: Array) -> Array:
        """Return the variables with the best last layer for the first one at hand: variable projection.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables.

        Returns
        -------
        ndarray of shape (n,)
            The variables with V replaced; the derivative of f in V vanishes there.
        """
        z, root = self.prepare(x), self.p * np.sqrt(self.l2)
        rows = np.vstack([z.Q, root * np.eye(self.m)])
        V = np.linalg.lstsq(rows, np.vstack([self.target, np.zeros((self.m, self.p))]), rcond=None)[0].T
        return np.concatenate([x[: -V.size], V.ravel()])

    def fourier_network(self) -> Array:
        """Return the exact solution for ``l2 = 0``, padded with neurons of zero.

        Returns
        -------
        ndarray of shape (n,)
            Its variables.

        Raises
        ------
        ValueError
            If p is even or there are fewer than ``3 (p - 1)`` neurons.
        """
        if self.p % 2 == 0 or self.m < 3 * (self.p - 1):
            raise ValueError(f"p={self.p} must be odd and neurons={self.m} at least 3 (p - 1) = {3 * (self.p - 1)}")
        U, W, V = (part.copy() for part in self.unpack(np.zeros(self.n)))
        at, c, j = 2 * np.pi / self.p, np.arange(self.p), 0
        for k in range(1, (self.p - 1) // 2 + 1):
            for phase in np.pi / 3 * np.arange(3):
                for side in (1.0, -1.0):
                    U[j], W[j] = np.cos(at * k * c + phase), side * np.cos(at * k * c + phase)
                    # sum over sides and phases: 3 cos(2 pi k (a + b - c)/p); the target is 2/p of the sum over k
                    V[:, j] = side * np.cos(at * k * c + 2 * phase) * 2 / (3 * self.p)
                    j += 1
        return np.concatenate([U.ravel(), W.ravel(), V.ravel()])

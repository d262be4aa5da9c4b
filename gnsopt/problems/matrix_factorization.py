r"""A linear network of two layers: least squares over matrices of low rank, not convex, with a known minimum.

    f(U, W) = |X W' U' - Y|_F^2 / (2 n),      U of shape (outputs, rank), W of shape (rank, inputs)

Every local minimum is global. The minimum is that of reduced-rank regression: the residual of least squares, plus the
squares of the singular values of its fit beyond the rank, over 2 n.

References
----------
[1] Baldi, Hornik, "Neural networks and principal component analysis", Neural Networks 2 (1989).
[2] Lavington, Vaswani, Babanezhad, Schmidt, Le Roux, "Target-based surrogates for stochastic optimization", 2302.02607.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_seed
from gnsopt.objective import Objective
from gnsopt.problems.composite import check_count


@dataclass
class Layers:
    """What f, gradient and curvature share at one point.

    Parameters
    ----------
    U, W : ndarray
        The two layers.
    Z : ndarray of shape (n, rank)
        ``X W'``.
    R : ndarray of shape (n, outputs)
        ``(Z U' - Y)/n``.
    """

    U: Array
    W: Array
    Z: Array
    R: Array


class MatrixFactorization(Objective):
    """A linear network of two layers with squared loss, a mean over the samples; variables are (U, W) in a row.

    Parameters
    ----------
    X : array_like of shape (n, inputs)
        Samples.
    Y : array_like of shape (n, outputs)
        Targets.
    rank : int
        Width of the hidden layer.
    seed : int, default=0
        Seed of the start.

    Raises
    ------
    ValueError
        If shapes differ, data are not finite or ``rank < 1``.
    """

    def __init__(self, X: ArrayLike, Y: ArrayLike, rank: int, seed: int = 0) -> None:
        self.X: Array = as_array(X, "X", finite=False).copy()
        self.Y: Array = as_array(Y, "Y", finite=False).copy()
        fits = self.X.ndim == 2 == self.Y.ndim and self.X.shape[0] == self.Y.shape[0] and self.X.size * self.Y.size > 0
        if not (fits and np.isfinite(self.X).all() and np.isfinite(self.Y).all()):
            raise ValueError(f"X has shape {self.X.shape} and Y {self.Y.shape}; they must be finite, with as many rows")
        self.rank, self.seed = check_count(rank, "rank", 1), as_seed(seed)
        self.cut = self.Y.shape[1] * self.rank
        self.n = self.cut + self.rank * self.X.shape[1]

    @classmethod
    def synthetic(cls, condition: float = 1e10, rank: int = 6, seed: int = 0) -> MatrixFactorization:
        """Return the ill-conditioned problem of [2]: 1000 normal samples in R^6, 10 outputs ``A x`` without noise.

        Parameters
        ----------
        condition : float, default=1e10
            A is a uniform matrix whose rows are scaled from 1 down to its inverse, linearly.
        rank : int, default=6
            Width of the hidden layer.
        seed : int, default=0
            Seed of data and start.

        Returns
        -------
        MatrixFactorization
            The problem.
        """
        rng = np.random.default_rng(seed)
        A = np.linspace(1, 1 / condition, 10)[:, None] * rng.random((10, 6))
        X = rng.standard_normal((1000, 6))
        return cls(X, X @ A.T, rank, seed)

    def start(self) -> Array:
        """Return normal weights of the seed, of variance 1 over the rank."""
        return np.random.default_rng(self.seed).standard_normal(self.n) / np.sqrt(self.rank)

    def unpack(self, x: Array) -> tuple[Array, Array]:
        """Return the two layers as views of x.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables.

        Returns
        -------
        U, W : ndarray
            Shapes (outputs, rank) and (rank, inputs).
        """
        return x[: self.cut].reshape(-1, self.rank), x[self.cut :].reshape(self.rank, -1)

    def prepare(self, x: Array) -> Layers:
        """Return the layers and the residual."""
        U, W = self.unpack(x)
        with np.errstate(over="ignore", invalid="ignore"):
            Z = self.X @ W.T
            return Layers(U, W, Z, (Z @ U.T - self.Y) / len(self.X))

    def fun(self, x: Array, z: Layers) -> float:
        """Return f."""
        with np.errstate(over="ignore", invalid="ignore"):
            return 0.5 * len(self.X) * float(np.sum(z.R * z.R))

    def grad(self, x: Array, z: Layers) -> Array:
        """Return ``(R'Z, U'R'X)``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.concatenate([(z.R.T @ z.Z).ravel(), (z.U.T @ (z.R.T @ self.X)).ravel()])

    def hessp(self, x: Array, z: Layers, v: Array) -> Array:
        """Return the product with the Hessian."""
        dU, dW = self.unpack(v)
        dZ = self.X @ dW.T
        dR = (z.Z @ dU.T + dZ @ z.U.T) / len(self.X)
        there = z.U.T @ (dR.T @ self.X) + dU.T @ (z.R.T @ self.X)
        return np.concatenate([(dR.T @ z.Z + z.R.T @ dZ).ravel(), there.ravel()])

    def gauss_newton(self, x: Array, z: Layers) -> Array:
        """Return ``J'J/n``: products of the second moments of Z and X with identities and U."""
        n, outputs = len(self.X), self.Y.shape[1]
        ZX = z.Z.T @ self.X / n
        top = np.kron(np.eye(outputs), z.Z.T @ z.Z / n)
        side = np.einsum("oq,ki->okqi", z.U, ZX).reshape(self.cut, -1)
        return np.block([[top, side], [side.T, np.kron(z.U.T @ z.U, self.X.T @ self.X / n)]])

    def certified_optimum(self) -> float:
        """Return the minimum in closed form, and set `f_star`.

        Returns
        -------
        float
            The minimum.
        """
        fit = self.X @ np.linalg.lstsq(self.X, self.Y, rcond=None)[0]
        tail = np.linalg.svd(fit, compute_uv=False)[self.rank :]
        self.f_star = 0.5 * float(np.sum((self.Y - fit) ** 2) + np.sum(tail**2)) / len(self.X)
        return self.f_star

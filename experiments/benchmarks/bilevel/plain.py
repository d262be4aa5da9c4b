"""Logistic and softmax regression in plain NumPy and SciPy, for the peers: nothing of ours is in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import log_softmax, softmax


class Plain:
    """Mean loss of softmax scores (logistic for two classes) plus ``sum_j e^theta_j w_j^2 / 2``; work is counted."""

    def __init__(self, train: tuple[Any, Any], validation: tuple[Any, Any], groups: str) -> None:
        self.X, self.Xv = train[0], validation[0]
        self.classes, y = np.unique(train[1], return_inverse=True)
        self.k = 1 if self.classes.size == 2 else self.classes.size
        self.y, self.yv = y, np.searchsorted(self.classes, validation[1])
        self.n = self.X.shape[1] * self.k
        feature, output = np.divmod(np.arange(self.n), self.k)
        self.group = {"single": 0 * feature, "class": output, "feature": feature, "weight": np.arange(self.n)}[groups]
        self.d = int(self.group.max()) + 1
        self.work = 0

    def loss(self, X: Any, y: Any, w: Any) -> tuple[float, Any, Any]:
        """Return mean loss, gradient and probabilities."""
        Z = X @ w.reshape(-1, self.k)
        if self.k == 1:
            Z = np.hstack([np.zeros_like(Z), Z])
        P, m = softmax(Z, axis=1), len(y)
        value = -log_softmax(Z, axis=1)[np.arange(m), y].mean()
        R = P.copy()
        R[np.arange(m), y] -= 1
        self.work += 1
        return float(value), np.asarray(X.T @ (R[:, -self.k :] / m)).ravel(), P

    def product(self, P: Any, penalty: Any, v: Any) -> Any:
        """Return the product of the Hessian with v."""
        self.work += 1
        U = self.X @ v.reshape(-1, self.k)
        if self.k == 1:
            D = (P[:, :1] * P[:, 1:]) * U
        else:
            D = P * U
            D -= P * D.sum(axis=1, keepdims=True)
        return np.asarray(self.X.T @ (D / len(self.y))).ravel() + penalty * v

    def diagonal(self, P: Any, penalty: Any) -> Any:
        """Return the diagonal of the Hessian."""
        self.work += 1
        S = (P * (1 - P))[:, -self.k :] / len(self.y)
        squares = self.X.multiply(self.X).T if hasattr(self.X, "multiply") else (self.X * self.X).T
        return np.asarray(squares @ S).ravel() + penalty

    def solve(self, P: Any, penalty: Any, b: Any, x0: Any, tol: float, jacobi: bool) -> Any:
        """Solve with the Hessian by conjugate gradients to an absolute residual."""
        H = LinearOperator((self.n, self.n), matvec=lambda v: self.product(P, penalty, v), dtype=float)
        M = None
        if jacobi:
            d = self.diagonal(P, penalty)
            M = LinearOperator((self.n, self.n), matvec=lambda r: r / d, dtype=float)
        return cg(H, b, x0=x0, rtol=0.0, atol=tol, maxiter=5000, M=M)[0]

    def lower(self, w: Any, theta: Any, tol: float, jacobi: bool) -> tuple[Any, Any]:
        """Minimise the lower level from w by Newton-CG with Armijo; return w and the probabilities there."""
        penalty = np.exp(theta)[self.group]

        def value(w: Any) -> tuple[float, Any, Any]:
            f, g, P = self.loss(self.X, self.y, w)
            return f + 0.5 * float(w @ (penalty * w)), g + penalty * w, P

        f, g, P = value(w)
        for _ in range(100):
            size = np.linalg.norm(g)
            if size <= tol:
                break
            step = -self.solve(P, penalty, g, None, max(0.1 * tol, min(0.1, size**0.5) * size), jacobi)
            t, slope = 1.0, float(g @ step)
            for _ in range(40):
                new = value(w + t * step)
                if new[0] <= f + 1e-4 * t * slope or np.linalg.norm(new[1]) < size:
                    break
                t /= 2
            else:
                break
            w, (f, g, P) = w + t * step, new
        return w, P

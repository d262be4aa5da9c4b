r"""Block-diagonal Kronecker products, ``blockdiag(A_l (x) G_l + diag(ridge_l) (x) I)``, and inverses of averages.

Variables of a block are ``vec(V)`` of V of shape (p, q) in C order, so that the product is ``A V G + ridge V``. With
``G = Q diag(g) Q'``, ``D`` the metric (one number for each row of V) and ``A = D^{1/2} P diag(a) P' D^{1/2}``,

    (H + lam B)^{-1} B_0  =  D^{-1/2} P [ (P' D^{-1/2} B_0 Q) / (a_i g_j + rho + lam) ] Q'      where ridge = rho D;

elsewhere column j of ``B_0 Q`` is solved with ``g_j A + diag(ridge + lam D)``. Both are exact for the shifted matrix;
the damping ``(A + sqrt(lam) pi)`` (x) ``(G + sqrt(lam)/pi)`` of the K-FAC papers is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, lapack

from gnsopt._typing import Array
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.linalg.design import DENSE_PASS
from gnsopt.linalg.forms import Form, Shifted, noise
from gnsopt.linalg.metric import Metric

VARIANTS = ("exact", "printed", "released")


@dataclass(frozen=True)
class Block:
    """``A (x) G + diag(ridge) (x) I`` for variables of shape (p, q).

    Parameters
    ----------
    A : ndarray of shape (p, p)
        Moment of the inputs, positive semidefinite.
    G : ndarray of shape (q, q)
        Moment of the output gradients, positive semidefinite.
    ridge : ndarray of shape (p,)
        Non-negative.
    """

    A: Array
    G: Array
    ridge: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the variables."""
        return self.A.shape[0], self.G.shape[0]

    def matvec(self, V: Array) -> Array:
        """Return ``A V G + ridge V``."""
        return np.asarray(self.A @ V @ self.G + self.ridge[:, None] * V)


class KroneckerForm(Form):
    """The block-diagonal matrix of some blocks.

    Parameters
    ----------
    blocks : list of Block
        In the order of the variables.
    """

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self._ends = np.cumsum([0] + [p * q for p, q in (block.shape for block in blocks)])
        self.n = int(self._ends[-1])
        self.product_price = DENSE_PASS * sum(p * q * (p + q) for p, q in (block.shape for block in blocks))
        self.dense_price = float(sum((p * q) ** 2 for p, q in (block.shape for block in blocks)))

    def split(self, v: Array) -> list[Array]:
        """Return the variables of each block as a matrix, views of `v`."""
        parts = zip(self._ends[:-1], self._ends[1:], self.blocks, strict=True)
        return [v[a:b].reshape(block.shape) for a, b, block in parts]

    def matvec(self, v: Array) -> Array:
        """Return the product, block by block."""
        return _joined([block.matvec(V) for block, V in zip(self.blocks, self.split(v), strict=True)])

    def diagonal(self) -> Array:
        """Return the diagonal."""
        return _joined([np.outer(b.A.diagonal(), b.G.diagonal()) + b.ridge[:, None] for b in self.blocks])

    def lower(self) -> Array:
        """Return the dense matrix."""
        H = np.zeros((self.n, self.n), order="F")
        for a, b, block in zip(self._ends[:-1], self._ends[1:], self.blocks, strict=True):
            H[a:b, a:b] = np.kron(block.A, block.G)
            H[a:b, a:b].flat[:: b - a + 1] += np.repeat(block.ridge, block.shape[1])
        return H

    def structured(self, metric: Metric) -> Shifted | None:
        """Return solves in the eigenbases, where the metric is diagonal and the same for all columns of each V."""
        if metric.diagonal is None:
            return None
        d = np.broadcast_to(metric.diagonal, self.n).astype(float)
        parts = self.split(d)
        if any((part != part[:, :1]).any() for part in parts):
            return None
        return KroneckerShifted(self, [part[:, 0].copy() for part in parts], d)


class KroneckerShifted(Shifted):
    """Shifted solves of a `KroneckerForm`.

    Parameters
    ----------
    form : KroneckerForm
        The matrix.
    scales : list of ndarray of shape (p,)
        The metric of each row of each V.
    d : ndarray of shape (n,)
        The metric.
    """

    def __init__(self, form: KroneckerForm, scales: list[Array], d: Array) -> None:
        self._form = form
        self._bases = [_Basis(block, scale) for block, scale in zip(form.blocks, scales, strict=True)]
        self.lam_noise = noise(form.diagonal(), d)

    def solve(self, lam: float, b: Array) -> Array:
        """Solve block by block."""
        return _joined([basis.solve(lam, B) for basis, B in zip(self._bases, self._form.split(b), strict=True)])


class _Basis:
    """One block in its eigenbases."""

    def __init__(self, block: Block, scale: Array) -> None:
        self._block, self._scale, self._root = block, scale, np.sqrt(scale)[:, None]
        self._g, self._Q = _eigen(block.G)
        ratio = block.ridge / scale
        self._uniform = float(ratio[0]) if np.all(ratio == ratio[0]) else None
        if self._uniform is not None:
            self._a, self._P = _eigen(block.A / self._root / self._root[:, 0])
        self._lam: float | None = None
        self._factors: list[Array] = []

    def solve(self, lam: float, B: Array) -> Array:
        Y = B @ self._Q
        if self._uniform is not None:
            total = np.outer(self._a, self._g) + (self._uniform + lam)
            if not np.all(total > 0):
                raise NotPositiveDefinite(f"Kronecker product and lam = {lam}")
            return np.asarray((self._P @ ((self._P.T @ (Y / self._root)) / total)) / self._root @ self._Q.T)
        if lam != self._lam:
            self._factorise(lam)
        for j, L in enumerate(self._factors):
            Y[:, j] = lapack.dpotrs(L, Y[:, j], lower=1)[0]
        return np.asarray(Y @ self._Q.T)

    def _factorise(self, lam: float) -> None:
        self._lam, self._factors = None, []
        shift = self._block.ridge + lam * self._scale
        for g in self._g:
            M = np.asfortranarray(g * self._block.A)
            M.flat[:: M.shape[0] + 1] += shift
            L, info = lapack.dpotrf(M, lower=1, overwrite_a=1, clean=0)
            if info != 0:
                raise NotPositiveDefinite(f"Kronecker product and lam = {lam}")
            self._factors.append(L)
        self._lam = lam


def _eigen(M: Array) -> tuple[Array, Array]:
    """Eigenpairs of a positive semidefinite matrix, those below zero by rounding set to zero."""
    if not np.isfinite(M).all():
        raise StepFailure("a Kronecker factor is not finite")
    s, V = eigh(M, check_finite=False)
    return np.maximum(s, 0.0), V


def _joined(parts: list[Array]) -> Array:
    return np.concatenate([part.ravel() for part in parts])


def average_inverse(inverse: Array, V: Array, gamma: float, variant: str = "exact") -> Array:
    r"""Return the inverse of ``gamma L + (1 - gamma) V V'`` from that of L: MKOR's update [1] of rank r.

    Parameters
    ----------
    inverse : ndarray of shape (n, n)
        ``L^{-1}``, symmetric.
    V : ndarray of shape (n,) or (n, r)
        Vectors; their mean products are in them, so that ``V V'`` is the new matrix.
    gamma : float
        Weight of the old matrix, in (0, 1).
    variant : {"exact", "printed", "released"}, default="exact"
        Sherman, Morrison and Woodbury's formula,
        ``[L^{-1} - (1 - gamma) L^{-1} V (gamma I + (1 - gamma) V' L^{-1} V)^{-1} V' L^{-1}] / gamma``. For study only,
        and for one vector: what [1] prints (a plus and gamma in place of 1/gamma, so that the matrix shrinks along V
        where it should grow), and what its authors' code does (the inverse of ``(0.95 L^{-1} + 0.05 I)^{-1} + v v'``).

    Returns
    -------
    ndarray of shape (n, n)
        The inverse.

    Raises
    ------
    ValueError
        If gamma lies outside (0, 1) or the variant is unknown.

    References
    ----------
    [1] Mozaffari, Li, Zhang, Dehnavi, "MKOR: momentum-enabled Kronecker-factor-based optimizer using rank-1 updates",
       2306.01685.
    """
    if not 0 < gamma < 1:
        raise ValueError(f"gamma={gamma} must lie in (0, 1)")
    if variant not in VARIANTS:
        raise ValueError(f"variant={variant!r} is unknown; choose one of {VARIANTS}")
    V = V[:, None] if V.ndim == 1 else V
    if variant == "exact":
        X = inverse @ V
        inner = gamma * np.eye(V.shape[1]) + (1 - gamma) * (V.T @ X)
        out = (inverse - (1 - gamma) * (X @ np.linalg.solve(inner, X.T))) / gamma
        return np.asarray((out + out.T) / 2)
    if V.shape[1] != 1:
        raise ValueError(f"variant={variant!r} is for one vector; V has {V.shape[1]}")
    if variant == "released":
        inverse = 0.95 * inverse + 0.05 * np.eye(len(inverse))
    x = inverse @ V
    along = float((V.T @ x)[0, 0])
    if variant == "released":
        return np.asarray(inverse - (x @ x.T) / (1 + along))
    return np.asarray(gamma * inverse + (1 - gamma) / (gamma**2 * (1 + gamma * (1 - gamma) * along)) * (x @ x.T))

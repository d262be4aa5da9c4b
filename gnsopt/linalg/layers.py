"""What a dense layer gives to a curvature of the form ``J' blockdiag(S_i) J``: inputs and roots in its outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnsopt._typing import Array


@dataclass(frozen=True)
class Layer:
    r"""One layer ``s = a V`` of a network, or a whole linear model.

    With ``u_{ic}`` the gradients in s of the c-th root, the layer's block is ``sum_{ic} (a_i (x) u_ic)(a_i (x)
    u_ic)'``.

    Parameters
    ----------
    inputs : ndarray of shape (n_samples, p)
        ``a_i``, with the column of ones of a bias.
    weight : ndarray of shape (n_samples,)
        Weights of the samples, which sum to one.
    roots : list of ndarray of shape (n_samples, q)
        ``u_ic`` for each c, the weights of the samples included.
    shape : tuple of int
        ``(p, q)`` of its variables, flattened in C order.
    ridge : ndarray of shape (p,)
        Penalty of each row of V.
    """

    inputs: Array
    weight: Array
    roots: list[Array]
    shape: tuple[int, int]
    ridge: Array

    def input_moment(self) -> Array:
        """Return ``sum_i w_i a_i a_i'``."""
        return np.asarray((self.inputs * self.weight[:, None]).T @ self.inputs)

    def output_moment(self) -> Array:
        """Return ``sum_{ic} u_ic u_ic'``."""
        q = self.shape[1]
        return sum((u.T @ u for u in self.roots), start=np.zeros((q, q)))

    def diagonal(self) -> Array:
        """Return the diagonal of the layer's block, shape (p q,)."""
        total = sum((u * u for u in self.roots), start=np.zeros((len(self.weight), self.shape[1])))
        return np.asarray(((self.inputs * self.inputs).T @ total).ravel())

    def rows(self, part: slice = slice(None)) -> Array:
        """Return the vectors ``a_i (x) u_ic`` of some samples, shape (len(roots) * samples, p q)."""
        a = self.inputs[part]
        if not self.roots:
            return np.zeros((0, a.shape[1] * self.shape[1]))
        return np.vstack([(a[:, :, None] * u[part][:, None, :]).reshape(a.shape[0], -1) for u in self.roots])

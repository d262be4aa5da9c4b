r"""A small full-batch network of dense layers with exact products of its Hessian and its Gauss-Newton matrix.

    a_0 = X,   s_l = [a_{l-1}, 1] V_l,   a_l = phi(s_l),   Z = s_L,        f(V) = sum_i w_i loss(Z_i) + l2/2 |weights|^2
    d_L = w loss'(Z),   d_{l-1} = phi'(s_{l-1}) (d_l W_l'),                grad_l = [a_{l-1}, 1]' d_l + l2 W_l
    Gauss-Newton = J' S J + l2,   J = dZ/dV,   S = hess of the loss in Z;  hess = Gauss-Newton + sum_i d_i hess Z_i

Products follow from differentiating these lines (Pearlmutter's R-operator). Every V_l, of shape (fan_in + 1, width)
with the biases in its last row, is flattened in C order. Conventions are those of the linear models: the weights of the
samples sum to one, and biases have no penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_array, as_number, as_seed, check_name, shown
from gnsopt.kernels import softmax as kernel
from gnsopt.linalg.design import DENSE_PASS
from gnsopt.linalg.forms import Form
from gnsopt.linalg.layers import Layer
from gnsopt.linalg.rows import DiagonalRows, OuterRows, Rows, SoftmaxRows
from gnsopt.objective import Objective
from gnsopt.problems.validation import check_design, check_labels, check_rows, check_variables, check_weights

LOSSES = ("softmax", "squared")


def _tanh(s: Array) -> tuple[Array, Array, Array]:
    a = np.tanh(s)
    slope = 1.0 - a * a
    return a, slope, -2.0 * a * slope


def _softplus(s: Array) -> tuple[Array, Array, Array]:
    e = np.exp(-np.abs(s))
    p = np.where(s < 0, e, 1.0) / (1.0 + e)
    return np.maximum(s, 0.0) + np.log1p(e), p, e / (1.0 + e) ** 2


def _linear(s: Array) -> tuple[Array, Array, Array]:
    return s, np.ones_like(s), np.zeros_like(s)


ACTIVATIONS = {"tanh": _tanh, "softplus": _softplus, "linear": _linear}


@dataclass
class Pass:
    """What f, gradient and curvature share at one x; the deltas are filled in at their first use.

    Parameters
    ----------
    V : list of ndarray
        Weights and biases of each layer, views of x.
    a : list of ndarray of shape (n_samples, fan_in + 1)
        Inputs of each layer with their column of ones.
    slope, bend : list of ndarray of shape (n_samples, width)
        First and second derivative of the activation of each hidden layer.
    Z : ndarray of shape (n_samples, k)
        Outputs of the last layer.
    loss : float
        Weighted loss, without the penalty.
    R : ndarray of shape (n_samples, k)
        Its gradient in Z.
    cache : ndarray
        What the Hessian of the loss needs: class probabilities.
    deltas : list of ndarray, optional
        Gradients of the loss in the s_l.
    """

    V: list[Array]
    a: list[Array]
    slope: list[Array]
    bend: list[Array]
    Z: Array
    loss: float
    R: Array
    cache: Array
    deltas: list[Array] = field(default_factory=list)


class MLP(Objective):
    """A network of dense layers, mean loss plus ``l2/2 |weights|^2``; not convex unless it has no hidden layer.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_samples, n_features)
        Samples in rows; stored dense.
    y : array_like of shape (n_samples,) or (n_samples, k)
        Labels of at least two classes for ``loss="softmax"``, targets for ``loss="squared"``.
    hidden : sequence of int, default=(16,)
        Widths of the hidden layers; none makes a linear model.
    activation : {"tanh", "softplus", "linear"}, default="tanh"
        phi of the hidden layers.
    loss : {"softmax", "squared"}, default="softmax"
        Cross-entropy, or ``|z - y|^2 / 2``.
    l2 : float, default=0.0
        Penalty on the weights, not on the biases.
    sample_weight : array_like of shape (n_samples,), optional
        Non-negative; the loss is the weighted mean.
    seed : int, default=0
        Seed of the start: weights normal with variance ``1/fan_in``, biases zero.

    Attributes
    ----------
    shapes : list of tuple of int
        ``(fan_in + 1, width)`` of each layer.
    classes : ndarray of shape (k,) or None
        The sorted labels.

    Raises
    ------
    ValueError
        For data that are not finite, unknown names, widths below one, a negative penalty or weight.
    """

    def __init__(
        self,
        X: Any,
        y: ArrayLike,
        hidden: Sequence[int] = (16,),
        activation: str = "tanh",
        loss: str = "softmax",
        l2: float = 0.0,
        sample_weight: ArrayLike | None = None,
        seed: int = 0,
    ) -> None:
        X = check_design(X)
        dense = X if isinstance(X, np.ndarray) else X.toarray()
        self._input = np.hstack([dense, np.ones((dense.shape[0], 1))])
        check_name(activation, "activation", ACTIVATIONS)
        check_name(loss, "loss", LOSSES)
        self.loss, self.l2, self.seed, self._phi = loss, _check_penalty(l2), as_seed(seed), ACTIVATIONS[activation]
        self.weight = check_weights(sample_weight, dense.shape[0])
        self.classes: Array | None = None
        if loss == "softmax":
            self._label, self.classes = check_labels(y, dense.shape[0])
            self.k = int(self.classes.size)
            if self.k < 2:
                raise ValueError("y has 1 class; MLP needs at least two for loss='softmax'")
        else:
            self._target = _check_targets(y, dense.shape[0])
            self.k = self._target.shape[1]
        widths = [dense.shape[1], *_check_widths(hidden), self.k]
        self.shapes = [(p + 1, q) for p, q in zip(widths[:-1], widths[1:], strict=True)]
        ends = np.cumsum([0] + [p * q for p, q in self.shapes])
        self._slices = [slice(int(a), int(b)) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        self.n = int(ends[-1])
        self.ridge = np.concatenate([np.repeat(self._layer_ridge(p), q) for p, q in self.shapes])
        self.convex = len(self.shapes) == 1
        self.product_price = 6 * DENSE_PASS * dense.shape[0] * sum(p + q for p, q in self.shapes) + (
            6.0 * dense.shape[0] * self.n
        )

    def _layer_ridge(self, rows: int) -> Array:
        ridge = np.full(rows, self.l2)
        ridge[-1] = 0.0
        return ridge

    def start(self) -> Array:
        """Return normal weights of variance ``1/fan_in`` and zero biases; zero is a saddle point."""
        rng = np.random.default_rng(self.seed)
        x = np.zeros(self.n)
        for (p, q), part in zip(self.shapes, self._slices, strict=True):
            V = x[part].reshape(p, q)
            V[:-1] = rng.standard_normal((p - 1, q)) / np.sqrt(p - 1)
        return x

    def unpack(self, x: Array) -> list[Array]:
        """Return the ``V_l`` of shape (fan_in + 1, width) as views of `x`."""
        return [x[part].reshape(shape) for part, shape in zip(self._slices, self.shapes, strict=True)]

    # ------------------------------------------------------------------------------------------ value, gradient

    def prepare(self, x: Array) -> Pass:
        """Run the network and its loss."""
        V = self.unpack(x)
        with np.errstate(over="ignore", invalid="ignore"):  # not finite is an answer here: the trial is rejected
            a, slope, bend = [self._input], [], []
            for layer in V[:-1]:
                value, first, second = self._phi(a[-1] @ layer)
                a.append(_with_ones(value))
                slope.append(first)
                bend.append(second)
            Z = a[-1] @ V[-1]
            loss, R, cache = self._loss(Z)
        return Pass(V, a, slope, bend, Z, loss, R, cache)

    def _loss(self, Z: Array) -> tuple[float, Array, Array]:
        R = np.empty_like(Z)
        if self.loss == "squared":
            np.subtract(Z, self._target, out=R)
            loss = 0.5 * float(self.weight @ np.einsum("ij,ij->i", R, R))
            R *= self.weight[:, None]
            return loss, R, Z
        top = Z.max(axis=1)
        P = np.exp(Z - top[:, None])
        return float(kernel.loss_residual(Z, top, P, self._label, self.weight, R)), R, P

    def fun(self, x: Array, z: Pass) -> float:
        """Return the weighted mean loss plus the penalty."""
        with np.errstate(over="ignore", invalid="ignore"):
            return z.loss + 0.5 * float(x @ (self.ridge * x))

    def grad(self, x: Array, z: Pass) -> Array:
        """Return the gradient by one pass backwards."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.pullback(z, z.R, self._deltas(z)) + self.ridge * x

    def _deltas(self, z: Pass) -> list[Array]:
        if not z.deltas:
            z.deltas.extend(self._backward(z, z.R))
        return z.deltas

    def _backward(self, z: Pass, U: Array) -> list[Array]:
        """Gradients of ``<U, Z>`` in the s_l, first layer first."""
        deltas = [U]
        for layer, slope in zip(reversed(z.V[1:]), reversed(z.slope), strict=True):
            deltas.append(slope * (deltas[-1] @ layer[:-1].T))
        return deltas[::-1]

    def pullback(self, z: Pass, U: Array, deltas: list[Array] | None = None) -> Array:
        """Return ``J' U``.

        Parameters
        ----------
        z : Pass
            Shared work at x.
        U : ndarray of shape (n_samples, k)
            A direction in the outputs.
        deltas : list of ndarray, optional
            Its gradients in the s_l, where they are known.

        Returns
        -------
        ndarray of shape (n,)
            The gradient of ``<U, Z>``.
        """
        deltas = self._backward(z, U) if deltas is None else deltas
        return np.concatenate([(a.T @ d).ravel() for a, d in zip(z.a, deltas, strict=True)])

    def pushforward(self, z: Pass, v: Array) -> Array:
        """Return ``J v`` of shape (n_samples, k)."""
        return self._forward(z, self.unpack(v))[-1]

    def _forward(self, z: Pass, D: list[Array]) -> list[Array]:
        """Derivatives of the s_l along the direction."""
        found = [z.a[0] @ D[0]]
        for a, slope, layer, d in zip(z.a[1:], z.slope, z.V[1:], D[1:], strict=True):
            found.append((slope * found[-1]) @ layer[:-1] + a @ d)
        return found

    # ------------------------------------------------------------------------------------------------ curvature

    def hessp(self, x: Array, z: Pass, v: Array) -> Array:
        """Return the exact product with the Hessian: about the price of three gradients."""
        deltas, D = self._deltas(z), self.unpack(v)
        along = self._forward(z, D)
        out: list[Array] = []
        turned = self.outer(z).apply(along[-1])
        for l in range(len(self.shapes) - 1, -1, -1):
            H = z.a[l].T @ turned
            if l > 0:
                H[:-1] += (z.slope[l - 1] * along[l - 1]).T @ deltas[l]
                back = deltas[l] @ z.V[l][:-1].T
                turned = z.slope[l - 1] * (turned @ z.V[l][:-1].T + deltas[l] @ D[l][:-1].T)
                turned += z.bend[l - 1] * along[l - 1] * back
            out.append(H.ravel())
        return np.concatenate(out[::-1]) + self.ridge * v

    def outer(self, z: Pass) -> Rows:
        """Return the blocks ``S_i`` of the Hessian of the loss in the outputs, the weights of the samples included."""
        if self.loss == "squared":
            return DiagonalRows(np.repeat(self.weight[:, None], self.k, axis=1))
        return SoftmaxRows(z.cache, self.weight)

    def gauss_newton(self, x: Array, z: Pass) -> Form:
        """Return ``J' S J + l2``."""
        return NetworkForm(self, z, self.outer(z))

    def fisher(self, x: Array, z: Pass) -> Form:
        """Return ``sum_i w_i grad l_i grad l_i' + l2`` of the per-sample gradients."""
        w = self.weight[:, None]
        return NetworkForm(self, z, OuterRows(np.divide(z.R, w, out=np.zeros_like(z.R), where=w > 0), self.weight))

    def layers(self, x: Array, z: Pass, rows: Rows) -> list[Layer]:
        """Return what each layer gives to ``J' rows J``: inputs, and the roots of `rows` pulled back to its outputs.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables.
        z : Pass
            Shared work.
        rows : Rows
            Blocks in the space of the outputs.

        Returns
        -------
        list of Layer
            First layer first.
        """
        roots = []
        basis = np.zeros((z.Z.shape[0], self.k))
        for c in range(self.k):
            basis[:, c] = 1.0
            root = rows.half(basis)
            basis[:, c] = 0.0
            if root.any():
                roots.append(self._backward(z, root))
        count = len(self.shapes)
        return [
            Layer(
                z.a[l], self.weight, [root[l] for root in roots], self.shapes[l], self._layer_ridge(self.shapes[l][0])
            )
            for l in range(count)
        ]

    def predict(self, x: Array, X: Any) -> Array:
        """Return the prediction for each row of `X`.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Variables, as in a result.
        X : array_like or sparse array of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows, k)
            Class probabilities, or the outputs themselves for the squared loss.
        """
        V = self.unpack(check_variables(x, self.n))
        X = check_rows(X, len(V[0]) - 1)
        a = X if isinstance(X, np.ndarray) else X.toarray()
        for layer in V[:-1]:
            a = self._phi(a @ layer[:-1] + layer[-1])[0]
        Z = a @ V[-1][:-1] + V[-1][-1]
        if self.loss == "squared":
            return np.asarray(Z)
        P = np.exp(Z - Z.max(axis=1, keepdims=True))
        return np.asarray(P / P.sum(axis=1, keepdims=True))


class NetworkForm(Form):
    """``J' blockdiag(S_i) J + l2`` of a network.

    Parameters
    ----------
    network : MLP
        The network.
    z : Pass
        Its shared work at x.
    rows : Rows
        The blocks ``S_i`` in the space of its outputs.
    """

    def __init__(self, network: MLP, z: Pass, rows: Rows) -> None:
        self.network, self.z, self.rows, self.n = network, z, rows, network.n
        self.product_price = network.product_price
        self.rank_one_count = z.Z.shape[0] * (1 if isinstance(rows, OuterRows) else network.k)
        self.dense_price = float(self.rank_one_count) * self.n * (self.n + DENSE_PASS)

    def matvec(self, v: Array) -> Array:
        """Return ``J'(S (J v)) + l2 v``."""
        network = self.network
        return network.pullback(self.z, self.rows.apply(network.pushforward(self.z, v))) + network.ridge * v

    def layers(self) -> list[Layer]:
        """Return what each layer gives to the matrix."""
        return self.network.layers(np.zeros(0), self.z, self.rows)

    def diagonal(self) -> Array:
        """Return the diagonal, in as many passes as there are outputs."""
        return np.concatenate([layer.diagonal() for layer in self.layers()]) + self.network.ridge

    def rank_one_rows(self) -> tuple[Array, Array | None]:
        """Return ``(V, ridge)`` with ``V'V + ridge`` the matrix: a row for each sample and output."""
        ridge = self.network.ridge
        return np.hstack([layer.rows() for layer in self.layers()]), ridge if ridge.any() else None

    def lower(self) -> Array:
        """Return the dense matrix, in blocks of samples."""
        layers = self.layers()
        H = np.zeros((self.n, self.n), order="F")
        step = max(1, 2**22 // max(1, self.n * len(layers[0].roots)))
        for start in range(0, self.z.Z.shape[0], step):
            V = np.hstack([layer.rows(slice(start, start + step)) for layer in layers])
            H += V.T @ V
        H.flat[:: self.n + 1] += self.network.ridge
        return H


def _with_ones(a: Array) -> Array:
    out = np.empty((a.shape[0], a.shape[1] + 1))
    out[:, :-1] = a
    out[:, -1] = 1.0
    return out


def _check_widths(hidden: Sequence[int]) -> list[int]:
    listed = isinstance(hidden, list | tuple | np.ndarray) and np.ndim(hidden) == 1
    widths: list[Any] = list(hidden) if listed else [hidden]
    if not all(isinstance(q, int | np.integer) and not isinstance(q, bool) and 1 <= q < 2**31 for q in widths):
        raise ValueError(f"hidden={shown(hidden)} must be widths of at least 1, such as (32, 16)")
    return [int(q) for q in widths]


def _check_penalty(l2: Any) -> float:
    penalty = as_number(l2, "l2")
    if isinstance(l2, bool) or not 0 <= penalty < np.inf:
        raise ValueError(f"l2={shown(l2)} must be a finite number >= 0")
    return penalty


def _check_targets(y: ArrayLike, n: int) -> Array:
    Y = as_array(y, "y", finite=False).copy()
    Y = Y[:, None] if Y.ndim == 1 else Y
    if Y.ndim != 2 or Y.shape[0] != n or Y.shape[1] == 0 or not np.isfinite(Y).all():
        raise ValueError(f"y has shape {np.shape(y)}; it must be finite targets of shape ({n},) or ({n}, k)")
    return Y

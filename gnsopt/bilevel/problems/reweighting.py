r"""Weights of training data, chosen on held-out data: data reweighting and hyper-cleaning.

    h(w, theta) = sum_i p_i(theta) l_i(w) + l2/2 |w|^2,      l_i = mean loss of source i,      g = held-out loss

A source is a set of samples, or a single one. With ``weights="softmax"`` the weights are a distribution over the
sources, ``p = softmax(theta)``; with ``"sigmoid"`` a source of n_i of the n samples has ``p_i = sigma(theta_i) n_i/n``
of its own (hyper-cleaning, where each sample is a source). With ``u_i = grad l_i(w)'q``

    softmax:  (J'q)_i = p_i (u_i - sum_k p_k u_k),        sigmoid:  (J'q)_i = p_i (1 - sigma(theta_i)) u_i.

The softmax does not change when a number is added to all of theta: the entries of its hypergradients sum to zero.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit, logsumexp, softmax

from gnsopt._typing import Array, IntArray
from gnsopt.arguments import as_number, shown
from gnsopt.bilevel.problem import BilevelProblem, Constants
from gnsopt.bilevel.problems.linear_penalties import DERIVATIVES, _Norms, classification_pair
from gnsopt.problems import LinearModel, Logistic, SquaredLoss

WEIGHTS = ("softmax", "sigmoid")
LOSSES = ("logistic", "squared")


class Reweighting(BilevelProblem):
    """Weights of sources or samples of the training data, chosen on held-out data.

    Parameters
    ----------
    X_train, y_train : array_like
        Training samples, shape (n_samples, n_features), and their labels or targets.
    X_val, y_val : array_like
        Held-out samples and labels, trusted.
    sources : array_like of int of shape (n_samples,), optional
        Source of each training sample, numbered from 0 without gaps; by default each sample is a source.
    weights : {"softmax", "sigmoid"}, optional
        What theta means, see above; ``"sigmoid"`` by default where each sample is a source.
    loss : {"logistic", "squared"}, default="logistic"
        Logistic stands for softmax regression where there are more than two classes.
    l2 : float, default=1e-2
        Ridge penalty ``l2/2 |w|^2``, positive.
    bounds : pair of array_like, default=(-20, 20)
        Box of theta.

    Attributes
    ----------
    sources : ndarray of int of shape (n_samples,)
        Source of each sample.

    Raises
    ------
    ValueError
        For data that are not finite or do not fit, sources with gaps, a penalty that is not positive.
    """

    upper_mu = 0.0

    def __init__(
        self,
        X_train: Any,
        y_train: Any,
        X_val: Any,
        y_val: Any,
        sources: Any = None,
        weights: str | None = None,
        loss: str = "logistic",
        l2: float = 1e-2,
        bounds: Any = (-20.0, 20.0),
    ) -> None:
        if not isinstance(loss, str) or loss not in LOSSES:
            raise ValueError(f"loss={shown(loss)} is unknown; choose one of {', '.join(LOSSES)}")
        weights = ("sigmoid" if sources is None else "softmax") if weights is None else weights
        if not isinstance(weights, str) or weights not in WEIGHTS:
            raise ValueError(f"weights={shown(weights)} is unknown; choose one of {', '.join(WEIGHTS)}")
        if not 0 < as_number(l2, "l2") < np.inf:
            raise ValueError(f"l2={shown(l2)} must be a positive number: it keeps the lower level strongly convex")
        if loss == "squared":
            self.train: LinearModel = SquaredLoss(X_train, y_train)
            self.validation: LinearModel = SquaredLoss(X_val, y_val)
        else:
            self.train, self.validation = classification_pair(X_train, y_train, X_val, y_val, False)
        if self.train.n != self.validation.n:
            raise ValueError(f"X_val has {self.validation.n} variables, X_train {self.train.n}: give the same features")
        n = self.train.design.n_samples
        self.sources = as_sources(sources, n)
        d = int(self.sources.max()) + 1
        super().__init__(self.train.n, d, bounds=bounds)
        self.weights, self.l2 = weights, float(l2)
        self._size = np.bincount(self.sources, minlength=d).astype(float)
        self._mean: Any = csr_array((1 / self._size[self.sources], (self.sources, np.arange(n))), shape=(d, n))
        self._unit = copy.copy(self.train)
        self._unit.weight, self._unit.ridge = np.ones(n), np.zeros(self.n)
        self.train = copy.copy(self.train)
        self.train.ridge = np.full(self.n, self.l2)
        self._s, self._t = next(v for cls, v in DERIVATIVES.items() if isinstance(self.train, cls))
        self._held = _Norms(self.validation.design)

    # ------------------------------------------------------------------------------------- weights of the sources

    def probabilities(self, theta: Array) -> Array:
        """Return the weight p of each source, shape (d,)."""
        if self.weights == "softmax":
            return np.asarray(softmax(theta))
        return np.asarray(expit(theta) * self._size / self._size.sum())

    def _pull(self, theta: Array, u: Array) -> Array:
        """Return the derivative in theta of ``sum_i p_i u_i``."""
        p = self.probabilities(theta)
        if self.weights == "softmax":
            return np.asarray(p * (u - float(p @ u)))
        return np.asarray(p * expit(-theta) * u)

    def sample_losses(self, x: Array) -> Array:
        """Return the loss of each training sample, shape (n_samples,)."""
        model = self._unit
        Z = model.design.matvec(x if model.k == 1 else x.reshape(-1, model.k))
        if isinstance(model, SquaredLoss):
            return np.asarray(0.5 * (Z - model.y) ** 2)
        if isinstance(model, Logistic):
            return np.asarray(np.logaddexp(0.0, -model.sign * Z))
        labels: Any = model.label  # type: ignore[attr-defined]
        return np.asarray(logsumexp(Z, axis=1) - Z[np.arange(len(Z)), labels])

    def source_gradients(self, x: Array) -> list[Array]:
        """Return the gradients of the l_i, an array of shape (d, n_features) for each output of the model."""
        X, R = self._unit.design.X, self._unit.prepare(x).R
        columns = (R,) if self._unit.k == 1 else R.T
        return [_dense((self._mean * r) @ X) for r in columns]

    # -------------------------------------------------------------------------------------------------- oracles

    def objective(self, theta: Array) -> LinearModel:
        """Return the weighted training problem; the data are shared."""
        twin = copy.copy(self.train)
        twin.weight = self._mean.T @ self.probabilities(theta)
        return twin

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        """Return the mean loss on the held-out data and its gradient."""
        z = self.validation.prepare(x)
        return z.loss, self.validation.design.rmatvec(z.R).reshape(-1), None

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return the gradient of h in theta."""
        return self._pull(theta, self._mean @ self.sample_losses(x))

    def cross_t(self, x: Array, theta: Array, q: Array) -> Array:
        """Return ``J' q``: with ``u_i`` the mean over source i of the residuals times the scores of q."""
        model = self._unit
        Q = model.design.matvec(q if model.k == 1 else q.reshape(-1, model.k))
        along = model.prepare(x).R * Q
        return self._pull(theta, self._mean @ (along if model.k == 1 else along.sum(axis=1)))

    def mu(self, theta: Array) -> float:
        """Return the ridge penalty."""
        return self.l2

    def constants(self, theta: Array) -> Constants:
        """Return bounds by the norms of the rows; J's is a bound of its Frobenius norm."""
        squares = self.train.design.row_norms**2
        own = self._mean @ squares  # of each source: at least the norm of its second moments
        p = self.probabilities(theta)
        moment = float(p @ own)
        if self.weights == "softmax":
            change = p * (own + moment)
        else:
            change = p * expit(-theta) * own
        return Constants(
            L=self._s * moment + self.l2,
            L_g=self._s * self._held.moment(self.validation.weight),
            L_H=self._t * moment * float(np.sqrt(squares.max())),
            L_J=self._s * float(np.linalg.norm(change)),
        )

    def J_norm(self, x: Array, theta: Array) -> float:
        """Return the Frobenius norm of J."""
        p, total = self.probabilities(theta), 0.0
        for G in self.source_gradients(x):
            if self.weights == "softmax":
                columns = p[:, None] * (G - p @ G)
            else:
                columns = (p * expit(-theta))[:, None] * G
            total += float(np.sum(columns * columns))
        return float(np.sqrt(total))

    def start(self) -> Array:
        """Return zero weights of the model."""
        return np.zeros(self.n)


def as_sources(sources: Any, n: int) -> IntArray:
    """Return the source of each sample.

    Parameters
    ----------
    sources : array_like of int of shape (n,), or None
        Numbers from 0 without gaps; None makes each sample a source.
    n : int
        Number of samples.

    Returns
    -------
    ndarray of int of shape (n,)
        The sources.

    Raises
    ------
    ValueError
        If the shape does not fit or a number is left out.
    """
    if sources is None:
        return np.arange(n)
    own = np.asarray(sources)
    if own.shape != (n,) or own.dtype.kind not in "iu":
        raise ValueError(f"sources has shape {own.shape} and dtype {own.dtype}; it must be integers of shape ({n},)")
    if not np.array_equal(np.unique(own), np.arange(own.max() + 1)):
        raise ValueError("sources must be numbered from 0 without gaps; numpy.unique(..., return_inverse=True) does it")
    return own.astype(np.int64)


def _dense(M: Any) -> Array:
    return np.asarray(M.toarray() if hasattr(M, "toarray") else M)

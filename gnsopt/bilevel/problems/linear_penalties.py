r"""Penalties of linear models: ``h(w, theta) = mean loss(w) + sum_j e^{theta_grp(j)} w_j^2 / 2``, g the held-out loss.

    cross_t:  (J' q)_k = e^{theta_k} sum_{j in k} w_j q_j,         |J| = max_k e^{theta_k} |w_k|
    mu = min_k e^{theta_k},   L <= s |A|^2/n + max_k e^{theta_k},   L_g <= s |A_v|^2/m,   L_J = max_k e^{theta_k}
    L_H <= t |A|^2 max_i |a_i| / n

with ``(s, t)`` the bounds of the second and third derivatives of the loss in the scores: (1, 0) for least squares,
(1/4, 1/(6 sqrt 3)) for the logistic loss, (1/2, sqrt(8)/(6 sqrt 3)) for softmax (third cumulant of a variable of
range sqrt 2). An intercept is a group of its own with a fixed penalty that is tiny on the scale of the data, so that
the lower level stays strongly convex.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from gnsopt._typing import Array, IntArray
from gnsopt.arguments import shown
from gnsopt.bilevel.problem import BilevelProblem, Constants
from gnsopt.linalg.design import Design
from gnsopt.problems import LinearModel, Logistic, Softmax, SquaredLoss
from gnsopt.problems.validation import check_design, check_labels

GROUPS = ("single", "class", "feature", "weight")
DERIVATIVES = {  # bounds of the second and third derivatives of a loss in its scores
    SquaredLoss: (1.0, 0.0),
    Logistic: (0.25, 1 / (6 * 3**0.5)),
    Softmax: (0.5, 8**0.5 / (6 * 3**0.5)),
}
BOX = (-23.0, 12.0)  # of theta by default: penalties between 1e-10 and 1.6e5 (chosen)
INTERCEPT = 1e-6  # penalty of an intercept relative to the mean curvature of its loss (chosen)


class LinearPenalties(BilevelProblem):
    """Penalties of a linear model, chosen on held-out data; theta holds the logarithms of the penalties.

    Parameters
    ----------
    train, validation : LinearModel
        The same model on two sets; their own penalties are ignored.
    groups : {"single", "class", "feature", "weight"} or array of int of shape (n_weights,), default="feature"
        Which weights share a penalty: all, those of a class, those of a feature, none; or the number of the group of
        each weight, in the order of the model's variables without intercepts.
    bounds : pair of array_like, default=(-23, 12)
        Box of theta.

    Attributes
    ----------
    group : ndarray of int
        Group of each variable; ``-1`` for an intercept.
    """

    upper_mu = 0.0  # curvature of g: the losses are convex

    def __init__(self, train: LinearModel, validation: LinearModel, groups: Any = "feature", bounds: Any = BOX) -> None:
        for name, model in (("train", train), ("validation", validation)):
            if not isinstance(model, LinearModel):
                raise TypeError(f"{name}={shown(model)} must be a linear model, such as gnsopt.Logistic(X, y)")
        if train.n != validation.n or train.k != validation.k:
            sizes = f"validation has {validation.n} variables, train {train.n}"
            raise ValueError(f"{sizes}: they must be the same model; give X_val and X_train the same features")
        self.train, self.validation = train, validation
        weights, k = train.design.n_features * train.k, train.k
        self.group: IntArray = np.full(train.n, -1, dtype=np.int64)
        self.group[:weights] = as_groups(groups, train.design.n_features, k)
        d = int(self.group.max()) + 1
        super().__init__(train.n, d, bounds=bounds)
        self._penalised = self.group >= 0
        self._index = self.group[self._penalised]
        self._s, self._t = next(v for cls, v in DERIVATIVES.items() if isinstance(train, cls))
        self._fixed = 0.0
        if train.design.intercept:
            self._fixed = INTERCEPT * self._s
        self._norms = _Norms(train.design), _Norms(validation.design)

    def penalties(self, theta: Array) -> Array:
        """Return the penalty of each variable, shape (n,)."""
        penalty = np.exp(theta)[np.maximum(self.group, 0)]
        return np.where(self._penalised, penalty, self._fixed)

    def objective(self, theta: Array) -> LinearModel:
        """Return the training problem with the penalties of `theta`; the data are shared."""
        twin = copy.copy(self.train)
        twin.ridge = self.penalties(theta)
        return twin

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        """Return the mean loss on the held-out data and its gradient."""
        z = self.validation.prepare(x)
        return z.loss, self.validation.design.rmatvec(z.R).reshape(-1), None

    def cross_t(self, x: Array, theta: Array, q: Array) -> Array:
        """Return ``e^{theta_k} sum_j w_j q_j`` of each group."""
        products = (x * q)[self._penalised]
        return np.exp(theta) * np.bincount(self._index, products, minlength=self.d)

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return ``e^{theta_k} |w_k|^2 / 2`` of each group."""
        return 0.5 * self.cross_t(x, theta, x)

    def mu(self, theta: Array) -> float:
        """Return the smallest penalty."""
        least = float(np.exp(theta.min()))
        return min(least, self._fixed) if self._fixed else least

    def constants(self, theta: Array) -> Constants:
        """Return bounds from the spectral norms of the data."""
        top, inner, outer = float(np.exp(theta.max())), self._norms[0], self._norms[1]
        L = self._s * inner.moment(self.train.weight) + top
        L_H = self._t * inner.moment(self.train.weight) * inner.longest
        return Constants(L, self._s * outer.moment(self.validation.weight), L_H, top)

    def J_norm(self, x: Array, theta: Array) -> float:
        """Return ``max_k e^{theta_k} |w_k|``, the norm of J."""
        squares = np.bincount(self._index, x[self._penalised] ** 2, minlength=self.d)
        return float(np.max(np.exp(theta) * np.sqrt(squares)))

    def start(self) -> Array:
        """Return zero weights."""
        return np.zeros(self.n)


class _Norms:
    """Spectral norms of a design, computed once, when they are asked for."""

    def __init__(self, design: Any) -> None:
        self._design = design
        self._moment: float | None = None

    @property
    def longest(self) -> float:
        """Largest norm of a row."""
        return float(self._design.row_norms.max())

    def moment(self, weight: Array) -> float:
        """Return an upper bound of the largest eigenvalue of ``A' diag(weight) A``."""
        if self._moment is None:
            self._moment = _largest(self._design, weight)
        return self._moment


def _largest(design: Any, weight: Array) -> float:
    """Largest eigenvalue of ``A' diag(w) A``: dense, or by Lanczos, whose value is lifted by its residual."""
    n = design.n_columns
    if n <= 800:
        L = design.gram_lower(weight)
        return float(np.linalg.eigvalsh(L, UPLO="L")[-1]) * (1 + 1e-12)
    from gnsopt.curvature.spectral import lanczos

    value, V = lanczos(lambda v: design.weighted_product(weight, v), n, 1, tol=1e-6)
    v = V[:, 0]
    residual = np.linalg.norm(design.weighted_product(weight, v) - value[0] * v)
    return float(value[0] + residual) * (1 + 1e-9)


def as_groups(groups: Any, n_features: int, k: int) -> IntArray:
    """Return the group of each weight, shape (n_features * k,), numbered from zero.

    Parameters
    ----------
    groups : str or array of int
        As in `LinearPenalties`.
    n_features, k : int
        Numbers of features and of outputs.

    Returns
    -------
    ndarray of int
        Feature-major, as the variables of a linear model.

    Raises
    ------
    ValueError
        If the name is unknown, or the numbers do not start at zero without gaps.
    """
    feature, output = np.divmod(np.arange(n_features * k), k)
    if isinstance(groups, str):
        named = {"single": 0 * feature, "class": output, "feature": feature, "weight": np.arange(n_features * k)}
        if groups not in named:
            raise ValueError(f"groups={groups!r} is unknown; choose one of {GROUPS}")
        return named[groups]
    numbers = np.asarray(groups)
    if numbers.shape != (n_features * k,) or numbers.dtype.kind not in "iu":
        raise ValueError(f"groups has shape {numbers.shape}; it must be integers of shape ({n_features * k},)")
    if not np.array_equal(np.unique(numbers), np.arange(numbers.max() + 1)):
        raise ValueError("groups must number the groups from 0 without gaps")
    return numbers.astype(np.int64)


class LogisticPenalties(LinearPenalties):
    """Penalties of a logistic (two classes) or softmax regression, chosen on held-out data.

    Parameters
    ----------
    X_train, y_train : array_like
        Training samples, shape (n_samples, n_features), and their labels.
    X_val, y_val : array_like
        Held-out samples and labels; every label must occur in `y_train`.
    groups : str or array of int, default="single"
        As in `LinearPenalties`.
    fit_intercept : bool, default=False
        Append intercepts, whose penalty is fixed and tiny.
    bounds : pair of array_like, default=(-23, 12)
        Box of theta.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from gnsopt import bilevel
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> problem = bilevel.LogisticPenalties(X[:300], y[:300], X[300:], y[300:])
    >>> result = bilevel.minimize(problem, 0.0)
    >>> print(f"{result.status}: log penalty {result.theta[0]:.2f}, held-out loss {result.fun:.4f}")
    stationary: log penalty -6.47, held-out loss 0.0624
    """

    def __init__(
        self,
        X_train: Any,
        y_train: Any,
        X_val: Any,
        y_val: Any,
        groups: Any = "single",
        fit_intercept: bool = False,
        bounds: Any = BOX,
    ) -> None:
        train, validation = classification_pair(X_train, y_train, X_val, y_val, fit_intercept)
        super().__init__(train, validation, groups, bounds)


class RidgePenalties(LinearPenalties):
    """Penalties of a ridge regression, chosen on held-out data; losses are means of ``(a'w - y)^2 / 2``.

    Parameters
    ----------
    X_train, y_train : array_like
        Training samples, shape (n_samples, n_features), and their targets.
    X_val, y_val : array_like
        Held-out samples and targets.
    groups : str or array of int, default="single"
        As in `LinearPenalties`.
    fit_intercept : bool, default=False
        Append an intercept, whose penalty is fixed and tiny.
    bounds : pair of array_like, default=(-23, 12)
        Box of theta.
    """

    def __init__(
        self,
        X_train: Any,
        y_train: Any,
        X_val: Any,
        y_val: Any,
        groups: Any = "single",
        fit_intercept: bool = False,
        bounds: Any = BOX,
    ) -> None:
        train = SquaredLoss(X_train, y_train, fit_intercept=fit_intercept)
        super().__init__(train, SquaredLoss(X_val, y_val, fit_intercept=fit_intercept), groups, bounds)


def classification_pair(
    X_train: Any, y_train: Any, X_val: Any, y_val: Any, fit_intercept: bool
) -> tuple[LinearModel, LinearModel]:
    """Return the same classifier on two sets, also where the second lacks a class.

    Parameters
    ----------
    X_train, y_train, X_val, y_val : array_like
        Samples and labels.
    fit_intercept : bool
        Append intercepts.

    Returns
    -------
    train, validation : LinearModel
        Logistic for two classes, else softmax.

    Raises
    ------
    ValueError
        If a held-out label does not occur in the training set.
    """
    X_train, X_val = check_design(X_train, "X_train"), check_design(X_val, "X_val")
    codes, classes = _labels(y_train, X_train.shape[0], "y_train")
    other, seen = _labels(y_val, X_val.shape[0], "y_val")
    unknown = np.setdiff1d(seen, classes)
    if unknown.size:
        raise ValueError(f"y_val contains the label {unknown[0]}, which y_train does not; split by stratified sampling")
    family = Logistic if classes.size == 2 else Softmax
    train = family(X_train, codes, fit_intercept=fit_intercept)
    return train, on_other_rows(train, X_val, np.searchsorted(classes, seen)[other])


def _labels(y: Any, n_samples: int, name: str) -> tuple[IntArray, Any]:
    if not isinstance(y, list | tuple) and np.shape(y) == ():
        raise ValueError(f"{name}={shown(y)} must hold {n_samples} labels, one a row")
    return check_labels(y, n_samples)


def on_other_rows(train: LinearModel, X: Any, codes: Any) -> LinearModel:
    """Return the classifier `train` on other samples, which need not show every class.

    Parameters
    ----------
    train : Logistic or Softmax
        The model.
    X : array_like or sparse array of shape (n_rows, n_features)
        Samples.
    codes : ndarray of int of shape (n_rows,)
        Their classes, by number.

    Returns
    -------
    LinearModel
        A twin with the rows and labels given.
    """
    twin = copy.copy(train)
    twin.design = Design(check_design(X), train.design.intercept)
    if twin.design.n_features != train.design.n_features:
        raise ValueError(
            f"X_val has {twin.design.n_features} features, X_train {train.design.n_features}: they must have the same"
        )
    if len(codes) != twin.design.n_samples:
        raise ValueError(f"y_val has {len(codes)} labels for {twin.design.n_samples} samples")
    twin.weight = np.full(twin.design.n_samples, 1.0 / twin.design.n_samples)
    if isinstance(twin, Logistic):
        twin.sign = np.where(codes == 1, 1.0, -1.0)
    elif isinstance(twin, Softmax):
        twin.label = np.asarray(codes, dtype=np.int64)
    return twin

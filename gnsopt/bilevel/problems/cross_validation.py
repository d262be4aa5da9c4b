"""Penalties of linear models by K-fold cross-validation: one lower level a fold, theta shared."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import IntArray
from gnsopt.arguments import as_seed, shown
from gnsopt.bilevel.blocks import MultiBlock
from gnsopt.bilevel.problems.linear_penalties import BOX, LogisticPenalties, RidgePenalties
from gnsopt.problems.squared import check_targets
from gnsopt.problems.validation import check_design, check_labels


class CrossValidation(MultiBlock):
    """Mean held-out loss over K folds as a function of the logarithms of the penalties.

    Parameters
    ----------
    X : array_like or sparse array of shape (n_samples, n_features)
        Samples.
    y : array_like of shape (n_samples,)
        Labels or targets.
    loss : {"logistic", "squared"}, default="logistic"
        Logistic (softmax for more than two classes) or least squares.
    groups : str or array of int, default="single"
        As in `LinearPenalties`.
    folds : int or array_like of int of shape (n_samples,), default=5
        Number of folds, drawn at random (of equal class shares for labels), or the fold of each sample.
    fit_intercept : bool, default=False
        Append intercepts, whose penalty is fixed and tiny.
    bounds : pair of array_like, default=(-23, 12)
        Box of theta.
    seed : int, default=0
        Of the random folds.

    Attributes
    ----------
    fold : ndarray of int of shape (n_samples,)
        Fold of each sample.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        loss: str = "logistic",
        groups: Any = "single",
        folds: Any = 5,
        fit_intercept: bool = False,
        bounds: Any = BOX,
        seed: int = 0,
    ) -> None:
        if not (isinstance(loss, str) and loss in ("logistic", "squared")):
            raise ValueError(f"loss={shown(loss)} must be 'logistic' or 'squared'")
        X = check_design(X)
        n = X.shape[0]
        classified = loss == "logistic"
        codes: Any = check_labels(y, n)[0] if classified else check_targets(y, n)
        self.fold = as_folds(folds, codes if classified else np.zeros(n, dtype=np.int64), as_seed(seed))
        family: Any = LogisticPenalties if classified else RidgePenalties
        blocks = []
        for k in range(int(self.fold.max()) + 1):
            held, kept = np.flatnonzero(self.fold == k), np.flatnonzero(self.fold != k)
            data = (X[kept], codes[kept], X[held], codes[held])
            blocks.append(family(*data, groups, fit_intercept, bounds))
        super().__init__(blocks)


def as_folds(folds: Any, codes: IntArray, seed: int) -> IntArray:
    """Return the fold of each sample.

    Parameters
    ----------
    folds : int or array_like of int of shape (n_samples,)
        Number of folds or the folds themselves.
    codes : ndarray of int of shape (n_samples,)
        Class of each sample: every class is spread evenly.
    seed : int
        Of the permutation.

    Returns
    -------
    ndarray of int of shape (n_samples,)
        Numbers from 0.

    Raises
    ------
    ValueError
        If there are fewer than two folds or more than samples, or an own array does not fit.
    """
    n = codes.size
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        if not 2 <= folds <= n:
            raise ValueError(f"folds={folds} must lie between 2 and the number of samples, {n}")
        order = np.random.default_rng(seed).permutation(n)
        order = order[np.argsort(codes[order], kind="stable")]  # class by class
        fold = np.empty(n, dtype=np.int64)
        fold[order] = np.arange(n) % int(folds)
        return fold
    own = np.asarray(folds)
    if own.shape != (n,) or own.dtype.kind not in "iu":
        raise ValueError(
            f"folds has shape {own.shape} and dtype {own.dtype}; it must be a number or integers of shape ({n},)"
        )
    if np.unique(own).size < 2 or not np.array_equal(np.unique(own), np.arange(own.max() + 1)):
        raise ValueError("folds must be numbered from 0 without gaps, two at the least")
    return own.astype(np.int64)

"""Dask arrays in the estimators: fitted block by block where they are, predicted lazily."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from gnsopt.blocks import RowBlocks, Survey, split
from gnsopt.blocks.sources import is_dask


def survey(estimator: Any, X: Any, y: Any, sample_weight: Any, classify: bool) -> Survey:
    """Look at the chunks of Dask arrays, on the cluster of the current client if there is one.

    Parameters
    ----------
    estimator : object
        Gets `n_features_in_`.
    X : dask.array.Array of shape (n_samples, n_features)
        Samples.
    y : dask.array.Array or array_like of shape (n_samples,)
        Labels or targets.
    sample_weight : the same, optional
        Weights.
    classify : bool
        Whether `y` are labels.

    Returns
    -------
    Survey
        The chunks.
    """
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    found = Survey(split(X, y, sample_weight), classify, _client())
    estimator.n_features_in_ = found.n_features
    if hasattr(estimator, "feature_names_in_"):  # of an earlier fit
        del estimator.feature_names_in_
    return found


def _client() -> Any:
    """Return the current client of a cluster, or None."""
    module = sys.modules.get("distributed")
    if module is None:
        return None
    try:
        client = module.default_client()
    except ValueError:
        return None
    return client if client.status == "running" else None


def by_chunks(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method of (self, X) answer a Dask array by a Dask array, which is computed when asked for.

    Parameters
    ----------
    method : callable
        Rows to rows, or to numbers.

    Returns
    -------
    callable
        The method.
    """

    @wraps(method)
    def call(self: Any, X: Any) -> Any:
        if not is_dask(X):
            return method(self, X)
        check_is_fitted(self)
        if not hasattr(X, "map_blocks"):
            raise TypeError(f"X is a {type(X).__name__} of Dask; pass an array, X.to_dask_array()")
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise ValueError(f"X has shape {X.shape}, but {type(self).__name__} is expecting (n_samples, "
                             f"{self.n_features_in_})")  # fmt: skip
        empty = method(self, np.zeros((1, X.shape[1])))[:0]

        def part(rows: Any) -> Any:
            return method(self, rows) if rows.shape[0] else empty

        X = X.rechunk({1: X.shape[1]}) if X.numblocks[1] > 1 else X
        if empty.ndim == 1:
            return X.map_blocks(part, dtype=empty.dtype, meta=empty, drop_axis=1)
        return X.map_blocks(part, dtype=empty.dtype, meta=empty, chunks=(X.chunks[0], (empty.shape[1],)))

    return call


def classifier_problem(
    estimator: Any, X: Any, y: Any, sample_weight: Any, factors: Callable[[Any, Any], Any]
) -> RowBlocks:
    """Return the problem of a classifier, without a penalty.

    Parameters
    ----------
    estimator : object
        Its `fit_intercept` counts, and it gets `n_features_in_` and `classes_`.
    X, y, sample_weight : dask.array.Array
        As in `survey`.
    factors : callable
        Classes and their total weights to what the weights are multiplied by, or None.

    Returns
    -------
    RowBlocks
        Logistic or softmax regression.
    """
    found = survey(estimator, X, y, sample_weight, True)
    if len(found.classes) < 2:
        raise ValueError(
            f"y has only one class, {found.classes[0]!r}; a classifier needs samples of at least 2 classes"
        )
    check_classification_targets(np.repeat(found.classes, 3))  # each label once would look like a continuous target
    model = "logistic" if len(found.classes) == 2 else "softmax"
    factor = factors(found.classes, found.mass)
    problem = RowBlocks(model, found, fit_intercept=estimator.fit_intercept, class_weight=factor)
    estimator.classes_ = found.classes
    return problem

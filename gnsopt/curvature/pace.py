"""What quick steps are made with, and what they cost: by counted work with fixed prices, as all automatic choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.linalg.forms import Apply, Gram
from gnsopt.linalg.metric import Metric
from gnsopt.linalg.shifted import Pace

PAIRS = 10, 3  # pairs that are kept at the most and at the least: more gain nothing, fewer lose much (measured)
PAIR = 40.0  # counted work of a pair, per variable and step: four products with m x n matrices (measured)
LOOKS = 2.0  # trials on the line of a step (measured)


def pace_of(gram: Any, metric: Metric, foresee: Callable[[float, float], Any]) -> Pace | None:
    """Return what quick steps need; None where they cannot be cheap.

    Parameters
    ----------
    gram : Form
        The Hessian.
    metric : Metric
        ``B``.
    foresee : callable
        What looks for a better preconditioner, see `Pace`.

    Returns
    -------
    Pace or None
        None where a trial on a line is a pass over the data, where the metric is not diagonal, or where pairs would
        take more than half the memory of the data.
    """
    if not np.isfinite(gram.trial_price) or metric.diagonal is None:
        return None
    most, least = PAIRS
    memory = min(most, int(gram.design.nnz / (4 * gram.n)))
    if memory < least:
        return None
    price = 1.0 + (LOOKS * gram.trial_price + PAIR * memory * gram.n) / gram.product_price
    return Pace(memory, float(price), mean_diagonal(gram, metric), foresee)


def mean_diagonal(gram: Gram, metric: Metric) -> Apply:
    """Return division by ``ridge + sigma B``: the diagonal of the Hessian if all samples had the same weight sigma.

    With the second moments of the features in `B` it is exact at the start of logistic and softmax regression, where
    all scores are equal; it costs no product with the data anywhere.

    Parameters
    ----------
    gram : Gram
        The Hessian.
    metric : Metric
        ``B``, diagonal.

    Returns
    -------
    callable
        The division.
    """
    d: Array | None = None

    def divided(r: Array) -> Array:
        nonlocal d
        if d is None:
            sigma = float(gram.rows.diagonals().sum()) / gram.k
            d = gram.ridge + sigma * np.asarray(metric.diagonal)
            d[d <= 0] = 1.0
        return r / d

    return divided

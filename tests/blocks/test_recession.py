"""Separable data without a penalty: the certificate over blocks agrees with that in memory."""

import numpy as np
import pytest

from gnsopt import Logistic, PoissonRegression, RowBlocks, Softmax, minimize
from gnsopt.blocks import recession, split
from gnsopt.linalg.rows import Rows
from gnsopt.stopping import Status

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4))
NOISY = RNG.integers(0, 3, 120)
PARTLY = np.where(X[:, 0] > 1, 2, NOISY % 2)  # the third class is separated from the others, they are mixed
CASES = {
    "separable": (Logistic, X[:, 0] > 0.1, Status.AT_INFINITY),
    "mixed": (Logistic, NOISY > 1, Status.CONVERGED),
    "by one feature": (Logistic, (X[:, 0] > 0) | (NOISY > 1), Status.CONVERGED),
    "classes separable": (Softmax, np.digitize(X[:, 0], [-0.5, 0.5]), Status.AT_INFINITY),
    "classes mixed": (Softmax, NOISY, Status.CONVERGED),
    "one class separable": (Softmax, PARTLY, Status.AT_INFINITY),
    "counts": (PoissonRegression, NOISY.astype(float), Status.CONVERGED),
    "counts without an end": (PoissonRegression, np.where(X[:, 0] > 1.0, NOISY + 1.0, 0.0), None),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dense", [True, False])
def test_verdict(name, dense, monkeypatch):
    family, y, verdict = CASES[name]
    if not dense:
        monkeypatch.setattr(recession, "DENSE", 0)  # the Gram matrix by products
    ours = minimize(RowBlocks(family, split(X, y, rows=17), fit_intercept=True))
    theirs = minimize(family(X, y, fit_intercept=True))
    assert ours.status == theirs.status
    assert verdict is None or ours.status == verdict


def test_a_flag_that_only_one_class_has():
    """Quasi-separation: the other variables keep finite values."""
    flag = np.zeros(120)
    flag[:10] = 1.0
    y = np.where(flag == 1, 1, NOISY > 1)
    data = np.column_stack([X, flag])
    for family in (Logistic, Softmax):
        ours = minimize(RowBlocks(family, split(data, y, rows=50), fit_intercept=True))
        assert ours.status == Status.AT_INFINITY == minimize(family(data, y, fit_intercept=True)).status


def test_class_without_weight_sends_the_intercept_to_infinity():
    y = NOISY
    w = np.where(y == 2, 0.0, 1.0)
    ours = minimize(RowBlocks("softmax", split(X, y, w, rows=50), l2=0.1, fit_intercept=True))
    assert ours.status == Status.AT_INFINITY
    assert minimize(RowBlocks("softmax", split(X, y, rows=50), l2=0.1, fit_intercept=True)).success


def test_blocks_of_the_margins():
    """D_i = sum_c (e_y - e_c)(e_y - e_c)' over the classes that count."""
    label, M = np.array([2, 0, 1]), np.array([[1.0, 1, 0], [0, 0, 1], [0, 0, 0]])
    rows: Rows = recession.MarginRows(M, label)
    E = np.eye(3)
    D = np.array([sum(M[i, c] * np.outer(E[label[i]] - E[c], E[label[i]] - E[c]) for c in range(3)) for i in range(3)])
    U = np.arange(9.0).reshape(3, 3) ** 2
    np.testing.assert_array_equal(rows.apply(U), np.einsum("iab,ib->ia", D, U))
    for a in range(3):
        for b in range(3):
            np.testing.assert_array_equal(rows.pair(a, b), D[:, a, b])

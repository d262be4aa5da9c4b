"""Averaging of models by their curvatures against the pooled problem."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic, SquaredLoss
from gnsopt.curvature import exact, merge, start
from gnsopt.linalg.structured import Diagonal
from gnsopt.point import Point

RNG = np.random.default_rng(0)
SIZES = (30, 50, 20)


def parts(n=6):
    scale = np.geomspace(0.3, 3, n)
    X = [(RNG.standard_normal((m, n)) @ np.diag(RNG.permutation(scale))) for m in SIZES]
    return X, [A @ np.ones(n) + RNG.standard_normal(len(A)) for A in X]


def solved():
    X, y = parts()
    models = [np.linalg.lstsq(A, b, rcond=None)[0] for A, b in zip(X, y, strict=True)]
    pooled = np.linalg.lstsq(np.vstack(X), np.concatenate(y), rcond=None)[0]
    return X, y, models, pooled


def test_least_squares_give_the_pooled_solution():
    X, y, models, pooled = solved()
    sizes = [A.T @ A for A in X]
    np.testing.assert_allclose(merge(models, sizes), pooled, rtol=1e-13)
    means = [A.T @ A / len(A) for A in X]
    np.testing.assert_allclose(merge(models, means, SIZES), pooled, rtol=1e-13)
    curvatures = []
    for A, b, theta in zip(X, y, models, strict=True):
        x = Point(SquaredLoss(A, b), theta)
        curvatures.append(start(exact, x)(x))
    np.testing.assert_allclose(merge(models, curvatures, SIZES), pooled, rtol=1e-13)
    for approximation in ([np.diag(M) for M in sizes], [np.ones(6)] * 3):
        assert np.linalg.norm(merge(models, approximation) - pooled) > 1e-3


def test_diagonals():
    models, d = RNG.standard_normal((3, 5)), RNG.uniform(0.1, 2, (3, 5))
    weights = np.array([1.0, 2.0, 0.5])
    wanted = (weights[:, None] * d * models).sum(axis=0) / (weights[:, None] * d).sum(axis=0)
    np.testing.assert_allclose(merge(models, d, weights), wanted, rtol=1e-13)
    np.testing.assert_allclose(merge(models, [Diagonal(each) for each in d], weights), wanted, rtol=1e-13)
    np.testing.assert_allclose(merge(models, np.ones((3, 5)), weights), weights @ models / 3.5, rtol=1e-13)


def test_entries_of_diagonals_do_not_see_each_other():
    """A large curvature elsewhere is no rounding here: (1 x 1 + 2 x 3)/4."""
    models = [[1.0, 1.0], [2.0, 2.0]]
    for size in (1.0, 1e12, 1e300):
        np.testing.assert_allclose(merge(models, [[size, 1e-6], [size, 3e-6]]), [1.5, 1.75], rtol=1e-14)
    np.testing.assert_allclose(merge(models, [[1, 0], [1, 1e-307]]), [1.5, 2.0], rtol=1e-14)
    shifted = merge(models, [[2.0, 0.0], [6.0, 4.0]], shift=0.5)  # half of the mean (4 + 2)/2 is added
    np.testing.assert_allclose(shifted, 1.5 + 0.5 * np.array([2 / 5.5, 2 / 3.5]), rtol=1e-14)


def test_where_no_curvature_sees_it_is_the_mean():
    """Directions that no model has learnt: the weighted mean, not an arbitrary point."""
    models = np.array([[1.0, 2.0, 5.0], [3.0, 6.0, -1.0]])
    H = [np.diag([1.0, 0.0, 0.0]), np.diag([3.0, 0.0, 0.0])]
    np.testing.assert_allclose(merge(models, H), [2.5, 4.0, 2.0], rtol=1e-9)
    np.testing.assert_allclose(merge(models, [h.diagonal() for h in H]), [2.5, 4.0, 2.0], rtol=1e-9)


def test_equal_models_stay():
    theta = RNG.standard_normal(4)
    np.testing.assert_array_equal(merge([theta, theta], [np.zeros(4), np.eye(4)]), theta)


def test_weight_of_zero_leaves_a_model_out():
    models, H = RNG.standard_normal((3, 4)), [np.eye(4) + 0.1 * k for k in range(3)]
    np.testing.assert_allclose(merge(models, H, [1, 0, 2]), merge(models[[0, 2]], [H[0], H[2]], [1, 2]), rtol=1e-14)


def test_one_shot_consensus_is_near_the_pooled_logistic_solution():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((900, 5))
    for part in range(3):  # each part knows other features well
        X[300 * part : 300 * (part + 1)] *= np.roll([2.0, 1.0, 0.5, 0.2, 0.2], part)
    y = np.where(X.sum(axis=1) + rng.logistic(size=900) > 0, 1, -1)
    pieces = np.array_split(np.arange(900), 3)
    problems = [Logistic(X[i], y[i], l2=1e-4) for i in pieces]
    found = [GradNormSmooth().minimize(p, gtol=1e-10).x for p in problems]
    points = [Point(p, x) for p, x in zip(problems, found, strict=True)]
    curvatures = [start(exact, x)(x) for x in points]
    pooled = GradNormSmooth().minimize(Logistic(X, y, l2=1e-4), gtol=1e-10).x
    error = np.linalg.norm(merge(found, curvatures) - pooled)
    assert error < 0.3 * np.linalg.norm(np.mean(found, axis=0) - pooled)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((np.ones(3), [np.ones(3)]), "models has shape"),
        (([[1.0, np.nan]], [np.ones(2)]), "models has shape"),
        ((np.ones((2, 3)), [np.ones(3)]), "curvatures has 1 entries for 2 models"),
        ((np.ones((2, 3)), [np.ones(3), np.ones(4)]), r"curvatures\[1\] has shape \(4,\)"),
        ((np.ones((2, 3)), [np.ones(3), [1, -2, 1]]), r"curvatures\[1\] has the entry -2.0"),
        ((np.ones((1, 2)), [Diagonal(np.array([1.0, -1.0]))]), r"curvatures\[0\] has the entry -1.0"),
        ((np.ones((2, 3)), np.ones((2, 3)), [1, -1]), "weights="),
        ((np.ones((2, 3)), np.ones((2, 3)), [0, 0]), "weights="),
    ],
)
def test_misuse(arguments, text):
    with pytest.raises(ValueError, match=text):
        merge(*arguments)

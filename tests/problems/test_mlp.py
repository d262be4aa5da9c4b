"""The network: derivatives, products against autodiff by hand, conventions, layer factors."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic, Softmax
from gnsopt.datasets import make_softmax
from gnsopt.linalg.rows import DiagonalRows
from gnsopt.point import Point
from gnsopt.problems import MLP
from gnsopt.testing import check_objective

RNG = np.random.default_rng(0)
X = RNG.standard_normal((15, 3))
LABELS = np.arange(15) % 3
TARGETS = RNG.standard_normal((15, 2))
WEIGHTS = RNG.uniform(0.1, 2, 15)


def network(hidden=(4, 3), activation="tanh", loss="softmax", **options):
    y = LABELS if loss == "softmax" else TARGETS
    return MLP(X, y, hidden, activation, loss, **{"l2": 1e-2, "sample_weight": WEIGHTS, **options})


@pytest.mark.parametrize("loss", ["softmax", "squared"])
@pytest.mark.parametrize("activation", ["tanh", "softplus", "linear"])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_derivatives(hidden, activation, loss):
    check_objective(network(hidden, activation, loss))


def test_value_written_out():
    problem = network((4,))
    x = problem.start() + 0.3 * RNG.standard_normal(problem.n)
    V, W = problem.unpack(x)
    Z = np.tanh(X @ V[:-1] + V[-1]) @ W[:-1] + W[-1]
    logs = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
    w = WEIGHTS / WEIGHTS.sum()
    wanted = -(w @ logs[np.arange(15), LABELS]) + 0.5e-2 * ((V[:-1] ** 2).sum() + (W[:-1] ** 2).sum())
    assert problem.fun(x, problem.prepare(x)) == pytest.approx(wanted, rel=1e-14)
    np.testing.assert_allclose(problem.predict(x, X), np.exp(logs), rtol=1e-12)


def test_hessian_is_gauss_newton_plus_the_residual_part():
    """At residuals of zero the two agree; elsewhere they differ by ``sum_i d_i hess Z_i``, by differences of J."""
    problem = network((4,), loss="squared", l2=0.0)
    x = problem.start()
    z = problem.prepare(x)
    fitted = network((4,), loss="squared", l2=0.0)
    fitted._target = z.Z.copy()
    e = RNG.standard_normal(problem.n)
    at_fit = fitted.prepare(x)
    np.testing.assert_allclose(fitted.hessp(x, at_fit, e), fitted.gauss_newton(x, at_fit).matvec(e), atol=1e-14)
    t = 1e-6
    ahead, behind = problem.prepare(x + t * e), problem.prepare(x - t * e)
    residual = (problem.pullback(ahead, z.R) - problem.pullback(behind, z.R)) / (2 * t)
    gap = problem.hessp(x, z, e) - problem.gauss_newton(x, z).matvec(e)
    np.testing.assert_allclose(gap, residual, atol=1e-9 * np.linalg.norm(gap) + 1e-10)
    assert np.linalg.norm(gap) > 1e-3


@pytest.mark.parametrize("loss", ["softmax", "squared"])
def test_jacobian_and_its_transpose(loss):
    problem = network(loss=loss)
    x = problem.start() + 0.1 * RNG.standard_normal(problem.n)
    z = problem.prepare(x)
    v, U = RNG.standard_normal(problem.n), RNG.standard_normal(z.Z.shape)
    assert np.vdot(problem.pushforward(z, v), U) == pytest.approx(v @ problem.pullback(z, U), rel=1e-12)
    t = 1e-6
    moved = (problem.prepare(x + t * v).Z - problem.prepare(x - t * v).Z) / (2 * t)
    np.testing.assert_allclose(problem.pushforward(z, v), moved, atol=1e-7)


def test_without_hidden_layers_it_is_the_linear_model():
    data, y = make_softmax(40, 5, 3, seed=1)
    w = RNG.uniform(0.1, 2, 40)
    linear = Softmax(data, y, l2=1e-2, fit_intercept=True, sample_weight=w)
    problem = MLP(data, y, hidden=(), l2=1e-2, sample_weight=w)
    assert problem.convex
    assert problem.n == linear.n
    x, v = RNG.standard_normal((2, linear.n))
    one, other = linear.prepare(x), problem.prepare(x)
    assert problem.fun(x, other) == pytest.approx(linear.fun(x, one), rel=1e-14)
    np.testing.assert_allclose(problem.grad(x, other), linear.grad(x, one), atol=1e-15)
    hess = linear.hess(x, one)
    np.testing.assert_allclose(problem.hessp(x, other, v), hess.matvec(v), atol=1e-14)
    for kind in ("gauss_newton", "fisher"):
        mine, theirs = getattr(problem, kind)(x, other), getattr(linear, kind)(x, one)
        np.testing.assert_allclose(mine.dense(), theirs.dense(), atol=1e-15)
        np.testing.assert_allclose(mine.diagonal(), theirs.diagonal(), atol=1e-15)


def test_two_classes_have_the_probabilities_of_logistic_regression():
    y = np.arange(15) % 2
    network, linear = MLP(X, y, hidden=()), Logistic(X, y, fit_intercept=True)
    w = RNG.standard_normal(4)
    x = np.stack([-w / 2, w / 2], axis=1).ravel()
    np.testing.assert_allclose(network.predict(x, X)[:, 1], linear.predict(w, X), rtol=1e-13)
    assert network.fun(x, network.prepare(x)) == pytest.approx(linear.fun(w, linear.prepare(w)), rel=1e-13)


def test_layers_are_the_blocks_of_the_matrix():
    problem = network()
    x = problem.start()
    z = problem.prepare(x)
    for form in (problem.gauss_newton(x, z), problem.fisher(x, z)):
        dense = form.dense() - np.diag(problem.ridge)
        start = 0
        for layer in form.layers():
            end = start + layer.shape[0] * layer.shape[1]
            rows = layer.rows()
            np.testing.assert_allclose(rows.T @ rows, dense[start:end, start:end], atol=1e-15)
            np.testing.assert_allclose(layer.diagonal(), dense.diagonal()[start:end], atol=1e-15)
            assert layer.ridge[-1] == 0.0
            assert np.all(layer.ridge[:-1] == problem.l2)
            start = end
        assert start == problem.n
    least = np.linalg.eigvalsh(problem.gauss_newton(x, z).dense() - np.diag(problem.ridge))
    assert np.sum(least > 1e-12) <= 15 * 2  # rank: samples times (classes - 1)


def test_diagonal_rows_keep_their_promises():
    M, U = RNG.uniform(0.1, 1, (5, 3)), RNG.standard_normal((5, 3))
    rows = DiagonalRows(M)
    blocks = np.array([[[rows.pair(a, b)[i] for b in range(3)] for a in range(3)] for i in range(5)])
    np.testing.assert_array_equal(blocks, [np.diag(m) for m in M])
    np.testing.assert_array_equal(rows.apply(U), M * U)
    np.testing.assert_allclose(rows.half(rows.half_t(U)), M * U, rtol=1e-15)
    np.testing.assert_array_equal(rows.take(slice(1, 3), 2.0).diagonals(), 2 * M[1:3])


def test_start_is_seeded_and_fresh():
    problem = network(seed=3)
    np.testing.assert_array_equal(problem.start(), network(seed=3).start())
    assert not np.array_equal(problem.start(), network(seed=4).start())
    assert all(not V[-1].any() for V in problem.unpack(problem.start()))


def test_overflow_is_a_value_not_a_warning():
    problem = network(loss="squared", activation="linear")
    x = Point(problem, np.full(problem.n, 1e200))
    assert not x.finite


def test_training():
    problem = network((6,), l2=1e-3)
    found = GradNormSmooth().minimize(problem, gtol=1e-8)
    assert found.success
    H = np.stack([problem.hessp(found.x, problem.prepare(found.x), e) for e in np.eye(problem.n)])
    assert np.linalg.eigvalsh(H)[0] > -1e-7  # a minimum to rounding, not a saddle


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"hidden": (4, 0)}, "hidden="),
        ({"hidden": (2.5,)}, "hidden="),
        ({"activation": "relu"}, "activation='relu'.*choose one of"),
        ({"loss": "hinge"}, "loss='hinge'.*choose one of"),
        ({"l2": -1.0}, "l2=-1.0"),
        ({"l2": "1/n"}, "l2='1/n'"),
        ({"y": np.zeros(15)}, "at least two"),
        ({"y": np.zeros(4)}, "y has"),
        ({"y": np.full(15, np.nan), "loss": "squared"}, "y has shape"),
        ({"X": np.full((15, 3), np.inf)}, "X"),
    ],
)
def test_misuse(settings, text):
    with pytest.raises(ValueError, match=text):
        MLP(**{"X": X, "y": LABELS, **settings})

"""Quick steps: where they are made, what they cost, when they end."""

import numpy as np
import pytest
from scipy import sparse

import gnsopt
from gnsopt.curvature import exact
from gnsopt.solvers import LineNewton


def gaussian(n, d, seed=0, scale=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * (1.0 if scale is None else scale)
    Z = X @ rng.standard_normal(d)
    return X, Z / Z.std() * 2 + rng.logistic(size=n) > 0


def quick(found):
    return sum(row.get("trials") == 0 for row in found.trace)


def judged(problem, found, tol):
    """The gradient at the answer, evaluated anew."""
    g = problem.grad(found.x, problem.prepare(found.x))
    assert found.success
    assert np.abs(g).max() <= tol
    assert problem.fun(found.x, problem.prepare(found.x)) == pytest.approx(found.fun, rel=1e-13)


def test_independent_features_take_a_product_for_each_of_a_few_steps():
    X, y = gaussian(20_000, 80)
    problem = gnsopt.Logistic(X, y, 1e-4)
    found = gnsopt.minimize(problem, tol=1e-10)
    judged(problem, found, 1e-10)
    assert quick(found) == found.nit <= 12
    assert found.nhev == found.nhessp == 0
    assert found.njev <= found.nit + 3
    newton = LineNewton(curvature=exact.using("cg")).minimize(problem, gtol=1e-10)
    assert newton.njev + newton.nhessp > 1.5 * found.njev
    assert np.allclose(found.x, newton.x, atol=1e-8)


def test_a_sample_of_the_rows_is_bought_where_steps_are_slow():
    scale = np.linalg.qr(np.random.default_rng(2).standard_normal((80, 80)))[0] * np.geomspace(1, 1e-3, 80)
    X, y = gaussian(8_000, 80)
    problem = gnsopt.Logistic(X @ scale.T, y, 1e-8)
    found = gnsopt.minimize(problem, tol=1e-10)
    judged(problem, found, 1e-10)
    assert 0 < found.nhessp <= 12  # the price of the sample, in products
    assert found.nhev == 0
    assert found.nit <= 22


def test_easy_wide_data_need_no_gram_matrix_and_hard_ones_buy_it():
    X, y = gaussian(400, 6000)
    easy = gnsopt.Logistic(X, y, 1 / 400)
    found = gnsopt.minimize(easy, tol=1e-9)
    judged(easy, found, 1e-9)
    assert found.nhev == 0
    assert "row_gram" not in vars(easy.design)
    assert found.njev <= 20
    rng = np.random.default_rng(3)
    rows = np.linalg.qr(rng.standard_normal((400, 400)))[0] * np.geomspace(1, 1e-3, 400)
    hard = gnsopt.Logistic(rows @ X, y, 1e-6)
    found = gnsopt.minimize(hard, tol=1e-9)
    judged(hard, found, 1e-9)
    assert 0 < quick(found) < found.nit
    assert "in the row space" in found.curvature
    assert found.njev + found.nhessp <= 400
    again = gnsopt.minimize(hard, tol=1e-9)  # the matrix is there now: the same steps all the same
    assert again.x.tobytes() == found.x.tobytes()


def test_quick_steps_end_where_newton_steps_are_faster():
    """After a failure one Newton step comes first, after the next one two, then four."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((1500, 900)) * (rng.random((1500, 900)) < 0.02) * np.geomspace(1, 3000, 900)
    X = sparse.csr_array(X)
    y = X @ rng.standard_normal(900) > 0
    problem = gnsopt.Logistic(X, y, 1e-7)
    found = gnsopt.minimize(problem, tol=1e-9)
    judged(problem, found, 1e-9)
    runs, kinds = [], [row["trials"] == 0 for row in list(found.trace)[1:]]
    for kind in kinds:
        if runs and runs[-1][0] == kind:
            runs[-1][1] += 1
        else:
            runs.append([kind, 1])
    assert runs[0][0]
    waits = [length for kind, length in runs[:-1] if not kind]
    assert len(waits) >= 2
    assert waits == [2**i for i in range(len(waits))]


def test_several_outputs_and_a_name():
    rng = np.random.default_rng(5)
    X, _ = gaussian(6_000, 120)
    y = np.argmax(X @ rng.standard_normal((120, 3)) + 8 * rng.gumbel(size=(6_000, 3)), axis=1)
    problem = gnsopt.Softmax(X, y, 1e-4, fit_intercept=True)
    found = gnsopt.minimize(problem, tol=1e-9)
    judged(problem, found, 1e-9)
    assert quick(found) > 0
    assert quick(LineNewton(curvature="exact").minimize(problem, gtol=1e-9)) == 0 or found.nhev == 0
    named = gnsopt.minimize(problem, tol=1e-9, method="gns")
    assert all(row.get("trials", 1) for row in named.trace)
    assert np.allclose(named.x, found.x, atol=1e-6)


def test_the_same_bits_twice():
    X, y = gaussian(5_000, 60)
    first, second = (gnsopt.minimize(gnsopt.Logistic(X, y, 1e-4)) for _ in range(2))
    assert first.x.tobytes() == second.x.tobytes()
    assert quick(first) > 0


@pytest.mark.parametrize("shape", [(150, 450), (225, 230)])
def test_wide_squares_without_a_penalty_end_at_the_minimiser_of_least_norm(shape):
    rng = np.random.default_rng(6)
    X, y = np.abs(rng.standard_normal(shape)) + 1, rng.standard_normal(shape[0])
    found = gnsopt.minimize(gnsopt.SquaredLoss(X, y, 0.0), tol=1e-10)
    assert found.success
    assert np.abs(found.x - np.linalg.pinv(X) @ y).max() <= 1e-6

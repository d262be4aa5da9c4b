"""(H + lam B)^{-1} b by every route, against numpy.linalg.solve on the dense matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import eigh

from gnsopt import GradNormSmooth, Logistic, LogSumExp, Point, Softmax, SquaredLoss
from gnsopt.curvature import exact, fisher, gauss_newton, start
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.metric import as_metric
from gnsopt.linalg.precond import Preconditioner
from gnsopt.linalg.shifted import PATIENT, Accuracy, DenseShifted, KrylovShifted, SpectralShifted
from gnsopt.linalg.structured import Diagonal

SHIFTS = [1e-6, 1e-2, 1.0, 1e2, 1e6]


def metric_of(kind, n, rng):
    """What a user gives, and the dense B."""
    if kind == "identity":
        return None, np.eye(n)
    if kind == "scalar":
        return 7.0, 7.0 * np.eye(n)
    if kind == "diagonal":
        d = rng.uniform(0.1, 10, n)
        return d, np.diag(d)
    A = rng.standard_normal((2 * n, n))
    return A.T @ A, A.T @ A


KINDS = ["identity", "scalar", "diagonal", "dense"]


def symmetric(n, rng, smallest=0.0):
    """A symmetric matrix with eigenvalues from `smallest` to 10."""
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    H = (Q * np.linspace(smallest, 10, n)) @ Q.T
    return np.asfortranarray((H + H.T) / 2)


@given(st.integers(1, 25), st.sampled_from(KINDS), st.integers(0, 2**31))
def test_direct_solves_agree(n, kind, seed):
    """Cholesky for three shifts, tridiagonal from the fourth on; tridiagonal at once; spectral."""
    rng = np.random.default_rng(seed)
    H = symmetric(n, rng, 0.5)
    given, B = metric_of(kind, n, rng)
    metric = as_metric(given, n)
    lower = np.asfortranarray(np.tril(H) + np.triu(np.full((n, n), 99.0), 1))  # the upper triangle is not read
    solvers = [DenseShifted(lower, metric), DenseShifted(lower, metric, rent=0), SpectralShifted(lower, metric)]
    for lam in [0.0, *SHIFTS, 1.0, 1.0]:
        b = rng.standard_normal(n)
        truth = np.linalg.solve(H + lam * B, b)
        for solver in solvers:
            np.testing.assert_allclose(solver.solve(lam, b), truth, rtol=1e-7, atol=1e-10 * np.abs(truth).max())
    np.testing.assert_array_equal(np.tril(lower), np.tril(H))


@pytest.mark.parametrize("kind", KINDS)
def test_indefinite_shifts_are_refused(kind):
    """Exactly for lam below minus the smallest generalised eigenvalue."""
    rng = np.random.default_rng(0)
    n = 12
    H = symmetric(n, rng, -5.0)
    given, B = metric_of(kind, n, rng)
    metric = as_metric(given, n)
    edge = -eigh(H, B, eigvals_only=True)[0]
    b = rng.standard_normal(n)
    for rent in (3, 0):
        for lam, fails in ((0.9 * edge, True), (1.1 * edge, False), (0.1 * edge, True), (2 * edge, False)):
            for solver in (DenseShifted(H, metric, rent), SpectralShifted(H, metric)):
                if fails:
                    with pytest.raises(NotPositiveDefinite):
                        solver.solve(lam, b)
                else:
                    np.testing.assert_allclose(solver.solve(lam, b), np.linalg.solve(H + lam * B, b), rtol=1e-7)
    # a refused shift leaves nothing behind
    solver = DenseShifted(H, metric)
    solver.solve(2 * edge, b)
    with pytest.raises(NotPositiveDefinite):
        solver.solve(0.0, b)
    np.testing.assert_allclose(solver.solve(2 * edge, b), np.linalg.solve(H + 2 * edge * B, b), rtol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_orders_in_the_tridiagonal_basis(n):
    rng = np.random.default_rng(n)
    H, b = symmetric(n, rng, 1.0), rng.standard_normal(n)
    np.testing.assert_allclose(
        DenseShifted(H, as_metric(None, n), rent=0).solve(0.5, b), np.linalg.solve(H + 0.5 * np.eye(n), b)
    )
    with pytest.raises(NotPositiveDefinite):
        DenseShifted(H, as_metric(None, n), rent=0).solve(-20.0, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", [DenseShifted, SpectralShifted])
def test_the_noise_level_belongs_to_the_pair_of_matrices(solver, kind):
    """lam_noise is where rounding in H decides: it scales with H and against B."""
    rng = np.random.default_rng(0)
    H = symmetric(10, rng, 0.0)
    given, B = metric_of(kind, 10, rng)
    noise = solver(H, as_metric(given, 10)).lam_noise
    largest = eigh(H, B, eigvals_only=True)[-1]
    assert 1e-17 * largest <= noise <= 1e-13 * largest
    assert solver(1e6 * H, as_metric(given, 10)).lam_noise == pytest.approx(1e6 * noise, rel=1e-9)
    scaled = 1e8 if given is None else 1e8 * np.asarray(given)
    assert solver(H, as_metric(scaled, 10)).lam_noise == pytest.approx(1e-8 * noise, rel=1e-6)
    # a mean of H_ii / B_ii whatever the units of the variables are
    ratios = 2.2e-15 * H.diagonal() / B.diagonal()
    c = np.logspace(-4, 4, 10)
    for order in (c, c[::-1]):
        units = np.asfortranarray(H * order * order[:, None])
        scaled = solver(units, as_metric(B * order * order[:, None], 10)).lam_noise
        assert 0.1 * ratios.min() <= scaled <= 10 * ratios.max()


@pytest.mark.parametrize("solver", [DenseShifted, SpectralShifted])
def test_a_penalty_on_a_tiny_variable_is_no_noise(solver):
    """H = B + 1, B from 1e-16 to 1e16 (columns in any units): the floor must not be 1e16 eps."""
    B = np.logspace(-16, 16, 10)
    assert solver(np.asfortranarray(np.diag(B + 1.0)), as_metric(B, 10)).lam_noise <= 1e-13
    assert Diagonal(B + 1.0).structured(as_metric(B, 10)).lam_noise <= 1e-13


# ---------------------------------------------------------------------------------------------------- row space


def linear_models():
    """Wide problems (fewer rows than columns), by name."""
    w = np.random.default_rng(3).uniform(0, 2, 8)
    w[:2] = 0
    X, y = make_logistic(8, 20)
    S, t = make_softmax(8, 6, 3)
    t[:3] = [0, 1, 2]
    sparse, _ = make_logistic(8, 20, density=0.2)
    sparse_labels = np.append(y[:-1], -y[0])
    per_feature, per_small = np.linspace(0, 1, 20), np.linspace(0.1, 1, 6)
    return {
        "logistic": Logistic(X, y, 0.1),
        "logistic, no penalty": Logistic(X, y),
        "logistic, intercept": Logistic(X, y, 0.1, True),
        "logistic, intercept, no penalty": Logistic(X, y, 0.0, True),
        "logistic, weights": Logistic(X, y, 0.1, True, sample_weight=w),
        "logistic, penalty per feature": Logistic(X, y, per_feature, True),
        "logistic, sparse": Logistic(sparse, sparse_labels, 0.1, True),
        "logistic, sparse, penalty per feature": Logistic(sparse, sparse_labels, per_feature, True),
        "softmax": Softmax(S, t, 0.1),
        "softmax, no penalty": Softmax(S, t),
        "softmax, intercept": Softmax(S, t, 0.1, True),
        "softmax, weights": Softmax(S, t, 0.1, True, sample_weight=w[::-1]),
        "softmax, penalty per feature": Softmax(S, t, per_small, True, sample_weight=w[::-1]),
        "log-sum-exp": LogSumExp(X, np.linspace(0, 1, 8), 0.3),
    }


@pytest.mark.parametrize("kind", ["identity", "scalar", "diagonal"])
@pytest.mark.parametrize(
    ("name", "model"),
    [(name, model) for name in linear_models() if name != "log-sum-exp" for model in (exact, fisher)]
    + [("log-sum-exp", gauss_newton)],
)
def test_row_space_is_the_dense_solve(name, kind, model):
    problem = linear_models()[name]
    rng = np.random.default_rng(0)
    n = problem.n
    given, B = metric_of(kind, n, rng)
    if kind == "diagonal" and getattr(problem, "k", 1) > 1:  # one value per feature
        given = np.repeat(given[::3], 3)
        B = np.diag(given)
    x = Point(problem, rng.standard_normal(n), metric=as_metric(given, n))
    curvature = start(model.using("row-space"), x)(x)
    H = x.hess(model.kind).dense()
    for lam in (1e-6, 1e-2, 1.0, 1e3):
        b = rng.standard_normal(n)
        truth = np.linalg.solve(H + lam * B, b)
        np.testing.assert_allclose(curvature.solve(lam, b), truth, rtol=0, atol=1e-7 * np.abs(truth).max())
    assert x.counts.nhev == 1
    # and where the right-hand side is the gradient, to more digits: no term of size 1/lam is left over
    truth = np.linalg.solve(H + 1e-6 * B, x.g)
    np.testing.assert_allclose(curvature.solve(1e-6, x.g), truth, rtol=0, atol=1e-8 * np.abs(truth).max())


def test_row_space_needs_what_it_says():
    X, y = make_logistic(8, 20)
    problem = Logistic(X, y)
    dense = Point(problem, np.zeros(20), metric=as_metric(np.eye(20) + 0.1, 20))
    with pytest.raises(ValueError, match=r"metric.*diagonal"):
        start(exact.using("row-space"), dense)(dense)
    other = Point(LogSumExp(X, np.zeros(8)), np.zeros(20))
    with pytest.raises(ValueError, match=r"row-space.*linear model"):
        start(exact.using("row-space"), other)(other)


# -------------------------------------------------------------------------------------------- conjugate gradients


class By(Preconditioner):
    """A given positive definite matrix as a preconditioner for every shift."""

    def __init__(self, M):
        self.M = M

    def at(self, lam, metric):
        return lambda r: np.linalg.solve(self.M, r)


@pytest.mark.parametrize("theta", [0.5, 0.25, 1e-3])
@pytest.mark.parametrize("lam", [1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("kind", KINDS)
def test_conjugate_gradients_obey_their_residual_rule(kind, lam, theta):
    """|r|_* <= theta lam |h| with the true residual, and <r, h> = 0: the Galerkin condition of the theory."""
    rng = np.random.default_rng(0)
    n = 40
    H, b = symmetric(n, rng, 0.0), rng.standard_normal(n)
    given, B = metric_of(kind, n, rng)
    metric = as_metric(given, n)
    used = []
    solver = KrylovShifted(lambda v: used.append(1) or H @ v, metric, By(np.diag(np.diag(H))), Accuracy(theta))
    h = solver.solve(lam, b)
    r = b - (H + lam * B) @ h
    assert metric.dual_norm(r) <= theta * lam * metric.norm(h) * (1 + 1e-6)
    assert abs(r @ h) <= 1e-8 * np.linalg.norm(b) * np.linalg.norm(h)
    assert metric.norm(h) <= metric.dual_norm(b) / lam
    # one product fewer would not have done
    less = KrylovShifted(lambda v: H @ v, metric, By(np.diag(np.diag(H))), Accuracy(theta, max_products=len(used) - 1))
    if len(used) > 1:
        h = less.solve(lam, b)
        assert metric.dual_norm(b - (H + lam * B) @ h) > theta * lam * metric.norm(h) * (1 - 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_conjugate_gradients_reach_the_dense_solve(kind):
    rng = np.random.default_rng(0)
    H, b = symmetric(30, rng, 1.0), rng.standard_normal(30)
    given, B = metric_of(kind, 30, rng)
    solver = KrylovShifted(lambda v: H @ v, as_metric(given, 30), By(np.eye(30)), Accuracy(1e-12))
    for lam in (0.1, 10.0):
        np.testing.assert_allclose(solver.solve(lam, b), np.linalg.solve(H + lam * B, b), rtol=0, atol=1e-9)


def test_the_floor_of_conjugate_gradients():
    """|r|_* <= floor |b|_*, reached long before the other rule."""
    rng = np.random.default_rng(0)
    H, b = symmetric(30, rng, 0.5), rng.standard_normal(30)
    metric = as_metric(2.0, 30)
    h = KrylovShifted(lambda v: H @ v, metric, By(np.eye(30)), Accuracy(0.25, floor=1e-2)).solve(1e-9, b)
    assert 1e-3 < metric.dual_norm(b - H @ h) / metric.dual_norm(b) <= 1e-2 * (1 + 1e-6)


def test_negative_curvature_is_refused():
    rng = np.random.default_rng(0)
    H, b = symmetric(30, rng, -2.0), rng.standard_normal(30)
    solver = KrylovShifted(lambda v: H @ v, as_metric(None, 30), By(np.eye(30)), Accuracy(1e-6))
    with pytest.raises(NotPositiveDefinite):
        solver.solve(0.5, b)
    np.testing.assert_allclose(solver.solve(3.0, b), np.linalg.solve(H + 3 * np.eye(30), b), atol=1e-5)


def test_a_better_preconditioner_takes_over():
    """The exact matrix, offered after five products, ends the solve at the next one."""
    rng = np.random.default_rng(0)
    H, b = symmetric(60, rng, 0.01), rng.standard_normal(60)
    asked = []

    def spend(lam):
        asked.append(lam)
        return By(H + lam * np.eye(60)) if len(asked) == 5 else None

    solver = KrylovShifted(lambda v: H @ v, as_metric(None, 60), By(np.eye(60)), Accuracy(1e-8), spend)
    np.testing.assert_allclose(solver.solve(0.1, b), np.linalg.solve(H + 0.1 * np.eye(60), b), atol=1e-7)
    assert asked == 5 * [0.1]


def test_a_residual_that_ends_the_run_is_enough():
    """``max |r| <= enough`` ends a solve whose other bounds ask for far more."""
    rng = np.random.default_rng(0)
    H, b = symmetric(60, rng, 0.01), rng.standard_normal(60)
    products = {}
    for enough in (0.0, 1e-3):
        used = []
        solver = KrylovShifted(
            lambda v, used=used: used.append(1) or H @ v,
            as_metric(None, 60),
            By(np.eye(60)),
            Accuracy(1e-9, 0.0, enough),
        )
        r = b - (H + 0.1 * np.eye(60)) @ solver.solve(0.1, b)
        products[enough] = len(used)
        assert np.abs(r).max() <= max(enough, 1e-6)
    assert products[1e-3] < 0.7 * products[0.0]


@pytest.mark.parametrize("gtol", [1e-4, 1e-8])
def test_the_last_step_of_a_run_is_solved_no_better_than_it_must_be(gtol):
    """Near the minimiser of a quadratic the residual is the next gradient: it lands just below gtol, not far below."""
    rng = np.random.default_rng(1)
    problem = SquaredLoss(rng.standard_normal((400, 60)), rng.standard_normal(400), l2=1e-3)
    res = GradNormSmooth(exact.using("cg"), gamma0=1e6).minimize(problem, gtol=gtol)
    assert res.success
    assert 1e-3 * gtol < np.abs(res.jac).max() <= gtol


@pytest.mark.parametrize("name", linear_models())
def test_the_cg_model_obeys_its_rule_on_problems(name):
    problem = linear_models()[name]
    n = problem.n
    x = Point(problem, np.random.default_rng(0).standard_normal(n), metric=problem.metric())
    curvature = start(exact.using("cg", theta=0.2, floor=0.0), x)(x)
    H, B = x.hess().dense(), np.diag(np.broadcast_to(x.metric.diagonal, n))
    for lam in (1e-3, 1.0):
        h = curvature.solve(lam, x.g)
        r = x.g - (H + lam * B) @ h
        assert x.metric.dual_norm(r) <= 0.2 * lam * x.metric.norm(h) * (1 + 1e-6)
    assert x.counts.nhev == 0


def test_a_solve_that_stalls_ends_early_and_goes_downhill():
    """One stiff and many soft directions: the model has fallen long before the residual is small."""
    rng = np.random.default_rng(0)
    d = np.concatenate([np.ones(20), np.geomspace(1e-8, 1e-4, 80)])
    b = np.concatenate([rng.standard_normal(20), 1e-5 * rng.standard_normal(80)])
    counts = []

    def product(v):
        counts.append(1)
        return d * v

    def solve(stall):
        counts.clear()
        rule = Accuracy(0.0, 1e-9, stall=stall)
        h = KrylovShifted(product, as_metric(None, 100), By(np.eye(100)), rule).solve(0.0, b)
        return 0.5 * h @ (d * h) - b @ h, len(counts), b @ h

    whole, long, _ = solve(0.0)
    part, short, slope = solve(0.1)
    assert PATIENT < short < long
    assert slope > 0
    assert part < 0

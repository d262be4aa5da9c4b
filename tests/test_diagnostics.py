"""gamma(x) against closed forms and brute force; inexactness and its fit against identities of the theory."""

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.optimize import brentq
from scipy.special import expit

from gnsopt import GradNormSmooth, Logistic, LogSumExp, Objective
from gnsopt.curvature import Lazy, resolve, start
from gnsopt.diagnostics import envelope, gamma, inexactness, step_error
from gnsopt.globalization import progress_ratio
from gnsopt.linalg.metric import as_metric, gram_metric
from gnsopt.point import Counts, Point
from gnsopt.registry import PROBLEMS


class Scalar(Objective):
    """A function of one variable with its derivatives, and an approximate second one as ``gauss_newton``."""

    n = 1

    def __init__(self, f, df, d2f, approximate=None):
        self.parts = f, df, d2f, approximate

    def fun(self, x, z):
        return float(self.parts[0](x[0]))

    def grad(self, x, z):
        return np.array([self.parts[1](x[0])])

    def hess(self, x, z):
        return np.array([[self.parts[2](x[0])]])

    def gauss_newton(self, x, z):
        return np.array([[self.parts[3](x[0])]])


EXP = Scalar(np.exp, np.exp, np.exp)
CUBE = Scalar(lambda x: abs(x) ** 3 / 3, lambda x: x * abs(x), lambda x: 2 * abs(x))
FOURTH = Scalar(lambda x: x**4 / 4, lambda x: x**3, lambda x: 3 * x**2, lambda x: 2 * x**2)
SOFTPLUS = Scalar(lambda x: np.logaddexp(0, x), expit, lambda x: expit(x) * expit(-x))
PARABOLA = Scalar(lambda x: 2.5 * x**2, lambda x: 5 * x, lambda x: 5.0, lambda x: 3.0)
WITHOUT = brentq(lambda t: np.exp(t) - t - 2, 1, 2)  # e^t - t - 1 = 1


def point(problem, x, metric=None):
    x = np.atleast_1d(np.asarray(x, dtype=float))
    return Point(problem, x, Counts(), as_metric(metric, x.size))


@pytest.mark.parametrize(
    ("f", "x", "model", "region", "expected"),
    [
        *((EXP, x, "exact", "model", np.e) for x in (-2, 0, 3)),
        *((EXP, x, "exact", None, WITHOUT) for x in (-2, 0, 3)),
        *((EXP, x, "zero", "model", 1.0) for x in (-2, 0, 3)),
        *((CUBE, x, "exact", "model", 2 * x) for x in (0.1, 1, 7)),
        *((CUBE, x, "exact", None, x) for x in (0.1, 1, 7)),
        *((FOURTH, x, "exact", "model", 9 * x / 8) for x in (0.1, 1, 7)),
        *((FOURTH, x, "gauss_newton", "model", x) for x in (0.1, 1, 7)),
        *((FOURTH, x, "zero", "model", x / 3) for x in (0.1, 1, 7)),
        *((PARABOLA, x, "exact", "model", np.inf) for x in (1, -4)),
        *((PARABOLA, x, "gauss_newton", "model", 5 * abs(x) / 2) for x in (1, -4)),
        (SOFTPLUS, 0, "exact", "model", 1 + np.e**2),  # at the end of the region, t = g/H = 2
    ],
)
def test_closed_forms(f, x, model, region, expected):
    assert gamma(point(f, x), model, region=region).gamma == pytest.approx(expected, rel=1e-6)


def test_far_from_the_origin():
    """Where x + h is rounded, short steps say nothing."""
    far = Scalar(*(lambda x: np.exp(x - 2.0**20),) * 3)
    assert gamma(point(far, 2.0**20)).gamma == pytest.approx(np.e, rel=1e-6)


@pytest.mark.parametrize("x", [-12.0, 1.0, 3.0])
def test_softplus_by_brute_force(x):
    g, H = expit(x), expit(x) * expit(-x)
    t = np.linspace(0, g / H, 2_000_001)[1:]
    with np.errstate(divide="ignore"):
        wanted = np.maximum(t, g * t / np.abs(expit(x - t) - g + H * t))
    assert gamma(point(SOFTPLUS, x)).gamma == pytest.approx(wanted[t > 1e-3].min(), rel=1e-6)


@pytest.mark.parametrize("metric", [None, "dense"])
def test_quadratic_with_an_inexact_hessian(metric):
    """``gamma = |g|_* / |A - H|_*``, since the eigenvector of the error or its opposite points downhill."""
    n = 6
    rng = np.random.default_rng(0)
    M, E, B = (rng.standard_normal((n, n)) for _ in range(3))
    A, E, B = M @ M.T + np.eye(n), 0.1 * (E + E.T), B @ B.T + np.eye(n)

    class Quadratic(Objective):
        def __init__(self):
            self.n = n

        def fun(self, x, z):
            return 0.5 * float(x @ A @ x)

        def grad(self, x, z):
            return A @ x

        def hess(self, x, z):
            return A

        def gauss_newton(self, x, z):
            return A - E

    x = point(Quadratic(), rng.standard_normal(n), None if metric is None else B)
    size = np.abs(eigh(E, None if metric is None else B, eigvals_only=True)).max()
    found = gamma(x, "gauss_newton")
    assert found.gamma == pytest.approx(x.dual_norm / size, rel=1e-6)
    assert gamma(x).gamma == np.inf
    assert gamma(x).witness is None


class Valley(Objective):
    """Rosenbrock's function with b = 5, exact and Gauss-Newton."""

    n = 2

    def fun(self, x, z):
        return float((1 - x[0]) ** 2 + 5 * (x[1] - x[0] ** 2) ** 2)

    def grad(self, x, z):
        d = x[1] - x[0] ** 2
        return np.array([2 * (x[0] - 1) - 20 * x[0] * d, 10 * d])

    def hess(self, x, z):
        return np.array([[2 - 20 * (x[1] - 3 * x[0] ** 2), -20 * x[0]], [-20 * x[0], 10.0]])

    def gauss_newton(self, x, z):
        return np.array([[2 + 40 * x[0] ** 2, -20 * x[0]], [-20 * x[0], 10.0]])


@pytest.mark.parametrize("region", ["model", "exact", None])
@pytest.mark.parametrize("model", ["gauss_newton", "projected", "zero"])
@pytest.mark.parametrize("at", [(-1.2, 1.0), (0.3, 2.0)])
def test_two_dimensions_by_brute_force(at, model, region):
    f = Valley()
    x = point(f, at)
    curvature = start(resolve(model), x)(x)
    H = np.stack([curvature.matvec(e) for e in np.eye(2)])
    C = {"model": H, "exact": f.hess(x.x, None), None: np.zeros((2, 2))}[region]
    angle, t = np.linspace(0, 2 * np.pi, 721)[:-1, None], np.geomspace(1e-3, 10, 800)[None, :]
    h = np.stack([np.cos(angle) * t, np.sin(angle) * t])
    moved = f.grad(x.x[:, None, None] + h, None)
    error = np.linalg.norm(moved - x.g[:, None, None] - np.einsum("ij,jkl->ikl", H, h), axis=0)
    inside = np.einsum("ikl,ij,jkl->kl", h, C, h) + np.einsum("i,ikl->kl", x.g, h) <= 0
    with np.errstate(divide="ignore"):
        values = np.where(inside if region else True, np.maximum(t, x.dual_norm * t / error), np.inf)
    found = gamma(x, model, region=region).gamma
    assert found <= values.min() * (1 + 1e-3)  # an upper estimate that is as good as the grid's
    assert found == pytest.approx(values.min(), rel=2e-2)  # the grid's own error


@pytest.mark.parametrize("name", ["logistic", "logistic-wide", "softmax-iris", "rosenbrock"])
def test_the_witness_proves_the_estimate(name):
    problem = PROBLEMS[name]()
    x = Point(problem, problem.start() + 0.4, Counts(), problem.metric())
    found = gamma(x, "projected", samples=10, polish=20)
    assert x.counts == Counts()
    H = start(resolve("projected"), x)(x)
    h, g, B = found.witness, x.g, x.metric
    error = B.dual_norm(x.at(x.x + h).g - g - H.matvec(h))
    assert found.error == pytest.approx(error, rel=1e-6)
    assert found.gamma == pytest.approx(max(B.norm(h), x.dual_norm * B.norm(h) / error), rel=1e-6)
    assert h @ H.matvec(h) + g @ h <= 1e-12 * abs(g @ h)
    again = gamma(x, "projected", samples=10, polish=20)
    assert np.array_equal(again.witness, found.witness)
    assert again.njev == found.njev


def test_quasi_self_concordance_bounds_it_from_below():
    """``gamma(x) >= 1.2564/M`` for logistic losses with ``M = max |a_i|_*``; so for every upper estimate."""
    problem = PROBLEMS["logistic"]()
    for seed in range(3):
        x = 2 * np.random.default_rng(seed).standard_normal(problem.n)
        found = gamma(point(problem, x), polish=20)
        assert 1.2564 / problem.design.row_norms.max() <= found.gamma < np.inf


@pytest.mark.parametrize("model", ["exact", "fisher", "diagonal"])
def test_lemma_1(model):
    """With the radius at gamma(x) the progress inequality holds: R >= 1; with half of it R >= 8/3."""
    problem = PROBLEMS["logistic"]()
    for seed in range(3):
        x = point(problem, np.random.default_rng(seed).standard_normal(problem.n))
        radius, H = gamma(x, model, polish=30).gamma, start(resolve(model), x)(x)
        for c, least in ((1.0, 1.0), (0.5, 8 / 3)):
            lam = x.dual_norm / (c * radius)
            assert progress_ratio(x, x.at(x.x - H.solve(lam, x.g)), lam) >= least


def test_hessian_errors_combine_harmonically():
    """``1/gamma_2 <= 1/gamma_1 + |H_1 - H_2| / |g|``, without a region."""
    problem = PROBLEMS["logistic"]()
    x = point(problem, np.ones(problem.n) / 2)
    E = x.hess("hess").dense() - x.hess("fisher").dense()
    one, two = (1 / gamma(x, model, region=None).gamma for model in ("exact", "fisher"))
    assert two <= 1.01 * (one + np.abs(np.linalg.eigvalsh(E)).max() / x.dual_norm)  # 1 % for the search


def test_scaling_changes_nothing():
    one = gamma(point(FOURTH, 2.0), "gauss_newton").gamma
    hundred = Scalar(*(lambda x, p=p: 100 * p(x) for p in FOURTH.parts))
    assert gamma(point(hundred, 2.0), "gauss_newton").gamma == pytest.approx(one, rel=1e-6)


def test_gamma_misuse():
    with pytest.raises(ValueError, match="region='ball'"):
        gamma(point(EXP, 0), region="ball")
    with pytest.raises(ValueError, match="not zero"):
        gamma(point(PARABOLA, 0))


# -------------------------------------------------------------------------------------------------- inexactness


def run(problem, model, **settings):
    return GradNormSmooth(curvature=model, **settings).minimize(problem, gtol=1e-7, keep_x=True)


@pytest.mark.parametrize("d", [10, 220])
def test_log_sum_exp_identity(d):
    """``|hess - WGN|_* = |g|_*^2 / mu``, by all eigenvalues and (d = 220) by Lanczos, in a metric of its own."""
    rng = np.random.default_rng(0)
    problem = LogSumExp(rng.standard_normal((30, d)), rng.standard_normal(30), mu=0.5)
    metric = rng.uniform(0.5, 2.0, d)
    points = [s * rng.standard_normal(d) for s in (0.03, 0.1, 0.3)]
    found = inexactness(points, problem, "gauss_newton", metric=metric)
    G = found.records["gradient"]
    np.testing.assert_allclose(found.records["error"], G**2 / 0.5, rtol=1e-9)
    wanted = [point(problem, x, metric).dual_norm for x in points]
    np.testing.assert_allclose(G, wanted, rtol=1e-14)
    assert (found.C1, found.beta) == (pytest.approx(0, abs=1e-12), 0)
    assert found.C2 == pytest.approx(G.max() / 0.5, rel=1e-6)  # G^2/mu <= (max G/mu) G


@pytest.mark.parametrize("p", [3, 4, 6])
def test_fisher_term_of_a_residual_power(p):
    """``|hess - Fisher|_* = |g|_*^{(p-2)/(p-1)}`` in B = A'A: C1 = 0, C2 = 1, beta = 1/(p - 1)."""
    n = 4
    rng = np.random.default_rng(1)
    A, b = rng.standard_normal((n, n)) + 2 * np.eye(n), rng.standard_normal(n)

    class Power(Objective):
        def __init__(self):
            self.n = n

        def fun(self, x, z):
            return np.linalg.norm(A @ x - b) ** p / p

        def grad(self, x, z):
            u = A @ x - b
            return np.linalg.norm(u) ** (p - 2) * (A.T @ u)

        def fisher(self, x, z):
            g = self.grad(x, z)
            return (p - 2) / np.linalg.norm(A @ x - b) ** p * np.outer(g, g)

        def hess(self, x, z):
            return np.linalg.norm(A @ x - b) ** (p - 2) * A.T @ A + self.fisher(x, z)

    problem = Power()
    result = GradNormSmooth(curvature="fisher", metric=gram_metric(A)).minimize(
        problem, 3 * np.ones(n), f_target=1e-9, keep_x=True
    )
    found = inexactness(result, problem, "fisher", metric=gram_metric(A))
    assert len(found.records["nit"]) == result.nit + 1
    assert found.C2 == pytest.approx(1, rel=1e-3)
    assert found.beta == pytest.approx(1 / (p - 1), abs=1e-3)
    assert found.C1 == pytest.approx(0, abs=1e-3 * found.records["error"].min())
    assert np.all(found.records["error"] <= found.records["bound"] * (1 + 1e-12))


def test_exact_hessian_has_no_error():
    problem = PROBLEMS["logistic"]()
    found = inexactness(run(problem, "exact"), problem, "exact")
    assert (found.C1, found.C2, found.beta) == (0, 0, 0)


def test_fisher_of_the_logistic_loss():
    """``|hess - Fisher|_* <= R^2 f_data`` with ``R = max |a_i|_*``."""
    problem = PROBLEMS["logistic-breast-cancer"]()
    result = run(problem, "fisher", metric=None)
    found = inexactness(result, problem, "fisher", metric=None)
    loss = np.array([problem.prepare(x).loss for x in result.trace.x])
    assert np.all(found.records["error"] <= problem.design.row_norms.max() ** 2 * loss)
    assert found.C1 > 0
    assert np.all(found.records["error"] <= found.records["bound"] * (1 + 1e-12))


def test_models_remember_as_in_the_run():
    problem = PROBLEMS["logistic"]()
    result = run(problem, Lazy(3))
    error = inexactness(result, problem, Lazy(3)).records["error"]
    assert np.all(error[::3] == 0)
    fresh = np.arange(error.size) % 3 == 0
    assert np.all(error[~fresh][:-1] > 0)


def test_step_error():
    problem = PROBLEMS["logistic-breast-cancer"]()
    metric = np.geomspace(0.5, 2.0, problem.n)
    result = run(problem, "diagonal", metric=metric)
    table = step_error(result, problem, "diagonal", metric=metric)
    whole = inexactness(result, problem, "diagonal", metric=metric).records
    assert set(table) == {"nit", "gradient", "step", "error", "ratio"}
    assert all(column.shape == (result.nit,) for column in table.values())
    np.testing.assert_allclose(table["gradient"], whole["gradient"][:-1], rtol=1e-13)
    assert np.all(table["step"] <= result.trace["gamma"][1:] * (1 + 1e-9))  # gamma is a trust radius
    assert np.all(table["error"] <= whole["error"][:-1] * table["step"] * (1 + 1e-9))
    np.testing.assert_allclose(table["ratio"], table["error"] / table["gradient"], rtol=1e-14)
    k, B = 3, as_metric(metric, problem.n)
    x = Point(problem, result.trace.x[k], Counts(), B)
    h = result.trace.x[k + 1] - x.x
    D = x.hess().dense()
    wanted = B.dual_norm((D - np.diag(D.diagonal())) @ h)
    assert table["error"][k] == pytest.approx(wanted, rel=1e-10)
    assert np.all(step_error(result, problem, "exact")["error"] == 0)
    natural = Point(problem, x.x, Counts(), problem.metric())
    assert step_error(result, problem, "diagonal")["gradient"][k] == pytest.approx(natural.dual_norm, rel=1e-13)


def test_points_may_be_given():
    problem = PROBLEMS["logistic"]()
    result = run(problem, "fisher")
    one = inexactness(result, problem, "fisher")
    for points in (result.trace.x, [Point(problem, x) for x in result.trace.x]):
        other = inexactness(points, problem, "fisher")
        assert np.array_equal(one.records["error"], other.records["error"])
    with pytest.raises(ValueError, match="keep_x=True"):
        inexactness(GradNormSmooth().minimize(problem), problem)
    with pytest.raises(ValueError, match="keep_x=True"):
        step_error([], problem)


class TestEnvelope:
    G = np.geomspace(1e-6, 10, 40)

    @pytest.mark.parametrize("beta", [0.0, 0.25, 1 / 3, 0.5, 0.8])
    @pytest.mark.parametrize(("C1", "C2"), [(0.0, 3.0), (2.0, 5.0), (1e-4, 1.0)])
    def test_finds_the_constants(self, C1, C2, beta):
        found = envelope(self.G, C1 + C2 * self.G ** (1 - beta))
        assert found == pytest.approx((C1, C2, beta), rel=2e-2, abs=1e-6)

    def test_constant(self):
        assert envelope(self.G, np.full(40, 7.0)) == pytest.approx((7.0, 0.0, 0.0))

    def test_lies_above_and_touches(self):
        error = (1 + self.G**0.6) * np.random.default_rng(0).uniform(0.5, 1, 40)
        C1, C2, beta = envelope(self.G, error)
        bound = C1 + C2 * self.G ** (1 - beta)
        assert np.all(bound >= error * (1 - 1e-12))
        assert np.sum(bound <= error * (1 + 1e-6)) >= 2  # a vertex of the linear program

    def test_units(self):
        error = (1 + self.G**0.6) * np.random.default_rng(0).uniform(0.5, 1, 40)
        C1, C2, beta = envelope(self.G, error)
        scaled = envelope(1e5 * self.G, 1e-7 * error)
        assert scaled == pytest.approx((1e-7 * C1, 1e-7 * C2 / 1e5 ** (1 - beta), beta), rel=1e-4)

    def test_misuse(self):
        with pytest.raises(ValueError, match="shapes"):
            envelope(np.ones(3), np.ones(2))
        with pytest.raises(ValueError, match="non-negative"):
            envelope(np.ones(2), np.array([1.0, -1.0]))


def test_logistic_in_its_natural_metric():
    """The metric of the run by default: another one gives other numbers."""
    X = np.random.default_rng(0).standard_normal((40, 3)) * np.array([1.0, 10.0, 100.0])
    problem = Logistic(X, X[:, 0] + 0.5 * np.random.default_rng(1).standard_normal(40) > 0, l2=1e-2)
    result = run(problem, "diagonal")
    natural = inexactness(result, problem, "diagonal").records["error"]
    D = Point(problem, result.x).hess().dense()
    wanted = np.abs(eigh(D - np.diag(D.diagonal()), np.diag(problem.metric().diagonal), eigvals_only=True)).max()
    assert natural[-1] == pytest.approx(wanted, rel=1e-9)
    assert inexactness(result, problem, "diagonal", metric=None).records["error"][-1] > 10 * wanted

"""Losses of a nonlinear map: what `Composite` and the losses made for it say, and problems that are special cases."""

import pickle
from decimal import Context, Decimal, localcontext
from functools import partial

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.sparse import csr_array, dia_array, eye_array

from gnsopt import (
    Composite,
    GradNormSmooth,
    Logistic,
    LogSumExp,
    NonlinearEquations,
    Objective,
    Point,
    Softmax,
    SquaredLoss,
    SuperNewton,
    curvature,
)
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.structured import Banded, BandedRankOne, Diagonal, Zero
from gnsopt.problems import NormPower, PseudoHuber, Separable, SmoothMax, Softplus, Squared
from gnsopt.problems.composite import Congruence
from gnsopt.problems.rosenbrock import jacobian, residual, residual_change, second
from gnsopt.testing import check_curvature, check_objective

EPS = np.finfo(float).eps
DIGITS = Context(prec=100)
M = 6
A, FACTOR = np.random.default_rng(0).standard_normal((2, M, M))
BOTH = np.vstack([A, -A])
WEIGHT = np.arange(M) / 3


class Quartic(Objective):
    """A user's loss with a dense matrix: ``|F u|^2/2 + |F u|^4/4``."""

    def fun(self, x, z):
        r2 = np.sum((FACTOR @ x) ** 2)
        return r2 / 2 + r2 * r2 / 4

    def grad(self, x, z):
        v = FACTOR @ x
        return (1 + v @ v) * (FACTOR.T @ v)

    def hess(self, x, z):
        v = FACTOR @ x
        s = FACTOR.T @ v
        return (1 + v @ v) * FACTOR.T @ FACTOR + 2 * np.outer(s, s)


class Cosh(Objective):
    """A user's loss with the diagonal alone."""

    def fun(self, x, z):
        return float(np.sum(np.cosh(x)))

    def grad(self, x, z):
        return np.sinh(x)

    def hess(self, x, z):
        return np.cosh(x)


# each with its formula, for real and complex vectors
LOSSES = {
    "squared": (Squared(), lambda u: np.sum(u**2) / 2),
    "squared, weighted": (Squared(WEIGHT), lambda u: np.sum(WEIGHT * u**2) / 2),
    "smooth maximum": (SmoothMax(0.7), lambda u: 0.7 * np.log(np.sum(np.exp(u / 0.7)))),
    "softplus": (Softplus(), lambda u: np.sum(np.log(1 + np.exp(u)))),
    "softplus, weighted": (Softplus(WEIGHT), lambda u: np.sum(WEIGHT * np.log(1 + np.exp(u)))),
    "pseudo-Huber": (PseudoHuber(0.4), lambda u: np.sum(0.16 * (np.sqrt(1 + (u / 0.4) ** 2) - 1))),
    "pseudo-Huber, weighted": (PseudoHuber(2, WEIGHT), lambda u: np.sum(4 * WEIGHT * (np.sqrt(1 + u**2 / 4) - 1))),
    "power 3": (NormPower(3), lambda u: np.sum(u**2) ** 1.5 / 3),
    "quartic": (Quartic(), lambda u: np.sum((FACTOR @ u) ** 2) / 2 + np.sum((FACTOR @ u) ** 2) ** 2 / 4),
    "cosh": (Cosh(), lambda u: np.sum(np.cosh(u))),
    "an objective": (LogSumExp(BOTH, np.ones(2 * M)), lambda u: np.log(np.sum(np.exp(BOTH @ u - 1)))),
}
losses = pytest.mark.parametrize("loss", LOSSES)


# The inner map of one chain, u_i = x_i + x_i^2/4 - x_{i+1}/2 - c_i, and how its derivatives may be stored


def chain(x):
    return x + x * x / 4 - np.append(x[1:], 0.0) / 2 - WEIGHT


def chain_jacobian(x):
    return np.diag(1 + x / 2) + np.diag(np.full(x.size - 1, -0.5), 1)


def chain_curvature(x, w):
    return np.diag(w / 2)


def chain_change(x, h):
    return h * (1 + (2 * x + h) / 4) - np.append(h[1:], 0.0) / 2


STORAGES = {"dense": np.asarray, "csr": csr_array, "banded": dia_array}
storages = pytest.mark.parametrize("storage", STORAGES)


def composite(loss, storage="dense", **options):
    store = STORAGES[storage]
    return Composite(
        LOSSES[loss][0],
        chain,
        lambda x: store(chain_jacobian(x)),
        M,
        hess_u=lambda x, w: store(chain_curvature(x, w)),
        change=chain_change,
        **options,
    )


def dense(problem, kind, x):
    return Point(problem, x).hess(kind).dense()


def somewhere(n=M, size=1.0):
    """The point of a test: each entry uniform in [-size, size]."""
    return np.random.default_rng(n).uniform(-size, size, n)


def value(problem, x):
    return problem.fun(x, problem.prepare(x))


def gradient(problem, x):
    return problem.grad(x, problem.prepare(x))


def same_runs(one, other, rtol=1e-12):
    """The same iterates, up to `rtol` of their size, by the same work."""
    size = np.linalg.norm(one.trace.x, axis=1).max()
    np.testing.assert_allclose(other.trace.x, one.trace.x, rtol=0, atol=rtol * size)
    assert (other.nit, other.nfev, other.njev, other.nsolve) == (one.nit, one.nfev, one.njev, one.nsolve)


# ------------------------------------------------------------------------------------- derivatives and structure


@losses
@storages
def test_objective(loss, storage):
    """Taylor slopes of value and gradient, structure, definiteness, purity, exact differences."""
    check_objective(composite(loss, storage))
    check_objective(composite(loss, storage), somewhere(size=0.3), seed=1)
    check_objective(composite(loss, storage, outer="hess"), seed=2)


@losses
def test_value_and_gradient_are_those_of_the_formula(loss):
    phi = LOSSES[loss][1]
    problem = composite(loss)
    x = somewhere()
    assert value(problem, x) == pytest.approx(phi(chain(x)), rel=1e-13)
    g = [phi(chain(x + 1e-30j * e)).imag / 1e-30 for e in np.eye(M)]
    np.testing.assert_allclose(gradient(problem, x), g, rtol=1e-12, atol=1e-14)


@losses
@storages
def test_matrices_are_those_of_the_formulas(loss, storage):
    """The Gauss-Newton matrix is the Hessian of phi along the tangent of u: that of ``phi(u(x) + J(x) h)`` in h."""
    phi = LOSSES[loss][1]
    problem = composite(loss, storage)
    x = somewhere()

    def second_derivatives(f):
        t = 1e-4

        def slope(h):
            return np.array([f(h + 1e-30j * e).imag / 1e-30 for e in np.eye(M)])

        columns = [
            (8 * (slope(t * e) - slope(-t * e)) - slope(2 * t * e) + slope(-2 * t * e)) / (12 * t) for e in np.eye(M)
        ]
        return np.stack(columns, axis=1)

    exact = second_derivatives(lambda h: phi(chain(x + h)))
    gauss_newton = second_derivatives(lambda h: phi(chain(x) + chain_jacobian(x) @ h))
    size = np.abs(exact).max()
    np.testing.assert_allclose(dense(problem, "hess", x), exact, atol=1e-10 * size)
    np.testing.assert_allclose(dense(problem, "gauss_newton", x), gauss_newton, atol=1e-10 * size)
    assert np.abs(exact - gauss_newton).max() > 1e-3 * size


@pytest.mark.parametrize("loss", ["squared, weighted", "softplus, weighted", "pseudo-Huber, weighted"])
@storages
def test_fisher_matrix_of_a_sum(loss, storage):
    """``sum_i c_i grad l_i grad l_i'``, each gradient from the composite of one term."""
    problem = composite(loss, storage)
    x = somewhere()
    expected = np.zeros((M, M))
    for i in range(M):
        term = pickle.loads(pickle.dumps(LOSSES[loss][0]))
        term.weight = np.eye(M)[i]
        g = gradient(Composite(term, chain, chain_jacobian, M), x)
        expected += WEIGHT[i] * np.outer(g, g)
    np.testing.assert_allclose(dense(problem, "fisher", x), expected, atol=1e-14)


@losses
@storages
@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
def test_curvatures(loss, storage, kind):
    """All shifts, positive definite or not, in three metrics; with banded Jacobians by their bands."""
    check_curvature(curvature.NAMES[kind], Point(composite(loss, storage), somewhere()))


@pytest.mark.parametrize("shape", [(9, 4), (3, 7)])
@losses
def test_tall_and_wide_maps(loss, shape):
    """``u = sin(C x)``: m > n and m < n, where the Gauss-Newton matrix is singular."""
    m, n = shape
    rng = np.random.default_rng(5)
    C = rng.standard_normal((m, n))
    phi = pickle.loads(pickle.dumps(LOSSES[loss][0]))
    if getattr(phi, "weight", np.zeros(())).shape:
        phi.weight = np.arange(m) / 3
    if loss in ("quartic", "an objective"):
        phi = LogSumExp(rng.standard_normal((5, m)), np.zeros(5))
    problem = Composite(
        phi,
        lambda x: np.sin(C @ x),
        lambda x: np.cos(C @ x)[:, None] * C,
        n,
        hess_u=lambda x, w: -(C.T * (w * np.sin(C @ x))) @ C,
        change=lambda x, h: 2 * np.sin(C @ h / 2) * np.cos(C @ (x + h / 2)),
    )
    check_objective(problem, somewhere(n, 0.5))
    for model in (curvature.exact, curvature.gauss_newton):
        # by matrices: the space of the rows has tests of its own
        check_curvature(model.using("cholesky"), Point(problem, somewhere(n, 0.5)))
    assert GradNormSmooth().minimize(problem, np.full(n, 0.1), gtol=1e-7).success


@losses
@pytest.mark.parametrize("kind", ["hess", "gauss_newton"])
def test_banded_maps_have_banded_matrices(loss, kind):
    form = Point(composite(loss, "banded"), np.zeros(M)).hess(kind)
    if loss in ("quartic", "an objective"):  # the loss itself is dense
        assert not isinstance(form, Banded | BandedRankOne)
    else:
        assert type(form) is (BandedRankOne if loss in ("smooth maximum", "power 3") else Banded)
        assert getattr(form, "base", form).bands.shape == (2, M)


@pytest.mark.parametrize("loss", ["smooth maximum", "power 3"])
@pytest.mark.parametrize("kind", ["hess", "gauss_newton", "fisher"])
@storages
def test_the_rank_one_vector_is_the_gradient_itself(loss, kind, storage):
    """Only then does a shifted solve for the gradient cost one solve with the rest."""
    problem = composite(loss, storage)
    if problem.offers(kind):
        x = Point(problem, np.zeros(M))
        assert x.hess(kind).u is x.g


def test_a_loss_with_another_rank_one_vector():
    """LogSumExp as a loss: its rank-one vector, pulled back by J', is its gradient; a copy of it is not."""

    class Copied(SmoothMax):
        def grad(self, x, z):
            return z.pi.copy()

    one = Composite(SmoothMax(0.7), chain, chain_jacobian, M)
    other = Composite(Copied(0.7), chain, chain_jacobian, M)
    x = somewhere()
    np.testing.assert_allclose(dense(other, "gauss_newton", x), dense(one, "gauss_newton", x), rtol=1e-13)


@storages
def test_congruence_is_assembled_only_where_it_is_asked_for(storage):
    x = Point(composite("quartic", storage), np.zeros(M))
    form = x.hess("gauss_newton")
    assert type(form) is Congruence
    assert x.counts.nhev == 0
    J, H = chain_jacobian(x.x), Quartic().hess(chain(x.x), None)
    np.testing.assert_allclose(form.dense(), J.T @ H @ J, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(form.diagonal(), np.diag(J.T @ H @ J), rtol=1e-12)


@pytest.mark.parametrize("b", [1.0, 100.0])
@pytest.mark.parametrize("loss", ["squared", "smooth maximum", "softplus", "pseudo-Huber", "power 3", "cosh"])
def test_inexactness_of_gauss_newton_is_relative(loss, b):
    """|hess - Gauss-Newton| <= sup |D^2 u| |w| <= (sup |D^2 u| / sigma_min(J')) |g|, with |D^2 u| = 2 sqrt(b) here."""
    phi = LOSSES[loss][0]
    problem = Composite(phi, partial(residual, a=1.0, b=b), partial(jacobian, b=b), 2, hess_u=partial(second, b=b))
    for x in np.random.default_rng(6).uniform(-1.5, 1.5, (20, 2)):
        z = problem.prepare(x)
        gap = np.linalg.norm(dense(problem, "hess", x) - dense(problem, "gauss_newton", x), 2)
        u = residual(x, 1.0, b)
        w = phi.grad(u, phi.prepare(u))
        assert gap == pytest.approx(2 * np.sqrt(b) * abs(w[1]), rel=1e-6)
        sigma = np.linalg.svd(jacobian(x, b), compute_uv=False)[-1]
        assert gap <= 2 * np.sqrt(b) * np.linalg.norm(problem.grad(x, z)) / sigma * (1 + 1e-12)


# ------------------------------------------------------------------------------------------------- special cases


def linear(loss, C, c, **options):
    """``phi(C x - c)``."""
    return Composite(
        loss,
        lambda x: C @ x - c,
        lambda x: C,
        C.shape[1],
        hess_u=lambda x, w: Zero(C.shape[1]),
        change=lambda x, h: C @ h,
        **options,
    )


@losses
@storages
def test_gauss_newton_of_a_linear_map_is_the_hessian(loss, storage):
    problem = linear(LOSSES[loss][0], STORAGES[storage](A), WEIGHT)
    x = somewhere()
    np.testing.assert_array_equal(dense(problem, "gauss_newton", x), dense(problem, "hess", x))
    solver = partial(GradNormSmooth, metric=None)
    runs = [solver(curvature=kind).minimize(problem, x, maxiter=8, gtol=0) for kind in ("exact", "gauss_newton")]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)


@pytest.mark.parametrize("growth", ["paper", "ratio"])
@pytest.mark.parametrize("mu", [1.0, 0.1])
@pytest.mark.parametrize("metric", ["identity", "gram"])
@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
@pytest.mark.parametrize("storage", ["dense", "csr"])
def test_smooth_maximum_of_rows_is_log_sum_exp(storage, kind, metric, mu, growth):
    """The weighted Gauss-Newton matrix of `LogSumExp` is ``outer="gauss_newton"``."""
    rng = np.random.default_rng(1)
    C, c = rng.standard_normal((60, 12)), rng.standard_normal(60)
    if storage == "csr":
        C = csr_array(C * (rng.uniform(size=C.shape) < 0.25))
    B = None if metric == "identity" else (C.T @ C).toarray() if storage == "csr" else C.T @ C
    solver = GradNormSmooth(curvature=kind, metric=B, growth=growth)
    problem = LogSumExp(C, c, mu)
    outer = "hess" if kind == "exact" else "gauss_newton"
    runs = [
        solver.minimize(p, np.ones(12), gtol=1e-9, keep_x=True)
        for p in (problem, linear(SmoothMax(mu), C, c, outer=outer))
    ]
    assert runs[0].success
    assert runs[0].nit >= 5
    same_runs(*runs)


@pytest.mark.parametrize("outer", ["hess", "gauss_newton"])
def test_weighted_gauss_newton_of_a_nonlinear_map(outer):
    """``J' diag(pi) J / mu``, and minus ``g g'/mu`` the generalised one."""
    problem = composite("smooth maximum", outer=outer)
    x = somewhere()
    J, e = chain_jacobian(x), np.exp(chain(x) / 0.7)
    pi = e / e.sum()
    g = J.T @ pi
    expected = (J.T @ np.diag(pi) @ J - (np.outer(g, g) if outer == "hess" else 0.0)) / 0.7
    np.testing.assert_allclose(dense(problem, "gauss_newton", x), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["exact", "fisher"])
def test_softplus_of_linear_margins_is_logistic_regression(kind):
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((40, 5)), np.where(rng.uniform(size=40) < 0.4, -1.0, 1.0)
    solver = GradNormSmooth(curvature=kind, metric=None)
    runs = [
        solver.minimize(p, np.zeros(5), gtol=1e-8, keep_x=True)
        for p in (Logistic(X, y), linear(Softplus(1 / 40), -y[:, None] * X, np.zeros(40)))
    ]
    assert runs[0].success
    same_runs(*runs, rtol=1e-10)  # the sums are of another order


@pytest.mark.parametrize("kind", ["exact", "fisher"])
def test_squared_loss_of_linear_scores_is_least_squares(kind):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    solver = GradNormSmooth(curvature=kind, metric=None)
    runs = [
        solver.minimize(p, np.ones(4), gtol=1e-6, keep_x=True)
        for p in (SquaredLoss(X, y), linear(Squared(np.full(30, 1 / 30)), X, y))
    ]
    assert runs[0].success
    same_runs(*runs, rtol=1e-10)


@storages
@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
def test_squared_loss_is_nonlinear_least_squares(storage, kind):
    """With the Gauss-Newton matrix J'J, as in `NonlinearEquations` with p = 2."""
    store = STORAGES[storage]
    problem = composite("squared", storage)
    x = np.linspace(1, 2, M)
    J = chain_jacobian(x)
    np.testing.assert_allclose(dense(problem, "gauss_newton", x), J.T @ J, rtol=1e-13)
    equations = NonlinearEquations(
        chain,
        lambda x: store(chain_jacobian(x)),
        M,
        2.0,
        hess_u=lambda x, w: store(chain_curvature(x, w)),
        change=chain_change,
    )
    solver = GradNormSmooth(curvature=kind, metric=None)
    same_runs(*(solver.minimize(p, x, gtol=1e-9, keep_x=True) for p in (equations, problem)))


@pytest.mark.parametrize(
    ("p", "kind", "counts"),
    [(2, "exact", (51, 105)), (2, "gauss_newton", (49, 100)), (5, "exact", (56, 114)), (5, "gauss_newton", (57, 116))],
)
def test_counts_of_the_paper_on_rosenbrock(p, kind, counts):
    """Those of the authors' code, to f <= 1e-8 from (-2, 2)."""
    b = 100.0
    problem = Composite(
        Squared() if p == 2 else NormPower(p),
        partial(residual, a=1.0, b=b),
        partial(jacobian, b=b),
        2,
        hess_u=partial(second, b=b),
        change=partial(residual_change, b=b),
    )
    solver = GradNormSmooth(curvature=kind, metric=None, growth="paper")
    res = solver.minimize(problem, [-2.0, 2.0], f_target=1e-8, gtol=0)
    assert res.trace["fun"][0] == pytest.approx(409 ** (p / 2) / p, rel=1e-15)
    assert (res.nit, res.nsolve) == counts


def test_pseudo_huber_fits_as_scipy_does():
    """Their ``soft_l1``: a decay with outliers, from a far start, by three curvatures."""
    rng = np.random.default_rng(4)
    t = np.linspace(0, 3, 40)
    y = 2 * np.exp(-1.5 * t) + 0.3 + 0.02 * rng.standard_normal(40)
    y[::7] += 1.0

    def u(x):
        return x[0] * np.exp(-x[1] * t) + x[2] - y

    def jac(x):
        e = np.exp(-x[1] * t)
        return np.stack([e, -x[0] * t * e, np.ones(40)], axis=1)

    def hess_u(x, w):
        e = w * np.exp(-x[1] * t)
        H = np.zeros((3, 3))
        H[0, 1] = H[1, 0] = -t @ e
        H[1, 1] = x[0] * (t**2 @ e)
        return H

    theirs = least_squares(u, [1, 1, 0], jac, loss="soft_l1", f_scale=0.1, xtol=1e-15, ftol=1e-15, gtol=1e-13)
    problem = Composite(PseudoHuber(0.1), u, jac, 3, hess_u)
    for kind in ("exact", "gauss_newton", "fisher"):
        res = GradNormSmooth(curvature=kind).minimize(problem, [1, 1, 0], gtol=1e-9)
        assert res.success
        np.testing.assert_allclose(res.x, theirs.x, rtol=1e-6)
        assert res.fun == pytest.approx(theirs.cost, rel=1e-12)
    assert np.abs(res.x - [2, 1.5, 0.3]).max() < 0.1  # the outliers hardly count


@pytest.mark.parametrize("mu", [1.0, 0.1])
def test_smooth_maximum_of_two_paraboloids(mu):
    """``u_i = |x -+ a|^2/2``: f = (|x|^2 + |a|^2)/2 + mu log(2 cosh(<a, x>/mu)), minimised at 0."""
    a = np.array([0.6, -0.8, 0.3])
    centres = np.stack([a, -a])
    problem = Composite(
        SmoothMax(mu),
        lambda x: np.sum((x - centres) ** 2, axis=1) / 2,
        lambda x: x - centres,
        3,
        hess_u=lambda x, w: w.sum() * np.eye(3),
        change=lambda x, h: (x + h / 2 - centres) @ h,
    )
    problem.x_star, problem.f_star, problem.convex = np.zeros(3), float(a @ a / 2 + mu * np.log(2)), True
    check_objective(problem)
    np.testing.assert_allclose(dense(problem, "hess", np.zeros(3)), np.eye(3) + np.outer(a, a) / mu, rtol=1e-14)
    np.testing.assert_allclose(dense(problem, "gauss_newton", np.zeros(3)), np.outer(a, a) / mu, atol=1e-15)
    for solver in (GradNormSmooth(), GradNormSmooth(curvature="gauss_newton"), SuperNewton()):
        res = solver.minimize(problem, [1.0, 2.0, -1.0], gtol=1e-10)
        assert res.success
        np.testing.assert_allclose(res.x, 0, atol=1e-9)
        assert res.fun == pytest.approx(problem.f_star, rel=1e-15)


def test_any_objective_is_a_loss():
    """Log-sum-exp of rows of rows, and softmax regression on nonlinear scores, here with weights in two layers."""
    rng = np.random.default_rng(7)
    C, x = rng.standard_normal((M, 3)), rng.standard_normal(3)
    rows, other = LogSumExp(A @ C, WEIGHT, 0.5), linear(LogSumExp(A, WEIGHT, 0.5), C, np.zeros(M))
    assert value(other, x) == pytest.approx(value(rows, x), rel=1e-14)
    np.testing.assert_allclose(gradient(other, x), gradient(rows, x), rtol=1e-12)
    for kind in ("hess", "gauss_newton"):
        np.testing.assert_allclose(
            dense(linear(LogSumExp(A, WEIGHT, 0.5), C, np.zeros(M), outer=kind), kind, x),
            dense(rows, kind, x),
            rtol=1e-11,
        )

    X, y = rng.standard_normal((12, 2)), np.arange(12) % 3
    heads = Softmax(eye_array(12, format="csr"), y)
    V = rng.standard_normal((4, 3))

    def scores(x):
        return (np.tanh(X @ x.reshape(2, 4)) @ V).ravel()

    def jac(x):
        slope = 1 - np.tanh(X @ x.reshape(2, 4)) ** 2
        return np.einsum("ij,ih,hk->ikjh", X, slope, V).reshape(36, 8)

    def hess_u(x, w):
        hidden = np.tanh(X @ x.reshape(2, 4))
        bend = -2 * hidden * (1 - hidden**2) * (w.reshape(12, 3) @ V.T)
        H = np.zeros((2, 4, 2, 4))
        for h in range(4):
            H[:, h, :, h] = (X.T * bend[:, h]) @ X
        return H.reshape(8, 8)

    network = Composite(heads, scores, jac, 8, hess_u)
    assert network.offers("fisher")
    check_objective(network, somewhere(8, 0.5))
    for kind in ("exact", "gauss_newton", "fisher"):
        check_curvature(curvature.NAMES[kind], Point(network, somewhere(8, 0.5)))


# --------------------------------------------------------------------------------------------- exact differences


def decimals(values):
    return [Decimal(float(e)) for e in values]


DECIMAL = {
    "squared": (Squared(), lambda u: u * u / 2),
    "softplus": (Softplus(), lambda u: (1 + u.exp()).ln()),
    "pseudo-Huber": (PseudoHuber(0.25), lambda u: (1 + 16 * u * u).sqrt() / 16 - 1 / Decimal(16)),
}


@pytest.mark.parametrize("size", [1e-13, 1e-8, 1e-3, 1.0, 40.0, 300.0])
@pytest.mark.parametrize("name", DECIMAL)
def test_difference_of_one_term(name, size):
    """To full relative accuracy, but for u + h/2 near zero: there, relative to what the rounding of that sum allows."""
    loss, exact = DECIMAL[name]
    rng = np.random.default_rng(0)
    for k in range(40):
        u, h = 10.0 ** rng.uniform(-3, 1.5, 1) * rng.choice([-1, 1]), size * rng.standard_normal(1)
        if k % 10 == 0:
            h = -2 * u * (1 + 1e-9)
        with localcontext(DIGITS):
            (a,), (b,) = decimals(u), decimals(h)
            truth = exact(a) - exact(a + b)
            error = abs(float(Decimal(loss.difference(u, loss.prepare(u), h)) - truth))
        cancelled = abs(h[0]) * (abs(u[0]) + abs(h[0])) * EPS if abs(2 * u[0] + h[0]) < abs(u[0]) / 2 else 0.0
        assert error <= 20 * EPS * abs(float(truth)) + cancelled


def test_difference_of_the_composite():
    """Chain and losses together, against decimals; terms may cancel, so the error counts against |g||h|."""

    def exact(x, term):
        u = [a + a * a / 4 - b / 2 - c for a, b, c in zip(x, [*x[1:], Decimal(0)], decimals(WEIGHT), strict=True)]
        return sum(term(e) for e in u)

    rng = np.random.default_rng(8)
    for name, (loss, term) in DECIMAL.items():
        problem = Composite(loss, chain, chain_jacobian, M, change=chain_change)
        for size in (1e-13, 1e-8, 1e-3, 1.0):
            x, h = rng.standard_normal(M), size * rng.standard_normal(M)
            with localcontext(DIGITS):
                truth = exact(decimals(x), term) - exact(
                    [a + b for a, b in zip(*map(decimals, (x, h)), strict=True)], term
                )
                error = abs(float(Decimal(problem.difference(x, problem.prepare(x), h)) - truth))
            terms = np.linalg.norm(gradient(problem, x)) * np.linalg.norm(h) * (1 + size)
            assert error <= 100 * EPS * max(terms, abs(float(truth))), name


# ------------------------------------------------------------------------------------------------------ robustness


@pytest.mark.parametrize("u", [1e-200, 1e-20, 1e20, 1e100, 1e300])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_losses_at_extreme_values(u, sign):
    """Pseudo-Huber is linear and softplus linear or zero: nothing in them may overflow."""
    at = np.array([sign * u])
    for delta in (1e-10, 1.0, 1e5):
        loss = PseudoHuber(delta)
        l, slope, bend = loss.terms(at)
        with localcontext(DIGITS):
            q, d = Decimal(u), Decimal(delta)
            s = (d * d + q * q).sqrt()
            expected = [float(d * q * q / (d + s)), float(sign * float(d * q / s)), float((d / s) ** 3)]
        np.testing.assert_allclose([l[0], slope[0], bend[0]], expected, rtol=1e-14, atol=1e-300)
    l, slope, bend = Softplus().terms(at)
    far = u > 1
    assert l[0] == pytest.approx((u if sign > 0 else 0.0) if far else np.log(2), rel=1e-15)
    assert slope[0] == pytest.approx(float(sign > 0) if far else 0.5, rel=1e-15)
    assert bend[0] == pytest.approx(0.0 if far else 0.25, rel=1e-15)


@losses
@pytest.mark.parametrize("size", [1e20, 1e150, 1e300])
def test_huge_values_are_infinite_without_a_warning(loss, size):
    problem = composite(loss)
    x = np.full(M, size)
    z = problem.prepare(x)
    f, g = problem.fun(x, z), problem.grad(x, z)
    assert f > 1e19 or np.isnan(f)
    assert g.shape == x.shape
    if problem.offers("difference"):
        zero = np.zeros(M)
        assert not problem.difference(zero, problem.prepare(zero), x) > 0


@losses
@pytest.mark.parametrize("gamma0", [1e-12, 1e12])
def test_any_first_radius_leads_to_a_stationary_point(loss, gamma0):
    problem = composite(loss, "banded")
    res = GradNormSmooth(gamma0=gamma0).minimize(problem, np.ones(M), gtol=1e-7)
    assert res.success
    assert (np.diff(res.trace["fun"]) < 0).all()
    assert np.abs(gradient(problem, res.x)).max() <= 1e-7


def test_the_callables_are_called_once_and_get_copies():
    calls = {"u": 0, "jac": 0}

    def u(x):
        calls["u"] += 1
        out = chain(x)
        x[:] = np.nan
        return out

    def jac(x):
        calls["jac"] += 1
        out = chain_jacobian(x)
        x[:] = np.nan
        return out

    def hess_u(x, w):
        out = chain_curvature(x, w)
        x[:] = w[:] = np.nan
        return out

    careless = Composite(SmoothMax(0.7), u, jac, M, hess_u)
    careful = Composite(SmoothMax(0.7), chain, chain_jacobian, M, chain_curvature)
    solver = GradNormSmooth(curvature="exact")
    one = solver.minimize(careless, np.ones(M), gtol=1e-8)
    assert calls == {"u": one.nfev, "jac": one.njev}
    np.testing.assert_array_equal(solver.minimize(careful, np.ones(M), gtol=1e-8).x, one.x)


def test_losses_travel():
    u = somewhere()
    for loss, _ in LOSSES.values():
        other = pickle.loads(pickle.dumps(loss))
        assert other.fun(u, other.prepare(u)) == loss.fun(u, loss.prepare(u))


def test_only_what_is_given_is_offered():
    kinds = ("hess", "gauss_newton", "fisher", "difference")

    def offered(loss, *given, **options):
        problem = Composite(loss, chain, chain_jacobian, M, *given, **options)
        return [problem.offers(kind) for kind in kinds]

    assert offered(Squared()) == [False, True, True, False]
    assert offered(Squared(), chain_curvature, chain_change) == [True, True, True, True]
    assert offered(SmoothMax(), chain_curvature, chain_change) == [True, True, False, True]
    assert offered(Cosh(), chain_curvature, chain_change) == [True, True, False, False]
    assert offered(Cosh(), outer="gauss_newton") == [False, False, False, False]

    class Slopes(Objective):
        fun, grad = Cosh.fun, Cosh.grad

    assert offered(Slopes(), chain_curvature, chain_change) == [False, False, False, False]
    problem = Composite(Squared(), chain, chain_jacobian, M)
    with pytest.raises(MissingRequirement, match="gauss_newton"):
        GradNormSmooth(curvature="exact").minimize(problem, np.ones(M))
    assert GradNormSmooth().minimize(problem, np.ones(M), maxiter=3).curvature.startswith("Gauss-Newton")


def test_a_separable_loss_is_three_formulas():
    """What the docstring asks for: `terms` alone."""

    class LogCosh(Separable):
        def terms(self, u):
            t = np.tanh(u)
            return np.log(np.cosh(u)), t, 1 - t * t

    problem = Composite(LogCosh(WEIGHT + 0.1), chain, chain_jacobian, M, chain_curvature, chain_change)
    assert problem.offers("fisher")
    assert not problem.offers("difference")
    check_objective(problem)


# -------------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Composite(Squared(), chain, chain_jacobian, 0), "n=0 must be an integer of at least 1"),
        (lambda: Composite(Squared(), chain, chain_jacobian, 2.0), r"n=2\.0 must be"),
        (lambda: Composite(Squared(), chain, chain_jacobian, M, outer="fisher"), "outer='fisher' must be 'hess' or"),
        (lambda: Squared(-1.0), r"weight=-1\.0 must be"),
        (lambda: Squared(np.ones((2, 2))), "must be a number or one per u_i"),
        (lambda: Softplus([1.0, np.nan]), "finite and non-negative"),
        (lambda: PseudoHuber(0.0), r"delta=0\.0 must be positive"),
        (lambda: PseudoHuber(np.inf), "delta=inf must be"),
        (lambda: PseudoHuber([1.0]), r"delta=\[1\.0\] must be"),
        (lambda: SmoothMax(0.0), r"mu=0\.0 must be positive"),
        (lambda: NormPower(1.5), r"p=1\.5 must be"),
    ],
)
def test_misuse(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", ["u", "jac", "hess_u", "change"])
def test_what_is_no_function_is_refused(name):
    given = {"loss": Squared(), "u": chain, "jac": chain_jacobian, "n": M} | {name: 3}
    with pytest.raises(TypeError, match=f"{name}=3 must be callable"):
        Composite(**given)


@pytest.mark.parametrize("loss", [Squared, "squared", np.sum, None])
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(TypeError, match="loss=.* must be an Objective, such as gnsopt.problems.Squared"):
        Composite(loss, chain, chain_jacobian, M)


class Misshapen(Cosh):
    def hess(self, x, z):
        return np.ones((2, 2))


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Composite(Squared(), lambda x: 1.0, chain_jacobian, M), r"u returned shape \(\)"),
        (Composite(Squared(), lambda x: np.ones((M, 1)), chain_jacobian, M), r"u returned shape \(6, 1\)"),
        (
            Composite(Squared(), chain, lambda x: np.ones((M, 5)), M),
            r"jac returned shape \(6, 5\); it must be \(6, 6\)",
        ),
        (Composite(Squared(np.ones(4)), chain, chain_jacobian, M), r"weight has shape \(4,\); u returned shape \(6,\)"),
        (Composite(Misshapen(), chain, chain_jacobian, M), r"hess returned .* \(2, 2\); it must be \(6, 6\)"),
        (
            Composite(Squared(), chain, chain_jacobian, M, lambda x, w: np.ones((M, 5))),
            r"hess returned an array of shape \(6, 5\)",
        ),
    ],
)
def test_arrays_of_the_wrong_shape_are_refused(problem, message):
    kind = "exact" if problem.offers("hess") else "gauss_newton"
    with pytest.raises(ValueError, match=message):
        GradNormSmooth(curvature=kind).minimize(problem, np.ones(M))


def small(**changes):
    """Six residuals of six variables with a banded Jacobian."""
    given = {"loss": Squared(), "u": lambda x: x**2, "jac": lambda x: dia_array(np.diag(2 * x)), "n": 6}
    return Composite(**(given | changes))


def test_an_inner_hessian_without_diagonals_is_zero():
    problem = small(hess_u=lambda x, w: dia_array((6, 6)))
    x = Point(problem, np.ones(6))
    np.testing.assert_allclose(x.hess().dense(), x.hess("gauss_newton").dense())


@pytest.mark.parametrize("H", [dia_array([[5.0]]), Diagonal(np.array([5.0]))], ids=["dia_array", "form"])
def test_an_inner_hessian_of_the_wrong_order_is_refused(H):
    problem = small(hess_u=lambda x, w: H)
    with pytest.raises(TypeError, match=r"hess_u returned .* must be \(6, 6\)"):
        GradNormSmooth("exact").minimize(problem, np.ones(6))


@pytest.mark.parametrize("change", [lambda x, h: 0.1, lambda x, h: np.ones((6, 1))], ids=["number", "column"])
def test_a_change_of_the_wrong_shape_is_refused(change):
    problem = small(change=change)
    with pytest.raises(TypeError, match=r"change returned .* must be \(6,\)"):
        problem.difference(np.ones(6), problem.prepare(np.ones(6)), np.ones(6))

"""Powers of residuals, nonlinear equations, chains, polytopes, Poisson and squared losses: what each of them says."""

import pickle
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.sparse import coo_array, csr_array, dia_array

from gnsopt import (
    ChebyshevChain,
    GradientMethod,
    GradNormSmooth,
    NonlinearEquations,
    Point,
    PoissonRegression,
    PolytopeFeasibility,
    ResidualPower,
    Rosenbrock,
    RosenbrockEquations,
    SquaredLoss,
    Status,
    SuperNewton,
    WorstCaseChain,
    curvature,
)
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.metric import as_metric
from gnsopt.linalg.structured import Banded, BandedRankOne, Zero
from gnsopt.problems.nonlinear_equations import norm_power_difference, power, power_difference
from gnsopt.testing import check_curvature, check_objective

EPS = np.finfo(float).eps
DIGITS = Context(prec=120)


def gaussian(m, n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, n)), rng.standard_normal(m)


def counts(n=30, d=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, rng.poisson(np.exp(0.4 * X[:, 0] + 0.5)).astype(float)


# A small system with full, sparse and banded Jacobians: u_i = x_i^2 + x_i x_{i+1} - i - 2, cyclic or as a chain


def system(x):
    return np.append(x[:-1] ** 2 + x[:-1] * x[1:], x[-1] ** 2) - np.arange(2.0, x.size + 2)


def system_jacobian(x):
    return np.diag(np.append(2 * x[:-1] + x[1:], 2 * x[-1])) + np.diag(x[:-1], 1)


def system_curvature(x, v):
    return np.diag(2 * v) + np.diag(v[:-1], 1) + np.diag(v[:-1], -1)


def system_change(x, h):
    cross = x[:-1] * h[1:] + h[:-1] * x[1:] + h[:-1] * h[1:]
    return h * (2 * x + h) + np.append(cross, 0.0)


def equations(storage=np.asarray, p=3.0, n=6):
    return NonlinearEquations(
        system,
        lambda x: storage(system_jacobian(x)),
        n,
        p,
        hess_u=lambda x, v: storage(system_curvature(x, v)),
        change=system_change,
    )


A_TALL, B_TALL = gaussian(6, 4)
A_WIDE, B_WIDE = gaussian(4, 6, 1)
X, Y = counts()

PROBLEMS = {
    "power 2": lambda: ResidualPower(A_TALL, B_TALL, 2),
    "power 2.5": lambda: ResidualPower(A_TALL, B_TALL, 2.5),
    "power 4": lambda: ResidualPower(A_TALL, B_TALL),
    "power 5, wide": lambda: ResidualPower(A_WIDE, B_WIDE, 5),
    "power 3, sparse": lambda: ResidualPower(csr_array(A_TALL * (np.abs(A_TALL) > 0.8)), B_TALL, 3),
    "equations": equations,
    "equations, sparse": lambda: equations(csr_array, 2.0),
    "equations, banded": lambda: equations(dia_array, 5.0),
    "rosenbrock": Rosenbrock,
    "rosenbrock, other valley": lambda: Rosenbrock(-0.5, 7.0),
    "rosenbrock equations 2": RosenbrockEquations,
    "rosenbrock equations 5": lambda: RosenbrockEquations(5, 1.5, 10.0),
    "chebyshev 4": lambda: ChebyshevChain(9),
    "chebyshev 2": lambda: ChebyshevChain(2, 2),
    "worst case 2": lambda: WorstCaseChain(7, 2),
    "worst case 3": lambda: WorstCaseChain(7),
    "worst case 4.5": lambda: WorstCaseChain(2, 4.5),
    "polytope 3": lambda: PolytopeFeasibility(A_TALL, B_TALL),
    "polytope 4.5, wide": lambda: PolytopeFeasibility(coo_array(A_WIDE), B_WIDE, 4.5),
    "poisson": lambda: PoissonRegression(X, Y, 0.1),
    "poisson, weighted": lambda: PoissonRegression(csr_array(X), Y, 0.0, True, np.arange(30) % 4),
    "squared": lambda: SquaredLoss(X, Y, np.arange(5) / 10, True),
    "squared, weighted": lambda: SquaredLoss(X, Y, sample_weight=np.arange(30) % 4),
}
problems = pytest.mark.parametrize("name", PROBLEMS)


def dense(problem, kind, x):
    return getattr(problem, kind)(x, problem.prepare(x)).dense()


def value(problem, x):
    return problem.fun(x, problem.prepare(x))


# ------------------------------------------------------------------------------------- derivatives and structure


@problems
@pytest.mark.parametrize("seed", range(3))
def test_objective(name, seed):
    problem = PROBLEMS[name]()
    check_objective(problem, seed=seed)
    check_objective(problem, problem.start() + np.random.default_rng(seed).uniform(-0.3, 0.3, problem.n), seed=seed)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "polytope 4.5, wide"])
@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
def test_curvatures(name, kind):
    """All shifts, positive definite or not, in three metrics; for the chains by their bands.

    The wide polytope goes through the space of its rows, which has tests of its own.
    """
    problem = PROBLEMS[name]()
    if kind == "gauss_newton" and not problem.offers("gauss_newton"):
        pytest.skip("not offered")
    x = problem.start() + np.random.default_rng(0).uniform(-0.3, 0.3, problem.n)
    check_curvature(curvature.NAMES[kind], Point(problem, x))


@problems
def test_objects_travel(name):
    """Problems go to other processes where their callables do (lambdas do not)."""
    problem = PROBLEMS[name]()
    if type(problem) is NonlinearEquations:
        pytest.skip("holds the user's callables")
    x = problem.start() + 0.1
    assert value(pickle.loads(pickle.dumps(problem)), x) == value(problem, x)


EQUATIONS = ["power 2", "power 2.5", "power 5, wide", "equations", "equations, banded", "chebyshev 4", "chebyshev 2"]


@pytest.mark.parametrize("name", [*EQUATIONS, "rosenbrock equations 2", "rosenbrock equations 5"])
def test_forms_of_equations(name):
    """By the formulas in r, J'u and differences of u, which know nothing of forms."""
    problem = PROBLEMS[name]()
    p = problem.p
    x = problem.start() + np.random.default_rng(0).uniform(-0.3, 0.3, problem.n)
    u = problem.prepare(x).u
    r = np.linalg.norm(u)
    step = 1e-6 * np.eye(problem.n)
    J = np.stack([(problem.prepare(x + e).u - problem.prepare(x - e).u) / 2e-6 for e in step], axis=1)
    slope = J.T @ u
    fisher = (p - 2) * r ** (p - 4) * np.outer(slope, slope)
    size = np.linalg.norm(r ** (p - 2) * J.T @ J + fisher)
    np.testing.assert_allclose(dense(problem, "fisher", x), fisher, atol=1e-7 * size)
    np.testing.assert_allclose(dense(problem, "gauss_newton", x), r ** (p - 2) * J.T @ J + fisher, atol=1e-7 * size)
    exact = dense(problem, "hess", x)
    if name.startswith("power"):
        np.testing.assert_array_equal(exact, dense(problem, "gauss_newton", x))
    if p == 2:
        assert isinstance(problem.fisher(x, problem.prepare(x)), Zero)


@pytest.mark.parametrize("p", [2, 3, 4.5])
def test_inexactness_of_the_fisher_term(p):
    """|hess - Fisher|_* = r^{p-2} = |g|_*^{(p-2)/(p-1)} for B = A'A and a consistent system."""
    A, _ = gaussian(8, 5)
    problem = ResidualPower(A, A @ np.arange(5.0), p)
    B = A.T @ A
    x = Point(problem, np.full(5, 0.3), metric=as_metric(B, 5))
    gap = eigh(dense(problem, "hess", x.x) - dense(problem, "fisher", x.x), B, eigvals_only=True)
    np.testing.assert_allclose(gap, x.dual_norm ** ((p - 2) / (p - 1)), rtol=1e-10)


@pytest.mark.parametrize("name", [*EQUATIONS, "rosenbrock equations 5"])
@pytest.mark.parametrize("kind", ["hess", "gauss_newton", "fisher"])
def test_the_rank_one_vector_is_the_gradient_itself(name, kind):
    """Only then does a shifted solve for the gradient cost one solve with the rest."""
    problem = PROBLEMS[name]()
    x = Point(problem, problem.start())
    form = x.hess(kind)
    assert form.u is x.g if problem.p > 2 else not hasattr(form, "u")


def test_chains_are_banded():
    x = Point(ChebyshevChain(50), ChebyshevChain(50).start())
    for kind in ("hess", "gauss_newton"):
        assert type(x.hess(kind)) is BandedRankOne
        assert x.hess(kind).base.bands.shape == (2, 50)
    chain = WorstCaseChain(50)
    assert type(chain.hess(chain.start(), chain.prepare(chain.start()))) is Banded
    assert np.linalg.eigvalsh(x.hess().dense())[0] < 0  # the exact Hessian is indefinite at the start


def test_polytope_with_squares_has_the_generalised_hessian():
    problem = PolytopeFeasibility(A_TALL, B_TALL, 2)
    x = np.ones(4)
    violated = A_TALL @ x > B_TALL
    assert 0 < violated.sum() < 6
    np.testing.assert_allclose(dense(problem, "hess", x), 2 * A_TALL[violated].T @ A_TALL[violated], atol=1e-14)
    s = (A_TALL @ x - B_TALL)[violated]
    z = problem.prepare(x)
    assert problem.fun(x, z) == pytest.approx(s @ s, rel=1e-15)
    np.testing.assert_allclose(problem.grad(x, z), 2 * A_TALL[violated].T @ s, rtol=1e-13)


@pytest.mark.parametrize(
    ("loss", "residual"), [(PoissonRegression, lambda t: np.exp(t) - Y), (SquaredLoss, lambda t: t - Y)]
)
def test_fisher_of_linear_models(loss, residual):
    """The weighted mean of the outer products of the samples' gradients."""
    w = np.arange(30.0) % 4
    problem = loss(X, Y, 0.2, sample_weight=w)
    x = np.linspace(-0.5, 0.5, 5)
    R = X * residual(X @ x)[:, None]
    np.testing.assert_allclose(dense(problem, "fisher", x), (R.T * w) @ R / w.sum() + 0.2 * np.eye(5), rtol=1e-12)
    np.testing.assert_array_equal(dense(problem, "gauss_newton", x), dense(problem, "hess", x))


# ------------------------------------------------------------------------------------------- starts and minima


def test_starts_of_the_papers():
    rng = np.random.RandomState(3124)
    A, b = rng.rand(100, 200) * 2 - 1, rng.rand(100) * 2 - 1
    for problem, f0 in (
        (ResidualPower(A, b, 4), 7926571.782022948),
        (Rosenbrock(), 409.0),
        *((RosenbrockEquations(p), 409 ** (p / 2) / p) for p in (2, 3, 5, 8)),
        (ChebyshevChain(200), 13543.341856808744),
        (ChebyshevChain(1000), 329749.99943691836),
        (WorstCaseChain(500, 3), 1 / 3),
    ):
        assert value(problem, problem.start()) == pytest.approx(f0, rel=1e-14)
    assert not np.array_equal(ChebyshevChain(5, seed=1).start(), ChebyshevChain(5).start())
    np.testing.assert_array_equal(PolytopeFeasibility(A, b).start(), np.ones(200))


@pytest.mark.parametrize(
    "problem",
    [Rosenbrock(), Rosenbrock(2.0, 5.0), RosenbrockEquations(5, 2.0), ChebyshevChain(6), WorstCaseChain(6)],
    ids=lambda value: type(value).__name__,
)
def test_known_minima(problem):
    x = problem.x_star
    z = problem.prepare(x)
    assert problem.f_star == problem.fun(x, z) == 0.0
    np.testing.assert_array_equal(problem.grad(x, z), 0.0)
    solved = GradNormSmooth().minimize(problem, gtol=1e-9)
    assert solved.success
    assert solved.fun <= 1e-8


@pytest.mark.parametrize("p", [2, 3, 5])
def test_a_vanishing_residual(p):
    """At a solution the matrices are J'J for p = 2 and zero otherwise; next to it nothing under- or overflows."""
    problem = RosenbrockEquations(p)
    J = np.array([[-1.0, 0.0], [-20.0, 10.0]])
    for kind in ("hess", "gauss_newton"):
        np.testing.assert_array_equal(dense(problem, kind, np.ones(2)), J.T @ J if p == 2 else np.zeros((2, 2)))
    np.testing.assert_array_equal(dense(problem, "fisher", np.ones(2)), 0.0)
    for t in (1e-10, 1e-40, 1e-60, 1e-100, 1e-160, 1e-300):
        r = ResidualPower(J, np.zeros(2), p)
        x = t * np.array([1.0, 2.0])
        u = J @ np.array([1.0, 2.0])
        v = J.T @ (u / np.linalg.norm(u))
        scale = power(t * float(np.linalg.norm(u)), p - 2)
        H = dense(r, "hess", x)
        assert np.isfinite(H).all()
        if value(r, x) > 1e-280:
            np.testing.assert_allclose(H, scale * (J.T @ J + (p - 2) * np.outer(v, v)), rtol=1e-12)
        fisher = Point(r, x).hess("fisher").structured(as_metric(None, 2))
        assert np.isfinite(fisher.solve(1e-3, np.ones(2))).all()


@pytest.mark.parametrize("size", [1e20, 1e60, 1e150, 1e300])
@pytest.mark.parametrize("name", ["power 4", "rosenbrock", "rosenbrock equations 5", "chebyshev 4", "worst case 3"])
def test_huge_values_are_infinite_without_a_warning(name, size):
    problem = PROBLEMS[name]()
    x = np.full(problem.n, size)
    z = problem.prepare(x)
    f, g = problem.fun(x, z), problem.grad(x, z)
    assert f > 1e30
    assert size < 1e100 or f == np.inf
    assert g.shape == x.shape
    assert not problem.difference(problem.start(), problem.prepare(problem.start()), x) > 0


@pytest.mark.parametrize("gamma0", [1e-12, 1e12])
@problems
def test_any_first_radius_leads_to_a_minimum(name, gamma0):
    """Trials of length 1e12 overflow in places, and no step raises f."""
    problem = PROBLEMS[name]()
    res = GradNormSmooth(gamma0=gamma0).minimize(problem, gtol=1e-7)
    assert res.success
    assert (np.diff(res.trace["fun"]) < 0).all()


# ------------------------------------------------------------------------------------------- exact differences


def decimals(values):
    return [Decimal(float(e)) for e in values]


@pytest.mark.parametrize("p", [2.0, 2.5, 3.0, 7.0])
def test_power_difference(p):
    rng = np.random.default_rng(0)
    a = np.concatenate([rng.standard_normal(40), [0.0, 0.0, 1.0, -2.0, 1e-200, 3.0]])
    steps = 10.0 ** rng.uniform(-18, 3, 40) * rng.choice([-1, 1], 40)
    d = np.concatenate([a[:40] * steps, [0.0, -1.5, -1.0, 4.0, 1.0, -6.0]])
    d[20:30] = -2 * a[20:30] * (1 + steps[20:30].clip(-1e-3, 1e-3))  # |a + d| near |a| on the other side
    with localcontext(DIGITS):
        for x, h, found in zip(decimals(a), decimals(d), power_difference(a, d, p), strict=True):
            new, old = abs(x + h), abs(x)
            exact = (new ** Decimal(p) if new else Decimal(0)) - (old ** Decimal(p) if old else Decimal(0))
            assert abs(Decimal(float(found)) - exact) <= Decimal(30 * EPS) * abs(exact)


@pytest.mark.parametrize("p", [2.0, 3.0, 4.0, 8.0])
@pytest.mark.parametrize("size", [1e-14, 1e-8, 1e-3, 0.3, 1.0, 30.0])
def test_norm_power_difference(p, size):
    """Relative to what rounding of the scalar product allows, which is all of it along u."""
    rng = np.random.default_rng(0)
    for k in range(20):
        u = rng.standard_normal(5)
        d = size * (rng.standard_normal(5) if k else -u)
        found = norm_power_difference(u, float(np.linalg.norm(u)), d, p)
        with localcontext(DIGITS):
            a, h = decimals(u), decimals(d)
            old, new = sum(e * e for e in a), sum((e + c) ** 2 for e, c in zip(a, h, strict=True))
            exact = (old ** (Decimal(p) / 2) - new ** (Decimal(p) / 2)) / Decimal(p)
            terms = Decimal(p) / 2 * sum(abs(c * (2 * e + c)) for e, c in zip(a, h, strict=True))
            bound = 40 * EPS * float(max(abs(exact), terms * max(old, new) ** (Decimal(p) / 2 - 1) / Decimal(p)))
            assert abs(float(Decimal(found) - exact)) <= bound
    assert norm_power_difference(np.zeros(2), 0.0, np.array([3.0, 4.0]), p) == pytest.approx(-(5**p) / p, rel=1e-15)
    assert norm_power_difference(np.ones(4), 2.0, -np.ones(4), p) == 2**p / p


def exact_chain(x):
    u = [(1 - x[0]) / 2, *(b - 2 * a * a + 1 for a, b in zip(x[:-1], x[1:], strict=True))]
    return sum(e * e for e in u) ** 2 / 4


def exact_rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def exact_differences(x):
    return sum(abs(b - a) ** 3 for a, b in zip([Decimal(0), *x[:-1]], x, strict=True)) / 3


def exact_polytope(x):
    s = [sum(Decimal(float(a)) * e for a, e in zip(row, x, strict=True)) for row in A_TALL]
    return sum(max(t - Decimal(float(b)), Decimal(0)) ** 3 for t, b in zip(s, B_TALL, strict=True))


def exact_poisson(x):
    w = Decimal(1) / 4
    s = [sum(Decimal(float(a)) * e for a, e in zip(row, x, strict=True)) for row in X[:4]]
    loss = sum(w * (t.exp() - Decimal(float(y)) * t) for t, y in zip(s, Y[:4], strict=True))
    return loss + Decimal(0.1) / 2 * sum(e * e for e in x)


def exact_squares(x):
    s = [sum(Decimal(float(a)) * e for a, e in zip(row, x, strict=True)) for row in X[:4]]
    loss = sum((t - Decimal(float(y))) ** 2 for t, y in zip(s, Y[:4], strict=True)) / 8
    return loss + Decimal(0.1) / 2 * sum(e * e for e in x)


@pytest.mark.parametrize(
    ("problem", "exact"),
    [
        (ChebyshevChain(4), exact_chain),
        (Rosenbrock(), exact_rosenbrock),
        (WorstCaseChain(4), exact_differences),
        (PolytopeFeasibility(A_TALL, B_TALL), exact_polytope),
        (PoissonRegression(X[:4], Y[:4], 0.1), exact_poisson),
        (SquaredLoss(X[:4], Y[:4], 0.1), exact_squares),
    ],
    ids=["chebyshev", "rosenbrock", "worst case", "polytope", "poisson", "squared"],
)
@pytest.mark.parametrize("size", [1e-13, 1e-9, 1e-4, 1.0, 40.0])
def test_difference(problem, exact, size):
    """f(x) - f(x + h) in decimals; terms may cancel, so the error counts against their sizes, here |g||h|."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, h = rng.standard_normal(problem.n), size * rng.standard_normal(problem.n)
        z = problem.prepare(x)
        with localcontext(DIGITS):
            truth = exact(decimals(x)) - exact([a + b for a, b in zip(decimals(x), decimals(h), strict=True)])
            error = abs(float(Decimal(problem.difference(x, z, h)) - truth))
        terms = np.linalg.norm(problem.grad(x, z)) * np.linalg.norm(h) * (1 + size)
        assert error <= 100 * EPS * max(terms, abs(float(truth)))


# ---------------------------------------------------------------------------------- equations by user's callables


STORAGES = {"dense": np.asarray, "csr": csr_array, "coo": coo_array, "banded": dia_array}


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", ["exact", "gauss_newton"])
def test_storage_of_the_jacobian_changes_nothing(storage, kind):
    x0 = np.linspace(1, 2, 6)
    solver = GradNormSmooth(curvature=kind, metric=None)
    one = solver.minimize(equations(), x0, maxiter=12, gtol=0)
    other = solver.minimize(equations(STORAGES[storage]), x0, maxiter=12, gtol=0)
    np.testing.assert_allclose(other.trace["fun"], one.trace["fun"], rtol=1e-8)
    assert one.nit == other.nit == 12
    assert ("by its structure" in other.curvature) == (storage == "banded")


def test_equations_solve_their_system():
    res = GradNormSmooth().minimize(equations(p=2.0), np.linspace(1, 2, 6), gtol=1e-10)
    assert res.success
    np.testing.assert_allclose(system(res.x), 0, atol=1e-10)


def test_the_jacobian_is_evaluated_once_for_each_gradient():
    calls = {"u": 0, "jac": 0}

    def u(x):
        calls["u"] += 1
        return system(x)

    def jac(x):
        calls["jac"] += 1
        return system_jacobian(x)

    problem = NonlinearEquations(u, jac, 6, 4.0)
    res = GradNormSmooth(growth="paper").minimize(problem, np.linspace(1, 2, 6), gtol=1e-6)
    assert res.success
    assert calls == {"u": res.nfev, "jac": res.njev}


def test_callables_may_reuse_and_overwrite_their_arrays():
    residual, jacobian = np.empty(6), np.empty((6, 6))

    def u(x):
        residual[:] = system(x)
        x[:] = np.nan
        return residual

    def jac(x):
        jacobian[:] = system_jacobian(x)
        x[:] = np.nan
        return jacobian

    careless = NonlinearEquations(u, jac, 6, 3.0)
    careful = NonlinearEquations(system, system_jacobian, 6, 3.0)
    x0 = np.linspace(1, 2, 6)
    one, other = (GradNormSmooth().minimize(problem, x0) for problem in (careless, careful))
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(x0, np.linspace(1, 2, 6))


def test_only_what_is_given_is_offered():
    problem = NonlinearEquations(system, system_jacobian, 6)
    assert [problem.offers(k) for k in ("hess", "difference", "gauss_newton", "fisher")] == [False, False, True, True]
    assert all(equations().offers(k) for k in ("hess", "difference", "gauss_newton", "fisher"))
    with pytest.raises(MissingRequirement, match="gauss_newton"):
        GradNormSmooth(curvature="exact").minimize(problem, np.ones(6))
    assert GradNormSmooth().minimize(problem, np.ones(6), maxiter=3).curvature.startswith("Gauss-Newton")


@pytest.mark.parametrize(
    ("u", "jac", "message"),
    [
        (lambda x: 1.0, system_jacobian, r"u returned shape \(\)"),
        (lambda x: np.ones((6, 1)), system_jacobian, r"u returned shape \(6, 1\)"),
        (system, lambda x: np.ones((6, 5)), r"jac returned shape \(6, 5\); it must be \(6, 6\)"),
        (system, lambda x: np.ones(6), r"jac returned shape \(6,\)"),
        (system, lambda x: csr_array((5, 6)), r"jac returned shape \(5, 6\)"),
    ],
)
def test_arrays_of_the_wrong_shape_are_refused(u, jac, message):
    with pytest.raises(ValueError, match=message):
        GradNormSmooth().minimize(NonlinearEquations(u, jac, 6), np.ones(6))


def test_rosenbrock_is_twice_its_equations():
    """f -> 2f leaves the iterates where they are."""
    solver = GradNormSmooth(curvature="exact", growth="paper")
    one = solver.minimize(Rosenbrock(), gtol=0, f_target=1e-8, keep_x=True)
    other = solver.minimize(RosenbrockEquations(2), gtol=0, f_target=5e-9, keep_x=True)
    np.testing.assert_allclose(other.trace.x, one.trace.x, rtol=1e-9)
    np.testing.assert_allclose(2 * other.trace["fun"], one.trace["fun"], rtol=1e-6)


def test_the_natural_metric_of_rows_forgets_the_units_of_the_columns():
    c = np.array([1e-3, 1.0, 50.0, 1e4])
    for problem in (ResidualPower, PolytopeFeasibility):
        one = GradNormSmooth().minimize(problem(A_TALL, B_TALL, 3), np.ones(4), maxiter=8, gtol=0)
        other = GradNormSmooth().minimize(problem(A_TALL * c, B_TALL, 3), 1 / c, maxiter=8, gtol=0)
        np.testing.assert_allclose(other.trace["fun"], one.trace["fun"], rtol=1e-9)
    empty = ResidualPower(A_TALL * [1, 0, 1, 1], B_TALL)
    assert GradNormSmooth().minimize(empty).x[1] == 1.0


# ---------------------------------------------------------------------------------------- Poisson and squared loss


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.3])
class TestAgainstScikitLearn:
    def test_poisson(self, l2, intercept):
        from sklearn.linear_model import PoissonRegressor

        w = np.arange(30.0) % 4 + 1
        theirs = PoissonRegressor(alpha=l2, fit_intercept=intercept, tol=1e-12, solver="newton-cholesky")
        theirs.fit(X, Y, w)
        problem = PoissonRegression(X, Y, l2, intercept, w)
        res = GradNormSmooth().minimize(problem, gtol=1e-12)
        np.testing.assert_allclose(res.x[:5], theirs.coef_, atol=1e-8)
        assert not intercept or res.x[5] == pytest.approx(theirs.intercept_, abs=1e-8)
        np.testing.assert_allclose(problem.predict(res.x, X), theirs.predict(X), rtol=1e-7)

    def test_ridge(self, l2, intercept):
        from sklearn.linear_model import Ridge

        theirs = Ridge(alpha=l2 * 30, fit_intercept=intercept).fit(X, Y)  # theirs is a sum over samples
        problem = SquaredLoss(X, Y, l2, intercept)
        res = GradNormSmooth().minimize(problem, gtol=1e-12)
        np.testing.assert_allclose(res.x[:5], theirs.coef_, atol=1e-9)
        np.testing.assert_allclose(problem.predict(res.x, X), theirs.predict(X), atol=1e-9)


@pytest.mark.parametrize("loss", [PoissonRegression, SquaredLoss])
class TestWeights:
    def test_a_weight_is_a_number_of_copies(self, loss):
        w = np.arange(30) % 4
        one = loss(X, Y, 0.1, True, sample_weight=w)
        other = loss(np.repeat(X, w, axis=0), np.repeat(Y, w), 0.1, True)
        x, h = np.random.default_rng(0).standard_normal((2, 6))
        for name in ("fun", "grad"):
            np.testing.assert_allclose(
                getattr(one, name)(x, one.prepare(x)), getattr(other, name)(x, other.prepare(x)), rtol=1e-12
            )
        assert one.difference(x, one.prepare(x), h) == pytest.approx(
            other.difference(x, other.prepare(x), h), rel=1e-12
        )
        for kind in ("hess", "fisher"):
            np.testing.assert_allclose(dense(one, kind, x), dense(other, kind, x), rtol=1e-12, atol=1e-14)

    def test_a_sample_of_weight_zero_is_not_there(self, loss):
        wild = np.vstack([X, np.full((1, 5), 1e6)])
        one = loss(wild, np.append(Y, 1e9), 0.1, sample_weight=np.append(np.ones(30), 0.0))
        other = loss(X, Y, 0.1)
        x = np.full(5, 0.3)
        h = np.full(5, 2.0)
        assert value(one, x) == pytest.approx(value(other, x), rel=1e-14)
        assert one.difference(x, one.prepare(x), h) == pytest.approx(
            other.difference(x, other.prepare(x), h), rel=1e-13
        )
        np.testing.assert_allclose(dense(one, "fisher", x), dense(other, "fisher", x), rtol=1e-12)


@pytest.mark.parametrize(
    "solver", [GradNormSmooth(gamma0=1e9), SuperNewton(), GradientMethod()], ids=lambda value: type(value).__name__
)
def test_poisson_overflows_without_a_warning(solver):
    """Trials with exp(z) = inf are rejected; at the start they are an answer, not an exception."""
    problem = PoissonRegression(50 * X, Y)
    res = solver.minimize(problem, gtol=1e-6)
    assert res.success
    assert (np.diff(res.trace["fun"]) < 0).all()
    lost = solver.minimize(problem, np.full(5, 1e3))
    assert lost.status == Status.NOT_FINITE


@pytest.mark.parametrize("intercept", [False, True])
def test_poisson_without_a_minimiser(intercept):
    """Where only counts of zero have the first feature, its coefficient goes to -inf."""
    rng = np.random.default_rng(0)
    Z = np.stack([np.repeat([1.0, 0.0], [10, 20]), rng.standard_normal(30)], axis=1)
    y = np.append(np.zeros(10), rng.poisson(2.0, 20))
    lost = GradNormSmooth().minimize(PoissonRegression(Z, y, fit_intercept=intercept))
    assert lost.status == Status.AT_INFINITY
    assert GradNormSmooth().minimize(PoissonRegression(Z, y, 1e-3, intercept)).status == Status.CONVERGED
    y[0] = 1  # one count is enough
    assert GradNormSmooth().minimize(PoissonRegression(Z, y, fit_intercept=intercept)).status == Status.CONVERGED
    nothing = PoissonRegression(Z[:, 1:], np.zeros(30), fit_intercept=True)
    assert GradNormSmooth().minimize(nothing).status == Status.AT_INFINITY


def test_squared_loss_takes_one_long_newton_step():
    res = GradNormSmooth(gamma0=1e9).minimize(SquaredLoss(X, Y), gtol=1e-8)
    assert res.nit == 1
    np.testing.assert_allclose(res.x, np.linalg.lstsq(X, Y, rcond=None)[0], rtol=1e-8)


# -------------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ResidualPower(A_TALL, B_TALL, 1.9), r"p=1\.9 must be a finite number of at least 2"),
        (lambda: ResidualPower(A_TALL, B_TALL, np.inf), "p=inf must be"),
        (lambda: ResidualPower(A_TALL, B_TALL, "4"), "p='4' must be"),
        (lambda: ResidualPower(A_TALL, B_TALL[:5]), r"b has shape \(5,\); A has 6 rows, so it must be \(6,\)"),
        (lambda: ResidualPower(A_TALL, B_TALL * np.nan), "and finite"),
        (lambda: ResidualPower(A_TALL * np.inf, B_TALL), "A contains NaN or infinity"),
        (lambda: PolytopeFeasibility(A_TALL[0], B_TALL), r"A has shape \(4,\)"),
        (lambda: PolytopeFeasibility(A_TALL, B_TALL[:2]), "A has 6 rows"),
        (lambda: PolytopeFeasibility(A_TALL, B_TALL, 1), "p=1 must be"),
        (lambda: WorstCaseChain(1), "n=1 must be an integer of at least 2"),
        (lambda: WorstCaseChain(5, 1.5), "q=1.5 must be"),
        (lambda: ChebyshevChain(2.5), "n=2.5 must be an integer"),
        (lambda: ChebyshevChain(True), "n=True must be"),
        (lambda: ChebyshevChain(5, p=0), "p=0 must be"),
        (lambda: Rosenbrock(b=-1.0), "b=-1.0 positive and finite"),
        (lambda: RosenbrockEquations(2, a=np.nan), "a=nan must be finite"),
        (lambda: NonlinearEquations(system, system_jacobian, 0), "n=0 must be"),
        (lambda: PoissonRegression(X, -Y - 1), "counts must not be negative"),
        (lambda: PoissonRegression(X, Y[:3]), r"y has shape \(3,\); X has 30 rows"),
        (lambda: SquaredLoss(X, Y * np.nan), "y contains NaN or infinity"),
        (lambda: SquaredLoss(X, ["a"] * 30), "y is not an array of real numbers"),
        (lambda: SquaredLoss(X, Y + 1j), "y is not an array of real numbers"),
        (lambda: SquaredLoss(X, np.array([None] * 30, dtype=object)), "y is not an array of real numbers|NaN"),
        (lambda: SquaredLoss(X, Y, -1.0), "l2=-1.0"),
    ],
)
def test_misuse(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", ["u", "jac", "hess_u", "change"])
def test_what_is_no_function_is_refused(name):
    given = {"u": system, "jac": system_jacobian, "n": 6} | {name: 3}
    with pytest.raises(TypeError, match=f"{name}=3 must be callable"):
        NonlinearEquations(**given)


def test_targets_are_copied_and_a_column_is_a_vector():
    y = Y[:, None].astype(int)
    problem = SquaredLoss(X, y)
    before = value(problem, np.ones(5))
    y[:] = 0
    assert value(problem, np.ones(5)) == before == value(SquaredLoss(X, Y), np.ones(5))

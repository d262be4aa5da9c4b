"""Edges: no mass, forbidden pairs, one place, other dtypes, huge ranges; and one clear line for each mistake."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array

from gnsopt.exceptions import StepFailure
from gnsopt.ot import Constraint, CostMatrix, Grid, NotConverged, PointCloud, Problem, round_plan, scaling, solve
from gnsopt.ot.auto import Auto
from gnsopt.ot.newton import Newton
from gnsopt.ot.solve import as_method

METHODS = ("auto", "newton", "sinkhorn")
pytestmark = pytest.mark.filterwarnings("error")


class Other(Newton):
    """A method without a name."""


def check(found, a, b, C):
    P = found.plan
    assert found.converged, found.message
    assert np.isfinite(P).all()
    assert np.isfinite(found.phi).all()
    assert np.isfinite(found.psi).all()
    assert np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum() <= 1e-9 * np.sum(a)
    assert np.all(P[~np.isfinite(C)] == 0)
    assert np.isfinite([found.cost, found.value, found.interval.lower]).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(9, 5), (5, 9)])
def test_places_without_mass_change_nothing(method, shape, make):
    a, b, C, reg = make.random(*shape)
    plain = solve(a, b, C, reg, method=method)
    rng = np.random.default_rng(0)
    n, m = shape
    i, j = np.sort(rng.choice(n + 3, n, replace=False)), np.sort(rng.choice(m + 2, m, replace=False))
    wide = 5 * rng.random((n + 3, m + 2))
    wide[np.ix_(i, j)] = C
    big_a, big_b = np.zeros(n + 3), np.zeros(m + 2)
    big_a[i], big_b[j] = a, b
    found = solve(big_a, big_b, wide, reg, method=method)
    check(found, big_a, big_b, wide)
    np.testing.assert_allclose(found.plan[np.ix_(i, j)], plain.plan, rtol=1e-13)
    np.testing.assert_array_equal(found.sparse_plan(0.0).toarray(), found.plan)
    np.testing.assert_allclose([found.cost, found.value, found.gap], [plain.cost, plain.value, plain.gap], atol=1e-15)
    # potentials of the others: what a source of vanishing mass there would have, up to its own logarithm
    rest = np.setdiff1d(np.arange(n + 3), i)
    expected = -reg * np.log(np.exp((found.psi[j] - wide[np.ix_(rest, j)]) / reg).sum(axis=1))
    np.testing.assert_allclose(found.phi[rest], expected, rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1)])
def test_one_place(method, shape, make):
    a, b, C, reg = make.random(*shape)
    found = solve(a, b, C, reg, method=method)
    check(found, a, b, C)
    np.testing.assert_allclose(found.plan, np.outer(a, b), rtol=1e-14)
    assert found.n_iter == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_equal_costs(method, value):
    C = np.full((5, 4), value)
    found = solve(None, None, C, 0.1, method=method)
    check(found, np.full(5, 0.2), np.full(4, 0.25), C)
    np.testing.assert_allclose(found.plan, 0.05, rtol=1e-13)
    assert found.n_iter == 0


@pytest.mark.parametrize("method", ["auto", "newton"])
@pytest.mark.parametrize("swap", [False, True])
def test_forbidden_pairs(method, swap, make):
    a, b, C, _ = make.random(12, 9)
    C[np.random.default_rng(3).random(C.shape) < 0.3] = np.inf
    a, b, C = (b, a, C.T) if swap else (a, b, C)
    found = solve(a, b, C, 0.02, method=method)
    check(found, a, b, C)
    allowed = np.isfinite(C)
    sparse = csr_array(np.where(allowed, C, 0.0))  # a pair that is not stored is forbidden, also where its cost is 0
    np.testing.assert_allclose(solve(a, b, sparse, 0.02, method=method).plan, found.plan, atol=1e-12)
    big = solve(a, b, np.where(allowed, C, 50.0), 0.02, method=method)
    np.testing.assert_allclose(found.plan, big.plan, atol=1e-9)


def test_pairs_that_feasible_plans_cannot_use(make):
    """Triangular: the diagonal is the only plan and no potentials are optimal; they drift, the plan converges."""
    C = np.random.default_rng(0).random((6, 6))
    C[np.triu_indices(6, 1)] = np.inf
    found = solve(None, None, C, 0.05)
    check(found, np.full(6, 1 / 6), np.full(6, 1 / 6), C)
    np.testing.assert_allclose(found.plan, np.eye(6) / 6, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(6, 6), (6, 8), (8, 6)])
def test_infeasible_problems_have_a_certificate(method, shape):
    rng = np.random.default_rng(0)
    C, a, b = rng.random(shape), rng.random(shape[0]) + 0.5, rng.random(shape[1]) + 0.5
    a, b = a / a.sum(), b / b.sum()
    C[:4, :4] = np.inf  # sources 0 to 3 reach targets from 4 on only
    with pytest.warns(NotConverged, match="infeasible"):
        found = solve(a, b, C, 0.05, method=method)
    assert found.status == "infeasible"
    assert not found.converged
    cut = found.infeasible
    reachable = np.flatnonzero(np.isfinite(C[:, cut.columns]).any(axis=1))
    np.testing.assert_array_equal(cut.rows, reachable)
    assert cut.excess == pytest.approx(b[cut.columns].sum() - a[cut.rows].sum(), rel=1e-12)
    assert cut.excess > 0.01
    assert np.isfinite(found.plan).all()
    assert found.n_iter < 300


def test_a_hard_infeasible_problem_is_found_by_the_drift_of_the_potentials():
    """The violated set is hidden among random pairs and not one of those that the costs suggest."""
    rng = np.random.default_rng(4)
    n = 60
    C = np.where(rng.random((n, n)) < 0.3, rng.random((n, n)), np.inf)
    J = rng.choice(n, 25, replace=False)
    rows = rng.choice(n, 24, replace=False)
    C[np.ix_(np.setdiff1d(np.arange(n), rows), J)] = np.inf
    C[np.ix_(rows, J)] = 10 * rng.random((24, 25))
    with pytest.warns(NotConverged, match="infeasible"):
        found = solve(None, None, C, 0.05)
    assert found.infeasible.excess >= 1 / n - 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_short_floats_and_integers_are_computed_in_float64(method, make):
    a, b, C, reg = make.random(20, 15)
    a32, b32, C32 = (v.astype(np.float32) for v in (a, b, C))
    found = solve(a32, b32, C32, np.float32(reg), method=method)
    exact = solve(a32.astype(float), b32.astype(float), C32.astype(float), float(np.float32(reg)), normalize=True)
    assert found.plan.dtype == np.float64
    assert found.converged
    np.testing.assert_allclose(found.plan / found.plan.sum(), exact.plan, atol=1e-9)
    whole = solve([1, 2, 1], [2, 2], np.array([[1, 2], [3, 1], [2, 2]]), 1, method=method)
    assert whole.converged
    np.testing.assert_allclose(whole.plan.sum(axis=1), [1, 2, 1], atol=1e-9)


@pytest.mark.parametrize("method", ["auto", "newton"])
def test_huge_ranges(method):
    rng = np.random.default_rng(0)
    a = 10.0 ** rng.uniform(-14, 0, 30)
    a /= a.sum()
    b = np.full(20, 1 / 20)
    C = rng.random((30, 20))
    check(solve(a, b, C, 1e-2, method=method), a, b, C)
    C = 10.0 ** rng.uniform(-10, 10, (30, 30))
    check(solve(None, None, C, 1e-2, method=method), np.full(30, 1 / 30), np.full(30, 1 / 30), C)
    C = rng.random((30, 20)) + 1e9 * rng.random(20) + 1e9 * rng.random((30, 1))
    check(solve(None, b, C, 1e-2, method=method), np.full(30, 1 / 30), b, C)


@pytest.mark.parametrize("method", ["auto", "newton"])
@pytest.mark.parametrize("polish", [0, 1])
def test_masses_no_damping_gets_to(method, polish):
    """At the start a column holds 1e40 times its mass: damped by its mass no step is short enough."""
    options = {"newton": Newton(polish=polish)} if method == "auto" else {"polish": polish}
    C = np.array([[0.0, 1.0], [1.0, 0.0]])
    a, b = np.array([1.0, 1.0]) / 2, np.array([1.0, 1e-40])
    check(solve(a, b, C, 1e-3, method=method, **options), a, b, C)
    for n, reg in ((5, 1e-4), (50, 1e-3), (50, 1e-4)):
        C, b = np.random.default_rng(n).random((n, n)), np.ones(n)
        b[n // 2 :] = 1e-40
        b /= b.sum()
        found = solve(None, b, C, reg, method=method, **options)
        check(found, np.full(n, 1 / n), b, C)
        assert found.n_iter < 300


@pytest.mark.parametrize("shape", [(30, 20), (20, 30)])
@pytest.mark.parametrize("reg", [1e-18, 1e-20, 1e-100, 1e-300])
def test_reg_below_what_float64_can_see(shape, reg):
    """The exponents' differences are lost; the potentials are those of the linear program, and the bounds hold."""
    C = np.random.default_rng(0).random(shape)
    with pytest.warns(NotConverged, match="limit of float64"):
        found = solve(None, None, C, reg)
    assert np.isfinite(found.run.fun)
    assert np.isfinite(found.plan).all()
    n, m = shape
    sums = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    least = linprog(C.ravel(), A_eq=sums, b_eq=np.r_[np.full(n, 1 / n), np.full(m, 1 / m)]).fun
    assert found.interval.lower == pytest.approx(least, rel=1e-12)
    assert found.interval.upper >= least


@pytest.mark.parametrize("reg", [1e-6, 1e6])
def test_reg_far_from_the_cost(reg, make):
    a, b, C, _ = make.random(20, 20)
    check(solve(a, b, C, reg), a, b, C)


def test_costs_of_any_sign(make):
    a, b, C, reg = make.random(8, 6)
    np.testing.assert_allclose(solve(a, b, C - 5, reg).plan, solve(a, b, C, reg).plan, rtol=1e-8)


def test_inputs_are_not_written(make):
    a, b, C, reg = make.random(8, 6)
    kept = [v.copy() for v in (a, b, C)]
    for v in (a, b, C):
        v.flags.writeable = False
    solve(a, b * (1 + 1e-10), C, reg)
    for v, old in zip((a, b, C), kept, strict=True):
        np.testing.assert_array_equal(v, old)


def test_results_do_not_change_with_the_callers_arrays(make):
    a, b, C, reg = make.random(8, 6)
    expected = solve(a, b, C, reg)
    expected_with = solve(a, b, C, reg, constraints=[Constraint(C, 0.3)])
    mine, D = C.copy(), C.copy()
    found, found_with = solve(a, b, mine, reg), solve(a, b, C, reg, constraints=[Constraint(D, 0.3)])
    mine *= 0
    D *= 0
    np.testing.assert_array_equal(found.plan, expected.plan)
    assert (found.cost, found.err1, found.interval) == (expected.cost, expected.err1, expected.interval)
    np.testing.assert_array_equal(found_with.slacks, expected_with.slacks)


def test_entries_of_a_sparse_cost_at_one_place_add_up():
    S = coo_array(([0.5, 0.5, 1.0, 1.0, 1.0], ([0, 0, 0, 1, 1], [0, 0, 1, 0, 1])))
    assert solve(None, None, S, 0.5).cost == pytest.approx(solve(None, None, S.toarray(), 0.5).cost, rel=1e-12)
    assert S.nnz == 5, "the caller's array is not written"


@pytest.mark.parametrize("size", [1e-200, 1e-5, 1e200])
@pytest.mark.parametrize("kind", ["matrix", "grid"])
def test_the_deviation_of_costs_of_any_size(size, kind):
    C = np.random.default_rng(0).random((6, 5))
    geometry = CostMatrix(size * C)
    if kind == "grid":
        geometry = Grid([size * C[0]], power=1.0)
        C = np.abs(C[0][:, None] - C[0])
    problem = Problem(None, None, geometry, reg_rel=0.05, scale="std")
    np.testing.assert_allclose(problem.reg, 0.05 * C.std() * size, rtol=1e-13)


A2, A3, C32 = [0.5, 0.5], [0.2, 0.3, 0.5], np.ones((3, 2))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (([0.5, 0.5, 0.1], A2, C32, 1.0), {}, ValueError, r"sum\(a\) = 1.1 and sum\(b\) = 1 differ"),
        ((A2, A3, C32, 1.0), {}, ValueError, r"a has shape \(2,\).*needs \(3,\) \(C transposed\?\)"),
        (([0.5, 0.7, -0.2], A2, C32, 1.0), {}, ValueError, r"a\[2\] = -0.2 is negative"),
        (([0.5, np.nan, 0.5], A2, C32, 1.0), {}, ValueError, "a is not finite at 1"),
        (([0, 0, 0], A2, C32, 1.0), {}, ValueError, "a has no mass"),
        ((["x"] * 3, A2, C32, 1.0), {}, TypeError, "a has dtype"),
        ((A3, A2, [[1, 1], [1, np.nan], [1, 1]], 1.0), {}, ValueError, r"C has a NaN at \(1, 1\)"),
        ((A3, A2, -np.inf * C32, 1.0), {}, ValueError, r"C is -inf at \(0, 0\)"),
        ((A3, A2, np.ones(3), 1.0), {}, ValueError, r"C has shape \(3,\)"),
        ((A3, A2, csr_array(C32 * 1j), 1.0), {}, ValueError, "C has shape .* dtype complex"),
        ((A3, A2, [[1.0], [1.0, 2.0]], 1.0), {}, ValueError, "C is ragged"),
        ((A3, A2, np.ma.masked_greater(C32, 0), 1.0), {}, ValueError, "C has masked entries"),
        ((np.ma.masked_less(A3, 0.25), A2, C32, 1.0), {}, ValueError, "a has masked entries"),
        ((A3, A2, None, 1.0), {}, TypeError, "C=None"),
        ((A3, A2, C32), {}, ValueError, "give reg .* or reg_rel"),
        ((A3, A2, C32, 1.0), {"reg_rel": 0.1}, ValueError, "one of the two"),
        ((A3, A2, C32, 0.0), {}, ValueError, "reg=0.0 must be a positive"),
        ((A3, A2, C32, np.inf), {}, ValueError, "reg=inf must be a positive finite"),
        ((A3, A2, C32, "1"), {}, ValueError, "reg='1'"),
        ((A3, A2, -C32), {"reg_rel": 0.1}, ValueError, "largest cost is -1"),
        ((A3, A2, C32), {"reg_rel": 0.1, "scale": "mean"}, ValueError, "scale='mean'"),
        ((A3, A2, C32, 1e-301), {}, ValueError, r"reg=1e-301 lies outside \[1e-300, 1e\+300\]"),
        ((A3, A2, C32, 1e301), {}, ValueError, r"reg=1e\+301 lies outside"),
        ((A3, A2, 1e-300 * C32), {"reg_rel": 0.1}, ValueError, "reg_rel=0.1 times 1e-300 lies outside"),
        ((A3, A2, C32, 1e-200), {"warm_start": (np.full(3, 1e200), np.zeros(2))}, ValueError, "potentials above 1e"),
        ((Problem(A3, A2, C32, 1.0),), {"normalize": True}, TypeError, "a Problem brings .* normalize"),
        ((Problem(A3, A2, C32, 1.0),), {"scale": "bogus"}, TypeError, "a Problem brings .* scale"),
        ((A3, A2, C32, 1.0), {"method": "sns", "max_products": 0}, ValueError, "max_products=0"),
        ((A3, A2, C32, 1.0), {"method": "newton", "polish": 2.5}, ValueError, "polish=2.5"),
        ((A3, A2, C32, 1.0), {"tol": -1.0}, ValueError, "tol=-1.0"),
        ((A3, A2, C32, 1.0), {"max_iter": 1.5}, ValueError, "max_iter=1.5"),
        ((A3, A2, C32, 1.0), {"method": "sinkhron"}, ValueError, "did you mean 'sinkhorn'"),
        ((A3, A2, C32, 1.0), {"method": 3}, TypeError, "method=3"),
        ((A3, A2, C32, 1.0), {"momentun": 0.5, "method": "sinkhorn"}, ValueError, "did you mean 'momentum'"),
        ((A3, A2, C32, 1.0), {"warm_start": np.ones(3)}, TypeError, "warm_start must be"),
        ((A3, A2, C32, 1.0), {"warm_start": (np.ones(2), np.ones(3))}, ValueError, r"they must be \(3,\) and \(2,\)"),
        ((A3, A2, C32, 1.0), {"warm_start": (np.ones(3), [1, np.nan])}, ValueError, "not finite"),
        ((A3, A2, [[1, 1], [np.inf, np.inf], [1, 1]], 1.0), {}, ValueError, r"a\[1\] > 0, but every cost in its row"),
        ((A3, A2, [[1, np.inf]] * 3, 1.0), {}, ValueError, r"b\[1\] > 0, but every cost in its column"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments, options, error, match):
    with pytest.raises(error, match=match) as caught:
        solve(*arguments, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((np.ones((3, 2)), np.ones((3, 3))), "dimension 2, Y of 3"),
        (([1.0, np.nan], [1.0]), "X has shape"),
        (([1.0], [1.0], "manhattan"), "cost='manhattan'"),
        (([1j], [1.0]), "X has dtype complex"),
        (([1e150], [-1e150]), "the coordinates span 2e"),
    ],
)
def test_point_clouds_are_checked(arguments, match):
    with pytest.raises(ValueError, match=match):
        PointCloud(*arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((3,), "X=3 must be a sequence with an entry for each axis"),
        (([3], "3"), "Y='3' must be a sequence"),
        (([3], None, "2"), "power='2' must be a positive"),
    ],
)
def test_grids_are_checked(arguments, match):
    with pytest.raises(ValueError, match=match):
        Grid(*arguments)


def test_a_plan_of_no_places_is_not_rounded():
    with pytest.raises(ValueError, match=r"P has shape \(0, 0\)"):
        round_plan(np.zeros((0, 0)), [], [])


def test_masses_whose_quotients_overflow_are_rounded():
    P = np.array([[1e-310, 0.0], [0.0, 1e-312]])
    a, b = np.array([0.75, 0.25]), np.array([0.5, 0.5])
    Q = round_plan(P, a, b)
    np.testing.assert_allclose(Q, np.outer(a, b), rtol=1e-14)


@pytest.mark.parametrize("method", ["newton", "sinkhorn", "sns", "auto", Newton(), Other()])
def test_a_cure_is_another_method(method, make, monkeypatch):
    a, b, C, reg = make.random()
    name = {Newton: "newton", Other: "Other"}.get(type(method), method)
    with pytest.warns(NotConverged, match="raise max_iter" + ("$" if name == "auto" else ", or use method='auto'$")):
        found = solve(a, b, C, reg / 10, method=method, max_iter=1)
    assert found.method == name

    def fails(*arguments):
        yield from ()
        raise StepFailure("none", 1.0)

    monkeypatch.setattr(type(as_method(method, 1e-9, {})), "iterates", fails)
    cure = "raise reg, or use method='sinkhorn'" if name == "auto" else "use method='auto'"
    with pytest.warns(NotConverged, match=f"acceptable step: .*; {cure}$"):
        solve(a, b, C, reg, method=method)


def test_no_cure_is_a_method_that_refuses_the_problem(make, monkeypatch):
    def fails(*arguments):
        yield from ()
        raise StepFailure("none", 1.0)

    a, b, C, reg = make.random()
    monkeypatch.setattr(Auto, "iterates", fails)
    with pytest.warns(NotConverged, match="; raise reg$"):
        solve(a, b, C, reg, constraints=[Constraint(C, 0.3)])


@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
def test_a_stage_of_epsilon_scaling_does_not_run_past_the_limits(method, monkeypatch):
    """A stage may have 100 steps; the driver looks after 10, so that limits of gradients and of time hold."""
    monkeypatch.setattr(scaling, "STAGE_ERROR", 0.0)
    C = np.random.default_rng(0).random((30, 30))
    with pytest.warns(NotConverged):
        found = solve(None, None, C, 1e-4, method=method, eps_scaling=True, max_iter=5)
    steps = 10 if method == "sinkhorn" else 4
    assert found.n_iter <= 10 * steps + 5
    with pytest.warns(NotConverged):
        found = solve(None, None, C, 1e-4, method=method, eps_scaling=True, max_time=1e-9)
    assert found.status == "max_time"
    assert found.n_iter <= 10 * steps + 5


def test_a_cost_function_is_checked():
    with pytest.raises(ValueError, match=r"cost returned shape \(3,\)"):
        solve(None, None, PointCloud(np.ones(3), np.ones(2), lambda X, Y: np.ones(3)), 1.0)
    with pytest.raises(ValueError, match="cost has a NaN"):
        solve(None, None, PointCloud(np.ones(3), np.ones(2), lambda X, Y: np.full((len(X), 2), np.nan)), 1.0)


def test_sums_may_be_normalised():
    found = solve([1.0, 1.0, 1.0], [3.0, 1.0], C32, 1.0, normalize=True)
    np.testing.assert_allclose(found.plan.sum(axis=0), [0.75, 0.25])
    assert isinstance(found.problem.geometry, CostMatrix)
    assert isinstance(found.problem, Problem)

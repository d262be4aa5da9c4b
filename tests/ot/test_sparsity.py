"""Transport with at most k nonzeros in a column, against brute force over all supports and optimality conditions."""

import itertools
import warnings

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, lsq_linear, minimize_scalar

from gnsopt import GradNormSmooth, Status
from gnsopt.kernels import topk
from gnsopt.linalg.forms import as_form
from gnsopt.ot.sparse_duals import SparseDual, SparseSemiDual
from gnsopt.ot.sparsity import sparsity_constrained


def problem(n, m, seed, uniform=False):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((n, 2)), rng.standard_normal((m, 2)) + 1
    C = ((X[:, None] - Y) ** 2).sum(-1)
    a, b = (np.ones(n), np.ones(m)) if uniform else (rng.random(n) + 0.5, rng.random(m) + 0.5)
    return a / a.sum(), b / b.sum(), C / C.max()


def project(v, mass):
    """Projection on the simplex of that mass, by sorting."""
    u = np.sort(v)[::-1]
    excess = (np.cumsum(u) - mass) / np.arange(1, v.size + 1)
    return np.maximum(v - excess[np.flatnonzero(u > excess)[-1]], 0.0)


def supports(n, k):
    return itertools.combinations(range(n), k)


def dense(z, m):
    T = np.zeros((z.n, m))
    T[z.rows, z.columns()] = z.t
    return T


# ------------------------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("seed", range(40))
def test_semi_dual_columns_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    n, m, gamma = int(rng.integers(1, 7)), 3, 10 ** rng.uniform(-2, 1)
    k = int(rng.integers(1, n + 1))
    C, b, alpha = rng.random((n, m)), rng.random(m), rng.standard_normal(n)
    z = SparseSemiDual(np.ascontiguousarray(C.T), np.ones(n), b, gamma, k).prepare(alpha)
    T = dense(z, m)
    for j, s in enumerate((alpha[:, None] - C).T):
        best, value = None, -np.inf
        for chosen in supports(n, k):
            t = np.zeros(n)
            t[list(chosen)] = project(s[list(chosen)] / gamma, b[j])
            if s @ t - gamma / 2 * t @ t > value:
                best, value = t, s @ t - gamma / 2 * t @ t
        assert z.value[j] == pytest.approx(value, rel=1e-12, abs=1e-13)
        np.testing.assert_allclose(T[:, j], best, rtol=0, atol=1e-13)
    np.testing.assert_allclose(T.sum(axis=0), b, rtol=1e-14)
    assert (T >= 0).all()
    assert ((T > 0).sum(axis=0) <= k).all()


@pytest.mark.parametrize("seed", range(40))
def test_dual_columns_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    n, m, gamma = int(rng.integers(1, 7)), 3, 10 ** rng.uniform(-2, 1)
    k = int(rng.integers(1, n + 1))
    C, x = rng.random((n, m)), rng.standard_normal(n + m)
    z = SparseDual(np.ascontiguousarray(C.T), np.ones(n), np.ones(m), gamma, k).prepare(x)
    T = dense(z, m)
    for j, s in enumerate((x[:n, None] + x[n:] - C).T):
        values = {chosen: sum(max(s[i], 0.0) ** 2 for i in chosen) / (2 * gamma) for chosen in supports(n, k)}
        chosen = max(values, key=values.get)
        assert z.value[j] == pytest.approx(values[chosen], rel=1e-13, abs=1e-15)
        best = np.zeros(n)
        best[list(chosen)] = np.maximum(s[list(chosen)], 0.0) / gamma
        np.testing.assert_allclose(T[:, j], best, rtol=1e-13)


@pytest.mark.parametrize("seed", range(60))
def test_smoothed_columns_maximise_their_objective(seed):
    """By the dual function of one column, minimised over the threshold, with theta from its own definition."""
    rng = np.random.default_rng(seed)
    n, gamma = int(rng.integers(2, 9)), 10 ** rng.uniform(-1, 1)
    k, eps = int(rng.integers(1, n)), gamma * 10 ** rng.uniform(-2, 0.5)
    C, b, alpha = rng.random((n, 1)), rng.random(1) + 0.1, rng.random(n)
    z = SparseSemiDual(np.ascontiguousarray(C.T), np.ones(n), b, gamma, k, eps).prepare(alpha)
    s, T = alpha - C[:, 0], dense(z, 1)[:, 0]

    def theta(w):
        lo, hi = 1e-12, 1e12  # of nu, which makes the sum of theta k

        def at(nu):
            return np.clip((w / nu - gamma) / eps, 0.0, 1.0)

        if (w > 0).sum() <= k:
            return (w > 0) * 1.0
        for _ in range(200):
            nu = np.sqrt(lo * hi)
            lo, hi = (nu, hi) if at(nu).sum() > k else (lo, nu)
        return at(hi)

    def above(tau):
        w = np.maximum(s - tau, 0.0)
        share = theta(w)
        return tau * b[0] + 0.5 * np.sum(share * w**2 / (gamma + eps * share))

    lowest = minimize_scalar(above, bounds=(s.max() - 2 * (gamma + eps), s.max()), method="bounded").fun
    lowest = min(lowest, above(float(z.tau[0])))
    assert z.value[0] == pytest.approx(lowest, rel=1e-8)
    assert T.sum() == pytest.approx(b[0], rel=1e-13)
    primal = s @ T - 0.5 * gamma * z.norm() - 0.5 * eps * T @ T
    assert primal == pytest.approx(z.value[0], rel=1e-12)
    shares = theta(np.maximum(s - z.tau[0], 0.0))
    assert shares.sum() <= k + 1e-9
    np.testing.assert_allclose(T, shares * np.maximum(s - z.tau[0], 0) / (gamma + eps * shares), atol=1e-9)


def test_sharing_columns_are_among_the_random_ones():
    """What the tests above and below are about does occur."""
    a, b, C = problem(30, 30, 0)
    z = SparseSemiDual(np.ascontiguousarray(C.T), a, b, 5.0, 3, 2.5).prepare(np.zeros(30))
    sharing = np.bincount(z.columns()[z.sharing()], minlength=30)
    assert (sharing > 2).sum() > 5
    assert (z.top > 0).sum() > 5


def test_ties_take_the_smaller_rows():
    Ct = np.zeros((1, 6))
    _, rows, t, *_ = topk.semi_dual(Ct, np.zeros(6), np.ones(1), 1.0, 0.0, 3)
    np.testing.assert_array_equal(rows, [0, 1, 2])
    np.testing.assert_allclose(t, 1 / 3)
    indptr, rows, t, *_ = topk.semi_dual(Ct, np.zeros(6), np.ones(1), 1.0, 0.1, 3)
    np.testing.assert_array_equal(rows, range(6))  # smoothed, they share
    np.testing.assert_allclose(t, 1 / 6)
    _, rows, _, _, margin = topk.dual(Ct, np.ones(6), np.zeros(1), 1.0, 4)
    np.testing.assert_array_equal(rows, [0, 1, 2, 3])
    assert margin[0] == 0.0


def test_the_heap_sorts():
    rng = np.random.default_rng(0)
    scores = np.round(rng.random((20, 50)), 1)  # many equal ones
    indptr, rows, t, *_ = topk.dual(-scores, np.full(50, 0.1), np.zeros(20), 1.0, 50)
    for j in range(20):
        expected = sorted(range(50), key=lambda i: (-scores[j, i], i))
        np.testing.assert_array_equal(rows[indptr[j] : indptr[j + 1]], expected)


# ---------------------------------------------------------------------------------------------------- objectives


@pytest.mark.parametrize(
    ("k", "eps", "ridge"), [(3, 0.0, 0.0), (12, 0.0, 0.0), (3, 0.3, 0.0), (1, 1.0, 0.0), (4, 0.2, 0.7)]
)
def test_derivatives_of_the_semi_dual(k, eps, ridge):
    a, b, C = problem(12, 9, 1)
    objective = SparseSemiDual(np.ascontiguousarray(C.T), a, b, 1.5, k, eps, ridge)
    x = 0.1 * np.random.default_rng(2).standard_normal(12)
    z = objective.prepare(x)
    assert z.margin.min() > 1e-4
    assert z.sharing().any() == (eps > 0)
    check_derivatives(objective, x)


@pytest.mark.parametrize("k", [2, 12])
def test_derivatives_of_the_dual(k):
    a, b, C = problem(12, 9, 1)
    objective = SparseDual(np.ascontiguousarray(C.T), a, b, 1.5, k)
    x = 0.2 + 0.1 * np.random.default_rng(2).standard_normal(21)
    assert objective.prepare(x).margin.min() > 1e-4
    check_derivatives(objective, x)


def check_derivatives(objective, x):
    """Between its kinks the function is quadratic: central differences are exact to rounding."""
    t, H = 1e-5, as_form(objective.hess(x, objective.prepare(x)), x.size)
    for v in np.random.default_rng(3).standard_normal((4, x.size)):
        up, down = objective.prepare(x + t * v), objective.prepare(x - t * v)
        slope = (objective.fun(x + t * v, up) - objective.fun(x - t * v, down)) / (2 * t)
        assert slope == pytest.approx(objective.grad(x, objective.prepare(x)) @ v, abs=1e-9)
        bend = (objective.grad(x + t * v, up) - objective.grad(x - t * v, down)) / (2 * t)
        np.testing.assert_allclose(H.matvec(v), bend, atol=1e-8)
        np.testing.assert_allclose(H.dense() @ v, H.matvec(v), atol=1e-12)
    np.testing.assert_allclose(H.diagonal(), H.dense().diagonal(), atol=1e-13)
    assert np.linalg.eigvalsh(H.dense())[0] > -1e-12


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_semi_dual_is_the_least_dual(k):
    a, b, C = problem(10, 8, 4)
    Ct, alpha = np.ascontiguousarray(C.T), 0.2 * np.random.default_rng(0).standard_normal(10)
    F, D = SparseSemiDual(Ct, a, b, 0.7, k), SparseDual(Ct, a, b, 0.7, k)
    z = F.prepare(alpha)
    x = np.concatenate([alpha, -z.tau])
    w = D.prepare(x)
    assert D.fun(x, w) == pytest.approx(F.fun(alpha, z), rel=1e-13)
    np.testing.assert_allclose(D.grad(x, w)[:10], F.grad(alpha, z), atol=1e-14)
    np.testing.assert_allclose(D.grad(x, w)[10:], 0.0, atol=1e-14)


def test_the_gradient_is_the_error_of_the_row_sums():
    a, b, C = problem(15, 11, 5)
    F = SparseSemiDual(np.ascontiguousarray(C.T), a, b, 1.0, 4)
    z = F.prepare(a)
    np.testing.assert_allclose(F.grad(a, z), dense(z, 11).sum(axis=1) - a, atol=1e-16)
    np.testing.assert_allclose(z.plan().toarray(), dense(z, 11))


# ---------------------------------------------------------------------------------------------------- the solution


def optimum_on_support(a, b, C, gamma, chosen):
    """Least squares with heavily weighted sums, ``min |T + C/gamma|^2`` over T >= 0; inf where there is no plan."""
    n, m = C.shape
    places = [(i, j) for j, column in enumerate(chosen) for i in column]
    A = np.zeros((n + m, len(places)))
    for e, (i, j) in enumerate(places):
        A[i, e] = A[n + j, e] = 1.0
    c = np.array([C[place] for place in places])
    rows, rhs = np.vstack([np.eye(len(places)), 1e5 * A]), np.concatenate([-c / gamma, 1e5 * np.concatenate([a, b])])
    t = lsq_linear(rows, rhs, (0, np.inf), method="bvls", tol=1e-14).x  # nnls of SciPy 1.12 does not end
    return c @ t + gamma / 2 * t @ t if np.abs(A @ t - np.concatenate([a, b])).max() < 1e-7 else np.inf


def brute_force(a, b, C, gamma, k):
    n, m = C.shape
    return min(optimum_on_support(a, b, C, gamma, chosen) for chosen in itertools.product(supports(n, k), repeat=m))


@pytest.mark.parametrize(
    ("n", "m", "k", "seed", "gamma", "uniform"),
    [
        *((4, 3, 2, seed, 0.5, False) for seed in range(4)),
        *((3, 4, 2, seed, 2.0, False) for seed in range(4)),
        *((4, 4, 2, seed, 1.0, True) for seed in range(2)),
        (4, 4, 1, 0, 1.0, True),
        (5, 3, 3, 0, 1.0, False),
        (6, 2, 4, 1, 3.0, False),
    ],
)
def test_bounds_enclose_the_optimum_of_brute_force(n, m, k, seed, gamma, uniform):
    a, b, C = problem(n, m, seed, uniform)
    best = brute_force(a, b, C, gamma, k)
    found = sparsity_constrained(a, b, C, gamma, k)
    assert found.lower_bound <= best + 1e-8
    if found.success:
        assert found.value >= best - 1e-8
    if found.relaxation_tight:
        assert found.value == pytest.approx(best, abs=1e-8)
        assert abs(found.gap) <= 1e-9
    check_plan(found, a, b, C, gamma, k)


def check_plan(found, a, b, C, gamma, k):
    T, R = found.plan.toarray(), found.relaxed_plan.toarray()
    assert (T >= 0).all()
    assert ((T > 0).sum(axis=0) <= k).all()
    np.testing.assert_allclose(T.sum(axis=0), b, rtol=1e-12)
    assert found.row_error == pytest.approx(np.abs(T.sum(axis=1) - a).sum() / a.sum(), abs=1e-15)
    assert found.column_error <= 1e-13
    assert found.cost == pytest.approx(np.sum(T[T > 0] * C[T > 0]), rel=1e-11, abs=1e-15)
    assert found.value == pytest.approx(found.cost + gamma / 2 * np.sum(T**2), rel=1e-12)
    assert found.success == (found.status in ("optimal", "feasible"))
    assert found.relaxation_tight == (found.status == "optimal")
    if found.success:
        assert found.row_error <= 1e-9
        assert found.gap >= -1e-9 * (np.max(C, where=np.isfinite(C), initial=0) * a.sum() + gamma * b @ b)
    if found.relaxation in ("tight", "solved"):
        np.testing.assert_allclose(R.sum(axis=1), a, atol=2e-9 * a.sum())
        assert found.shared_columns == ((R > 0).sum(axis=0) > k).sum()
        assert (found.shared_columns == 0) or not found.relaxation_tight


def test_every_way_to_end_occurs():
    ends = {}
    for n, m, k, gamma, uniform, settings in (
        (60, 60, 10, 1.0, False, {}),
        (60, 60, 4, 5.0, False, {}),
        (60, 60, 2, 5.0, False, {}),
        (60, 60, 4, 5.0, False, {"max_iter": 7}),
    ):
        a, b, C = problem(n, m, 0, uniform)
        found = sparsity_constrained(a, b, C, gamma, k, **settings)
        check_plan(found, a, b, C, gamma, k)
        ends[found.status] = found
    assert set(ends) == {"optimal", "feasible", "row_error", "max_iter"}
    assert ends["feasible"].shared_columns > 0
    assert 0 < ends["feasible"].gap < 0.02 * ends["feasible"].value
    assert ends["row_error"].row_error > 1e-3
    assert ends["max_iter"].lower_bound <= ends["feasible"].lower_bound
    assert ends["max_iter"].relaxation == "max_iter"
    assert ends["feasible"].relaxation == ends["row_error"].relaxation == "solved"
    assert ends["max_iter"].nit < 200
    for found in ends.values():
        assert found.message in repr(found)
        assert found.nit == sum(row["nit"] for row in found.history)


def test_without_a_constraint_it_is_quadratic_transport():
    """By its optimality conditions: T = [alpha + beta - C]_+ / gamma has both marginals."""
    a, b, C = problem(40, 30, 6)
    for gamma in (0.1, 10.0, 1000.0):
        found = sparsity_constrained(a, b, C, gamma, 40)
        assert found.status == "optimal"
        T = np.maximum(found.alpha[:, None] + found.beta - C, 0) / gamma
        np.testing.assert_allclose(found.plan.toarray(), T, atol=1e-12)
        np.testing.assert_allclose(T.sum(axis=1), a, atol=1e-10)
        np.testing.assert_allclose(T.sum(axis=0), b, atol=1e-10)
        same = sparsity_constrained(a, b, C, gamma, 1000)
        np.testing.assert_array_equal(same.plan.toarray(), found.plan.toarray())


def test_a_constraint_that_does_not_bind_changes_nothing():
    a, b, C = problem(40, 30, 6)
    free = sparsity_constrained(a, b, C, 1.0, 40)
    k = int(np.diff(free.plan.indptr).max())
    bound = sparsity_constrained(a, b, C, 1.0, k)
    assert bound.status == "optimal"
    np.testing.assert_allclose(bound.plan.toarray(), free.plan.toarray(), atol=1e-11)
    assert sparsity_constrained(a, b, C, 1.0, k - 1).lower_bound > free.value


def test_one_nonzero_of_uniform_masses_is_an_assignment():
    a, b, C = problem(50, 50, 7, uniform=True)
    found = sparsity_constrained(a, b, C, 3.0, 1)
    rows, columns = linear_sum_assignment(C)
    assert found.status == "optimal"
    assert found.cost == pytest.approx(C[rows, columns].mean(), rel=1e-12)
    assert found.value == pytest.approx(found.cost + 1.5 / 50, rel=1e-12)
    np.testing.assert_array_equal(np.argwhere(found.plan.toarray().T > 0)[:, 1], rows[np.argsort(columns)])


def test_the_bound_and_the_value_rise_as_k_falls():
    a, b, C = problem(40, 40, 8, uniform=True)
    found = [sparsity_constrained(a, b, C, 8.0, k) for k in (40, 8, 4, 2)]
    assert all(one.success for one in found)
    assert np.all(np.diff([one.lower_bound for one in found]) > 0)
    assert np.all(np.diff([one.value for one in found]) > 0)


def test_the_lower_bound_is_the_dual_value_of_the_potentials():
    a, b, C = problem(30, 20, 9)
    found = sparsity_constrained(a, b, C, 4.0, 5)
    assert found.status == "feasible"
    s = np.sort(np.maximum(found.alpha[:, None] + found.beta - C, 0), axis=0)[-5:]
    assert found.lower_bound == pytest.approx(a @ found.alpha + b @ found.beta - (s**2).sum() / 8, rel=1e-12)


def test_same_answer_twice_and_from_a_warm_start():
    a, b, C = problem(40, 40, 10)
    one, other = (sparsity_constrained(a, b, C, 4.0, 5) for _ in range(2))
    np.testing.assert_array_equal(one.plan.toarray(), other.plan.toarray())
    np.testing.assert_array_equal(one.alpha, other.alpha)
    rows, same = ([row | {"seconds": 0.0} for row in found.history] for found in (one, other))
    assert rows == same
    bounds = [row["bound"] for row in rows if row["run"].startswith("proximal") and "bound" in row]
    assert max(bounds) == one.lower_bound == bounds[-1]
    quadratic = sparsity_constrained(a, b, C, 4.0, 40)
    again = sparsity_constrained(a, b, C, 4.0, 40, alpha0=quadratic.alpha)
    assert again.status == "optimal"
    np.testing.assert_allclose(again.plan.toarray(), quadratic.plan.toarray(), atol=1e-10)


# ------------------------------------------------------------------------------------------------------ invariances


@pytest.mark.parametrize("k", [4, 30])
def test_shifts_scales_and_permutations(k):
    a, b, C = problem(30, 25, 11)
    rng = np.random.default_rng(0)
    base = sparsity_constrained(a, b, C, 4.0, k)
    assert base.success
    p, q = rng.standard_normal(30), rng.standard_normal(25)
    shifted = sparsity_constrained(a, b, C + p[:, None] + q, 4.0, k)
    assert shifted.value == pytest.approx(base.value + a @ p + b @ q, abs=1e-8)
    assert shifted.lower_bound == pytest.approx(base.lower_bound + a @ p + b @ q, abs=1e-8)
    heavy = sparsity_constrained(7 * a, 7 * b, C, 4.0 / 7, k)
    np.testing.assert_allclose(heavy.plan.toarray(), 7 * base.plan.toarray(), atol=1e-8)
    assert heavy.value == pytest.approx(7 * base.value, rel=1e-8)
    assert heavy.row_error <= 1e-9
    dear = sparsity_constrained(a, b, 1e6 * C, 4e6, k)
    assert dear.value == pytest.approx(1e6 * base.value, rel=1e-8)
    i, j = rng.permutation(30), rng.permutation(25)
    moved = sparsity_constrained(a[i], b[j], C[np.ix_(i, j)], 4.0, k)
    np.testing.assert_allclose(moved.plan.toarray(), base.plan.toarray()[np.ix_(i, j)], atol=1e-8)


def test_places_without_mass_change_nothing():
    a, b, C = problem(12, 10, 12)
    a0, b0 = np.insert(a, 3, 0.0), np.insert(b, [0, 10], 0.0)
    C0 = np.insert(np.insert(C, 3, -5.0, axis=0), [0, 10], np.inf, axis=1)
    one, other = sparsity_constrained(a, b, C, 2.0, 3), sparsity_constrained(a0, b0, C0, 2.0, 3)
    T = other.plan.toarray()
    assert T[3].sum() == T[:, 0].sum() == T[:, 11].sum() == 0
    np.testing.assert_allclose(np.delete(np.delete(T, 3, axis=0), [0, 11], axis=1), one.plan.toarray(), atol=1e-12)
    assert other.lower_bound == pytest.approx(one.lower_bound, rel=1e-12)
    assert np.isfinite(other.alpha).all()
    assert np.isfinite(other.beta).all()


def test_forbidden_pairs_carry_nothing():
    a, b, C = problem(20, 20, 13)
    closed = np.random.default_rng(0).random((20, 20)) < 0.3
    C = np.where(closed, np.inf, C)
    for k in (5, 20):
        found = sparsity_constrained(a, b, C, 2.0, k)
        assert found.success
        assert not found.plan.toarray()[closed].any()
        assert np.isfinite(found.value)
        check_plan(found, a, b, C, 2.0, k)


def test_forbidden_pairs_that_leave_no_plan_are_found_out():
    """Two rows of mass 0.7 that reach one column of mass 0.5 only; every row and column has an open pair."""
    a, b = np.array([0.3, 0.4, 0.3]), np.array([0.5, 0.5])
    C = np.array([[0.0, np.inf], [0.0, np.inf], [1.0, 1.0]])
    found = sparsity_constrained(a, b, C, 1.0, 3)
    assert found.status == "infeasible"
    assert not found.success
    assert found.nit < 1000
    assert found.row_error > 0.1
    assert np.isfinite(found.plan.data).all()


def test_equal_costs_and_one_row_or_column():
    a, b, _ = problem(6, 5, 14)
    found = sparsity_constrained(a, b, np.full((6, 5), 3.0), 1.0, 6)
    assert found.status == "optimal"
    assert found.cost == pytest.approx(3.0, rel=1e-12)
    one = sparsity_constrained([1.0], b, [[1.0, 2.0, 0.0, 4.0, 1.0]], 1.0, 1)
    np.testing.assert_allclose(one.plan.toarray(), b[None], rtol=1e-12)
    other = sparsity_constrained(a, [1.0], np.arange(6.0)[:, None], 1.0, 6)
    np.testing.assert_allclose(other.plan.toarray(), a[:, None], rtol=1e-9)


@pytest.mark.parametrize("gamma", [1e-9, 1e-4, 1e4, 1e9])
def test_weights_of_any_size_end_with_numbers(gamma):
    a, b, C = problem(25, 25, 15)
    for k in (4, 25):
        found = sparsity_constrained(a, b, C, gamma, k)
        assert np.isfinite([found.value, found.lower_bound, found.row_error, *found.alpha, *found.beta]).all()
        assert found.lower_bound <= found.value * (1 + 1e-9) or not found.success
        assert found.success or (gamma == 1e9 and k == 4), found  # where costs are 1e-8 of the values, all rows tie
        check_plan(found, a, b, C, gamma, k)


# ----------------------------------------------------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 1}, r"k=1 is infeasible: 6 rows need \d+ places in 4 columns.*take k >= 2"),
        ({"k": 0}, "k=0 must be an integer of at least 1"),
        ({"k": 2.0}, "k=2.0 must be an integer"),
        ({"k": True}, "k=True must be an integer"),
        ({"gamma": 0}, "gamma=0 must be a positive number"),
        ({"gamma": float("nan")}, "gamma=nan must be a positive number"),
        ({"tol": 0.0}, "tol=0.0 must lie between 0 and 1"),
        ({"max_iter": 0}, "max_iter=0 must be an integer"),
        ({"b": np.full(4, 0.3)}, "differ; pass normalize=True"),
        ({"a": np.array([-1, 1, 1, 1, 1, 1.0])}, r"a\[0\] = -1 is negative"),
        ({"C": np.full((6, 4), np.nan)}, "C has a NaN"),
        ({"C": np.zeros((4, 6))}, "C of shape"),
        ({"alpha0": np.zeros(3)}, r"alpha0 has shape \(3,\)"),
    ],
)
def test_misuse_is_one_line(change, message):
    a, b, C = problem(6, 4, 0, uniform=True)
    settings = {"a": a, "b": b, "C": C, "gamma": 1.0, "k": 3} | change
    with pytest.raises(ValueError, match=message) as caught:
        sparsity_constrained(**settings)
    assert "\n" not in str(caught.value)


def test_counting_sees_columns_that_cannot_be_filled():
    a, b = np.full(6, 1 / 6), np.array([0.8, 0.1, 0.1])
    with pytest.raises(ValueError, match=r"a column needs up to 5 rows to be filled; take k >= 5"):
        sparsity_constrained(a, b, np.zeros((6, 3)), 1.0, 4)
    assert sparsity_constrained(a, b, np.random.default_rng(0).random((6, 3)), 1.0, 5).success


def test_normalize_divides_by_the_sums():
    a, b, C = problem(10, 10, 16)
    one = sparsity_constrained(a, b, C, 1.0, 4)
    other = sparsity_constrained(3 * a, 5 * b, C, 1.0, 4, normalize=True)
    np.testing.assert_allclose(other.plan.toarray(), one.plan.toarray(), atol=1e-10)


# ------------------------------------------------------------------------------------------------------------ peers


def test_against_pot(capsys):
    """POT's semi-dual stops where L-BFGS stalls: its plan misses the row sums, and where it does not, it is ours."""
    ot = pytest.importorskip("ot")
    a, b, C = problem(60, 60, 17, uniform=True)
    for k in (20, 59):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # POT's own, of SciPy's options
            T = ot.smooth.smooth_ot_semi_dual(
                a, b, C, 1.0, reg_type="sparsity_constrained", max_nz=k, numItermax=5000, stopThr=1e-13
            )
        found = sparsity_constrained(a, b, C, 1.0, k)
        assert np.abs(T.sum(axis=1) - a).sum() < 1e-4
        np.testing.assert_allclose(found.plan.toarray(), T, atol=1e-5)
    capsys.readouterr()  # what POT prints


def test_newton_on_the_semi_dual_itself_ends_quadratically_where_no_score_ties():
    a, b, C = problem(60, 60, 18)
    objective = SparseSemiDual(np.ascontiguousarray(C.T), a, b, 5.0, 60)
    run = GradNormSmooth().minimize(objective, norm=1.0, gtol=1e-13)
    assert run.status == Status.CONVERGED
    norms = run.trace["gnorm"]
    assert norms[-1] <= 1e-13 < 1e-9 < norms[-3]  # finite termination: the last step is exact


def tied(kind, n, m):
    rng = np.random.default_rng(0)
    if kind == "equal":
        return np.ones((n, m))
    if kind == "zero or one":
        return rng.integers(0, 2, (n, m)).astype(float)
    if kind == "separable":
        return np.add.outer(rng.random(n), rng.random(m))
    return ((np.repeat(rng.random((n // 2, 2)), 2, 0)[:, None] - rng.random((m, 2))) ** 2).sum(-1)  # sources in pairs


@pytest.mark.parametrize("kind", ["equal", "zero or one", "separable", "pairs"])
@pytest.mark.parametrize(("n", "m", "k"), [(4, 4, 1), (30, 30, 1), (6, 4, 2), (6, 4, 3), (6, 4, 5), (8, 8, 2)])
def test_ties_do_not_hide_the_plans_there_are(kind, n, m, k):
    """Uniform masses: the north-west corner has at most 2 nonzeros in a column here, and any order of the rows does."""
    C = tied(kind, n, m)
    found = sparsity_constrained(None, None, C, 1.0, k)
    assert found.success, found.message
    assert found.row_error <= 1e-9
    assert np.diff(found.plan.indptr).max() <= k
    if k == 1:  # <C, T> is all that is left to choose
        best = C[linear_sum_assignment(C)].mean()
        assert found.cost == pytest.approx(best, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("size", [1e300, 1e-299])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_unit_of_the_cost_does_not_matter(size, k):
    C = np.random.default_rng(0).random((8, 6))
    plain, found = (
        sparsity_constrained(None, None, C, 0.5, k),
        sparsity_constrained(None, None, size * C, size * 0.5, k),
    )
    assert found.status == plain.status
    np.testing.assert_allclose(found.plan.toarray(), plain.plan.toarray(), atol=1e-9)
    values = np.array([found.cost, found.value, found.lower_bound])
    np.testing.assert_allclose(values / size, [plain.cost, plain.value, plain.lower_bound], rtol=1e-9)
    np.testing.assert_allclose((found.alpha[:, None] + found.beta) / size, plain.alpha[:, None] + plain.beta, atol=1e-8)
    assert sparsity_constrained(None, None, C * 1e-300, 1e-300, 3).success


def test_a_range_outside_the_floats_is_refused():
    with pytest.raises(ValueError, match=r"gamma=1e-301 lies outside \[1e-300, 1e\+300\]"):
        sparsity_constrained(None, None, np.ones((2, 2)), 1e-301, 1)
    with pytest.raises(ValueError, match="costs and gamma span"):
        sparsity_constrained([1e200], [1e200], [[1.0]], 1e200, 1)

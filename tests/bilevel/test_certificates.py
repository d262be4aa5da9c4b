"""Every certificate holds in every one of 240 random trials, and is not vacuous where it should be sharp."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from gnsopt.bilevel import Constants, RidgePenalties, certify
from gnsopt.bilevel import certificates as bounds
from gnsopt.bilevel.hypergradient import Oracle
from gnsopt.bilevel.run import Run
from tests.bilevel.instances import least_squares, logistic, ridge

MAKERS = {
    "logistic": lambda seed: logistic("feature", seed=seed),
    "single": lambda seed: logistic("single", seed=seed),
    "softmax": lambda seed: logistic("weight", 3, seed=seed, d=4),
    "ridge": lambda seed: ridge("feature", seed=seed),
    "quadratic": lambda seed: least_squares()[0],
}
TRIALS = 240


def exact(problem, theta):
    run = Run(problem, theta, *problem.bounds, 0.0, True)
    return Oracle(run, "newton", "cholesky", 1e-3).at(theta).solve(1e-14 * problem.constants(theta).L, 1e-12)


@cache
def trials(name):
    """Random inexact pairs (x, q) of accuracies between 1e-8 and 1, and the exact answers."""
    rng = np.random.default_rng(0)
    out = []
    for k in range(TRIALS):
        if k % 20 == 0:
            problem = MAKERS[name](k)
            theta = rng.normal(-2, 1.5, problem.d) if name != "quadratic" else rng.standard_normal(problem.d)
            star = exact(problem, theta)
        size = 10.0 ** rng.uniform(-8, 0)
        e = rng.standard_normal(problem.n)
        x = star.x + size * np.linalg.norm(star.x) * e / np.linalg.norm(e)
        g, gx, _ = problem.upper(x, theta)
        h = problem.objective(theta)
        H = problem_hessian(problem, theta, x)
        r = rng.standard_normal(problem.n)
        r *= 10.0 ** rng.uniform(-8, 0) * np.linalg.norm(gx) / np.linalg.norm(r)
        q = np.linalg.solve(H, gx + r)
        out.append((problem, theta, x, q, g, gx, np.linalg.norm(H @ q - gx), h.grad(x, h.prepare(x)), H, star))
    return out


def problem_hessian(problem, theta, x):
    h = problem.objective(theta)
    H = h.hess(x, h.prepare(x))
    return H.dense() if hasattr(H, "dense") else np.asarray(H)


@pytest.mark.parametrize("name", MAKERS)
def test_no_certificate_is_ever_violated(name):
    slack = 1 + 1e-9
    for problem, theta, x, q, g, gx, rho, gradient, H, star in trials(name):
        mu, c, J = problem.mu(theta), problem.constants(theta), problem.J_norm(x, theta)
        eps = bounds.distance(np.linalg.norm(gradient), mu)
        assert np.linalg.norm(x - star.x) <= eps * slack
        assert np.linalg.eigvalsh(H)[0] >= mu / slack
        assert np.linalg.eigvalsh(H)[-1] <= c.L * slack
        low, high = bounds.sandwich(g, np.linalg.norm(gx), eps, c.L_g, convex=True)
        assert low - 1e-13 <= star.V <= high + 1e-13 * abs(high)
        V = g - q @ gradient
        assert abs(V - star.V) <= bounds.value_error(eps, rho, np.linalg.norm(q), c) * slack + 1e-13 * abs(star.V)
        z = -problem.cross_t(x, theta, q)
        error = np.linalg.norm(z - star.z)
        floor = 1e-11 * np.linalg.norm(star.z)
        assert error <= bounds.hypergradient_error(eps, rho, np.linalg.norm(q), J, mu, c) * slack + floor
        assert error <= bounds.paper_error(eps, rho, np.linalg.norm(gx), J, mu, c) * slack + floor


@pytest.mark.parametrize("name", ["logistic", "single", "softmax"])
def test_local_strong_convexity_bounds_the_distance(name):
    used = 0
    for problem, theta, x, _, _, _, _, gradient, H, star in trials(name):
        R = np.max(np.linalg.norm(problem.train.design.X, axis=1)) * (2**0.5 if problem.train.k > 1 else 1.0)
        m, size = np.linalg.eigvalsh(H)[0], np.linalg.norm(gradient)
        bound = bounds.local_distance(size, m, R)
        assert np.linalg.norm(x - star.x) <= bound * (1 + 1e-9)
        if np.isfinite(bound):
            used += 1
            assert np.linalg.eigvalsh(problem_hessian(problem, theta, star.x))[0] >= np.exp(-R * bound) * m * (1 - 1e-9)
    assert used > TRIALS // 4


def test_the_declared_constants_are_lipschitz_constants():
    rng = np.random.default_rng(1)
    for name in ("logistic", "softmax", "ridge"):
        problem = MAKERS[name](3)
        theta = rng.normal(-1, 1, problem.d)
        c = problem.constants(theta)
        for _ in range(40):
            x, y = rng.standard_normal((2, problem.n))
            y = x + 10.0 ** rng.uniform(-3, 0) * (y - x)
            apart = np.linalg.norm(x - y)
            difference = problem_hessian(problem, theta, x) - problem_hessian(problem, theta, y)
            assert np.linalg.norm(difference, 2) <= c.L_H * apart + 1e-12
            assert np.linalg.norm(problem.upper(x, theta)[1] - problem.upper(y, theta)[1]) <= c.L_g * apart + 1e-12
            J = [np.stack([problem.cross_t(p, theta, e) for e in np.eye(problem.n)]) for p in (x, y)]
            assert np.linalg.norm(J[0] - J[1], 2) <= c.L_J * apart + 1e-12


@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_the_corrected_value_is_of_second_order(name):
    """V is closer to f than g is by orders of magnitude, and its bound shrinks with the square of the accuracy."""
    ratios = [
        abs(g - q @ gradient - star.V) / abs(g - star.V)
        for _, _, x, q, g, _, rho, gradient, _, star in trials(name)
        if 1e-6 < np.linalg.norm(x - star.x) / np.linalg.norm(star.x) < 1e-3 and rho < 1e-4
    ]
    assert len(ratios) > 20
    assert np.median(ratios) < 1e-2
    c = Constants(L=1.0, L_g=2.0, L_H=3.0, L_J=0.0)
    assert bounds.value_error(1e-3, 0.0, 5.0, c) == pytest.approx(100 * bounds.value_error(1e-4, 0.0, 5.0, c))


def test_bounds_are_attained_where_they_can_be():
    """On a scalar quadratic the distance, E and the error of z are equalities up to their constants."""
    c = Constants(L=2.0, L_g=1.0, L_H=0.0, L_J=0.0)
    e = 0.1  # h = x^2, g = (x - 1)^2 / 2, x = e: grad h = 2e, q = (e - 1)/2
    assert bounds.distance(2 * e, 2.0) == pytest.approx(e)
    V, f = 0.5 * (e - 1) ** 2 - (e - 1) / 2 * 2 * e, 0.5
    assert abs(V - f) == pytest.approx(bounds.value_error(e, 0.0, abs(e - 1) / 2, c))
    J = 3.0  # z = -J q, exact -J q* with q* = -1/2
    assert abs(J * ((e - 1) / 2 + 0.5)) == pytest.approx(bounds.hypergradient_error(e, 0.0, abs(e - 1) / 2, J, 2.0, c))


def test_the_estimates_are_seldom_violated():
    """Without constants: the estimated interval and error hold in nearly all of 240 inexact solves."""
    rng = np.random.default_rng(5)
    inside = correct = 0
    for k in range(TRIALS):
        problem = logistic("feature", seed=k // 12)
        theta = rng.normal(-2, 1.5, problem.d)
        run = Run(problem, theta, *problem.bounds, 0.0, False)
        now = Oracle(run, "newton", "cg" if k % 2 else "auto", 0.1).at(theta)
        now.solve(10.0 ** rng.uniform(-8, -1) * now.start)
        star = exact(problem, theta)
        inside += abs(now.V - star.V) <= now.E
        correct += np.linalg.norm(now.z - star.z) <= now.error
    assert inside >= 0.98 * TRIALS
    assert correct >= 0.9 * TRIALS


# ------------------------------------------------------------------------------------------ rounding, in exact numbers


def rational(a):
    return np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(a)


def solve(H, b):
    """Gaussian elimination in exact numbers."""
    M = np.hstack([H, b[:, None]])
    for i in range(len(b)):
        k = i + int(np.argmax(np.abs(M[i:, i])))
        M[[i, k]] = M[[k, i]]
        for j in range(len(b)):
            if j != i:
                M[j] = M[j] - M[i] * (M[j, i] / M[i, i])
    return M[:, -1] / np.diag(M)


def exact_ridge(A, b, Av, bv, penalty, group):
    """Return x*, f and grad f as fractions."""
    A, b, Av, bv, penalty = (rational(a) for a in (A, b, Av, bv, penalty))
    H = A.T @ A / len(b) + np.diag(penalty)
    x = solve(H, A.T @ b / len(b))
    r = Av @ x - bv
    q = solve(H, Av.T @ r / len(bv))
    z = np.array([-sum((penalty * x * q)[group == k], Fraction(0)) for k in range(group.max() + 1)])
    return x, r @ r / (2 * len(bv)), z


def norm(a):
    return float(sum(v * v for v in a)) ** 0.5


def test_rounding_is_part_of_the_certificate():
    """Two columns agree to six digits, scales differ by 1e7, penalties go down to 1e-10."""
    rng = np.random.default_rng(1)
    for trial in range(40):
        p, n, m = rng.integers(1, 6), rng.integers(2, 10), rng.integers(1, 8)
        A = rng.standard_normal((n, p)) * 10 ** rng.uniform(-4, 3, p)
        Av = rng.standard_normal((m, p)) * 10 ** rng.uniform(-3, 3)
        b, bv = rng.standard_normal(n), rng.standard_normal(m) * 10 ** rng.uniform(-3, 2)
        if p > 1:
            A[:, -1], Av[:, -1] = A[:, 0] * (1 + 1e-6 * rng.standard_normal(n)), Av[:, 0] * 1.01
        problem = RidgePenalties(A, b, Av, bv, groups=("single", "feature")[trial % 2])
        theta = rng.uniform(-22, 3, problem.d)
        found = certify(problem, theta, 1e-8)
        x, f, z = exact_ridge(A, b, Av, bv, problem.penalties(theta), problem.group)
        assert Fraction(found.low) <= f <= Fraction(found.high)
        assert norm(rational(found.z) - z) <= found.error
        assert norm(rational(found.x) - x) <= found.distance


def test_the_allowance_for_rounding_is_small():
    problem = ridge("feature", seed=0)
    found = certify(problem, np.full(problem.d, -1.0), 1e-9)
    assert found.high - found.low <= 1e-12 * found.high
    assert found.error <= 1e-9

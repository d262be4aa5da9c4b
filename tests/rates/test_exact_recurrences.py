"""Problems on which the method is a recurrence that can be written down: quadratics, H = 0, powers of the norm."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Objective


class Quadratic(Objective):
    """x'Ax/2 - b'x; `minimize` with curvature="zero" is the method with H = 0."""

    convex = True

    def __init__(self, A, b):
        self.A, self.b, self.n = A, b, len(b)

    def fun(self, x, z):
        return float(x @ (self.A @ x) / 2 - self.b @ x)

    def grad(self, x, z):
        return self.A @ x - self.b

    def hess(self, x, z):
        return self.A

    def difference(self, x, z, h):
        return float(-h @ (self.A @ (x + h / 2) - self.b))


class PowerOfNorm(Objective):
    """|x|^p / p, its Hessian r^{p-2} (I + (p-2) x x'/r^2), and the rank-one Fisher term alone."""

    n = 3
    convex = True

    def __init__(self, p):
        self.p = p

    def prepare(self, x):
        return float(np.linalg.norm(x))

    def fun(self, x, r):
        return r**self.p / self.p

    def grad(self, x, r):
        return r ** (self.p - 2) * x

    def fisher(self, x, r):
        return (self.p - 2) * r ** (self.p - 2) * np.outer(x / r, x / r)

    def hess(self, x, r):
        return r ** (self.p - 2) * np.eye(3) + self.fisher(x, r)


@pytest.mark.parametrize("curvature", ["exact", "exact:spectral", "exact:tridiagonal"])
@pytest.mark.parametrize("growth", ["paper", "ratio"])
@pytest.mark.parametrize("gamma0", [1e-3, 1.0, 1e3])
def test_quadratic_with_its_hessian(gamma0, growth, curvature):
    """gamma(x) is infinite: every trial is accepted, and each eigen-component shrinks by lam/(lam + lam_i)."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    eigenvalues = np.geomspace(0.05, 20.0, 8)
    problem = Quadratic((Q * eigenvalues) @ Q.T, rng.standard_normal(8))
    x_star = Q @ ((Q.T @ problem.b) / eigenvalues)
    solver = GradNormSmooth(curvature=curvature, growth=growth, gamma0=gamma0, metric=None)
    res = solver.minimize(problem, keep_x=True, gtol=1e-8)
    assert res.success
    lam, gamma, ratio = (res.trace[name][1:] for name in ("lam", "gamma", "ratio"))
    assert (res.trace["trials"][1:] == 1).all()
    assert ratio.min() >= 8 - 1e-6
    np.testing.assert_allclose(
        lam,
        np.array([problem.grad(x, None) @ problem.grad(x, None) for x in res.trace.x[:-1]]) ** 0.5 / gamma,
        rtol=1e-9,
    )
    factor = np.full(res.nit - 1, 2.0) if growth == "paper" else np.where(ratio[:-1] >= 16, 4.0, 2.0)
    np.testing.assert_array_equal(gamma, gamma0 * np.append(1.0, np.cumprod(factor)))
    error = (np.array(res.trace.x) - x_star) @ Q
    rounding = 1e-12 * np.linalg.norm(x_star)
    for k in range(res.nit):
        np.testing.assert_allclose(error[k + 1], error[k] * lam[k] / (lam[k] + eigenvalues), rtol=1e-7, atol=rounding)
    # superlinear: the contractions go to zero, monotonically
    size = np.linalg.norm(error, axis=1)
    shrink = size[1:] / size[:-1]
    assert (np.diff(shrink) < 0).all()
    assert shrink[-1] < 1e-2


def halving_and_doubling(r, gamma, f, g, c, stop, difference):
    """The search on a ray: r+ = |r - g/(c + lam)|, lam = g/gamma, accepted iff f - f+ >= g+^2/(8 lam).

    `f`, `g`, `c` are functions of r: value, slope and curvature of the model along the ray.
    Returns the radii, the accepted gammas and the number of solves.
    """
    radii, gammas, solves = [r], [], 0
    while f(r) > stop:
        for _ in range(60):
            lam = g(r) / gamma
            new = abs(r - g(r) / (c(r) + lam))
            solves += 1
            if difference(r, new) >= g(new) ** 2 / (8 * lam):
                break
            gamma /= 2
        else:
            raise AssertionError("no trial accepted")
        r = new
        radii.append(r)
        gammas.append(gamma)
        gamma *= 2
    return np.array(radii), np.array(gammas), solves


@pytest.mark.parametrize("gamma0", [1e-3, 0.3, 1.0, 50.0])
@pytest.mark.parametrize("L", [0.01, 1.0, 300.0])
def test_zero_curvature_on_a_multiple_of_the_squared_norm(L, gamma0):
    """r+ = |r - gamma| whatever L is, and the search is that of the scalar recurrence."""
    x0 = np.array([3.0, -4.0, 12.0])
    radii, gammas, solves = halving_and_doubling(
        13.0,
        gamma0,
        lambda r: L * r * r / 2,
        lambda r: L * r,
        lambda r: 0.0,
        1e-10 * L,
        lambda r, s: L * (r - s) * (r + s) / 2,
    )
    solver = GradNormSmooth(curvature="zero", growth="paper", gamma0=gamma0, metric=None)
    res = solver.minimize(Quadratic(L * np.eye(3), np.zeros(3)), x0, f_target=1e-10 * L, gtol=0, keep_x=True)
    assert (res.nit, res.nsolve) == (len(gammas), solves)
    np.testing.assert_array_equal(res.trace["gamma"][1:], gammas)
    np.testing.assert_allclose(np.linalg.norm(res.trace.x, axis=1), radii, rtol=1e-9, atol=1e-12)
    # all iterates stay on the line through x0
    np.testing.assert_allclose(
        np.array(res.trace.x) @ x0 / 13,
        np.linalg.norm(res.trace.x, axis=1) * np.sign(np.array(res.trace.x)[:, 2]),
        atol=1e-12,
    )


@pytest.mark.parametrize("L", [1e-6, 1.0, 1e6])
def test_zero_curvature_solves_in_one_step_with_gamma_equal_to_the_distance(L):
    x0 = np.array([3.0, -4.0, 12.0])
    solver = GradNormSmooth(curvature="zero", gamma0=13.0, metric=None)
    res = solver.minimize(Quadratic(L * np.eye(3), np.zeros(3)), x0, gtol=1e-13 * L)
    assert (res.nit, res.nsolve) == (1, 1)
    assert np.linalg.norm(res.x) <= 1e-14


# p, (iterations, solves) to f <= 1e-8 of the authors' recurrence from r0 = (4 * 7926571.782022948)^(1/4)
PUBLISHED = [
    (2, (10, None), (12, 35)),
    (3, (21, 44), (9, 9)),
    (4, (27, 55), (18, 34)),
    (5, (33, 67), (25, 49)),
    (6, (38, 76), (30, 59)),
    (8, (47, 94), (40, 79)),
]


@pytest.mark.parametrize("kind", ["exact", "fisher", "zero"])
@pytest.mark.parametrize(("p", "exact", "fisher"), PUBLISHED)
def test_power_of_the_norm(p, exact, fisher, kind):
    """f = |x|^p/p moves on a ray with curvature c r^{p-2}: c = p - 1 exact, p - 2 Fisher, 0 none."""
    published = {"exact": exact, "fisher": fisher, "zero": (10, 24) if p == 4 else (12, 35) if p == 2 else None}[kind]
    c = {"exact": p - 1, "fisher": p - 2, "zero": 0}[kind]
    r0 = (4 * 7926571.782022948) ** 0.25
    x0 = r0 * np.array([2.0, -1.0, 2.0]) / 3
    radii, gammas, solves = halving_and_doubling(
        r0,
        1.0,
        lambda r: r**p / p,
        lambda r: r ** (p - 1),
        lambda r: c * r ** (p - 2),
        1e-8,
        lambda r, s: (r**p - s**p) / p,
    )
    solver = GradNormSmooth(curvature=kind, growth="paper", metric=None)
    res = solver.minimize(PowerOfNorm(p), x0, f_target=1e-8, gtol=0, keep_x=True)
    assert res.success
    assert (res.nit, res.nsolve) == (len(gammas), solves)
    np.testing.assert_array_equal(res.trace["gamma"][1:], gammas)
    np.testing.assert_allclose(np.linalg.norm(res.trace.x, axis=1), radii, rtol=1e-8)
    if published is not None:
        assert res.nit == published[0]
        assert res.nsolve == (published[1] or solves)
    # f_{k+1}/f_k tends to ((c - 1)/c)^p, from above, for a degenerate minimum
    if kind == "exact" and p > 2:
        ratio = res.trace["fun"][-1] / res.trace["fun"][-2]
        limit = ((c - 1) / c) ** p
        assert limit - 1e-9 <= ratio <= 1.2 * limit

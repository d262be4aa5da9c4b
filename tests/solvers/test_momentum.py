"""Momentum with given constants: the rates of the papers, the cycle of the heavy ball, estimated constants."""

import numpy as np
import pytest

from gnsopt import Status
from gnsopt.objective import Callables, Objective
from gnsopt.registry import PROBLEMS
from gnsopt.solvers import HeavyBall, Nesterov, RobustMomentum, SpectralMomentum, TripleMomentum

L, MU = 50.0, 0.5
KAPPA = L / MU


class Quadratic(Objective):
    """``(x - c)'D(x - c)/2`` with eigenvalues from MU to L."""

    convex = True

    def __init__(self, d):
        self.d, self.n, self.c = d, d.size, np.linspace(-1, 2, d.size)

    def fun(self, x, z):
        with np.errstate(over="ignore"):
            return 0.5 * float((x - self.c) @ (self.d * (x - self.c)))

    def grad(self, x, z):
        return self.d * (x - self.c)

    def hess(self, x, z):
        return np.diag(self.d)


class Bent(Objective):
    """Curvature L or MU by the side of kinks of the gradient: smooth and strongly convex, not quadratic."""

    convex = True

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.n = 4
        self.A = rng.standard_normal((12, 4))
        self.A *= np.sqrt((L - MU) / np.linalg.norm(self.A.T @ self.A, 2))
        self.b = rng.standard_normal(12)

    def fun(self, x, z):
        r = np.maximum(self.A @ x - self.b, 0)
        return 0.5 * float(r @ r) + MU / 2 * float(x @ x)

    def grad(self, x, z):
        return self.A.T @ np.maximum(self.A @ x - self.b, 0) + MU * x


def gaps(solver, problem, x0, iterations):
    """f - f* along the run; f* from many steps of a method that is not under test."""
    x = x0.copy()
    for _ in range(3000):
        x = x - problem.grad(x, None) / L
    result = solver.minimize(problem, x0, gtol=0, maxiter=iterations, keep_x=True)
    return result.trace["fun"] - problem.fun(x, None), float(np.sum((x0 - x) ** 2)), result


@pytest.mark.parametrize("seed", range(6))
def test_bound_of_nesterov(seed):
    problem, x0 = Bent(seed), np.random.default_rng(seed).standard_normal(4) * 3
    gap, R2, _ = gaps(Nesterov(L, MU, metric=None), problem, x0, 120)
    n = np.arange(gap.size)
    assert np.all(gap <= (1 - KAPPA**-0.5) ** n * (gap[0] + MU / 2 * R2) + 1e-12)
    gap, R2, _ = gaps(Nesterov(L, 0.0, metric=None), problem, x0, 120)
    assert np.all(gap <= 2 * L * R2 / (np.arange(gap.size) + 1) ** 2 + 1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_rate_of_triple_momentum(seed):
    problem, x0 = Bent(seed), np.random.default_rng(seed).standard_normal(4) * 3
    gap, R2, _ = gaps(TripleMomentum(L, MU, metric=None), problem, x0, 150)
    rho, n = 1 - KAPPA**-0.5, np.arange(gap.size)
    assert np.all(gap[1:] <= (rho ** (2 * (n + 1)) * L * KAPPA / 2 * R2)[1:] + 1e-12)


def test_rate_of_triple_momentum_is_attained_up_to_a_constant():
    """On a quadratic of extreme eigenvalues the slower of the two roots is rho itself."""
    problem = Quadratic(np.array([MU, L]))
    gap, _, _ = gaps(TripleMomentum(L, MU, metric=None), problem, np.array([3.0, -4.0]), 100)
    rho = 1 - KAPPA**-0.5
    assert (gap[100] / gap[50]) ** (1 / 100) == pytest.approx(rho, rel=0.01)


@pytest.mark.parametrize("caution", [0.0, 0.3, 1.0])
def test_rate_of_robust_momentum(caution):
    """The Lyapunov function of the paper contracts by q^2; so does f - f*, up to a constant."""
    problem, q = Quadratic(np.geomspace(MU, L, 7)), caution * (1 - 1 / KAPPA) + (1 - caution) * (1 - KAPPA**-0.5)
    gap, _, _ = gaps(RobustMomentum(L, MU, metric=None, caution=caution), problem, np.full(7, 5.0), 150)
    scaled = gap / q ** (2 * np.arange(gap.size))
    assert scaled[20:][gap[20:] > 1e-13].max() <= 2 * scaled[:20].max()


def test_robust_momentum_of_full_caution_is_the_gradient_method():
    """A pole cancels a zero: the points y, where gradients are taken, are those of the gradient method with 1/L."""
    problem, solver = Bent(0), RobustMomentum(L, MU, metric=None, caution=1.0)
    xi = np.array(solver.minimize(problem, np.ones(4) * 3, gtol=0, maxiter=30, keep_x=True).trace.x)
    gamma = solver.coefficients(L, MU, 0)[2]
    y = np.vstack([xi[:1], (1 + gamma) * xi[1:] - gamma * xi[:-1]])
    for here, there in zip(y[:-1], y[1:], strict=True):
        np.testing.assert_allclose(there, here - problem.grad(here, None) / L, atol=1e-10)


def test_coefficients_of_robust_momentum_as_printed():
    kappa, s = 40.0, 0.3
    q = s * (1 - 1 / kappa) + (1 - s) * (1 - kappa**-0.5)
    expected = (
        kappa * (1 - q) ** 2 * (1 + q) / 2.0,
        kappa * q**3 / (kappa - 1),
        q**3 / ((kappa - 1) * (1 - q) ** 2 * (1 + q)),
        0.0,
    )
    np.testing.assert_allclose(RobustMomentum(caution=s).coefficients(2.0, 2.0 / kappa, 3), expected, rtol=1e-13)


@pytest.mark.parametrize("seed", range(6))
def test_safe_heavy_ball_has_its_factor(seed):
    problem, x0 = Bent(seed), np.random.default_rng(seed).standard_normal(4) * 3
    gap, _, _ = gaps(HeavyBall(L, MU, metric=None, safe=True), problem, x0, 600)
    factor = (1 - 0.5 * MU / L) ** np.arange(gap.size)
    assert np.all(gap <= gap[0] * factor + 1e-12)


def test_heavy_ball_on_a_quadratic_has_its_rate():
    problem = Quadratic(np.geomspace(MU, L, 8))
    gap, _, _ = gaps(HeavyBall(L, MU, metric=None), problem, np.full(8, 4.0), 120)
    rate = (np.sqrt(KAPPA) - 1) / (np.sqrt(KAPPA) + 1)
    assert (gap[110] / gap[60]) ** (1 / 100) == pytest.approx(rate, rel=0.02)


def piecewise():
    """The function of Lessard, Recht and Packard: curvature 25, then 1, then 25."""

    def slope(x):
        return 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24

    def value(x):
        return 12.5 * x * x if x < 1 else x * x / 2 + 24 * x - 12 if x < 2 else 12.5 * x * x - 24 * x + 36

    return Callables(lambda x: value(x[0]), 1, jac=lambda x: np.array([slope(x[0])]))


@pytest.mark.parametrize("start", [3.07, 3.2, 3.3, 3.46])
def test_heavy_ball_cycles_where_the_others_converge(start):
    """Tuned for quadratics it goes round three points for ever; f is 25-smooth and 1-strongly convex."""
    result = HeavyBall(25.0, 1.0, metric=None).minimize(piecewise(), [start], gtol=1e-8, maxiter=600, keep_x=True)
    assert result.status == Status.PRECISION_LIMIT or result.status == Status.MAXITER
    last = np.sort(np.array(result.trace.x)[-3:, 0])
    np.testing.assert_allclose(last, np.array([-2208, 792, 2592]) / 1225, atol=1e-8)
    for other in (
        Nesterov(25.0, 1.0),
        TripleMomentum(25.0, 1.0),
        RobustMomentum(25.0, 1.0),
        HeavyBall(),
        HeavyBall(25.0, 1.0, safe=True),
    ):
        found = other.minimize(piecewise(), [start])
        assert found.success
        assert abs(found.x[0]) < 1e-8


def test_spectral_momentum_finds_the_tuning_of_a_quadratic():
    problem = Quadratic(np.geomspace(MU, L, 8))
    result = SpectralMomentum(metric=None).minimize(problem, np.full(8, 4.0), gtol=1e-9)
    assert result.success
    # the Krylov spaces start from gradients: the last one may have lost the largest eigenvector but for rounding
    assert np.nanmin(result.trace["mu"]) == pytest.approx(MU, rel=1e-6)
    assert np.nanmax(result.trace["L"]) == pytest.approx(L, rel=1e-6)
    assert result.nhessp <= 20 * (2 + result.nit // 50 + int(np.nansum(result.trace["restart"])))


@pytest.mark.parametrize("method", [HeavyBall, Nesterov, TripleMomentum, RobustMomentum, SpectralMomentum])
def test_estimated_constants_never_let_f_rise(method):
    result = method().minimize(PROBLEMS["rosenbrock"](), gtol=1e-3)
    assert result.success
    assert np.all(np.diff(result.trace["fun"]) <= 0)


def test_divergence_has_a_status():
    problem = Quadratic(np.array([1.0, 100.0]))
    result = HeavyBall(1.0, 1.0, metric=None).minimize(problem, maxiter=3000)
    assert result.status == Status.STEP_FAILURE
    assert np.isfinite(result.fun)
    assert result.message.startswith(Status.STEP_FAILURE.message)
    assert "the method diverges: f is not smooth with this L" in result.message


@pytest.mark.parametrize(("smooth", "convex"), [(1.0, None), (None, 1.0), (1.0, 2.0), (-1.0, 0.0), ("1", 0)])
def test_constants_out_of_range_are_refused(smooth, convex):
    with pytest.raises(ValueError, match="L=.*mu=.*must satisfy"):
        Nesterov(smooth, convex)


@pytest.mark.parametrize("method", [HeavyBall, TripleMomentum, RobustMomentum, SpectralMomentum])
def test_only_nesterov_takes_a_function_that_is_not_strongly_convex(method):
    with pytest.raises(ValueError, match="needs mu > 0; Nesterov does not"):
        method(1.0, 0.0)


def test_the_metric_is_a_change_of_variables():
    d = np.geomspace(MU, L, 5)
    plain = Nesterov(1.0, MU / L, metric=None)
    there = Quadratic(d / L)
    scale = np.array([1.0, 3.0, 0.2, 5.0, 0.7])
    turned = Callables(lambda y: there.fun(y / scale, None), 5, jac=lambda y: there.grad(y / scale, None) / scale)
    one = plain.minimize(there, np.ones(5), gtol=0, maxiter=40).x
    other = Nesterov(1.0, MU / L, metric=scale**-2.0).minimize(turned, scale, gtol=0, maxiter=40).x
    np.testing.assert_allclose(other / scale, one, rtol=1e-11)


@pytest.mark.parametrize("seed", range(8))
def test_a_hessian_that_is_not_finite_is_not_measured(seed):
    """Differences of the gradient leave the domain next to its boundary."""

    def grad(x):
        with np.errstate(all="ignore"):
            return 0.5 / np.sqrt(x) + 2 * x

    def fun(x):
        with np.errstate(all="ignore"):
            return float(np.sum(np.sqrt(x)) + x @ x)

    x0 = np.random.default_rng(seed).uniform(0.01, 3, 5)
    found = SpectralMomentum().minimize(Callables(fun, 5, jac=grad), x0, maxiter=300)
    assert found.status in (Status.PRECISION_LIMIT, Status.STEP_FAILURE, Status.MAXITER)
    assert found.fun == fun(found.x) < fun(x0)

"""What fresh readers refuted, kept from coming back: non-convex rises, domains, the limit of float64, huge values."""

import numpy as np
import pytest

import gnsopt
from gnsopt.registry import PROBLEMS


def waves(x):
    return 0.05 * x @ x + np.cos(3 * x).sum()


@pytest.mark.parametrize("curvature", ["projected", "zero"])
def test_super_newton_may_rise_on_a_non_convex_function(curvature):
    def grad(x):
        return 0.1 * x - 3 * np.sin(3 * x)

    def hess(x):
        return np.diag(0.1 - 9 * np.cos(3 * x))

    rng = np.random.default_rng(0)
    for x0 in ([-2.07633268, 5.84732212], *rng.uniform(-6, 6, (10, 2))):
        options = {"curvature": curvature, "H0": 1e-3}
        result = gnsopt.minimize(waves, x0, jac=grad, hess=hess, method="super-newton", options=options)
        assert result.success
        assert np.abs(grad(result.x)).max() <= 1e-8


class Barrier(gnsopt.Objective):
    """``c'x - sum log(1 - A x)``, not a number outside of the polytope."""

    convex = True

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.A, self.n = rng.standard_normal((40, 5)), 5
        self.c = rng.standard_normal(5) * 10

    def prepare(self, x):
        return 1 - self.A @ x

    def fun(self, x, z):
        return float(self.c @ x - np.log(z).sum()) if z.min() > 0 else np.nan

    def grad(self, x, z):
        return self.c + self.A.T @ (1 / z)

    def hess(self, x, z):
        return (self.A.T / z**2) @ self.A if z.min() > 0 else np.full((5, 5), np.nan)


@pytest.mark.parametrize("method", ["accelerated-newton", "extrapolated-newton", "gns"])
@pytest.mark.parametrize("seed", range(6))
def test_an_extrapolation_out_of_the_domain_is_a_rejected_trial(method, seed):
    assert gnsopt.minimize(Barrier(seed), method=method).success


@pytest.mark.parametrize("name", ["logistic", "squared"])
def test_acceleration_notices_the_limit_of_float64(name):
    result = gnsopt.AcceleratedNewton().minimize(PROBLEMS[name](), gtol=0)
    assert result.status == gnsopt.Status.PRECISION_LIMIT
    assert result.nit < 500


@pytest.mark.parametrize("method", ["accelerated-newton", "gradient", "fast-gradient", "gns"])
def test_a_huge_value_at_the_start_is_no_failure(method):
    rng = np.random.default_rng(0)
    problem = gnsopt.ResidualPower(100 * rng.standard_normal((30, 20)), 100 * rng.standard_normal(30), p=8)
    result = gnsopt.minimize(problem, np.ones(20), method=method, options={"maxiter": 30, "gtol": 0})
    assert result.trace["fun"][0] > 1e20
    assert result.fun < 1e-3 * result.trace["fun"][0]


def test_acceleration_does_no_work_twice_at_the_start():
    rng = np.random.default_rng(1)
    problem = gnsopt.ResidualPower(rng.standard_normal((30, 20)), rng.standard_normal(30), p=6)
    result = gnsopt.AcceleratedNewton(lam0=1e-3).minimize(problem, maxiter=1, gtol=0)
    assert result.nhev == 1


@pytest.mark.parametrize("name", ["lazy:3:fisher", "topk:2:gauss-newton", "lazy:4", "topk:600"])
def test_composed_names(name):
    X, y = gnsopt.datasets.make_logistic(60, 5, seed=0)
    result = gnsopt.minimize(gnsopt.Logistic(X, y, l2=0.1), options={"curvature": name, "maxiter": 200})
    assert result.success


@pytest.mark.parametrize("name", ["topk:x", "lazy:2.5", "lazy:3:fischer", "lazy:"])
def test_composed_names_misspelt(name):
    with pytest.raises(ValueError, match="curvature="):
        gnsopt.GradNormSmooth(name)

"""Secant curvature: SciPy's quasi-Newton strategies in every solver and through every door."""

import copy

import numpy as np
import pytest
from scipy.optimize import BFGS, SR1, HessianUpdateStrategy, minimize, rosen, rosen_der, rosen_hess

import gnsopt
from gnsopt import CubicNewton, GradNormSmooth, Objective, SuperNewton
from gnsopt.curvature import Secant, resolve
from gnsopt.objective import Callables
from gnsopt.point import Point
from gnsopt.registry import PROBLEMS
from gnsopt.testing import check_curvature

N = 6


class Quadratic(Objective):
    n = N

    def __init__(self, eigenvalues=(0.5, 1.0, 3.0, 8.0, 20.0, 50.0)):
        Q = np.linalg.qr(np.random.default_rng(2).standard_normal((N, N)))[0]
        self.A = (Q * np.asarray(eigenvalues)) @ Q.T
        self.A = (self.A + self.A.T) / 2

    def fun(self, x, z):
        return 0.5 * float(x @ self.A @ x)

    def grad(self, x, z):
        return self.A @ x


def dense(curvature, n=N):
    return np.stack([curvature.matvec(e) for e in np.eye(n)], axis=1)


def walk(problem, steps, seed=0):
    rng = np.random.default_rng(seed)
    x = Point(problem, rng.standard_normal(problem.n))
    yield x
    for _ in range(steps):
        x = x.at(x.x + rng.standard_normal(problem.n))
        yield x


@pytest.mark.parametrize("strategy", [None, BFGS(), SR1(init_scale=0.1), BFGS(exception_strategy="damp_update")])
def test_secant_equation(strategy):
    """``H+ (x+ - x) = g+ - g`` after each update; SR1 begun below the Hessian stays definite."""
    last, build = None, None
    for x in walk(Quadratic(), 8):
        build = build or Secant(strategy).start(x)
        H = build(x)
        if last is not None:
            np.testing.assert_allclose(H.matvec(x.x - last.x), x.g - last.g, rtol=1e-9, atol=1e-9)
        last = x


def test_bfgs_by_its_formula():
    points = list(walk(Quadratic(), 5))
    build = Secant().start(points[0])
    np.testing.assert_array_equal(dense(build(points[0])), np.eye(N))
    H = None
    for x, y in zip(points[:-1], points[1:], strict=True):
        s, t = y.x - x.x, y.g - x.g
        H = (t @ t) / (s @ t) * np.eye(N) if H is None else H
        Hs = H @ s
        H = H - np.outer(Hs, Hs) / (s @ Hs) + np.outer(t, t) / (s @ t)
        np.testing.assert_allclose(dense(build(y)), H, rtol=0, atol=1e-10 * np.abs(H).max())


def test_sr1_finds_a_quadratic_in_n_steps():
    problem = Quadratic()
    points = list(walk(problem, N))
    build = Secant(SR1()).start(points[0])
    for x in points:
        H = build(x)
    np.testing.assert_allclose(dense(H), problem.A, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("mode", "change"), [("clip", lambda s: np.maximum(s, 0)), ("absolute", np.abs)])
def test_an_indefinite_matrix_is_projected(mode, change):
    problem = Quadratic(np.array([-3.0, -1.0, 0.5, 1.0, 2.0, 4.0]))
    points = list(walk(problem, N))
    build = Secant(SR1(), mode).start(points[0])
    for x in points:
        H = build(x)
    s, V = np.linalg.eigh(problem.A)
    np.testing.assert_allclose(dense(H), (V * change(s)) @ V.T, rtol=0, atol=1e-8)
    b = np.ones(N)
    np.testing.assert_allclose(H.solve(0.1, b), np.linalg.solve((V * change(s)) @ V.T + 0.1 * np.eye(N), b), rtol=1e-7)
    assert "SR1, its" in x.counts.choices["curvature"]


def test_a_strategy_is_never_changed():
    strategy = BFGS()
    before = copy.deepcopy(vars(strategy))
    solver = GradNormSmooth(curvature=Secant(strategy))
    one, two = solver.minimize(PROBLEMS["logistic"]()), solver.minimize(PROBLEMS["logistic"]())
    assert vars(strategy) == before
    assert np.array_equal(one.x, two.x)
    used = BFGS()
    used.initialize(2, "inv_hess")
    used.update(np.ones(2), np.ones(2))
    assert np.array_equal(GradNormSmooth(curvature=Secant(used)).minimize(PROBLEMS["logistic"]()).x, one.x)


def test_points_that_say_nothing_change_nothing():
    """No step, or no change of the gradient (which SciPy warns of)."""
    problem = Quadratic(np.array([0.0, 1, 2, 3, 4, 5]))
    x = Point(problem, np.ones(N))
    build = Secant().start(x)
    first = dense(build(x))
    assert np.array_equal(dense(build(x)), first)

    class Linear(Quadratic):
        def grad(self, x, z):
            return np.ones(N)

    x = Point(Linear(), np.ones(N))
    build = Secant().start(x)
    build(x)
    assert np.array_equal(dense(build(x.at(2 * x.x))), np.eye(N))


@pytest.mark.parametrize("solver", [GradNormSmooth, SuperNewton, CubicNewton])
@pytest.mark.parametrize("strategy", [BFGS(), SR1()], ids=["bfgs", "sr1"])
def test_breast_cancer(solver, strategy):
    problem = PROBLEMS["logistic-breast-cancer"]()
    run = solver(curvature=strategy).minimize(problem, gtol=1e-8)
    exact = GradNormSmooth(curvature="exact").minimize(problem, gtol=1e-10)
    assert run.success
    assert run.nhev == run.nhessp == 0
    np.testing.assert_allclose(run.x, exact.x, atol=1e-5)
    assert run.fun == pytest.approx(exact.fun, rel=1e-13)


@pytest.mark.parametrize("strategy", [BFGS(), SR1()], ids=["bfgs", "sr1"])
class TestDoors:
    x0 = np.array([-1.2, 1.0, 0.5])

    def expected(self, strategy):
        problem = Callables(rosen, 3, jac=rosen_der)
        return GradNormSmooth(curvature=Secant(strategy)).minimize(problem, self.x0)

    def test_scipy(self, strategy):
        run = minimize(rosen, self.x0, jac=rosen_der, hess=strategy, method=GradNormSmooth())
        wanted = self.expected(strategy)
        assert run.success
        np.testing.assert_allclose(run.x, 1.0, atol=1e-6)
        assert np.array_equal(run.x, wanted.x)
        assert run.nit == wanted.nit
        assert run.nhev == run.nhessp == 0
        assert type(strategy).__name__ in run.curvature

    def test_gnsopt(self, strategy):
        wanted = self.expected(strategy)
        for run in (
            gnsopt.minimize(rosen, self.x0, jac=rosen_der, hess=strategy),
            gnsopt.minimize(rosen, self.x0, jac=rosen_der, options={"curvature": strategy}),
            gnsopt.minimize(rosen, self.x0, jac=rosen_der, options={"curvature": f"secant:{type(strategy).__name__}"}),
        ):
            assert np.array_equal(run.x, wanted.x)

    def test_a_curvature_that_is_named_wins(self, strategy):
        run = gnsopt.minimize(rosen, self.x0, jac=rosen_der, hess=strategy, options={"curvature": "exact"})
        assert "exact Hessian" in run.curvature
        assert run.success


def test_a_step_needs_no_more_than_its_gradients():
    run = gnsopt.minimize(rosen, np.zeros(4), jac=rosen_der, hess=BFGS())
    assert run.success
    assert run.njev <= run.nsolve + 1
    newton = gnsopt.minimize(rosen, np.zeros(4), jac=rosen_der, hess=rosen_hess)
    assert newton.nhev == newton.nit


def test_ones_own_strategy():
    class Scaled(HessianUpdateStrategy):
        """The last Rayleigh quotient times the identity."""

        def initialize(self, n, approx_type):
            assert approx_type == "hess"
            self.n, self.c = n, 1.0

        def update(self, delta_x, delta_grad):
            self.c = abs(delta_x @ delta_grad) / (delta_x @ delta_x)

        def get_matrix(self):
            return self.c * np.eye(self.n)

    run = GradNormSmooth(curvature=Scaled()).minimize(PROBLEMS["logistic"](), gtol=1e-6)
    assert run.success
    assert "Scaled" in run.curvature


@pytest.mark.parametrize("model", [Secant(), Secant(SR1()), Secant(SR1(), "absolute"), Secant(solver="spectral")])
@pytest.mark.parametrize("name", ["logistic", "softmax-iris", "rosenbrock"])
def test_conforms(model, name):
    problem = PROBLEMS[name]()
    check_curvature(model, Point(problem, problem.start() + 0.3), memory=True)


def test_misuse():
    with pytest.raises(TypeError, match=r"pass an instance, BFGS\(\)"):
        Secant(BFGS)
    with pytest.raises(TypeError, match="HessianUpdateStrategy"):
        Secant("bfgs")
    with pytest.raises(ValueError, match="mode='none'"):
        Secant(mode="none")
    with pytest.raises(ValueError, match="solver='cg'"):
        Secant(solver="cg")
    assert isinstance(resolve(SR1()), Secant)

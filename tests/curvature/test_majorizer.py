"""The fixed majoriser is above the Hessian everywhere, and its steps never raise f."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic, PoissonRegression, Softmax, SquaredLoss
from gnsopt.curvature import Majorizer
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.exceptions import MissingRequirement
from gnsopt.point import Point

RNG = np.random.default_rng(0)


def problems():
    w = RNG.uniform(0.1, 2, 40)
    X, y = make_logistic(40, 6, seed=1)
    yield Logistic(X, y, l2=1e-3, fit_intercept=True, sample_weight=w)
    yield SquaredLoss(X, X[:, 0] + 0.1, l2=1e-3, sample_weight=w)
    X, y = make_softmax(40, 5, 4, seed=1)
    yield Softmax(X, y, l2=1e-3, fit_intercept=True, sample_weight=w)


@pytest.mark.parametrize("problem", list(problems()), ids=lambda problem: type(problem).__name__)
class TestMajorizer:
    def test_is_above_the_hessian(self, problem):
        M = problem.bound().dense()
        least = np.inf
        for size in (0.0, 0.1, 1.0, 10.0, 100.0):
            for _ in range(5):
                x = size * RNG.standard_normal(problem.n)
                gap = M - problem.hess(x, problem.prepare(x)).dense()
                least = min(least, float(np.linalg.eigvalsh(gap)[0]))
        assert least > -1e-14 * np.linalg.norm(M)

    def test_is_tight(self, problem):
        """No smaller multiple is a bound: at zero, or on the edge between two classes, it touches the Hessian."""
        M = problem.bound().dense()
        x = np.zeros(problem.n)
        if isinstance(problem, Softmax):  # p -> (1/2, 1/2, 0, 0): far intercepts
            x.reshape(-1, 4)[-1] = [40.0, 40.0, 0.0, 0.0]
        H = problem.hess(x, problem.prepare(x)).dense()
        v = np.zeros(problem.n)
        v.reshape(-1, problem.k)[-1, 0] = 1.0
        if problem.k > 1:
            v.reshape(-1, problem.k)[-1, 1] = -1.0
        assert v @ H @ v == pytest.approx(v @ M @ v, rel=1e-12)

    def test_steps_without_a_shift_never_raise_f(self, problem):
        x = Point(problem, 3 * RNG.standard_normal(problem.n))
        build = Majorizer().start(x)
        first = build(x)
        for _ in range(30):
            H = build(x)
            assert H is first
            h = -H.solve(1e-12, x.g)
            y = x.at(x.x + h)
            assert x.objective.difference(x.x, x.z, h) >= 0.5 * h @ H.form.matvec(h) * (1 - 1e-9) - 1e-18
            x = y
        assert x.counts.nhev <= 1

    def test_run_reaches_the_minimum_with_one_factorisation(self, problem):
        exact = GradNormSmooth().minimize(problem, gtol=1e-10)
        found = GradNormSmooth(curvature="majorizer").minimize(problem, gtol=1e-8)
        assert found.success
        assert found.nhev <= 1
        assert found.fun == pytest.approx(exact.fun, abs=1e-12)


def test_misuse():
    with pytest.raises(ValueError, match="solver='lu' is unknown"):
        Majorizer("lu")
    problem = PoissonRegression(np.eye(3), np.ones(3))
    with pytest.raises(MissingRequirement, match="PoissonRegression has no bound.*use curvature="):
        Majorizer().start(Point(problem, np.zeros(3)))

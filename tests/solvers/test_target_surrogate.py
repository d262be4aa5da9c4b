"""Surrogates in target space: upper bounds, monotone runs, and the methods that they contain."""

import numpy as np
import pytest

from gnsopt import GradientMethod, GradNormSmooth, Logistic, Softmax, SquaredLoss
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.exceptions import MissingRequirement
from gnsopt.problems import MLP, Rosenbrock
from gnsopt.problems.targets import targets_of
from gnsopt.registry import PROBLEMS
from gnsopt.solvers import TargetSurrogate
from gnsopt.testing import check_solver

RNG = np.random.default_rng(0)
BOUND = {Logistic: 0.25, Softmax: 0.5, SquaredLoss: 1.0}  # largest curvature of one sample's loss


def logistic(**options):
    X, y = make_logistic(60, 6, condition=10.0, seed=1)
    return Logistic(X, y, **options)


def softmax(**options):
    X, y = make_softmax(40, 5, 3, seed=1)
    return Softmax(X, y, **options)


def squared(**options):
    A = RNG.standard_normal((50, 6)) * np.geomspace(0.1, 3, 6)
    return SquaredLoss(A, A @ np.ones(6) + RNG.standard_normal(50), **options)


def network(**options):
    A = np.random.default_rng(3).standard_normal((20, 3))
    return MLP(A, np.arange(20) % 3, hidden=(4,), **{"l2": 1e-2, **options})


def least_squares(H, g):
    """Solution of least norm: one shift of the intercepts of all classes changes nothing."""
    return np.linalg.lstsq(H, g, rcond=1e-11)[0]


def iterates(solver, problem, x0=None, count=5):
    return solver.minimize(problem, x0, gtol=0, maxiter=count, keep_x=True).trace.x


@pytest.mark.parametrize("make", [logistic, softmax, squared, network])
def test_surrogate_is_an_upper_bound_for_any_model(make):
    """2000 draws of two points: ``loss(Z(y)) <= loss(Z(x)) + <d, Z(y) - Z(x)> + |Z(y) - Z(x)|^2_W / (2 eta)``."""
    problem = make()
    L = BOUND.get(type(problem), 0.5)
    view = targets_of(problem)
    worst = -np.inf
    for _ in range(500):
        x = RNG.standard_normal(problem.n) * 10 ** RNG.uniform(-2, 1)
        z = problem.prepare(x)
        for size in (0.01, 0.3, 3.0, 30.0):
            y = x + size * RNG.standard_normal(problem.n)
            delta, _ = view.change(z, x, y)
            model = z.loss + np.vdot(view.loss_gradient(z), delta) + 0.5 * L * np.vdot(delta, view.weight * delta)
            loss = problem.prepare(y).loss
            worst = max(worst, (loss - model) / max(abs(loss), abs(model)))
    assert worst < 1e-13


class TestEqualities:
    @pytest.mark.parametrize("weighted", [False, True])
    def test_logistic_with_eta_four_is_newton_with_the_fixed_majoriser(self, weighted):
        w = RNG.uniform(0.1, 2, 60) if weighted else None
        problem = logistic(l2=1e-2, fit_intercept=True, sample_weight=w)
        M, x = problem.bound().dense(), np.zeros(problem.n)
        for found in iterates(TargetSurrogate(eta=4.0, adapt=False), problem):
            np.testing.assert_allclose(found, x, atol=1e-13)
            x = x - np.linalg.solve(M, problem.grad(x, problem.prepare(x)))

    def test_without_penalty_it_is_the_formula_of_the_paper(self):
        """``theta - eta (X'X)^{-1} X' d``, eta = 4 n in the units of the paper."""
        problem = logistic()
        X, x = problem.design.X, np.zeros(6)
        for found in iterates(TargetSurrogate(eta=4.0, adapt=False), problem):
            np.testing.assert_allclose(found, x, atol=1e-12)
            d = problem.prepare(x).R
            x = x - 4 * 60 * np.linalg.solve(X.T @ X, X.T @ d)

    def test_squared_loss_is_solved_in_one_step(self):
        problem = squared()
        run = TargetSurrogate(eta=1.0).minimize(problem, gtol=1e-10)
        wanted = np.linalg.lstsq(problem.design.X, problem.y, rcond=None)[0]
        assert run.nit == 1
        np.testing.assert_allclose(run.x, wanted, rtol=1e-12)

    @pytest.mark.parametrize("make", [logistic, softmax])
    def test_newton_metric_is_newton(self, make):
        problem = make(l2=1e-2, fit_intercept=True)
        x = 0.1 * np.random.default_rng(1).standard_normal(problem.n)
        for found in iterates(TargetSurrogate("newton", adapt=False), problem, x.copy(), 4):
            one, other = (problem.design.matvec(v.reshape(-1, problem.k)) for v in (found, x))
            if problem.k > 1:  # one shift of the intercepts of all classes changes nothing
                one, other = one - one.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True)
            np.testing.assert_allclose(one, other, atol=1e-10)
            z = problem.prepare(x)
            x = x - least_squares(problem.hess(x, z).dense(), problem.grad(x, z))

    def test_newton_metric_of_a_network_is_gauss_newton(self):
        rng = np.random.default_rng(5)
        A = rng.standard_normal((60, 3))
        Y = np.stack([np.sin(A[:, 0]), A[:, 1] * A[:, 2]], axis=1)
        problem = MLP(A, Y, hidden=(3,), loss="squared", l2=1e-2)
        x0 = GradNormSmooth().minimize(problem, gtol=1e-4).x
        solver = TargetSurrogate("newton", steps=1, adapt=False)
        found = iterates(solver, problem, x0, 1)[1]
        z = problem.prepare(x0)
        step = np.linalg.solve(problem.gauss_newton(x0, z).dense(), problem.grad(x0, z))
        length = -float((found - x0) @ step / (step @ step))
        assert length == pytest.approx(0.5, rel=1e-6)  # the full step would raise the surrogate
        np.testing.assert_allclose(found, x0 - length * step, atol=1e-10)
        assert np.linalg.norm(step) > 1e-5

    def test_one_gradient_step_is_a_gradient_step(self):
        for problem in (logistic(l2=1e-2), network(), softmax(l2=1e-2, fit_intercept=True)):
            x0 = problem.start() + 0.1
            x1 = iterates(TargetSurrogate(inner="armijo", steps=1), problem, x0, 1)[1]
            g = problem.grad(x0, problem.prepare(x0))
            h = x1 - x0
            alpha = -(h @ g) / (g @ g)
            assert alpha > 0
            np.testing.assert_allclose(h, -alpha * g, atol=1e-12 * np.linalg.norm(h))

    def test_any_other_problem_is_its_own_target(self):
        """``x - eta g`` where nothing is known of the model: the gradient method with L = 1/eta."""
        problem = Rosenbrock()
        x = problem.start()
        found = iterates(TargetSurrogate(eta=1e-3, adapt=False), problem, count=4)
        for each in found:
            np.testing.assert_allclose(each, x, rtol=1e-12)
            x = x - 1e-3 * problem.grad(x, problem.prepare(x))
        run = TargetSurrogate(eta=1.0).minimize(PROBLEMS["logsumexp"](), gtol=1e-6)
        other = GradientMethod(metric=None).minimize(PROBLEMS["logsumexp"](), gtol=1e-6)
        assert run.fun == pytest.approx(other.fun, abs=1e-10)

    def test_many_inner_steps_are_an_exact_solve(self):
        problem = logistic(l2=1e-2)
        exact = iterates(TargetSurrogate(eta=4.0, adapt=False), problem)
        many = iterates(TargetSurrogate(eta=4.0, adapt=False, inner="armijo", steps=5000, inner_tol=1e-13), problem)
        np.testing.assert_allclose(many, exact, atol=1e-10)


@pytest.mark.parametrize("inner", ["exact", "armijo"])
@pytest.mark.parametrize("target_metric", ["identity", "adagrad", "newton"])
@pytest.mark.parametrize("make", [logistic, softmax, squared, network])
def test_runs_are_monotone_and_arrive(make, target_metric, inner):
    problem = make(l2=1e-2)
    solver = TargetSurrogate(target_metric, inner, steps=20)
    run = solver.minimize(problem, gtol=1e-5, maxiter=3000)
    assert run.success
    assert np.all(np.diff(run.trace["fun"]) <= 1e-12)
    if problem.convex:
        assert run.fun == pytest.approx(GradNormSmooth().minimize(problem).fun, abs=1e-7)


def test_more_inner_steps_need_fewer_gradients_in_the_targets():
    problem = logistic(l2=1e-3)
    counts = [TargetSurrogate(inner="armijo", steps=m).minimize(problem, gtol=1e-6).njev for m in (1, 5, 10, 100)]
    assert counts[0] > 2 * counts[1]
    assert counts == sorted(counts, reverse=True)
    assert TargetSurrogate().minimize(problem, gtol=1e-6).njev <= counts[-1]


def test_a_factor_is_made_once_for_each_eta():
    problem = softmax(l2=1e-3, fit_intercept=True)
    run = TargetSurrogate().minimize(problem, gtol=1e-8)
    radii = np.unique(run.trace["eta"][1:])
    assert run.nit > 3 * len(radii)
    tried = int(run.trace["trials"][1:].sum())
    assert run.nhev < tried / 3
    assert run.nsolve == 3 * tried  # a column for each class, all with one matrix of order 6


def test_adagrad_metric_is_the_sum_of_squared_gradients():
    problem = logistic(l2=1e-2)
    X, w, x, v = problem.design.X, problem.weight, np.zeros(6), np.zeros(60)
    for found in iterates(TargetSurrogate("adagrad", adapt=False, eta=0.5), problem):
        np.testing.assert_allclose(found, x, atol=1e-10)
        z = problem.prepare(x)
        v += (z.R / w) ** 2
        M = X.T @ ((w * np.sqrt(v) / 0.5)[:, None] * X) + 1e-2 * np.eye(6)
        x = x - np.linalg.solve(M, problem.grad(x, z))


@pytest.mark.parametrize(
    ("solver", "name"),
    [
        (TargetSurrogate(inner="armijo"), "softmax-iris"),
        (TargetSurrogate("adagrad"), "logistic-wide"),
        (TargetSurrogate("newton"), "logistic-weighted"),
        (TargetSurrogate("newton", steps=3), "mlp"),
    ],
)
def test_variant_passes(solver, name):
    check_solver(solver, PROBLEMS[name](), gtol=1e-5)


def test_wide_sparse_data_are_solved_in_the_space_of_the_rows_or_by_products():
    X, y = make_logistic(30, 400, density=0.05, seed=2)
    problem = Logistic(X, y, l2=1e-3)
    run = TargetSurrogate().minimize(problem, gtol=1e-7)
    assert run.success
    assert run.fun == pytest.approx(GradNormSmooth().minimize(problem).fun, abs=1e-10)


def test_misuse():
    for settings, text in (
        ({"target_metric": "gauss"}, "target_metric='gauss'.*choose one of"),
        ({"inner": "sgd"}, "inner='sgd'.*choose one of"),
        ({"steps": 0}, "steps=0"),
        ({"steps": 1.5}, "steps=1.5"),
        ({"eta": 0.0}, "eta=0.0"),
        ({"inner_tol": 1.0}, "inner_tol=1.0"),
        ({"max_trials": 0}, "max_trials=0"),
    ):
        with pytest.raises(ValueError, match=text):
            TargetSurrogate(**settings)
    with pytest.raises(MissingRequirement, match="no loss of a model's outputs: use target_metric="):
        TargetSurrogate("newton").minimize(Rosenbrock())

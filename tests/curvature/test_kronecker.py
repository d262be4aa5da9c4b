"""Kronecker factors: where they are exact, shifted solves, MKOR's inverse and what is wrong with the published ones."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic, Softmax, SquaredLoss
from gnsopt.curvature import MKOR, Kronecker
from gnsopt.datasets import make_logistic, make_softmax
from gnsopt.exceptions import MissingRequirement
from gnsopt.linalg.kronecker import Block, KroneckerForm, average_inverse
from gnsopt.linalg.metric import as_metric
from gnsopt.point import Point
from gnsopt.problems import MLP, Rosenbrock

RNG = np.random.default_rng(0)


def relative(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def curvature(model, problem, x):
    x = Point(problem, x)
    return model.start(x)(x)


def softmax(**options):
    X, y = make_softmax(40, 6, 4, seed=1)
    return Softmax(X * np.geomspace(0.5, 2, 6), y, **options)


class TestExact:
    def test_softmax_at_zero_is_the_gauss_newton_matrix(self):
        problem = softmax(l2=1e-2, fit_intercept=True)
        zero = np.zeros(problem.n)
        wanted = problem.gauss_newton(zero, problem.prepare(zero)).dense()
        assert relative(curvature(Kronecker(), problem, zero).form.dense(), wanted) < 1e-14
        x = RNG.standard_normal(problem.n)
        wanted = problem.gauss_newton(x, problem.prepare(x)).dense()
        assert 0.1 < relative(curvature(Kronecker(), problem, x).form.dense(), wanted) < 1.0

    @pytest.mark.parametrize("weighted", [False, True])
    def test_squared_loss_is_the_gauss_newton_matrix(self, weighted):
        X = RNG.standard_normal((20, 5))
        w = RNG.uniform(0.1, 2, 20) if weighted else None
        problem = SquaredLoss(X, X[:, 0], l2=0.1, fit_intercept=True, sample_weight=w)
        network = MLP(X, np.stack([X[:, 0], X[:, 1]], axis=1), hidden=(), loss="squared", l2=0.1, sample_weight=w)
        for each in (problem, network):
            x = RNG.standard_normal(each.n)
            dense = each.gauss_newton(x, each.prepare(x)).dense()
            for model in (Kronecker(), Kronecker("identity")):
                assert relative(curvature(model, each, x).form.dense(), dense) < 1e-14

    @pytest.mark.parametrize("kind", ["gauss_newton", "fisher"])
    def test_one_sample(self, kind):
        """The blocks of each layer are exact; those between layers are left out."""
        problem = MLP(RNG.standard_normal((4, 3)), [0, 0, 1, 2], hidden=(4,), sample_weight=[1.0, 0, 0, 0], l2=0.0)
        x = problem.start()
        dense = getattr(problem, kind)(x, problem.prepare(x)).dense()
        found = curvature(Kronecker(kind), problem, x).form.dense()
        for a, b in ((0, 16), (16, problem.n)):
            assert relative(found[a:b, a:b], dense[a:b, a:b]) < 1e-13
        assert not found[:16, 16:].any()
        assert dense[:16, 16:].any()

    def test_linear_models_and_networks_without_hidden_layers_agree(self):
        X, y = make_softmax(30, 5, 3, seed=2)
        w = RNG.uniform(0.1, 2, 30)
        linear = Softmax(X, y, l2=1e-2, fit_intercept=True, sample_weight=w)
        network = MLP(X, y, hidden=(), l2=1e-2, sample_weight=w)
        x = RNG.standard_normal(linear.n)
        for model in (Kronecker(), Kronecker("fisher"), MKOR(0), MKOR(2)):
            one, other = (curvature(model, problem, x).form.dense() for problem in (linear, network))
            assert relative(one, other) < 1e-13


class TestSolves:
    def blocks(self, ridge):
        found = []
        for p, q in ((5, 4), (3, 6), (4, 1)):
            A, G = RNG.standard_normal((p, 8)), RNG.standard_normal((q, 3))  # G is singular for q = 4, 6
            r = np.full(p, ridge) if isinstance(ridge, float) else np.append(np.full(p - 1, 0.1), 0.0)
            found.append(Block(A @ A.T / 8, G @ G.T / 3, r))
        return KroneckerForm(found)

    @pytest.mark.parametrize("ridge", [0.0, 0.3, "but the last row"])
    @pytest.mark.parametrize("metric", [None, 2.0, "rows"])
    def test_are_exact_for_the_shifted_matrix(self, ridge, metric):
        form = self.blocks(ridge)
        scale = np.concatenate([np.repeat(RNG.uniform(0.5, 2, p), q) for p, q in ((5, 4), (3, 6), (4, 1))])
        B = as_metric(scale if metric == "rows" else metric, form.n)
        dense, b = form.dense(), RNG.standard_normal(form.n)
        np.testing.assert_allclose(form.matvec(b), dense @ b, rtol=1e-12)
        np.testing.assert_allclose(form.diagonal(), dense.diagonal(), rtol=1e-13)
        solves = form.structured(B)
        assert solves is not None
        for lam in (1e-2, 1.0, 1e2):
            wanted = np.linalg.solve(dense + lam * np.stack([B.apply(e) for e in np.eye(form.n)]), b)
            assert relative(solves.solve(lam, b), wanted) < 1e-12

    def test_metrics_of_another_shape_have_no_eigenbases(self):
        form = self.blocks(0.0)
        assert form.structured(as_metric(RNG.uniform(0.5, 2, form.n), form.n)) is None
        assert form.structured(as_metric(np.eye(form.n) + 0.1, form.n)) is None

    def test_small_shift_is_the_product_of_the_inverses(self):
        A, G = (np.cov(RNG.standard_normal((k, 50))) for k in (4, 3))
        V = RNG.standard_normal((4, 3))
        solves = KroneckerForm([Block(A, G, np.zeros(4))]).structured(as_metric(None, 12))
        wanted = np.linalg.inv(A) @ V @ np.linalg.inv(G)
        np.testing.assert_allclose(solves.solve(0.0, V.ravel()).reshape(4, 3), wanted, rtol=1e-11)


class TestTrAct:
    def test_is_the_step_of_its_paper_in_both_forms(self):
        """``(A + lam I)^{-1} grad`` on the first layer, also through the n x n matrix of the samples."""
        X = RNG.standard_normal((8, 10))
        problem = MLP(X, np.arange(8) % 3, hidden=(4,))
        x = Point(problem, problem.start())
        lam = 0.1
        h = Kronecker("identity", "first").start(x)(x).solve(lam, x.g)
        a = np.hstack([X, np.ones((8, 1))])
        delta = x.z.deltas[0]  # gradients in the outputs of the layer; weights 1/8 are in them
        step = h[: 11 * 4].reshape(11, 4)
        np.testing.assert_allclose(step, np.linalg.solve(a.T @ a / 8 + lam * np.eye(11), a.T @ delta), rtol=1e-11)
        np.testing.assert_allclose(step, a.T @ np.linalg.solve(a @ a.T / 8 + lam * np.eye(8), delta), rtol=1e-11)
        np.testing.assert_allclose(h[44:], x.g[44:] / lam, rtol=1e-13)  # the other layers: gradient steps

    def test_is_newton_for_linear_least_squares(self):
        X = RNG.standard_normal((30, 4))
        problem = MLP(X, X @ RNG.standard_normal((4, 2)) + 0.1, hidden=(), loss="squared")
        found = GradNormSmooth(curvature="tract", gamma0=1e3).minimize(problem, gtol=1e-11)
        newton = GradNormSmooth(curvature="gauss_newton", gamma0=1e3).minimize(problem, gtol=1e-11)
        assert found.success
        assert found.nit == newton.nit
        np.testing.assert_allclose(found.x, newton.x, atol=1e-10)


class TestAverageInverse:
    @pytest.mark.parametrize("rank", [1, 3])
    def test_equals_the_dense_inverse_over_a_hundred_updates(self, rank):
        n, gamma = 12, 0.9
        L, inverse = np.eye(n), np.eye(n)
        for t in range(100):
            V = RNG.standard_normal((n, rank))
            L = gamma * L + (1 - gamma) * V @ V.T
            inverse = average_inverse(inverse, V[:, 0] if rank == 1 else V, gamma)
            assert relative(inverse, np.linalg.inv(L)) < 1e-12, t

    def test_what_is_printed_and_what_was_released_are_other_matrices(self):
        n, gamma = 12, 0.95
        G = RNG.standard_normal((n, 40))
        L, v = G @ G.T / 40 + 0.1 * np.eye(n), RNG.standard_normal(n)
        inverse = np.linalg.inv(L)
        wanted = np.linalg.inv(gamma * L + (1 - gamma) * np.outer(v, v))
        assert relative(average_inverse(inverse, v, gamma), wanted) < 1e-13
        printed, released = (average_inverse(inverse, v, gamma, variant) for variant in ("printed", "released"))
        assert relative(printed, wanted) > 0.1
        assert relative(released, wanted) > 0.1
        assert v @ wanted @ v < v @ inverse @ v < v @ printed @ v  # it amplifies along v, where it should damp

    def test_misuse(self):
        for settings, text in (
            ({"gamma": 1.0}, "gamma=1.0"),
            ({"gamma": 0.5, "variant": "paper"}, "'paper'.*choose one of"),
        ):
            with pytest.raises(ValueError, match=text):
                average_inverse(np.eye(2), np.ones(2), **settings)
        with pytest.raises(ValueError, match="one vector; V has 2"):
            average_inverse(np.eye(2), np.eye(2), 0.5, "printed")


class TestMKOR:
    def test_averages_begin_with_the_identity(self):
        problem = softmax()
        x, y = Point(problem, RNG.standard_normal(problem.n)), Point(problem, RNG.standard_normal(problem.n))
        build = MKOR(rank=2, gamma=0.8).start(x)
        first, second = build(x).form.blocks[0], build(y).form.blocks[0]
        exact = curvature(Kronecker(), problem, x.x).form.blocks[0]

        def top(M):
            s, V = np.linalg.eigh(M)
            return (V[:, -2:] * s[-2:]) @ V[:, -2:].T

        np.testing.assert_allclose(first.A, 0.8 * np.eye(6) + 0.2 * top(exact.A), atol=1e-14)
        np.testing.assert_allclose(first.G, 0.8 * np.eye(4) + 0.2 * top(exact.G), atol=1e-14)
        np.testing.assert_allclose(second.A, 0.8 * first.A + 0.2 * top(exact.A), atol=1e-14)

    def test_means_are_those_of_inputs_and_output_gradients(self):
        problem = MLP(RNG.standard_normal((10, 3)), np.arange(10) % 3, hidden=(4,))
        x = Point(problem, problem.start())
        first, second = MKOR(rank=0, gamma=0.5).start(x)(x).form.blocks
        hidden, outputs = x.g[:16].reshape(4, 4)[-1], x.g[16:].reshape(5, 3)[-1]  # gradients of the biases
        np.testing.assert_allclose(first.G, 0.5 * np.eye(4) + 0.5 * np.outer(hidden, hidden), atol=1e-15)
        np.testing.assert_allclose(second.G, 0.5 * np.eye(3) + 0.5 * np.outer(outputs, outputs), atol=1e-15)
        a = np.append(problem._input[:, :3].mean(axis=0), 1.0)
        np.testing.assert_allclose(first.A, 0.5 * np.eye(4) + 0.5 * np.outer(a, a), atol=1e-15)

    def test_full_rank_of_a_constant_matrix_tends_to_the_factors(self):
        problem = softmax()
        x = Point(problem, np.zeros(problem.n))
        build = MKOR(rank=6, gamma=0.5).start(x)
        for _ in range(50):
            H = build(x)
        assert relative(H.form.dense(), curvature(Kronecker(), problem, x.x).form.dense()) < 1e-12


@pytest.mark.parametrize("model", ["kfac", "kfac:fisher", "mkor", "tract"])
def test_every_form_solves_a_softmax_problem(model):
    problem = softmax(l2=1e-2, fit_intercept=True)
    exact = GradNormSmooth().minimize(problem, gtol=1e-10)
    found = GradNormSmooth(curvature=model).minimize(problem, gtol=1e-8)
    assert found.success
    assert found.fun == pytest.approx(exact.fun, abs=1e-13)


def test_misuse():
    for settings in ({"outputs": "hess"}, {"layers": "last"}):
        with pytest.raises(ValueError, match="choose one of"):
            Kronecker(**settings)
    for settings in ({"rank": -1}, {"rank": 1.5}, {"gamma": 1.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            MKOR(**settings)
    problem = Rosenbrock()
    for model in (Kronecker(), MKOR()):
        with pytest.raises(MissingRequirement, match="has no layers.*use curvature="):
            model.start(Point(problem, problem.start()))


def test_too_many_inputs_are_refused(monkeypatch):
    problem = Logistic(*make_logistic(20, 8, seed=1))
    monkeypatch.setattr("gnsopt.curvature.kronecker.MEMORY", 100.0)
    with pytest.raises(ValueError, match="8 inputs do not fit into memory; use"):
        curvature(Kronecker(), problem, np.zeros(8))

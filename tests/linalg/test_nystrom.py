"""Randomised Nystrom approximations against their bounds, and the preconditioners of a run that are made of them."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic
from gnsopt.curvature import exact, resolve
from gnsopt.datasets import make_logistic
from gnsopt.linalg.nystrom import NystromPreconditioner, Range, nystrom
from gnsopt.linalg.recycling import RecycledRitz
from gnsopt.linalg.sketches import keyed
from gnsopt.point import Point
from gnsopt.registry import PROBLEMS
from gnsopt.testing import check_curvature


def with_spectrum(s, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((s.size, s.size)))[0]
    return (Q * s) @ Q.T


def condition(A, N, mu):
    """Condition of the preconditioned shifted matrix."""
    n = A.shape[0]
    P = np.stack([N.inverse(mu)(e) for e in np.eye(n)], axis=1)
    s = np.linalg.eigvals(P @ (A + mu * np.eye(n))).real
    return s.max() / s.min()


class TestApproximation:
    @pytest.mark.parametrize("power", [1, 2])
    @pytest.mark.parametrize("rank", [5, 30])
    def test_lies_between_zero_and_the_matrix(self, power, rank):
        A = with_spectrum(np.arange(1.0, 101) ** -power)
        N = nystrom(lambda v: A @ v, 100, rank, keyed(0, "t"))
        np.testing.assert_allclose(N.U.T @ N.U, np.eye(rank), atol=1e-12)
        assert np.all(N.s >= 0)
        assert np.all(np.diff(N.s) <= 0)
        rest = np.linalg.eigvalsh(A - (N.U * N.s) @ N.U.T)
        assert rest.min() >= -1e-13
        v = np.random.default_rng(1).standard_normal(100)
        np.testing.assert_allclose(N.matvec(v), (N.U * N.s) @ N.U.T @ v, atol=1e-13)

    def test_is_the_formula(self):
        A = with_spectrum(np.geomspace(1, 1e-4, 40))
        space = Range(lambda v: A @ v, 40, keyed(0, "t"))
        space.grow(8)
        Omega = space._Omega
        wanted = A @ Omega @ np.linalg.solve(Omega.T @ A @ Omega, Omega.T @ A)
        N = space.approximation()
        np.testing.assert_allclose((N.U * N.s) @ N.U.T, wanted, atol=1e-13)

    @pytest.mark.parametrize("rank", [10, 25])
    def test_is_exact_where_the_rank_is_small(self, rank):
        A = with_spectrum(np.where(np.arange(60) < 10, 1.0 + np.arange(60), 0.0))
        N = nystrom(lambda v: A @ v, 60, rank, keyed(0, "t"))
        np.testing.assert_allclose((N.U * N.s) @ N.U.T, A, rtol=0, atol=1e-12 * 10)

    def test_of_zero_and_of_an_indefinite_matrix(self):
        N = nystrom(lambda v: 0 * v, 12, 4, keyed(0, "t"))
        np.testing.assert_array_equal(N.s, 0)
        np.testing.assert_array_equal(N.inverse(0.5)(np.ones(12)), np.ones(12))
        A = with_spectrum(np.linspace(-0.5, 1, 12))
        N = nystrom(lambda v: A @ v, 12, 6, keyed(0, "t"))
        assert np.all(N.s >= 0)
        P = np.stack([N.inverse(0.1)(e) for e in np.eye(12)], axis=1)
        assert np.linalg.eigvalsh(P).min() > 0

    def test_growing_keeps_the_columns(self):
        A = with_spectrum(np.geomspace(1, 1e-3, 50))
        products = []
        space = Range(lambda v: products.append(1) or A @ v, 50, keyed(0, "t"))
        space.grow(6)
        first = space._Omega.copy()
        space.grow(15)
        assert len(products) == 15 == space.rank
        np.testing.assert_array_equal(space._Omega[:, :6], first)
        np.testing.assert_allclose(space._Omega.T @ space._Omega, np.eye(15), atol=1e-13)

    @pytest.mark.parametrize("rank", [0, 13])
    def test_bad_rank(self, rank):
        with pytest.raises(ValueError, match=rf"rank={rank} must lie between 1 and n=12"):
            nystrom(lambda v: v, 12, rank, keyed(0, "t"))


class TestPreconditioner:
    def test_is_its_formula(self):
        A = with_spectrum(np.arange(1.0, 31) ** -2)
        N = nystrom(lambda v: A @ v, 30, 7, keyed(0, "t"))
        mu = 1e-2
        U = N.U
        P = (U * (N.s + mu)) @ U.T / (N.s[-1] + mu) + np.eye(30) - U @ U.T
        v = np.random.default_rng(0).standard_normal(30)
        np.testing.assert_allclose(N.inverse(mu)(v), np.linalg.solve(P, v), rtol=1e-10)

    @pytest.mark.parametrize("mu", [1e-2, 1e-3])
    def test_condition_keeps_its_bounds(self, mu):
        """Per instance ``(s_l + mu + |A - A_nys|)/mu``; the mean is below 28 with ``2 ceil(1.5 d_e) + 1`` columns."""
        s = np.arange(1.0, 301) ** -2
        A = with_spectrum(s)
        rank = 2 * int(np.ceil(1.5 * (s / (s + mu)).sum())) + 1
        found = []
        for k in range(5):
            N = nystrom(lambda v: A @ v, 300, rank, keyed(0, "t", k))
            found.append(condition(A, N, mu))
            error = np.linalg.eigvalsh(A - (N.U * N.s) @ N.U.T).max()
            assert found[-1] <= (N.s[-1] + mu + error) / mu * (1 + 1e-10)
        assert np.mean(found) < 1.5  # measured 1.21 and 1.24 with another seed; the bound of the theory is 28
        assert (s[0] + mu) / (s[-1] + mu) > 100


def hard(power, l2, n=1000, d=150, seed=0):
    """A logistic regression whose rows have singular values ``j^-power``."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((n, d)))[0]
    V = np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = (U * (2 * np.sqrt(n) * np.arange(1.0, d + 1) ** -power)) @ V.T
    y = rng.random(n) < 1 / (1 + np.exp(-3 * X @ rng.standard_normal(d)))
    return Logistic(X, y.astype(float), l2=l2)


class TestRuns:
    def products(self, problem, **settings):
        run = GradNormSmooth(curvature=exact.using("cg", **settings), metric=None).minimize(problem, gtol=1e-9)
        assert run.success
        return run.nhessp

    @pytest.mark.parametrize(("power", "l2", "gain"), [(2.0, 3e-8, 4), (1.0, 3e-6, 2)])
    def test_saves_products_at_a_large_condition(self, power, l2, gain):
        problem = hard(power, l2)
        plain = self.products(problem)
        assert gain * self.products(problem, preconditioner=NystromPreconditioner()) < plain
        reused = self.products(problem, preconditioner=NystromPreconditioner(20, adaptive=False))
        fresh = self.products(problem, preconditioner=NystromPreconditioner(20, adaptive=False, reuse=False))
        assert reused < fresh < plain
        # a perturbation of 1e-12 moves this count by a fifth: 241 to 292 against 518
        assert 1.7 * self.products(problem, preconditioner=RecycledRitz(20)) < plain

    def test_costs_little_at_a_small_condition(self):
        problem = hard(0.5, 1e-2)
        plain = self.products(problem)
        assert self.products(problem, preconditioner=NystromPreconditioner()) <= 1.1 * plain

    def test_the_name(self):
        assert resolve("exact:nystrom").solver == "nystrom"
        run = GradNormSmooth(curvature="exact:nystrom", metric=None).minimize(hard(1.0, 3e-6), gtol=1e-8)
        assert run.success
        assert "Nystrom of rank 20 and more" in run.curvature

    @pytest.mark.parametrize(
        "preconditioner",
        [NystromPreconditioner(3), NystromPreconditioner(4, adaptive=False), RecycledRitz(3)],
        ids=lambda p: type(p).__name__,
    )
    @pytest.mark.parametrize("theta", [0.25, 1e-6])
    @pytest.mark.parametrize("name", ["logistic", "softmax-sparse", "rosenbrock"])
    def test_solves_keep_their_promise_in_every_metric(self, name, theta, preconditioner):
        problem = PROBLEMS[name]()
        x = Point(problem, np.random.default_rng(0).standard_normal(problem.n))
        model = exact.using("cg", theta=theta, floor=0.0, preconditioner=preconditioner)
        check_curvature(model, x, theta=theta, memory=True)

    def test_the_same_products_in_each_run(self):
        problem = hard(1.0, 3e-6)
        model = exact.using("cg", preconditioner=NystromPreconditioner(10))
        one, other = (GradNormSmooth(curvature=model, metric=None).minimize(problem, maxiter=8) for _ in range(2))
        np.testing.assert_array_equal(one.x, other.x)
        assert one.nhessp == other.nhessp

    def test_more_columns_than_variables_are_not_asked_for(self):
        X, y = make_logistic(60, 6, seed=0)
        for adaptive in (False, True):
            model = exact.using("cg", preconditioner=NystromPreconditioner(50, adaptive=adaptive))
            assert GradNormSmooth(curvature=model).minimize(Logistic(X, y, l2=1e-6)).success


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: NystromPreconditioner(0), ValueError, "rank=0"),
        (lambda: NystromPreconditioner(50, most=40), ValueError, "from 1 to most=40"),
        (lambda: RecycledRitz(0), ValueError, "k=0"),
        (lambda: exact.using("cg", preconditioner="nystrom"), TypeError, "has no start"),
        (
            lambda: exact.using("cholesky", preconditioner=RecycledRitz(2)),
            ValueError,
            "solver='cholesky'; leave one out",
        ),
    ],
)
def test_bad_settings(make, error, says):
    with pytest.raises(error, match=says):
        make()

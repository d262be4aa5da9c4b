"""The instances on which the peers were measured: converged with the defaults, judged from the plan itself."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gnsopt.ot import Newton, NotConverged, Problem, solve


def test_auto_converges_with_the_defaults(instance, make):
    a, b, C, reg = make.instance(instance)
    found = solve(a, b, C, reg)
    P = found.plan
    assert found.status == "converged"
    assert np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum() <= 1e-9
    assert np.abs(P.sum(axis=1) / a - 1).max() <= 1e-11, "rows are exact"
    assert found.interval.lower <= found.cost <= found.interval.upper + 1e-9
    assert 0 <= found.gap <= 1e-9


def test_methods_agree(make):
    a, b, C, reg = make.instance("digits8_l2sq")
    costs = [solve(a, b, C, reg, method=method).cost for method in ("auto", "newton", "sinkhorn")]
    np.testing.assert_allclose(costs, costs[0], rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "newton"), [("rand500_1e-2", 0), ("cloud1000_1e-3", 1), ("rand1000_1/5000", 1), ("digits8_l1", 1)]
)
def test_auto_changes_the_method_where_it_pays(make, name, newton):
    """Counted work decides, so the path is the same on every machine."""
    found = solve(*make.instance(name))
    assert found.trace["newton"][-1] == newton


def test_semidual_newton_on_the_assignment_takes_few_steps_with_a_quadratic_tail(make):
    problem = Problem(*make.assignment(500, 1200)).semidual()
    run = Newton(eps_scaling=False, polish=0, linear="cg").minimize(problem, gtol=1e-12, norm=1)
    assert 12 <= run.nit <= 14
    err = run.trace["gnorm"]
    assert err[-1] <= err[-2] ** 1.4  # forcing terms sqrt(err) make the order 3/2
    assert err[-2] <= err[-3] ** 1.2
    scaled = Newton().minimize(problem, gtol=1e-12, norm=1)
    assert scaled.nsolve < run.nsolve
    assert scaled.nhessp < run.nhessp


def test_epsilon_scaling_extrapolates_the_potentials(make):
    """36 systems with the line through the last two stages, 65 without (measured)."""
    run = Newton().minimize(Problem(*make.images(8, 1, 1e-5)).semidual(), gtol=1e-9, norm=1)
    assert run.success
    assert run.nsolve <= 45


def test_momentum_accelerates_sinkhorn(make):
    """A hundred times here: the best momentum makes the rate ``1 - sqrt(1 - q)`` of ``q``."""
    problem = make.clouds(100, 1e-3)
    fast = solve(*problem, method="sinkhorn", momentum=0.9)
    with pytest.warns(NotConverged):
        slow = solve(*problem, method="sinkhorn", max_iter=100 * fast.n_iter)
    assert fast.converged
    assert slow.err1 > 1e-8
    np.testing.assert_allclose(fast.cost, solve(*problem).cost, rtol=1e-8)


def test_hardest_regularisations(make):
    for problem in (make.assignment(200, 1e6), make.clouds(200, 1e-6), make.images(8, 1, 1e-6)):
        found = solve(*problem)
        assert found.converged, found.message
        assert found.err1 <= 1e-9


def test_runs_beside_others_in_threads_are_the_same(make):
    problems = [make.clouds(150, reg) for reg in (1e-2, 1e-3, 1e-4)] * 2
    alone = [solve(*p).plan for p in problems]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(lambda p: solve(*p).plan, problems), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["rand500_1/1200", "cloud1000_1e-3", "digits8_l2sq"])
def test_cost_of_pot(make, name):
    pot = pytest.importorskip("ot")
    a, b, C, reg = make.instance(name)
    P = pot.sinkhorn(a, b, C, reg, numItermax=200_000, stopThr=1e-13)
    np.testing.assert_allclose(solve(a, b, C, reg).cost, np.sum(P * C), rtol=1e-8)

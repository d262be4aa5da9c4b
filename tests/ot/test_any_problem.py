"""Any problem at all: numbers that are finite, a status that is true, bounds that hold."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from gnsopt.ot import NotConverged, solve


@st.composite
def problems(draw):
    n, m = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a, b = (10.0 ** rng.uniform(-draw(st.sampled_from([0, 3, 12])), 0, k) for k in (n, m))
    for v in (a, b):
        v[rng.random(v.size) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
        v[rng.integers(v.size)] += 0.1
    a, b = a / a.sum(), b / b.sum()
    mass = 10.0 ** draw(st.sampled_from([-6, 0, 6]))
    C = rng.uniform(-1, 1, (n, m)) * 10.0 ** rng.uniform(-draw(st.sampled_from([0, 6])), 0, (n, m))
    if draw(st.booleans()):
        C = np.round(C * 3) / 3  # ties
    C *= 10.0 ** draw(st.sampled_from([-8, 0, 8]))
    size = np.abs(C).max() or 1.0
    C[rng.random(C.shape) < draw(st.sampled_from([0.0, 0.2, 0.5]))] = np.inf
    reg = size * 10.0 ** draw(st.sampled_from([-6, -4, -3, -2, -1, 0, 3]))
    return mass * a, mass * b, C, reg


def least_error(a, b, C):
    """The least L1 error of the marginals over plans on the allowed pairs, by linear programming; accurate to 1e-6."""
    n, m = C.shape
    i, j = np.nonzero(np.isfinite(C))
    A = np.zeros((n + m, i.size))
    A[i, np.arange(i.size)] = 1
    A[n + j, np.arange(i.size)] = 1
    A = np.hstack([A, np.eye(n + m), -np.eye(n + m)])
    price = np.r_[np.zeros(i.size), np.ones(2 * (n + m))]
    return linprog(price, A_eq=A, b_eq=np.concatenate([a, b]) / a.sum()).fun


@settings(max_examples=250)
@given(problems(), st.sampled_from(["auto", "newton", "sinkhorn"]))
def test_any_problem(problem, method):
    a, b, C, reg = problem
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", NotConverged)
        sides = np.isfinite(C[np.ix_(a > 0, b > 0)])
        if not (sides.any(axis=0).all() and sides.any(axis=1).all()):
            with pytest.raises(ValueError, match="every cost in its"):
                solve(a, b, C, reg, method=method)
            return
        found = solve(a, b, C, reg, method=method, max_iter=3000)
        P, mass = found.plan, a.sum()
        assert np.isfinite(P).all()
        assert P.min() >= 0
        assert np.all(P[~np.isfinite(C)] == 0)
        assert np.isfinite(found.phi).all()
        assert np.isfinite(found.psi).all()
        assert np.isfinite([found.cost, found.value, found.value_kl, found.err1, found.interval.lower]).all()
        error = np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()
        np.testing.assert_allclose(found.err1, error, rtol=1e-6, atol=1e-14 * mass)
        assert found.gap >= 0
        scale = np.abs(C[np.isfinite(C)]).max() + reg
        assert found.interval.lower <= found.interval.upper + 1e-9 * mass * scale
    assert found.converged == (found.status == "converged")
    if found.converged:
        assert error <= 1.01e-9 * mass
    elif found.status == "infeasible":
        cut = found.infeasible
        reach = np.isfinite(C[:, cut.columns]).any(axis=1) & (a > 0)
        np.testing.assert_array_equal(np.flatnonzero(reach), cut.rows)
        assert 2 * (b[cut.columns].sum() - a[cut.rows].sum()) > 1e-9 * mass
    else:
        assert found.status in ("max_iter", "stalled", "step_failure")
        if method != "sinkhorn":
            assert found.status == "stalled" or not np.isfinite(C).all()
            assert least_error(a, b, C) < 1e-5

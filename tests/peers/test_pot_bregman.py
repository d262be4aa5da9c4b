"""POT's own tests of entropic transport, with `gnsopt.ot.solve` in place of its Sinkhorn algorithms.

POT's wheels come without tests: the environment variable POT_TESTS names the folder `test` of its sources.
"""

import importlib.util
import inspect
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from gnsopt import ot as ours
from tests.peers.suite import Suite, With, collected, not_applicable
from tests.peers.table import check

if not os.environ.get("POT_TESTS") or importlib.util.find_spec("ot") is None:
    pytest.skip("POT_TESTS does not name the folder of POT's tests", allow_module_level=True)

import ot

NAMES = re.compile(r"ot\.(bregman\.)?(empirical_)?sinkhorn")
SUITE = Suite(
    Path(os.environ["POT_TESTS"]) / "test_bregman.py",
    "POT",
    "ot.solve",
    "ot.sinkhorn",
    lambda item: NAMES.search(inspect.getsource(item.function)) is not None,
    apart=(("test_implemented_methods", "asks for an error for methods that POT's sinkhorn2 lacks"),),
    failures=(
        ("test_nan_warning", "asks for a warning at reg=0; ours refuses it before any work"),
        (
            "test_sinkhorn_stabilization",
            "compares two costs after 1000 iterations at a reg of 1e-9 of the largest cost, where nothing has "
            "converged: POT's are both 0, ours 99.408 and 99.409, and the least cost is 99.315",
        ),
    ),
)
METHODS = {
    "sinkhorn": "sinkhorn",
    "sinkhorn_log": "newton",
    "sinkhorn_stabilized": "auto",
    "sinkhorn_epsilon_scaling": "sinkhorn",
    "greenkhorn": "sns",
}


def solve(a, b, M, reg, method, numItermax, stopThr, warn, warmstart):
    """Call ours; POT's masses may be empty, which is uniform."""
    SUITE.used = True
    masses = [None if len(mass) == 0 else mass for mass in (a, b)]
    start = None if warmstart is None else tuple(reg * np.asarray(potential) for potential in warmstart)
    with warnings.catch_warnings():
        if not warn:
            warnings.simplefilter("ignore", ours.NotConverged)
        return ours.solve(
            *masses, M, reg, method=METHODS.get(method, method), tol=stopThr, max_iter=numItermax, warm_start=start
        )


def log_of(result, reg):
    """Return the run as POT's dictionary."""
    log_u, log_v = (np.asarray(potential) / reg for potential in result.potentials)
    return {
        "u": np.exp(log_u),
        "v": np.exp(log_v),
        "log_u": log_u,
        "log_v": log_v,
        "warmstart": (log_u, log_v),
        "niter": result.n_iter,
        "err": list(result.trace["gnorm"]),
    }


def sinkhorn(
    a,
    b,
    M,
    reg,
    method="sinkhorn",
    numItermax=1000,
    stopThr=1e-9,
    verbose=False,
    log=False,
    warn=True,
    warmstart=None,
    **keywords,
):
    """The plan; for several targets their costs."""
    if np.ndim(b) == 2:
        return sinkhorn2(a, b, M, reg, method, numItermax, stopThr, verbose, log, warn, warmstart, **keywords)
    result = solve(a, b, M, reg, method, numItermax, stopThr, warn, warmstart)
    return (result.plan, log_of(result, reg)) if log else result.plan


def sinkhorn2(
    a,
    b,
    M,
    reg,
    method="sinkhorn",
    numItermax=1000,
    stopThr=1e-9,
    verbose=False,
    log=False,
    warn=False,
    warmstart=None,
    **keywords,
):
    """The cost, one for each target."""
    columns = b.T if np.ndim(b) == 2 else [b]
    results = [solve(a, t, M, reg, method, numItermax, stopThr, warn, warmstart) for t in columns]
    costs = np.array([result.cost for result in results]) if np.ndim(b) == 2 else results[0].cost
    return (costs, log_of(results[0], reg)) if log else costs


def empirical(function):
    """Return `function` of points instead of a cost matrix."""

    def of_points(X_s, X_t, reg, a=None, b=None, metric="sqeuclidean", log=False, isLazy=False, **keywords):
        if isLazy:
            not_applicable("asks for POT's lazy tensors")
        M = ot.dist(np.asarray(X_s), np.asarray(X_t), metric=metric)
        masses = [() if mass is None else mass for mass in (a, b)]
        return function(*masses, M, reg, log=log, **keywords)

    return of_points


def divergence(X_s, X_t, reg, a=None, b=None, metric="sqeuclidean", log=False, warmstart=None, **keywords):
    """POT's debiased divergence: of costs, not below zero; one start (u, v) serves all three."""
    of_points = empirical(sinkhorn2)
    pairs = ((X_s, X_t, a, b), (X_s, X_s, a, a), (X_t, X_t, b, b))
    u, v = warmstart or (None, None)
    starts = (None,) * 3 if warmstart is None else (warmstart, (u, u), (v, v))
    keywords.pop("isLazy", None)  # how the costs are computed
    runs = [
        of_points(x, y, reg, m, n, metric, True, warmstart=w) for (x, y, m, n), w in zip(pairs, starts, strict=True)
    ]
    value = max(0.0, runs[0][0] - (runs[1][0] + runs[2][0]) / 2)
    names = ("ab", "a", "b")
    details = {f"sinkhorn_loss_{n}": cost for n, (cost, _) in zip(names, runs, strict=True)}
    details |= {f"log_sinkhorn_{n}": run for n, (_, run) in zip(names, runs, strict=True)}
    return (value, details) if log else value


def same(*_args, **_options):
    """A decorator that changes nothing: of POT's marks of the backends that its tests skip."""
    return lambda test: test


suite = SUITE.load(pytest__skip_backend=same, pytest__skip_arg=same)
ENTROPIC = {
    "sinkhorn": sinkhorn,
    "sinkhorn2": sinkhorn2,
    "empirical_sinkhorn": empirical(sinkhorn),
    "empirical_sinkhorn2": empirical(sinkhorn2),
    "empirical_sinkhorn_divergence": divergence,
}
suite.ot = With(ot, bregman=With(ot.bregman, **ENTROPIC), **{n: f for n, f in ENTROPIC.items() if hasattr(ot, n)})


@pytest.fixture
def nx():
    """Return the arrays that ours knows."""
    return ot.backend.NumpyBackend()


globals().update(collected(suite))
pytestmark = pytest.mark.filterwarnings("default")  # POT does not make warnings errors


def test_the_table_is_true(request):
    check(SUITE, request)

"""SciPy's own tests of `trust-constr`, with our solver of equality constraints in place of it."""

import numpy as np
import pytest
from scipy.optimize import Bounds

from tests.peers.scipy_adapter import CONSTRAINED, Optimize, naming
from tests.peers.suite import Suite, With, collected, find, not_applicable
from tests.peers.table import check

SUITE = Suite(
    find("scipy.optimize.tests.test_minimize_constrained"),
    "scipy",
    "AdaSketchNewton",
    "trust-constr",
    naming(CONSTRAINED),
    failures=(
        ("test_raise_exception", "asks for an error where gradient and Hessian are both differences; ours takes both"),
        ("test_issue_9044", "asks for one iteration from the solution, and for `niter` beside `nit`; ours takes none"),
        ("test_gh20665", "asks for an error at more equations than variables; ours solves them, they are consistent"),
    ),
)
BY_GRADIENT, LIMIT = 1, 0  # what trust-constr calls its status


def minimize(*args, method=None, bounds=None, constraints=(), options=None, **keywords):
    """Call the substitute where all constraints are equalities; stop by and name the outcome as trust-constr does."""
    if method != "trust-constr":
        return OPTIMIZE.minimize(*args, method=method, bounds=bounds, constraints=constraints, **keywords)
    sides = [bounds] if isinstance(bounds, Bounds) else [Bounds(*zip(*bounds, strict=True))] if bounds else []
    sides += constraints if isinstance(constraints, list | tuple) else [constraints] if constraints else []
    if any(np.any(np.not_equal(side.lb, side.ub)) for side in sides):
        not_applicable("has inequalities or bounds")
    options = {"norm": "inf"} | (options or {})
    result = OPTIMIZE.minimize(
        *args, method=method, bounds=bounds, constraints=constraints, options=options, **keywords
    )
    result.status = BY_GRADIENT if result.success else LIMIT
    result.optimality = result.kkt["inf"]
    return result


OPTIMIZE = Optimize(SUITE, CONSTRAINED)
suite = SUITE.load()
suite.pytest = With(pytest, xfail=lambda reason: None)  # which tells of trust-constr
suite.minimize = minimize
globals().update(collected(suite))


def test_the_table_is_true(request):
    check(SUITE, request)

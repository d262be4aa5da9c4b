"""SciPy's own tests of `scipy.optimize.minimize`, with our solvers for its Newton-type methods without constraints."""

from tests.peers.scipy_adapter import METHODS, WARNING, Optimize, naming
from tests.peers.suite import Suite, collected, find
from tests.peers.table import check

SUITE = Suite(
    find("scipy.optimize.tests.test_optimize"),
    "scipy",
    "GradNormSmooth, SuperNewton, CubicNewton",
    "Newton-CG, dogleg, trust-ncg, trust-krylov, trust-exact",
    naming(METHODS),
    apart=(
        ("NoWrapper.*test_ncg", "calls `fmin_ncg`, not `minimize`"),
        ("test_ncg(_hess|_hessp)?$", "compares iterates and counts with those of SciPy's own method"),
    ),
    failures=(
        ("test_ncg_negative_maxiter", "asks for a run with maxiter=-1; ours refuses it before any work"),
        (
            "test_finite_differences_hess",
            "asks for an error without a Hessian; ours takes differences of the gradient",
        ),
        (
            "test_initial_step_scaling",
            "asks for at most 3 iterations on a parabola; the damped steps of GradNormSmooth take 5",
        ),
        ("test_minimize_warnings", WARNING),
        ("test_himmelblau", "asks for one of four minimisers of the same value; ours finds another"),
    ),
)
suite = SUITE.load()
suite.optimize = Optimize(SUITE, METHODS)
globals().update(collected(suite))


def test_the_table_is_true(request):
    check(SUITE, request)

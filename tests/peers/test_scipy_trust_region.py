"""SciPy's own tests of its trust-region methods, with our solvers in place of them."""

from tests.peers.scipy_adapter import METHODS, WARNING, Optimize, naming
from tests.peers.suite import Suite, collected, find
from tests.peers.table import check

SUITE = Suite(
    find("scipy.optimize.tests.test_trustregion"),
    "scipy",
    "GradNormSmooth, SuperNewton, CubicNewton",
    "Newton-CG, dogleg, trust-ncg, trust-krylov, trust-exact",
    naming(METHODS),
    failures=(
        (
            "test_dogleg_user_warning",
            WARNING,
        ),
    ),
)
suite = SUITE.load()
suite.minimize = Optimize(SUITE, METHODS).minimize
globals().update(collected(suite))


def test_the_table_is_true(request):
    check(SUITE, request)

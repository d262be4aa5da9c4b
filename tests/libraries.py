"""What the oldest libraries that setup.cfg allows cannot do, for the tests that compare with them."""

import scipy
import sklearn


def version(library):
    """Return (major, minor)."""
    return tuple(map(int, library.__version__.split(".")[:2]))


# newton-cholesky fitted one classifier for each class before scikit-learn 1.6
MULTINOMIAL = version(sklearn) >= (1, 6)
# a sparse array of a vector was a matrix of one row before SciPy 1.13
SPARSE_VECTORS = version(scipy) >= (1, 13)
# SLSQP counted its start as an iteration before SciPy 1.16
SLSQP_FROM_ONE = version(scipy) < (1, 16)

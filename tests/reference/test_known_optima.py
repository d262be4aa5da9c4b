"""Ridge-logistic optima on LIBSVM data, computed elsewhere: no intercept, larger label +1, from zero, mean loss."""

import numpy as np
import pytest

from gnsopt import GradNormSmooth, Logistic

pytestmark = pytest.mark.data

# name, penalty times n, optimum, its norm, half a unit of the last printed digit, iterations of the reference run
TIGHT = [
    ("mushrooms", 1.0, 0.0144858661283342, 12.334571, 5e-17, 12),
    ("mushrooms", 1e-3, 0.0000821833402666, 33.052099, 5e-17, 18),
    ("a1a", 1.0, 0.3217095888832189, 5.769621, 5e-17, 10),
    ("a1a", 1e-3, 0.2982262105077158, 28.716996, 5e-17, 18),
    ("a9a", 1.0, 0.3233795824648475, 6.222226, 5e-17, 11),
    ("a9a", 1e-3, 0.3226240146006800, 13.045935, 5e-17, 19),
    ("w8a", 1.0, 0.1261806865105134, 27.689598, 5e-17, 13),
    ("w8a", 1e-3, 0.1108936454540467, 85.354368, 5e-17, 20),
]
PRINTED = [
    ("ijcnn1", 0.188120104641, 5e-13),
    ("madelon", 0.515367929789, 5e-13),
    ("leu", 0.00376221898552, 5e-15),
    ("covtype.libsvm.binary.scale", 0.513846045, 5e-10),
]


@pytest.mark.parametrize("metric", [None, "auto"])  # None: the metric of the reference run
@pytest.mark.parametrize(("name", "scale", "optimum", "norm", "digit", "iterations"), TIGHT)
def test_optimum_to_twelve_digits(data, name, scale, optimum, norm, digit, iterations, metric):
    X, y = data(name)
    res = GradNormSmooth(metric=metric).minimize(Logistic(X, y, l2=scale / X.shape[0]), gtol=1e-12, norm="2")
    assert res.success
    assert np.linalg.norm(res.jac) <= 1e-12
    assert abs(res.fun - optimum) <= 1e-12 * optimum + digit
    assert abs(np.linalg.norm(res.x) - norm) <= 6e-7  # six printed decimals
    assert res.nit <= 1.3 * iterations


@pytest.mark.parametrize(("name", "optimum", "digit"), PRINTED)
def test_optimum_to_the_printed_digits(data, name, optimum, digit):
    X, y = data(name)
    res = GradNormSmooth().minimize(Logistic(X, y, l2=1 / X.shape[0]), gtol=1e-10, norm="2")
    assert res.success
    assert abs(res.fun - optimum) <= 1.1 * digit

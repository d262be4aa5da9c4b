"""``difference``: f(x) - f(x + h) to full relative accuracy, against decimals, for steps of 1e-12 to 100."""

from decimal import Context, Decimal, localcontext

import numpy as np
import pytest

from gnsopt import Logistic, LogSumExp, Point, Softmax
from gnsopt.globalization import decrease

STEPS = [1e-12, 1e-9, 1e-6, 1e-3, 1e-1, 1.0]
LARGE = [4.0, 10.0, 30.0, 100.0]
DIGITS = Context(prec=200)  # 1 + exp(-100), and a step of 1e-12 in it, keep more than 50 digits
EPS = np.finfo(float).eps


def dot(a, v):
    return sum(Decimal(float(p)) * Decimal(float(q)) for p, q in zip(a, v, strict=True))


def logsumexp(scores):
    return sum(s.exp() for s in scores).ln()


class Case:
    """A problem, the same f written in decimals (the sum x + h is never rounded), and a direction of monotone f."""

    def __init__(self, problem, exact, direction):
        self.problem, self.exact, self.direction = problem, exact, np.array(direction)

    def error(self, x, h):
        """Relative error of the difference."""
        value = self.problem.difference(x, self.problem.prepare(x), h)
        with localcontext(DIGITS):
            x, h = ([Decimal(float(e)) for e in v] for v in (x, h))
            truth = self.exact(x) - self.exact([p + q for p, q in zip(x, h, strict=True)])
            return abs(float((Decimal(value) - truth) / truth))


def logistic(l2):
    """One sample: sums over samples of either sign could cancel, which is the data's fault."""

    def exact(x):
        return (1 + (-x[0]).exp()).ln() + Decimal(l2) / 2 * x[0] ** 2

    return Case(Logistic(np.array([[1.0], [1.0]]), [1, 0], l2, sample_weight=[1.0, 0.0]), exact, [1.0])


def softmax():
    def exact(x):
        return logsumexp(x) - x[2]

    return Case(Softmax(np.ones((3, 1)), [0, 1, 2], sample_weight=[0.0, 0.0, 1.0]), exact, [-1.0, -0.5, 1.0])


def log_sum_exp(mu):
    b = np.array([0.5, -0.25, 1.0])

    def exact(x):
        m = Decimal(mu)
        return m * logsumexp([(s - Decimal(float(c))) / m for s, c in zip(x, b, strict=True)])

    return Case(LogSumExp(np.eye(3), b, mu), exact, [1.0, 2.0, 3.0])


def worst(case, step, size, sign):
    """Largest relative error over random points of the given size and steps along +- the direction."""
    rng = np.random.default_rng(0)
    n = case.problem.n
    return max(
        case.error(size * rng.standard_normal(n), sign * step * rng.uniform(0.5, 1.0, n) * case.direction)
        for _ in range(12)
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("size", [0.1, 3.0, 40.0])
@pytest.mark.parametrize("step", STEPS + LARGE)
def test_logistic(step, size, sign):
    assert worst(logistic(0.0), step, size, sign) <= 20 * EPS


@pytest.mark.parametrize("step", [1e-12, 1e-6, 1.0])
def test_penalty(step):
    rng = np.random.default_rng(1)
    case = logistic(1e-3)
    for _ in range(10):
        x = np.abs(rng.standard_normal(1)) + 10  # the penalty falls and the loss rises along a step to zero
        assert case.error(x, -step * x / 10) <= 200 * EPS


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("size", [0.1, 3.0, 40.0])
@pytest.mark.parametrize("step", STEPS + LARGE)
def test_softmax(step, size, sign):
    assert worst(softmax(), step, size, sign) <= 20 * EPS


@pytest.mark.parametrize("mu", [1.0, 0.05])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("step", STEPS + LARGE)
def test_log_sum_exp(step, sign, mu):
    assert worst(log_sum_exp(mu), step, 0.5, sign) <= 20 * EPS


@pytest.mark.parametrize(
    ("x", "h", "difference"),
    [
        ([0.0, -1000.0], [0.0, 2000.0], -1000.0),
        ([0.0, -1000.0], [-2000.0, 0.0], 1000.0),
        ([0.0, 0.0], [-40, -40], 40.0),
    ],
)
def test_log_sum_exp_where_weights_underflow(x, h, difference):
    problem = LogSumExp(np.eye(2), np.zeros(2))
    x = np.array(x)
    assert problem.difference(x, problem.prepare(x), np.array(h, dtype=float)) == pytest.approx(difference, rel=1e-14)


@pytest.mark.parametrize("case", [logistic(0.0), softmax(), log_sum_exp(1.0)], ids=["logistic", "softmax", "lse"])
def test_decrease_is_exact_where_the_values_are_equal(case):
    """Near 1 two values of f differ by rounding only for a step of 1e-15; their difference is still known."""
    rng = np.random.default_rng(2)
    x = Point(case.problem, rng.standard_normal(case.problem.n))
    y = x.at(x.x - 1e-14 * x.g)
    slope = float(x.g @ (x.x - y.x))
    assert decrease(x, y) == pytest.approx(slope, rel=1e-10)
    assert decrease(y, x) == pytest.approx(-slope, rel=1e-10)

"""One planted bug per property: the public checks must catch each, by its name."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest

from gnsopt import FastGradientMethod, GradientMethod, GradNormSmooth, Status
from gnsopt.curvature import Curvature
from gnsopt.exceptions import NotPositiveDefinite
from gnsopt.linalg.forms import Dense, Operator
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.registry import PROBLEMS
from gnsopt.stopping import StopRule
from gnsopt.testing import check_curvature, check_objective, check_solver

# -------------------------------------------------------------------------------------------------- objectives


class Bowl(Objective):
    """``sum_j c_j cosh(x_j) - 1``, with everything that an objective can offer, all of it right."""

    convex = True

    def __init__(self):
        self.c = np.array([1.0, 2.0, 3.0, 4.0])
        self.n, self.f_star, self.x_star = 4, 9.0, np.zeros(4)

    def start(self):
        return np.full(4, 0.5)

    def fun(self, x, z):
        return float(self.c @ np.cosh(x) - 1.0)

    def grad(self, x, z):
        return self.c * np.sinh(x)

    def hess(self, x, z):
        return Dense(np.diag(self.c * np.cosh(x)))

    def hessp(self, x, z, v):
        return self.c * np.cosh(x) * v

    def gauss_newton(self, x, z):
        return np.diag(self.c)

    def fisher(self, x, z):
        return np.outer(self.c, self.c)

    def difference(self, x, z, h):
        # cosh a - cosh b = 2 sinh((a + b)/2) sinh((a - b)/2)
        return float(-2.0 * self.c @ (np.sinh(x + h / 2) * np.sinh(h / 2)))


def test_the_right_objective_passes():
    check_objective(Bowl())


def objective_bug(match):
    """Register a class whose objective must fail the check with this message."""

    def register(cls):
        OBJECTIVES[cls.__name__] = (cls, match)
        return cls

    return register


OBJECTIVES = {}


@objective_bug("^grad: not the gradient of fun: its Taylor error has slope 1.0")
class SignOfOneSlope(Bowl):
    def grad(self, x, z):
        return super().grad(x, z) * [1, 1, -1, 1]


@objective_bug("^grad: not the gradient of fun")
class ForgottenTerm(Bowl):
    def grad(self, x, z):
        return super().grad(x, z) + [0, 1e-4, 0, 0]


@objective_bug("^hess: not the derivative of grad: its Taylor error has slope 1.0")
class HessianOffByFactor(Bowl):
    def hess(self, x, z):
        return Dense(2.0 * np.diag(self.c * np.cosh(x)))


@objective_bug("^hess: not the derivative of grad")
class HessianWithoutOneEntry(Bowl):
    def hess(self, x, z):
        return Dense(np.diag(self.c * np.cosh(x) * [1, 1, 1, 0.999]))


@objective_bug("^hessp: not the derivative of grad")
class AsymmetricProducts(Bowl):
    def hessp(self, x, z, v):
        return super().hessp(x, z, v) + 0.1 * np.triu(np.ones((4, 4)), 1) @ v


@objective_bug("^hess: diagonal")
class WrongDiagonal(Bowl):
    def hess(self, x, z):
        H = np.diag(self.c * np.cosh(x))
        return Operator(4, lambda v: H @ v, diagonal=np.ones(4))


@objective_bug("^hess: lower")
class WrongTriangle(Bowl):
    def hess(self, x, z):
        class Shifted(Dense):
            def lower(self):
                return super().lower() + np.eye(4)

        return Shifted(np.diag(self.c * np.cosh(x)))


@objective_bug("^fisher: not symmetric")
class AsymmetricFisher(Bowl):
    def fisher(self, x, z):
        return np.outer(self.c, self.c) + np.triu(np.ones((4, 4)))


@objective_bug("^gauss_newton: not positive semidefinite")
class IndefiniteGaussNewton(Bowl):
    def gauss_newton(self, x, z):
        return np.diag(self.c - 2.0)


@objective_bug("^convex: not positive semidefinite")
class NotConvex(Bowl):
    f_sign = -1.0

    def __init__(self):
        super().__init__()
        self.c, self.f_star, self.x_star = -self.c, None, None


@objective_bug(r"^difference: is not f\(x\) - f\(x \+ h\)")
class DifferenceOfWrongSign(Bowl):
    def difference(self, x, z, h):
        return -super().difference(x, z, h)


@objective_bug("^difference: cancels")
class DifferenceOfValues(Bowl):
    def difference(self, x, z, h):
        return self.fun(x, z) - self.fun(x + h, z)


@objective_bug("^purity: grad writes into x")
class WritesIntoX(Bowl):
    def grad(self, x, z):
        x += 1e-12
        return super().grad(x, z)


@objective_bug("^purity: hessp writes into the vector")
class WritesIntoV(Bowl):
    def hessp(self, x, z, v):
        v *= self.c * np.cosh(x)
        return v.copy()


@objective_bug("^purity: .* changes when asked again with the same z")
class WritesIntoZ(Bowl):
    def prepare(self, x):
        return np.cosh(x)

    def fun(self, x, z):
        return float(self.c @ z - 1.0)

    def hessp(self, x, z, v):
        z *= self.c
        return z * v


@objective_bug("^purity: the answer of grad is overwritten")
class ReusesItsBuffer(Bowl):
    def __init__(self):
        super().__init__()
        self.buffer = np.empty(4)

    def grad(self, x, z):
        return np.multiply(self.c, np.sinh(x), out=self.buffer)


@objective_bug("^purity: fun ")
class Drifts(Bowl):
    calls = 0

    def fun(self, x, z):
        self.calls += 1
        return super().fun(x, z) + 1e-9 * self.calls


@objective_bug("^x_star: not stationary")
class WrongMinimiser(Bowl):
    def __init__(self):
        super().__init__()
        self.x_star = np.full(4, 1e-3)


@objective_bug("^f_star: differs")
class WrongMinimum(Bowl):
    def __init__(self):
        super().__init__()
        self.f_star = 10.0


@objective_bug("^f_star: there is a point")
class MinimumTooHigh(Bowl):
    def __init__(self):
        super().__init__()
        self.f_star, self.x_star = 1e3, None


@objective_bug("^start: writing into the start")
class SharedStart(Bowl):
    def __init__(self):
        super().__init__()
        self.x0 = np.full(4, 0.5)

    def start(self):
        return self.x0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_bug_is_caught(name):
    cls, match = OBJECTIVES[name]
    with pytest.raises(AssertionError, match=match):
        check_objective(cls())


# -------------------------------------------------------------------------------------------------- curvatures


class Solved(Curvature):
    """A dense matrix with its counts, solved directly; the bugs change one method each."""

    lam_noise = 0.0

    def __init__(self, x, H):
        self.x, self.H, self._counts = x, H, x.counts

    def matvec(self, v):
        self._counts.nhessp += 1
        return self.H @ v

    def solve(self, lam, b):
        self._counts.nsolve += 1
        M = self.H + lam * np.stack([self.x.metric.apply(e) for e in np.eye(b.size)])
        if np.linalg.eigvalsh(M)[0] <= 0:
            raise NotPositiveDefinite
        return np.linalg.solve(M, b)


def right(x):
    return Solved(x, x.hess().dense())


def here(problem="logistic"):
    problem = PROBLEMS[problem]()
    return Point(problem, np.random.default_rng(0).standard_normal(problem.n))


@pytest.mark.parametrize("problem", ["logistic", "rosenbrock-callables"])
def test_the_right_curvature_passes(problem):
    check_curvature(right, here(problem))


class IgnoresShift(Solved):
    def solve(self, lam, b):
        return super().solve(1.0, b)


class IgnoresMetric(Solved):
    def solve(self, lam, b):
        self._counts.nsolve += 1
        return np.linalg.solve(self.H + lam * np.eye(b.size), b)


class ShiftsByHalf(Solved):
    def solve(self, lam, b):
        return super().solve(0.999 * lam, b)


class RefusesSmallShifts(Solved):
    def solve(self, lam, b):
        if lam < 1e-4:
            raise NotPositiveDefinite
        return super().solve(lam, b)


class AsymmetricMatvec(Solved):
    def matvec(self, v):
        return super().matvec(v) + 1e-3 * v[0]


class UncountedSolves(Solved):
    def solve(self, lam, b):
        self._counts.nsolve -= 1
        return super().solve(lam, b)


class UncountedProducts(Solved):
    def matvec(self, v):
        return self.H @ v


class WritesIntoB(Solved):
    def solve(self, lam, b):
        h = super().solve(lam, b)
        b[:] = h
        return h


class ReusesSolution(Solved):
    def solve(self, lam, b):
        self.h = getattr(self, "h", np.empty_like(b))
        self.h[:] = super().solve(lam, b)
        return self.h


class NoiseTooLarge(Solved):
    lam_noise = 1.0


class Random(Solved):
    generator = np.random.default_rng(0)

    def solve(self, lam, b):
        return super().solve(lam, b) * (1 + 1e-13 * self.generator.standard_normal())


@pytest.mark.parametrize(
    ("bug", "match"),
    [
        (IgnoresShift, r"^solve: \(H \+ lam B\) h = b is missed"),
        (IgnoresMetric, "^solve: "),
        (ShiftsByHalf, "^solve: "),
        (RefusesSmallShifts, "^definite: lam = .* is refused"),
        (AsymmetricMatvec, "^matvec: not symmetric"),
        (UncountedSolves, "^counts: a solve"),
        (UncountedProducts, "^counts: matvec"),
        (WritesIntoB, "^purity: solve writes into b"),
        (ReusesSolution, "^purity: a later solve overwrites"),
        (NoiseTooLarge, "^lam_noise: "),
        (Random, "^deterministic: "),
    ],
)
def test_curvature_bug_is_caught(bug, match):
    with pytest.raises(AssertionError, match=match):
        check_curvature(lambda x: bug(x, x.hess().dense()), here())


def test_indefinite_solve_by_clipping_is_caught():
    """|H| in place of H: positive definite, and the solution of another system."""

    class Clipped(Solved):
        def solve(self, lam, b):
            self._counts.nsolve += 1
            w, V = np.linalg.eigh(self.H)
            return V @ ((V.T @ b) / (np.abs(w) + lam))

    problem = PROBLEMS["rosenbrock-callables"]()
    x = Point(problem, np.array([0.0, 1.0, 1.0]))
    assert np.linalg.eigvalsh(x.hess().dense())[0] < 0
    with pytest.raises(AssertionError, match="^solve: "):
        check_curvature(lambda x: Clipped(x, x.hess().dense()), x, metrics=[None])


def test_stale_curvature_is_caught():
    kept = []

    def stale(x):
        kept.append(x.hess().dense())
        return Solved(x, kept[0])

    with pytest.raises(AssertionError, match="^stale: it is the hess of the first point"):
        check_curvature(stale, here())


def test_curvature_stale_within_a_run_is_caught():
    class Stale:
        def start(self, x):
            H = x.hess().dense()
            return lambda y: Solved(y, H)

    with pytest.raises(AssertionError, match="^stale: at the second point of a run"):
        check_curvature(Stale(), here())


def test_memory_that_leaks_into_the_next_run_is_caught():
    """Even where memory is allowed, it must not survive the run."""

    class Grows:
        runs = 0

        def start(self, x):
            self.runs += 1
            return lambda y: Solved(y, y.hess().dense() * (1 + 0.01 * self.runs))

    with pytest.raises(AssertionError, match="^deterministic: "):
        check_curvature(Grows(), here(), memory=True)


# ----------------------------------------------------------------------------------------------------- solvers


@dataclass(frozen=True)
class MutatesStart(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        result = super().minimize(problem, x0, **options)
        if isinstance(x0, np.ndarray) and x0.flags.writeable:
            x0[:] = result.x
        return result


@dataclass(frozen=True)
class RefusesReadOnlyStart(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        if isinstance(x0, np.ndarray):
            x0[:] = x0
        return super().minimize(problem, x0, **options)


@dataclass(frozen=True)
class ClaimsConvergence(GradNormSmooth):
    """Stops after two iterations and says that it is done."""

    def minimize(self, problem, x0=None, **options):
        result = super().minimize(problem, x0, **{**options, "maxiter": 2})
        result.update(status=int(Status.CONVERGED), success=True)
        return result


@dataclass(frozen=True)
class SuccessWithoutConvergence(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        result = super().minimize(problem, x0, **options)
        result.success = True
        return result


@dataclass(frozen=True)
class GivesUp(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        return super().minimize(problem, x0, **{**options, "maxiter": 1})


@dataclass(frozen=True)
class Random2(GradNormSmooth):
    generator = np.random.default_rng(0)

    def iterates(self, x):
        for y, scalars in super().iterates(x):
            yield y, {**scalars, "lam": scalars["lam"] * (1 + 1e-15 * self.generator.integers(100))}


@dataclass(frozen=True)
class DependsOnTheThread(GradNormSmooth):
    def iterates(self, x):
        slower = threading.current_thread() is not threading.main_thread()
        return GradNormSmooth(gamma0=0.5 if slower else 1.0).iterates(x)


@dataclass(frozen=True)
class IgnoresMaxiter(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        return super().minimize(problem, x0, **{**options, "maxiter": 10_000})


@dataclass(frozen=True)
class IgnoresTarget(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        return super().minimize(problem, x0, **{**options, "f_target": None})


@dataclass(frozen=True)
class ReturnsTheLast(FastGradientMethod):
    """The last point, which for this method is not the best."""

    def minimize(self, problem, x0=None, **options):
        result = super().minimize(problem, x0, **{**options, "keep_x": True})
        x = result.trace.x[-1]
        z = problem.prepare(x)
        result.update(x=x, fun=problem.fun(x, z), jac=problem.grad(x, z))
        return result


@dataclass(frozen=True)
class WrongValue(GradNormSmooth):
    """The value of the first iterate with the x of the last."""

    def minimize(self, problem, x0=None, **options):
        result = super().minimize(problem, x0, **options)
        result.fun = float(result.trace["fun"][0])
        return result


@dataclass(frozen=True)
class WritesIntoPoints(GradientMethod):
    """The step in place: the point before it is gone."""

    def iterates(self, x):
        while True:
            h, old = -0.5 * x.g, x.x
            y = x.at(old + h)
            _ = y.f, y.g
            x = y
            old += h
            yield x, {}


@dataclass(frozen=True)
class StepsTooLong(GradientMethod):
    """A fixed step that overshoots every other time, and recovers."""

    monotone = False  # so that the driver, which would stop the rise, lets it happen

    def iterates(self, x):
        k = 0
        while True:
            k += 1
            x = x.at(x.x - (-0.3 if k % 10 == 5 else 0.5) * x.g)
            yield x, {}


@dataclass(frozen=True)
class ForgetsAnEvaluation(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        result = super().minimize(problem, x0, **options)
        result.nfev = 1
        return result


@dataclass(frozen=True)
class LosesARow(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        result = super().minimize(problem, x0, **options)
        result.nit += 1
        return result


@dataclass(frozen=True)
class MovesTheStart(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        return super().minimize(problem, np.asarray(x0) + 1e-3, **options)


@dataclass(frozen=True)
class MovesFromTheSolution(GradNormSmooth):
    """One iteration at least, needed or not."""

    def minimize(self, problem, x0=None, **options):
        seen = []
        gtol = options.pop("gtol")
        options.pop("maxiter")

        def stop(progress):
            seen.append(0)
            done = np.max(np.abs(progress.point.g)) <= gtol and len(seen) > 1
            return Status.CONVERGED if done else None

        class Rule(StopRule):
            def __call__(self, progress):
                return None

            def __or__(self, other):
                return stop

        return super().minimize(problem, x0, **options, gtol=0.0, maxiter=10_000, stop=Rule())


@dataclass(frozen=True)
class LiveCallback(GradNormSmooth):
    """Gives the callback its own array."""

    def minimize(self, problem, x0=None, *, callback=None, **options):
        if callback is None:
            return super().minimize(problem, x0, **options)
        plain = self.iterates

        @dataclass(frozen=True)
        class Live(GradNormSmooth):
            def iterates(self, x):
                for y, scalars in plain(x):
                    callback(y.x)
                    yield y, scalars

        return Live().minimize(problem, x0, **options)


@dataclass(frozen=True)
class SwallowsStopIteration(GradNormSmooth):
    def minimize(self, problem, x0=None, *, callback=None, **options):
        names = getattr(getattr(callback, "__code__", None), "co_varnames", ())
        if callback is None or "xk" not in names:
            return super().minimize(problem, x0, callback=callback, **options)

        def quiet(xk):
            try:
                callback(xk)
            except StopIteration:
                pass

        return super().minimize(problem, x0, callback=quiet, **options)


@dataclass(frozen=True)
class SwallowsInterrupts(GradNormSmooth):
    """An ``except BaseException`` around the trial: Ctrl-C counts as a rejected step."""

    def iterates(self, x):
        while True:
            try:
                for y, scalars in super().iterates(x):
                    x = y
                    yield y, scalars
            except KeyboardInterrupt:
                continue


@dataclass(frozen=True)
class LosesTheRun(GradNormSmooth):
    """Ctrl-C leaves with nothing."""

    def minimize(self, problem, x0=None, **options):
        result = super().minimize(problem, x0, **options)
        if result.status == Status.INTERRUPTED:
            raise KeyboardInterrupt
        return result


@dataclass(frozen=True)
class AcceptsAnyOption(GradNormSmooth):
    def __call__(self, fun, x0, **options):
        options.pop("no_such_option", None)
        return super().__call__(fun, x0, **options)


@dataclass(frozen=True)
class IgnoresBounds(GradNormSmooth):
    def refuse_constraints(self, bounds, constraints):
        return


@dataclass(frozen=True)
class RunsOnFromNaN(GradNormSmooth):
    def minimize(self, problem, x0=None, **options):
        x0 = np.asarray(x0, dtype=float)
        return super().minimize(problem, np.nan_to_num(x0), **options)


SOLVER_BUGS = [
    (MutatesStart, "^x0: is written"),
    (RefusesReadOnlyStart, "^x0: a read-only array is refused"),
    (ClaimsConvergence, "^stationarity: claimed"),
    (SuccessWithoutConvergence, "^success: True does not fit"),
    (GivesUp, "^convergence: ended with status 1"),
    (Random2, "^deterministic: two runs differ"),
    (DependsOnTheThread, "^threads: "),
    (IgnoresMaxiter, "^maxiter: "),
    (IgnoresTarget, "^f_target: "),
    (WrongValue, "^result: fun differs"),
    (WritesIntoPoints, "^points: "),
    (ForgetsAnEvaluation, "^counts: nfev"),
    (LosesARow, "^trace: has"),
    (MovesTheStart, "^trace: begins at"),
    (MovesFromTheSolution, "^maxiter: |^start at the solution: "),
    (LiveCallback, "^callback: by position: it is not given copies"),
    (SwallowsStopIteration, "^StopIteration: "),
    (SwallowsInterrupts, "^KeyboardInterrupt: "),
    (LosesTheRun, "^KeyboardInterrupt: .* leaves the run"),
    (AcceptsAnyOption, "^options: SciPy's door"),
    (IgnoresBounds, "^bounds: must be refused"),
    (RunsOnFromNaN, "^NaN start: |^trace: begins"),
]


@pytest.mark.parametrize(("bug", "match"), SOLVER_BUGS, ids=lambda p: getattr(p, "__name__", None))
def test_solver_bug_is_caught(bug, match):
    with pytest.raises(AssertionError, match=match):
        check_solver(bug(), PROBLEMS["logistic"]())


def test_returning_the_last_point_is_caught():
    problem = PROBLEMS["logsumexp"]()
    check_solver(FastGradientMethod(), problem)
    with pytest.raises(AssertionError, match="^best point: "):
        check_solver(ReturnsTheLast(), problem)


def test_rising_values_are_caught():
    problem = PROBLEMS["logistic"]()
    with pytest.raises(AssertionError, match="^monotone: f rises"):
        check_solver(StepsTooLong(), problem, monotone=True)


def test_a_start_that_shows_nothing_is_refused():
    with pytest.raises(AssertionError, match="^convergence: x0 is the solution already"):
        check_solver(GradNormSmooth(), PROBLEMS["logsumexp-centered"]())

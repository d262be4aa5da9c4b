"""The property that every hostile case is held to, in one place.

*A clear error before work, that names the argument; or a result whose numbers are finite, recomputed and true. Never a
wrong success, a hang, an exception from the depths or a RuntimeWarning.*
"""

import contextlib
import dis
import math
import re
import signal
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import approx_fprime

import gnsopt
from gnsopt import Objective, Status
from gnsopt.objective import Callables

LIBRARY = Path(gnsopt.__file__).parent
SECONDS = 20.0  # of one core, for any case: all of them take less than one
LONGEST = 800  # characters of a message that somebody is to read
ROUNDING = 1e-9


class Hang(BaseException):
    """A case that took too much work."""


@dataclass
class Calls:
    """How often the user's functions were called; more than `most` calls are a hang, whatever the clock says."""

    done: int = 0
    most: int = 200_000

    def count(self, function):
        """Return `function`, counted."""

        def counted(*args, **keywords):
            self.done += 1
            if self.done > self.most:
                raise Hang(f"{self.done} calls of {getattr(function, '__name__', function)}")
            return function(*args, **keywords)

        return counted


@dataclass(frozen=True, eq=False)
class Case:
    """One hostile call of one public thing.

    `verdict` says what must come of it: "refuse", "take", or "either" where both are sound. `blames` are the names of
    arguments of which a refusal must hold one; `early` says that the user's functions may not have been called before.
    `check` recomputes what an accepted call returns; `own` are the user's exceptions, which come out as they are, and
    `foreign` is a package whose own sentences its users know.
    """

    subject: Any
    name: str
    call: Callable[[Calls], Any]
    blames: tuple[str, ...] = ()
    verdict: str = "either"
    check: Callable[[Any], None] | None = None
    early: bool = True
    own: tuple[type, ...] = ()
    warns: tuple[type, ...] = ()
    foreign: str = ""

    def __str__(self) -> str:
        return self.name


def judge(case: Case) -> None:
    """Run a case and hold it to the property."""
    calls = Calls()
    try:
        with limited(SECONDS), strict(case.warns):
            result = case.call(calls)
            if case.check is not None:
                case.check(result)
            else:
                assert_sound(result)
    except case.own:
        return
    except AssertionError:
        raise
    except (ValueError, TypeError, OSError) as error:
        assert_refusal(case, error, calls.done)
        return
    assert case.verdict != "refuse", f"must be refused, and returned {result!r:.300}"


def assert_refusal(case: Case, error: BaseException, calls: int) -> None:
    """The refusal is clear, deserved, and came before any work."""
    if not (case.foreign and f"/{case.foreign}/" in raised_in(error)):
        assert_clear(error, case.blames)
    assert case.verdict != "take", f"valid, and refused: {error}"
    assert not (case.early and calls), f"refused after {calls} calls of the user's functions: {error}"


@contextlib.contextmanager
def limited(seconds):
    """Raise `Hang` after so many seconds of this process's own work, however loaded the machine is."""
    if not hasattr(signal, "SIGVTALRM"):
        yield
        return

    def stop(*_):
        raise Hang(f"more than {seconds} s of work")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


@contextlib.contextmanager
def strict(allowed):
    """Let NumPy warn, and forgive the documented warnings; pytest makes the others errors."""
    with warnings.catch_warnings(), np.errstate(divide="warn", over="warn", invalid="warn", under="ignore"):
        for kind in allowed:
            warnings.simplefilter("ignore", kind)
        yield


# ------------------------------------------------------------------------------------------------------------ errors


def assert_clear(error: BaseException, blames: tuple[str, ...]) -> None:
    """An error that the library raises on purpose, in one line that names what is wrong."""
    text = str(error)
    where = raised_at(error)
    assert where == "library", f"{where}: {type(error).__name__}: {text}"
    assert "\n" not in text, f"more than a line: {text}"
    assert len(text) <= LONGEST, f"{len(text)} characters: {text}"
    named = [name for name in blames if re.search(rf"(?<![A-Za-z_]){re.escape(name)}(?![A-Za-z_])", text)]
    assert not blames or named, f"names none of {blames}: {type(error).__name__}: {text}"


def raised_at(error: BaseException) -> str:
    """Return "library" for an error that a ``raise`` in gnsopt made, else the place that it comes from."""
    frames = list(traceback.walk_tb(error.__traceback__))
    frame, _ = frames[-1]
    code, at = frame.f_code, last_tb(error).tb_lasti
    inside = Path(code.co_filename).is_relative_to(LIBRARY)
    operation = dis.opname[code.co_code[at]]
    if inside and operation == "RAISE_VARARGS":
        return "library"
    if inside and operation.startswith("CALL") and re.search(r"got an unexpected keyword|missing \d", str(error)):
        return "library"  # Python's own sentence about a signature is as clear as any
    if not inside and re.search(r"(unexpected keyword|missing \d|positional) argument", str(error)):
        return "library"
    return f"from the depths ({Path(code.co_filename).name}:{last_tb(error).tb_lineno} {code.co_name})"


def raised_in(error: BaseException) -> str:
    """Return the file in which an error was raised."""
    return last_tb(error).tb_frame.f_code.co_filename


def last_tb(error):
    """Return the innermost traceback."""
    tb = error.__traceback__
    while tb.tb_next is not None:
        tb = tb.tb_next
    return tb


# ----------------------------------------------------------------------------------------------------------- results


def assert_sound(result: Any) -> None:
    """Whatever came out holds finite numbers; a problem can be minimised, and its result is true."""
    if isinstance(result, Objective):
        assert_problem(result)
    elif isinstance(result, float | np.floating):
        assert math.isfinite(result), result
    elif isinstance(result, np.ndarray) and result.dtype.kind in "fc":
        assert np.isfinite(result).all(), result
    elif isinstance(result, tuple | list):
        for part in result:
            assert_sound(part)


def assert_problem(problem: Objective, maxiter: int = 12) -> None:
    """From the start of a problem that was accepted, a run ends with a true result."""
    run = gnsopt.minimize(problem, options={"maxiter": maxiter, "gtol": 1e-6})
    assert_run(run, problem, 1e-6, maxiter)


def assert_run(run: Any, problem: Objective, gtol: float = 1e-8, maxiter: int = 10_000, f_target: float = -np.inf):
    """The point is finite, its value and gradient are those of the problem, and the status says what they say."""
    status = Status(run.status)
    assert run.success == status.success
    assert np.isfinite(run.x).all() or status is Status.NOT_FINITE, run.x
    assert 0 <= run.nit <= maxiter
    assert len(run.trace) == run.nit + 1
    problem = problem.fresh()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        z = problem.prepare(run.x)
        f, g = problem.fun(run.x, z), np.asarray(problem.grad(run.x, z))
    if status is Status.NOT_FINITE:
        assert run.nit == 0
        assert not (np.isfinite(f) and np.isfinite(g).all())
        return
    assert np.isfinite(run.fun)
    assert np.isfinite(run.jac).all()
    assert close(f, run.fun), (f, run.fun)
    size = 1 + float(np.max(np.abs(g))) + float(run.trace["gnorm"][0])  # near a minimum a gradient is what cancels
    assert np.max(np.abs(g - run.jac)) <= ROUNDING * size, "jac is not the gradient at x"
    if status in (Status.CONVERGED, Status.AT_INFINITY):
        assert np.max(np.abs(g)) <= gtol * (1 + ROUNDING), f"success at a gradient of {np.max(np.abs(g))}"
    if status is Status.TARGET_REACHED:
        assert f <= f_target
    if status is Status.MAXITER:
        assert run.nit == maxiter


def assert_gradient(problem: Objective, x: np.ndarray, tol: float = 1e-4) -> None:
    """The gradient is that of the values, by differences."""
    problem = problem.fresh()

    def f(v):
        return problem.fun(v, problem.prepare(v))

    g = np.asarray(problem.grad(x, problem.prepare(x)))
    by_differences = approx_fprime(x, f, 1e-7 * np.maximum(1.0, np.abs(x)))
    assert np.max(np.abs(g - by_differences)) <= tol * (1 + np.max(np.abs(g))), (g, by_differences)


def of_callables(fun, n, jac=None, hess=None, **limits) -> Callable[[Any], None]:
    """Return the check of a run on plain functions."""

    def check(run):
        assert_run(run, Callables(fun, n, jac=jac, hess=hess), **limits)

    return check


def assert_same(result: Any, reference: Any) -> None:
    """Two results of the same numbers in other clothes are the same but for rounding."""
    if isinstance(result, Objective):
        assert result.n == reference.n
        x = np.linspace(-0.5, 0.5, result.n) + reference.start()
        for a, b in zip(_seen_at(result, x), _seen_at(reference, x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    elif isinstance(result, float | np.ndarray):
        np.testing.assert_allclose(result, reference, rtol=1e-9, atol=1e-12)
    elif isinstance(result, tuple | list):
        for a, b in zip(result, reference, strict=True):
            assert_same(a, b)


def _seen_at(problem: Objective, x: np.ndarray) -> tuple[float, np.ndarray]:
    z = problem.prepare(x)
    return problem.fun(x, z), problem.grad(x, z)


def close(a: float, b: float, tol: float = ROUNDING) -> bool:
    """Whether two numbers are the same but for rounding."""
    return abs(a - b) <= tol * max(1.0, abs(a), abs(b))

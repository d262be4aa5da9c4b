"""Checkpoints: a run that goes on takes the steps that it would have taken; files that do not fit are refused."""

import errno
import itertools
import json
import os
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_array_equal
from scipy.optimize import rosen, rosen_der, rosen_hess

import gnsopt
from gnsopt import (
    Checkpoint,
    GradNormSmooth,
    Logistic,
    Softmax,
    Status,
    SuperNewton,
    checkpoint,
    datasets,
    files,
    state,
)
from gnsopt.checkpoint import CheckpointWarning
from gnsopt.driver import Clock
from gnsopt.linalg.metric import DiagonalMetric
from gnsopt.registry import PROBLEMS
from gnsopt.solver import Solver
from gnsopt.solvers import SOLVERS

WIDE = ("logistic-wide", "softmax-wide")  # solved in the space of the rows, whose coordinates x gives to rounding
CONTINUED = ("gns", "super-newton", "gradient")
LINES = "line-newton"  # whose sums along a line carry rounding


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def problem(l2=1e-3, seed=0, n=120):
    return Logistic(*datasets.make_logistic(n, 6, condition=1e3, seed=seed), l2=l2, fit_intercept=True)


def assert_same_run(found, expected):
    for name in ("nit", "fun", "gnorm"):
        assert_array_equal(found.trace[name], expected.trace[name])
    assert_array_equal(found.x, expected.x)
    assert_array_equal(found.jac, expected.jac)
    assert (found.status, found.message, found.nit) == (expected.status, expected.message, expected.nit)


# --------------------------------------------------------------------------------------------------- going on


def test_the_solvers_that_go_on_are_these():
    own = {name for name, solver in SOLVERS.items() if solver.resumed is not Solver.resumed}
    assert own == {*CONTINUED, LINES}


@pytest.mark.parametrize("name", CONTINUED)
@pytest.mark.parametrize("which", [name for name in PROBLEMS if name not in WIDE])
def test_a_resumed_run_is_bitwise_the_run_without_a_break(path, name, which):
    solver, make = SOLVERS[name](), PROBLEMS[which]
    whole = solver.minimize(make(), maxiter=25)
    for breaks in itertools.takewhile(lambda k: k < whole.nit, (0, 1, 4)):
        path.unlink(missing_ok=True)
        first = solver.minimize(make(), maxiter=breaks, checkpoint=path)
        assert first.nit == breaks
        found = solver.minimize(make(), maxiter=25, checkpoint=Checkpoint(path, resume=True))
        assert_same_run(found, whole)


@pytest.mark.parametrize(
    "solver",
    [
        GradNormSmooth(growth="paper", curvature="fisher"),
        GradNormSmooth(accept="cubic", power=0.5, gamma0=0.3, factor=3.0),
        GradNormSmooth(accept="gradient", growth="fixed", gamma0=0.01, metric=None),
        SuperNewton(alpha=0.5, H0=0.7, H_min=0.01),
    ],
    ids=str,
)
def test_so_it_is_with_other_settings(path, solver):
    whole = solver.minimize(problem(), maxiter=30)
    assert whole.nit > 4
    solver.minimize(problem(), maxiter=4, checkpoint=path)
    assert_same_run(solver.minimize(problem(), maxiter=30, checkpoint=Checkpoint(path, resume=True)), whole)


POINTWISE = "auto fisher diagonal zero projected hutchinson row_norm exact:cg topk:2 subsampled:0.5".split()
LEARNT = "majorizer secant sketch mfac kfac mkor adahessian sophia exact:nystrom lazy:5 subspace:3".split()


@pytest.mark.parametrize("curvature", [*POINTWISE, *LEARNT])
def test_a_curvature_of_the_point_alone_goes_on_and_the_file_tells_of_one_that_has_learnt(path, curvature):
    solver = GradNormSmooth(curvature=curvature)
    solver.minimize(problem(), maxiter=4, checkpoint=path)
    assert Checkpoint(path).load().memory == (curvature in LEARNT)
    solver.minimize(problem(), maxiter=4, checkpoint=Checkpoint(path, resume=True))
    assert Checkpoint(path).load().memory == (curvature in LEARNT), "though it has made no step"
    if curvature in POINTWISE:
        found = solver.minimize(problem(), maxiter=9, checkpoint=Checkpoint(path, resume=True))
        assert_same_run(found, solver.minimize(problem(), maxiter=9))


def test_inexact_solves_remember_what_they_bought(path):
    wide = Logistic(*datasets.make_logistic(300, 200, seed=0), l2=1e-3)
    GradNormSmooth().minimize(wide, maxiter=1, checkpoint=path)
    assert Checkpoint(path).load().memory, "preconditioners"


@pytest.mark.parametrize("breaks", [1, 3])
def test_their_residual_is_the_share_of_the_first_gradient_of_the_whole_run(path, breaks):
    solver = SOLVERS[LINES](curvature="exact:cg")
    whole = solver.minimize(problem())
    assert solver.minimize(problem(), maxiter=breaks, checkpoint=path).nit == breaks
    found = solver.minimize(problem(), checkpoint=Checkpoint(path, resume=True))
    assert not Checkpoint(path).load().memory
    assert (found.nit, found.nhessp) == (whole.nit, whole.nhessp)
    np.testing.assert_allclose(found.trace["fun"], whole.trace["fun"], rtol=1e-13)


def test_a_strategy_of_scipy_is_remembered_by_the_automatic_choice(path):
    options = {"checkpoint": path, "maxiter": 3}
    gnsopt.minimize(rosen, [-1.0, 2.0], jac=rosen_der, hess=scipy.optimize.BFGS(), method="gns", options=options)
    assert Checkpoint(path).load().memory


@pytest.mark.parametrize("which", WIDE)
def test_in_the_space_of_the_rows_it_is_the_same_to_rounding(path, which):
    make = PROBLEMS[which]
    whole = GradNormSmooth().minimize(make())
    GradNormSmooth().minimize(make(), maxiter=2, checkpoint=path)
    found = GradNormSmooth().minimize(make(), checkpoint=Checkpoint(path, resume=True))
    assert (found.nit, found.status) == (whole.nit, whole.status)
    np.testing.assert_allclose(found.x, whole.x, rtol=0, atol=1e-10)


@pytest.mark.parametrize("which", ["logistic", "softmax-sparse", "logistic-breast-cancer", "poisson", "squared"])
def test_the_default_of_linear_models_goes_on_to_rounding(path, which):
    solver, make = SOLVERS[LINES](), PROBLEMS[which]
    whole = solver.minimize(make())
    for breaks in range(1, whole.nit):
        path.unlink(missing_ok=True)
        solver.minimize(make(), maxiter=breaks, checkpoint=path)
        found = solver.minimize(make(), checkpoint=Checkpoint(path, resume=True))
        assert (found.nit, found.status) == (whole.nit, whole.status)
        np.testing.assert_allclose(found.trace["fun"], whole.trace["fun"], rtol=1e-13)
        np.testing.assert_allclose(found.x, whole.x, rtol=0, atol=1e-9 * np.abs(whole.x).max())


def test_it_starts_anew_where_a_radius_was_left():
    solver = SOLVERS[LINES](gamma0=2.0)
    assert solver.resumed({"gamma": 2.0, "trials": 1}) is solver
    assert solver.resumed({"gamma": 1.0, "trials": 1}) is None
    assert solver.resumed({"gamma": 2.0, "trials": 2}) is None


@pytest.mark.parametrize("name", [name for name in SOLVERS if name not in (*CONTINUED, LINES)])
def test_the_other_solvers_start_anew_at_the_best_point(path, name):
    solver = SOLVERS[name]()
    first = solver.minimize(problem(0.1), maxiter=5, checkpoint=path)
    saved = Checkpoint(path).load()
    assert_array_equal(saved.best, first.x)
    found = solver.minimize(problem(0.1), maxiter=12, checkpoint=Checkpoint(path, resume=True))
    anew = solver.minimize(problem(0.1), first.x, maxiter=7)
    assert_array_equal(found.trace["fun"][:6], first.trace["fun"])
    assert_array_equal(found.trace["fun"][6:], anew.trace["fun"][1:])
    assert found.fun <= first.fun


def test_times_go_on_and_counts_add_up(path):
    calls = {"f": 0, "g": 0, "H": 0}

    def counted(name, function):
        def wrapped(x):
            calls[name] += 1
            return function(x)

        return wrapped

    args = counted("f", rosen), [-1.2, 1.0]
    derivatives = {"jac": counted("g", rosen_der), "hess": counted("H", rosen_hess), "method": "gns"}
    for maxiter in (3, 3, 7, 100):
        options = {"checkpoint": Checkpoint(path, resume=True), "maxiter": maxiter}
        found = gnsopt.minimize(*args, **derivatives, options=options)
        assert (found.nfev, found.njev, found.nhev) == tuple(calls.values())
        for column in ("time", "nfev", "njev", "nhev", "nsolve"):
            assert (np.diff(found.trace[column]) >= 0).all()
        saved = Checkpoint(path).load()
        assert saved.counts == {name: found[name] for name in ("nfev", "njev", "nhev", "nhessp", "nsolve")}
        assert saved.seconds >= found.trace["time"][-1]
    assert found.success
    assert_array_equal(found.trace["nit"], np.arange(found.nit + 1))


def test_a_run_that_is_over_is_over_and_goes_on_with_a_smaller_tolerance(path):
    first = GradNormSmooth().minimize(problem(), gtol=1e-3, checkpoint=path)
    again = GradNormSmooth().minimize(problem(), gtol=1e-3, checkpoint=Checkpoint(path, resume=True))
    assert first.status == again.status == Status.CONVERGED
    assert (again.nit, len(again.trace)) == (first.nit, len(first.trace))
    finer = GradNormSmooth().minimize(problem(), gtol=1e-9, checkpoint=Checkpoint(path, resume=True))
    assert np.max(np.abs(finer.jac)) <= 1e-9
    assert Checkpoint(path).load().status == Status.CONVERGED


def test_a_minimiser_at_infinity_stays_there(path):
    X = np.array([[1.0, 2.0], [2.0, 1.0], [-1.0, -1.0], [-2.0, -3.0]])
    separable = Logistic(X, np.array([1, 1, 0, 0]), l2=0.0)
    first = GradNormSmooth().minimize(separable, checkpoint=path)
    assert first.status == Status.AT_INFINITY
    again = GradNormSmooth().minimize(separable, checkpoint=Checkpoint(path, resume=True))
    assert (again.status, again.success) == (Status.AT_INFINITY, False)


def test_the_last_step_is_known_to_the_certificate_of_infinity(path):
    moving = problem()
    moving.at_infinity = lambda x, z, step: bool(step.any())
    first = GradNormSmooth().minimize(moving, checkpoint=path)
    again = GradNormSmooth().minimize(moving, checkpoint=Checkpoint(path, resume=True))
    assert first.status == again.status == Status.AT_INFINITY


class Stays(Solver):
    """Accepts the point where it is, for ever."""

    def iterates(self, x):
        while True:
            x = x.at(x.x)
            yield x, {}

    def resumed(self, scalars):
        return self


def test_steps_without_a_new_low_are_counted_over_the_break(path):
    whole = Stays().minimize(problem())
    assert whole.status == Status.PRECISION_LIMIT
    Stays().minimize(problem(), maxiter=whole.nit - 10, checkpoint=path)
    assert_same_run(Stays().minimize(problem(), checkpoint=Checkpoint(path, resume=True)), whole)


def test_a_solver_that_rises_starts_anew_at_its_best_point_not_at_its_last(path):
    solver = SOLVERS["fast-gradient"]()
    first = solver.minimize(problem(), maxiter=34, checkpoint=path)
    saved = Checkpoint(path).load()
    assert saved.fun > first.fun == min(row["fun"] for row in saved.rows), "it has risen"
    found = solver.minimize(problem(), maxiter=40, checkpoint=Checkpoint(path, resume=True))
    assert_array_equal(found.trace["fun"][35:], solver.minimize(problem(), first.x, maxiter=6).trace["fun"][1:])


def test_limits_are_those_of_the_whole_run(path):
    first = GradNormSmooth().minimize(problem(), maxiter=2, checkpoint=path)
    assert GradNormSmooth().minimize(problem(), maxiter=2, checkpoint=Checkpoint(path, resume=True)).nit == 2
    short = GradNormSmooth().minimize(problem(), maxtime=1e-9, checkpoint=Checkpoint(path, resume=True))
    assert (short.nit, short.status, short.fun) == (2, Status.MAXTIME, first.fun)


def test_the_callback_and_the_table_do_not_see_an_iterate_twice(path, capsys):
    seen = []
    GradNormSmooth().minimize(problem(), maxiter=2, checkpoint=path, callback=seen.append, disp=True)
    found = GradNormSmooth().minimize(
        problem(), checkpoint=Checkpoint(path, resume=True), callback=seen.append, disp=True
    )
    assert len(seen) == found.nit
    assert capsys.readouterr().out.count("nit") == 2, "a heading for each of the runs"


def test_every_door_takes_a_checkpoint(path):
    whole = GradNormSmooth().minimize(problem())
    gnsopt.minimize(problem(), method="gns", options={"checkpoint": str(path), "maxiter": 2})
    found = gnsopt.minimize(problem(), method="gns", options={"checkpoint": Checkpoint(path, resume=True)})
    assert_same_run(found, whole)
    path.unlink()
    scipy_options = {"jac": rosen_der, "hess": rosen_hess, "method": GradNormSmooth()}
    scipy.optimize.minimize(rosen, [-1.0, 2.0], **scipy_options, options={"checkpoint": path, "maxiter": 2})
    assert Checkpoint(path).load().nit == 2


# --------------------------------------------------------------------------------------- interrupts and failures


class Breaks(Exception):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, Breaks, MemoryError])
@pytest.mark.parametrize("where", ["fun", "grad", "hess"])
def test_wherever_a_run_breaks_its_checkpoint_goes_on_to_the_same_end(path, error, where):
    whole = GradNormSmooth().minimize(problem())
    for k in range(2, whole[{"fun": "nfev", "grad": "njev", "hess": "nhev"}[where]] + 1):
        path.unlink(missing_ok=True)
        broken, left = problem(), k
        plain = getattr(broken, where)

        def fails(*args, plain=plain):
            nonlocal left
            left -= 1
            if left == 0:
                raise error
            return plain(*args)

        setattr(broken, where, fails)
        try:
            result = GradNormSmooth().minimize(broken, checkpoint=path)
            assert error is KeyboardInterrupt
            assert result.status == Status.INTERRUPTED == Checkpoint(path).load().status
            assert_array_equal(Checkpoint(path).load().best, result.x)
            assert len(result.trace) == result.nit + 1
        except (Breaks, MemoryError):
            assert error is not KeyboardInterrupt
        found = GradNormSmooth().minimize(problem(), checkpoint=Checkpoint(path, resume=True))
        assert_same_run(found, whole)


def test_an_interrupt_between_a_step_and_its_row_costs_neither(path, monkeypatch):
    whole = GradNormSmooth().minimize(problem())
    plain = Clock.pause
    for k in range(2, whole.nit + 1):
        path.unlink(missing_ok=True)
        calls = itertools.count(1)

        def pause(clock, calls=calls, k=k):
            plain(clock)
            if next(calls) == k:
                raise KeyboardInterrupt

        with monkeypatch.context() as context:
            context.setattr(Clock, "pause", pause)
            result = GradNormSmooth().minimize(problem(), checkpoint=path)
        assert (result.status, result.nit, len(result.trace)) == (Status.INTERRUPTED, k - 1, k)
        assert result.fun == result.trace["fun"].min()
        assert_same_run(GradNormSmooth().minimize(problem(), checkpoint=Checkpoint(path, resume=True)), whole)


def test_a_callback_that_raises_costs_nothing(path):
    seen = []

    def callback(x):
        seen.append(x)
        if len(seen) == 3:
            raise Breaks

    with pytest.raises(Breaks):
        GradNormSmooth().minimize(problem(), checkpoint=path, callback=callback)
    assert Checkpoint(path).load().nit == 3


@pytest.mark.parametrize("where", ["the certificate", "the writing"])
def test_an_interrupt_after_the_last_step_costs_nothing(path, monkeypatch, where):
    whole, moving, plain = GradNormSmooth().minimize(problem()), problem(), checkpoint.write
    interrupts = iter([KeyboardInterrupt])

    def interrupted(*args):
        for error in interrupts:
            raise error
        return plain(*args) if where == "the writing" else False

    if where == "the certificate":
        moving.at_infinity = interrupted
    else:
        monkeypatch.setattr(checkpoint, "write", interrupted)
    found = GradNormSmooth().minimize(moving, checkpoint=path)
    assert found.status == Checkpoint(path).load().status == Status.INTERRUPTED
    assert_array_equal(found.x, whole.x)
    assert_same_run(GradNormSmooth().minimize(problem(), checkpoint=Checkpoint(path, resume=True)), whole)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_costs_the_checkpoint_not_the_run(path, monkeypatch):
    whole = GradNormSmooth().minimize(problem())
    GradNormSmooth().minimize(problem(), maxiter=2, checkpoint=path)
    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.warns(CheckpointWarning, match="No space left") as told:
        found = GradNormSmooth().minimize(problem(), checkpoint=Checkpoint(path, resume=True, iterations=1))
    assert len(told) == 1, "once, not after each iteration"
    assert_same_run(found, whole)
    assert Checkpoint(path).load().nit == 2, "the old file is there"


def test_a_checkpoint_is_written_on_the_way(path, monkeypatch):
    written = []
    plain = checkpoint.write
    monkeypatch.setattr(checkpoint, "write", lambda *args: written.append(args[2].nit) or plain(*args))
    found = GradNormSmooth().minimize(problem(), checkpoint=Checkpoint(path, iterations=2))
    assert written == [*range(2, found.nit, 2), found.nit]
    path.unlink()
    written.clear()
    GradNormSmooth().minimize(problem(), checkpoint=Checkpoint(path, seconds=3600))
    assert written == [found.nit]


def test_writing_takes_a_twentieth_of_the_time_at_most(path, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: next(clock))  # each look takes a second
    log = Checkpoint(path, seconds=0.0).open({})
    x = np.zeros(1)
    log.write(state.State(x, x, x, x, 0.0, [{"nit": 0}], 0.0, {}, (1.0, 1.0)))
    assert [log.due(nit) for nit in range(1, 30)].index(True) in (18, 19, 20)


# -------------------------------------------------------------------------------------------------- refusals


@pytest.fixture
def saved(path):
    GradNormSmooth().minimize(problem(), maxiter=3, checkpoint=path)
    return path


def refusal(saved, other=None, solver=None, **options):
    with pytest.raises(ValueError, match=saved.name) as error:
        (solver or GradNormSmooth()).minimize(other or problem(), checkpoint=Checkpoint(saved, resume=True), **options)
    return str(error.value)


def test_a_file_that_is_there_is_not_overwritten(saved):
    before = saved.read_bytes()
    with pytest.raises(ValueError, match="holds a run of 3 iterations.*resume=True.*remove it"):
        GradNormSmooth().minimize(problem(), checkpoint=saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("other", [{"l2": 1e-2}, {}], ids=["another problem", "the same, further"])
def test_what_another_run_has_written_meanwhile_is_not_overwritten(path, other):
    runs = []

    def meanwhile(x):
        if not runs:  # neither had a file to go on from
            runs.append(GradNormSmooth().minimize(problem(**other), checkpoint=path))
            runs.append(path.read_bytes())

    with pytest.warns(CheckpointWarning, match="another run has written it meanwhile: name another file") as told:
        found = GradNormSmooth().minimize(
            problem(), checkpoint=Checkpoint(path, iterations=1), callback=meanwhile, maxiter=3
        )
    assert len(told) == 1
    assert found.nit == 3
    assert path.read_bytes() == runs[1]


def test_what_is_no_file_of_ours_is_not_overwritten_either(path):
    with pytest.warns(CheckpointWarning, match="another run"):
        GradNormSmooth().minimize(problem(), checkpoint=path, callback=lambda x: path.write_text("weights"))
    assert path.read_text() == "weights"


def test_a_file_that_was_removed_meanwhile_is_written_again(path):
    found = GradNormSmooth().minimize(
        problem(), checkpoint=Checkpoint(path, iterations=1), callback=lambda x: path.unlink(missing_ok=True)
    )
    assert Checkpoint(path).load().nit == found.nit


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda: problem(l2=1.0000001e-3), "l2 is 0.001 there and 0.0010000001 here"),
        (lambda: problem(n=121), "samples is 120 there and 121 here"),
        (lambda: Logistic(*datasets.make_logistic(120, 7, seed=0), l2=1e-3), "features is 6 there and 7 here"),
        (lambda: Softmax(problem().design.X, problem().classes[[0, 1] * 60], l2=1e-3), "problem is Logistic there"),
        (lambda: problem(seed=1), "the data differ"),
    ],
)
def test_another_problem_is_refused_by_what_differs(saved, other, told):
    assert told in refusal(saved, other())


@pytest.mark.parametrize("change", ["label", "entry", "feature order"])
def test_the_smallest_change_of_the_data_is_seen(path, change):
    X, y = datasets.make_logistic(4000, 6, seed=0)
    GradNormSmooth().minimize(Logistic(X, y, l2=1e-3), checkpoint=path)  # at the end, where the gradient vanishes
    if change == "label":
        y[17] = y.min() + y.max() - y[17]
    elif change == "entry":
        X[17, 2] += 1e-3
    else:
        X = X[:, [1, 0, 2, 3, 4, 5]]
    assert "the data differ" in refusal(path, Logistic(X, y, l2=1e-3))


def test_callables_are_told_apart_by_their_values(path):
    options = {"jac": rosen_der, "hess": rosen_hess, "method": "gns"}
    gnsopt.minimize(rosen, [-1.0, 2.0], **options, options={"checkpoint": path, "maxiter": 3})
    resumed = {"checkpoint": Checkpoint(path, resume=True)}
    assert gnsopt.minimize(rosen, [-1.0, 2.0], **options, options=resumed).success
    with pytest.raises(ValueError, match="f at its point is"):
        gnsopt.minimize(lambda x: rosen(x) + 1, [-1.0, 2.0], **options, options=resumed)


def test_another_solver_or_setting_is_refused_by_name(saved):
    told = refusal(saved, solver=SuperNewton())
    assert "method is GradNormSmooth there and SuperNewton here. Give" in told, "and nothing of its settings"
    assert "gamma0 is 1.0 there and 2.0 here" in refusal(saved, solver=GradNormSmooth(gamma0=2.0))
    assert "curvature is " in refusal(saved, solver=GradNormSmooth("fisher"))
    assert "norm is inf there and 2 here" in refusal(saved, norm="2")


@pytest.mark.parametrize(("kind", "change"), [("array", 1e-8), ("metric", 1e-3), ("part", 1e-8)])
def test_arrays_among_the_settings_are_told_apart_to_the_last_entry(kind, change):
    """NumPy prints long ones with dots, and eight digits."""

    def facts(last):
        d = np.ones(1200)
        d[600] = last
        metric = {"array": d, "metric": DiagonalMetric(d), "part": None}[kind]
        return checkpoint.facts_of(
            problem(), GradNormSmooth(Holds((d,)) if kind == "part" else "auto", metric=metric), "2"
        )

    assert facts(1.0) == facts(1.0) != facts(1.0 + change)


@dataclass(frozen=True)
class Holds:
    """A curvature with arrays in it."""

    parts: tuple

    def start(self, x):
        return gnsopt.curvature.exact.start(x)


def test_the_file_of_a_run_with_an_array_is_its_own(path):
    solver = GradNormSmooth(metric=np.arange(1.0, 8.0))
    solver.minimize(problem(), checkpoint=path, maxiter=2)
    assert "metric is array of shape (7,)" in refusal(path, solver=GradNormSmooth(metric=np.arange(2.0, 9.0)))
    assert solver.minimize(problem(), checkpoint=Checkpoint(path, resume=True)).success


def test_an_object_without_a_name_is_the_same_in_the_next_process(path):
    class Curvature:
        def start(self, x):
            return gnsopt.curvature.exact.start(x)

    for _ in range(2):
        solver = GradNormSmooth(curvature=Curvature())
        solver.minimize(problem(), checkpoint=Checkpoint(path, resume=True), maxiter=2)


def test_a_later_version_may_have_more_settings(saved, monkeypatch):
    rewrite(saved, lambda header: header["facts"].pop("gamma_max"))
    assert GradNormSmooth().minimize(problem(), checkpoint=Checkpoint(saved, resume=True)).success


def test_an_earlier_version_with_fewer_settings_refuses(saved):
    rewrite(saved, lambda header: header["facts"].update(momentum=0.9))
    assert "momentum is 0.9 there and None here" in refusal(saved)


def rewrite(path, change):
    """Change the header of a file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays["header"]))
    change(header)
    np.savez(path, **arrays | {"header": np.array(json.dumps(header))})


def test_another_format_is_refused_with_both_versions(saved):
    rewrite(saved, lambda header: header.update(format=7, gnsopt="9.9"))
    told = refusal(saved)
    assert "is of format 7, written by gnsopt 9.9; this version reads format 1" in told
    assert "remove it to start anew" in told


def test_a_file_of_another_version_of_the_same_format_is_read(saved):
    rewrite(saved, lambda header: header.update(gnsopt="0.0.1"))
    assert GradNormSmooth().minimize(problem(), checkpoint=Checkpoint(saved, resume=True)).success


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"counts": None}, "damaged"),
        ({"first": None}, "damaged"),
        ({"first": [1.0]}, "damaged"),
        ({"seconds": None}, "seconds=None is no number"),
        ({"fun": "0"}, "fun='0' is no number"),
        ({"status": "0"}, "status='0' is no number"),
        ({"counts": {"nfev": 1.5e300, "njev": None}}, "njev=None is no number"),
        ({"counts": {"nfev": 1}}, "its count nhessp is missing or unknown"),
        ({"facts": 3}, "damaged"),
    ],
    ids=str,
)
def test_a_header_that_was_not_written_by_us_is_refused(saved, change, told):
    rewrite(saved, lambda header: header.update(change))
    assert told in refusal(saved)


@pytest.mark.parametrize("column", ["fun", "time", "gamma"])
def test_a_trace_that_lacks_a_column_is_refused(saved, column):
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files if name != f"trace/{column}"}
    np.savez(saved, **arrays)
    assert column in refusal(saved)
    with pytest.raises(ValueError, match=f"its trace has no column {column}"):
        Checkpoint(saved).load()


def test_points_of_another_size_are_refused(saved):
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(saved, **arrays | {name: arrays[name][:-1] for name in state.ARRAYS})
    assert "its points have 6 entries" in refusal(saved)


def test_names_that_a_file_has_are_those_of_its_format(path):
    """Whoever changes one of them must raise `state.FORMAT`."""
    read = {"gns": {"gamma", "ratio"}, "super-newton": {"H"}, "gradient": {"L"}, LINES: {"trials", "gamma"}}
    for name, columns in read.items():
        SOLVERS[name]().minimize(problem(), maxiter=2, checkpoint=Checkpoint(path))
        found = Checkpoint(path).load()
        assert columns | {"nit", "fun", "gnorm", "time"} < set(found.rows[-1])
        assert set(found.counts) == {"nfev", "njev", "nhev", "nhessp", "nsolve"}
        path.unlink()
    assert state.FORMAT == 1
    assert state.HEADER == ("fun", "seconds", "counts", "first", "status", "message", "memory")
    assert state.ARRAYS == ("x", "previous", "best", "jac")


def test_arrays_of_something_else_are_not_to_be_removed(tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, weights=np.zeros(7))
    told = refusal(other)
    assert "arrays of something else: name another" in told
    assert "remove" not in told


def test_a_name_that_is_too_long_is_told(tmp_path):
    for place in ("x" * 300 + ".npz", "x" * 300 + "/run.npz"):
        with pytest.raises(ValueError, match="checkpoint: .*x"):
            GradNormSmooth().minimize(problem(), checkpoint=tmp_path / place)
        with pytest.raises(ValueError, match="checkpoint: .*x"):
            Checkpoint(tmp_path / place).load()


def test_no_checkpoint_is_refused(saved, tmp_path):
    other = tmp_path / "other.npz"
    other.write_text("weights")
    assert "is no checkpoint of gnsopt" in refusal(other)
    np.savez(other, x=np.zeros(7))
    assert "is no checkpoint of gnsopt" in refusal(other)
    np.savez(other, header=np.array([{"a": 1}], dtype=object), x=np.zeros(7))
    assert "is no checkpoint of gnsopt" in refusal(other), "and is not unpickled"
    other.write_bytes(b"")
    assert "is no checkpoint of gnsopt" in refusal(other)


def test_wherever_a_file_is_cut_it_is_refused(saved):
    whole = saved.read_bytes()
    for size in range(0, len(whole), 97):
        saved.write_bytes(whole[:size])
        assert "remove it to start anew" in refusal(saved)


def test_a_damaged_byte_is_seen_or_harmless(saved):
    whole, good = saved.read_bytes(), Checkpoint(saved).load()
    rng, refused, harmless = np.random.default_rng(0), 0, 0
    for place in rng.integers(len(whole), size=300):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        saved.write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # NumPy's and zip's own
                found = Checkpoint(saved).load()
        except ValueError as error:
            refused += "remove it to start anew" in str(error)
        else:  # the time of a member, say
            harmless += 1
            assert repr(found) == repr(good)
            assert all(np.array_equal(getattr(found, name), getattr(good, name)) for name in state.ARRAYS)
    assert refused + harmless == 300
    assert refused > 150


def test_blocks_on_disk_go_on_and_are_told_apart_by_their_values(path, tmp_path):
    X, y = datasets.make_logistic(300, 5, seed=0)

    def blocks(y):
        return gnsopt.RowBlocks("logistic", gnsopt.blocks.split(X, y, rows=80), l2=1e-3)

    solver = GradNormSmooth()
    whole = solver.minimize(blocks(y))
    solver.minimize(blocks(y), maxiter=3, checkpoint=path)
    assert_same_run(solver.minimize(blocks(y), checkpoint=Checkpoint(path, resume=True)), whole)
    other = y.copy()
    other[[0, 200]] = y.min() + y.max() - y[[0, 200]]
    assert "the data differ" in refusal(path, blocks(other))


def test_places_that_cannot_be_are_refused_before_any_work(tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("work was done")

    idle = problem()
    idle.fun = idle.grad = idle.prepare = never
    for place, told in ((tmp_path, "is a folder"), (tmp_path / "no" / "run.npz", "does not exist")):
        with pytest.raises(ValueError, match=told):
            GradNormSmooth().minimize(idle, checkpoint=place)
    with pytest.raises(ValueError, match="keep_x=True"):
        GradNormSmooth().minimize(idle, checkpoint=tmp_path / "run.npz", keep_x=True)
    monkeypatch.setattr(checkpoint.os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="cannot be written"):
        GradNormSmooth().minimize(idle, checkpoint=tmp_path / "run.npz")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"path": 3}, "path=3"),
        ({"path": ""}, "path=''"),
        ({"path": "a\0b"}, "must be the name of a file"),
        ({"path": "a", "seconds": -1}, "seconds=-1"),
        ({"path": "a", "seconds": "1"}, "seconds='1'"),
        ({"path": "a", "iterations": 0}, "iterations=0"),
        ({"path": "a", "iterations": 1.5}, "iterations=1.5"),
    ],
)
def test_misuse_names_the_argument(settings, told):
    with pytest.raises((TypeError, ValueError), match=told):
        Checkpoint(**settings)


def test_a_start_that_is_not_finite_leaves_no_file(path):
    found = gnsopt.minimize(lambda x: np.log(x[0]), [-1.0], method="gns", options={"checkpoint": path})
    assert found.status == Status.NOT_FINITE
    assert not path.exists()


def test_two_runs_on_one_file_never_mix(path):
    solver = GradNormSmooth()
    inner = []

    def callback(x):
        if len(inner) < 3:  # another run writes in between
            inner.append(solver.minimize(problem(), maxiter=len(inner) + 1, checkpoint=Checkpoint(path, resume=True)))

    whole = solver.minimize(problem())
    found = solver.minimize(problem(), checkpoint=Checkpoint(path, iterations=1, resume=True), callback=callback)
    assert_same_run(found, whole)
    assert Checkpoint(path).load().nit == whole.nit

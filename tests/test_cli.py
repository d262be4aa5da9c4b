"""The command line as its users meet it: what it prints, saves and draws, its exit codes, and how it is stopped."""

import csv
import itertools
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import dump_svmlight_file

import gnsopt
from gnsopt import Logistic, Point, Softmax, Status, datasets
from gnsopt.cli.methods import CURVATURES
from gnsopt.cli.misuse import Misuse
from gnsopt.cli.options import read_l2, read_method
from gnsopt.cli.saving import save
from gnsopt.cli.scipy_method import METHODS as SCIPY
from gnsopt.cli.scipy_method import SciPyMethod
from gnsopt.cli.screen import Meter
from gnsopt.curvature import models
from gnsopt.solvers import SOLVERS
from gnsopt.solvers.adaptive import RULES
from gnsopt.solvers.target_surrogate import METRICS
from tests.libraries import SLSQP_FROM_ONE

pytestmark = pytest.mark.usefixtures("folder")


def facts(output):
    """Read the ``label  value`` lines."""
    return dict(re.findall(r"^(\S+) {2,}(\S.*?) *$", output, flags=re.MULTILINE))


def rows(output):
    """Read the rows of the comparison, by method; a status of two words stays whole."""
    lines = output.splitlines()
    rule = next(k for k, line in enumerate(lines) if set(line.strip()) == {"─"})
    keys = re.split(r" {2,}", lines[rule - 1].strip())
    table = {}
    for line in lines[rule + 1 :]:
        if not line.strip():
            break
        row = dict(zip(keys, re.split(r" {2,}", line.strip()), strict=True))
        table[row["method"]] = row
    return table


# -------------------------------------------------------------------------------------------------------- fit


def test_fit_prints_what_the_library_finds(gns):
    code, out, err = gns("fit iris")
    X, y = datasets.load("iris")
    result = gnsopt.minimize(Softmax(X, y, l2=1 / 150))
    told = facts(out)
    assert code == 0
    assert told["data"] == "iris: 150 samples, 4 features, 3 classes"
    assert told["model"] == "softmax regression, l2 = 1/n = 0.00666667, no intercept: 12 variables"
    assert told["status"] == Status.CONVERGED.message
    assert float(told["objective"]) == pytest.approx(result.fun, rel=1e-14)
    assert told["iterations"].startswith(f"{result.nit} in ")
    assert told["work"].startswith(f"{result.nfev} values, {result.njev} gradients, {result.nhev} Hessians")
    best = np.argmax(Softmax(X, y).predict(result.x, X), axis=1)
    assert told["accuracy"] == f"{np.mean(best == y):.2%} of these samples"
    assert err.splitlines()[0].startswith("line-newton: iteration 1 ")


def test_fit_takes_every_option(gns):
    code, out, _ = gns(
        "fit breast_cancer --loss logistic --l2 1e-2/n --method super-newton --curvature exact:cholesky "
        "--fit-intercept --tol 1e-6 --maxiter 100 --maxtime 60"
    )
    X, y = datasets.load("breast_cancer")
    problem = Logistic(X, y, l2=1e-2 / len(y), fit_intercept=True)
    result = gnsopt.SuperNewton(curvature="exact:cholesky").minimize(problem, gtol=1e-6)
    assert code == 0
    assert float(facts(out)["objective"]) == pytest.approx(result.fun, rel=1e-14)
    assert facts(out)["accuracy"] == f"{np.mean((problem.predict(result.x, X) > 0.5) == y):.2%} of these samples"


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_saved_weights_and_trace_are_the_result(gns, folder, loss):
    code, out, _ = gns(
        f"fit breast_cancer --loss {loss} --fit-intercept --l2 0.1 --save-weights w.npz --save-trace t.csv"
    )
    X, y = datasets.load("breast_cancer")
    problem = {"logistic": Logistic, "softmax": Softmax}[loss](X, y, l2=0.1, fit_intercept=True)
    with np.load("w.npz") as saved:
        assert set(saved) == {"weights", "classes", "intercept", "l2", "loss", "status"}
        weights = saved["weights"]
        assert weights.shape == {"logistic": (31,), "softmax": (31, 2)}[loss]
        assert_array_equal(saved["classes"], [0, 1])
        assert (bool(saved["intercept"]), float(saved["l2"])) == (True, 0.1)
        assert (str(saved["loss"]), str(saved["status"])) == (loss, "converged")
    point = Point(problem, weights.reshape(-1))
    assert code == 0
    assert np.max(np.abs(point.g)) <= 1e-8
    assert float(facts(out)["objective"]) == pytest.approx(point.f, rel=1e-14)
    with open("t.csv", newline="") as file:
        trace = list(csv.DictReader(file))
    assert [int(row["nit"]) for row in trace] == list(range(len(trace)))
    assert float(trace[-1]["fun"]) == point.f
    assert f"{trace[-1]['nit']} in " in out
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["t.csv", "w.npz"]


def test_a_file_is_read_and_its_indices_may_start_at_zero(gns):
    X, y = datasets.make_logistic(40, 3, seed=0)
    dump_svmlight_file(X, y, "data.txt", zero_based=True)
    code, _, err = gns("fit ./data.txt")
    assert code == 2
    assert "zero" in err
    code, out, _ = gns("fit ./data.txt --zero-based --l2 0.1")
    assert code == 0
    assert float(facts(out)["objective"]) == pytest.approx(gnsopt.minimize(Logistic(X, y, l2=0.1)).fun, rel=1e-12)


def test_quiet_is_silent(gns):
    assert gns("fit iris --quiet --maxiter 1") == (1, "", "")


def test_not_converged_is_exit_code_1_and_still_saved(gns):
    code, out, _ = gns("fit iris --maxiter 2 --save-weights w.npz")
    assert code == 1
    assert facts(out)["status"] == Status.MAXITER.message
    with np.load("w.npz") as saved:
        assert str(saved["status"]) == "maxiter"


def test_a_minimiser_at_infinity_is_not_converged(gns):
    X, y = datasets.make_logistic(30, 3, separable=True, seed=0)
    dump_svmlight_file(X, y, "separable.txt", zero_based=False)
    code, out, _ = gns("fit separable.txt --l2 0")
    assert code == 1
    assert "infinity" in facts(out)["status"]


def test_lines_fit_into_80_columns(gns, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("fit iris --maxiter 1", "compare iris --methods gns,scipy:trust-ncg --no-figure", "methods"):
        _, out, _ = gns(command)
        assert max(map(len, out.splitlines())) <= 80
        assert "…" not in out


# ------------------------------------------------------------------------------------------------------ misuse

MISUSE = {
    "fit": "Missing argument",
    "fti iris": "(see 'gnsopt --help')",
    "fit iris --tolerance 1": "--tol",
    "fit iris --maxiter many": "--maxiter",
    "fit iris --maxiter -1": "--maxiter -1",
    "fit iris --tol -1": "--tol -1",
    "fit iris --tol nan": "--tol nan",
    "fit iris --maxtime 0": "--maxtime 0",
    "fit irsi --maxiter 1": "iris",
    "fit ./absent.txt": "no such file",
    "fit iris --method newton": "line-newton",
    "fit iris --method gns:fishre": "fisher",
    "fit iris --method gns:exact:lu": "cholesky",
    "fit iris --method gradient --curvature fisher": "gns:fisher",
    "fit iris --method gns:fisher --curvature exact": "leave out --curvature",
    "fit iris --method scipy:BFGS": "gnsopt compare",
    "fit iris --l2 -1": "--l2",
    "fit iris --l2 1/m": "1/n",
    "fit iris --l2 nan": "1e-3",
    "fit iris --loss logistic": "Softmax",
    "fit iris --loss hinge": "logistic",
    "fit iris --save-weights absent/w.npz": "absent",
    "fit iris --save-weights w.txt": ".npz",
    "fit iris --save-trace cache.npz": ".csv",
    "compare iris --methods ,": "empty",
    "compare iris --methods gns,gns": "twice",
    "compare iris --methods gns,scipy:L-BFGS": "L-BFGS-B",
    "compare iris --figure f.jpg": ".png",
    "compare iris --figure .": "is a folder",
    "demo --output absent": "absent",
    "--nonsense": "--help",
}


@pytest.mark.parametrize("command", MISUSE)
def test_misuse_is_one_line_that_names_the_cure(gns, folder, command):
    code, out, err = gns(command)
    assert code == 2
    assert out == "" or command == "fit iris --loss logistic"
    assert err.startswith("gnsopt: error: ")
    assert err.count("\n") == 1
    assert MISUSE[command] in err
    assert not [path for path in folder.iterdir() if path.is_file()]


def test_labels_that_are_no_classes_are_refused(gns):
    dump_svmlight_file(np.eye(3), [0.5, 1.0, 2.0], "targets.txt", zero_based=False)
    code, _, err = gns("fit targets.txt")
    assert code == 2
    assert "no classes (one is 0.5)" in err
    assert gns("fit targets.txt --loss softmax")[0] == 0


def test_a_line_that_cannot_be_read_is_named(gns, folder):
    (folder / "bad.txt").write_text("1 1:2\n1 1:x\n")
    code, _, err = gns("fit bad.txt")
    assert code == 2
    assert "line 2" in err


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("1e-3", 1e-3), ("1/n", 1 / 40), ("1e-4/n", 1e-4 / 40)])
def test_l2_is_a_number_or_one_divided_by_n(text, value):
    assert read_l2(text, 40) == value


def test_a_file_is_written_whole_or_not_at_all(folder):
    path = folder / "out.csv"
    path.write_text("before")

    def fail(part):
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(Misuse, match="disk full"):
        save(path, fail)
    assert [file.name for file in folder.iterdir()] == ["out.csv"]
    assert path.read_text() == "before"


# ----------------------------------------------------------------------------------------------------- compare


def test_compare_tells_the_truth_about_each_method(gns, folder):
    code, out, _ = gns("compare breast_cancer --l2 1 --methods gns,scipy:L-BFGS-B,gradient --maxiter 40 --figure c.png")
    table = rows(out)
    X, y = datasets.load("breast_cancer")
    problem = Logistic(X, y, l2=1.0)
    own = gnsopt.minimize(problem, method="gns")
    assert code == 1, "one method did not converge"
    assert list(table) == ["gns", "scipy:L-BFGS-B", "gradient"]
    assert [row["status"] for row in table.values()] == ["converged", "maxiter", "maxiter"]
    assert [table["gns"][k] for k in ("iterations", "gradients", "Hessians", "products")] == [
        str(own[k]) for k in ("nit", "njev", "nhev", "nhessp")
    ]
    f_star = float(facts(out)["f*"].split(",")[0])
    assert f_star == pytest.approx(own.fun, rel=1e-13)
    steps = gnsopt.minimize(problem, method="gradient", options={"maxiter": 40})
    assert table["gradient"]["f - f*"] == f"{steps.fun - own.fun:.1e}"
    assert table["gradient"]["|g|"] == f"{np.max(np.abs(steps.jac)):.1e}"
    assert f"gradient: {Status.MAXITER.message}" in out
    assert (folder / "c.png").read_bytes().startswith(b"\x89PNG")


def test_compare_succeeds_when_all_converge(gns, folder):
    code, out, err = gns("compare iris --methods gns:fisher:cg,scipy:trust-ncg --l2 0.1 --no-figure")
    assert code == 0
    assert {row["status"] for row in rows(out).values()} == {"converged"}
    assert err.splitlines() == ["gns:fisher:cg (1 of 2)", "scipy:trust-ncg (2 of 2)"]
    assert not list(folder.glob("*.png"))


def test_compare_without_matplotlib_does_the_rest(gns, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = gns("compare iris --methods gns,super-newton")
    assert code == 0
    assert len(rows(out)) == 2
    assert err.splitlines()[-1] == "no figure: figures need Matplotlib: pip install 'gnsopt[plot]'"
    assert not list(folder.glob("*.png"))


def smooth():
    """A small problem on which SciPy's methods can reach the tolerance."""
    X, y = datasets.make_logistic(80, 4, seed=3)
    return Logistic(X, y, l2=0.1)


@pytest.mark.parametrize("name", SCIPY)
def test_every_method_of_scipy_stops_by_our_rule(name):
    problem = smooth()
    result = SciPyMethod(name).minimize(problem, gtol=1e-5, maxiter=3000)
    point = Point(problem, result.x)
    assert result.success, result.message
    assert result.status == Status.CONVERGED
    assert np.max(np.abs(point.g)) <= 1e-5
    assert np.all(result.trace["gnorm"][:-1] > 1e-5), "it went on after it had converged"
    assert (result.fun, len(result.trace)) == (point.f, result.nit + 1)
    assert np.all(np.diff(result.trace["time"]) >= 0)


@pytest.mark.parametrize("name", [name for name in SCIPY if "jac" in SCIPY[name][0] and name != "TNC"])
def test_counts_of_scipys_methods_are_scipys_own(name):
    problem, calls = smooth(), dict.fromkeys(("hess", "hessp"), 0)
    derivatives, options = SCIPY[name]

    def hess(x):
        calls["hess"] += 1
        return Point(problem, x.copy()).hess().dense()

    def hessp(x, v):
        calls["hessp"] += 1
        return Point(problem, x.copy()).hessp(v)

    ours = SciPyMethod(name).minimize(problem, gtol=1e-5)
    theirs = scipy.optimize.minimize(
        lambda x: Point(problem, x.copy()).f,
        problem.start(),
        jac=lambda x: Point(problem, x.copy()).g,
        method=name,
        options=options | {"maxiter": ours.nit + (name == "SLSQP" and SLSQP_FROM_ONE)},
        **{key: f for key, f in (("hess", hess), ("hessp", hessp)) if key in derivatives},
    )
    assert_array_equal(ours.x, theirs.x)
    assert (ours.nfev, ours.njev) == (theirs.nfev, theirs.njev)
    assert ours.nhev == calls["hess"] - (name == "dogleg")  # which takes a Hessian before it looks at its limit
    assert ours.nhessp == calls["hessp"]


def test_scipys_limits_are_ours(monkeypatch):
    stopped = SciPyMethod("bfgs").minimize(smooth(), maxiter=2)
    assert (stopped.status, stopped.nit) == (Status.MAXITER, 2)
    assert SciPyMethod("Nelder-Mead").minimize(smooth(), maxiter=0).nit == 0
    ticks = itertools.count()
    monkeypatch.setattr("gnsopt.driver.time.perf_counter", lambda: float(next(ticks)))
    stopped = SciPyMethod("Powell").minimize(smooth(), gtol=0.0, maxtime=20.0)
    assert (stopped.status, stopped.nit) == (Status.MAXTIME, 0), "a line search of Powell's must not outlast the limit"


def test_scipy_ending_early_is_no_success():
    result = SciPyMethod("L-BFGS-B").minimize(smooth(), gtol=0.0)
    assert not result.success
    assert result.message.startswith("SciPy stopped: ")
    assert result.status == Status.PRECISION_LIMIT


# --------------------------------------------------------------------------------------- demo, methods, version


@pytest.fixture
def short_demo(monkeypatch):
    """Compare two methods only; the tests of the README run the whole demo."""
    monkeypatch.setattr(sys.modules["gnsopt.cli.demo"], "METHODS", ["gns:exact:cg", "scipy:trust-ncg"])


def test_demo_needs_no_data_and_writes_its_figure(gns, folder, short_demo):
    code, out, _ = gns("demo --output .")
    assert code == 0
    assert re.search(r"^iteration +f +\|g\|", out, flags=re.MULTILINE)
    assert {row["status"] for row in rows(out.split("2. Compare")[1]).values()} == {"converged"}
    assert (folder / "gnsopt-demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["compare iris --methods gns", "demo"])
def test_a_figure_that_is_asked_for_without_matplotlib_is_refused_before_any_work(gns, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = gns(f"{command} --figure one.pdf")
    assert (code, out) == (2, "")
    assert err == "gnsopt: error: --figure one.pdf needs Matplotlib: pip install 'gnsopt[plot]'\n"


def test_demo_without_matplotlib_does_the_rest(gns, short_demo, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = gns("demo")
    assert code == 0
    assert len(rows(out.split("2. Compare")[1])) == 2
    assert err.splitlines()[-1].endswith("pip install 'gnsopt[plot]'")


def test_methods_lists_all_that_can_be_named(gns):
    code, out, _ = gns("methods")
    assert code == 0
    for name in (*SOLVERS, *models.NAMES, *models.PARSED, *models.METHODS, *SCIPY):
        assert name in out
    for name in (*RULES, *METRICS):
        assert f" {name}," in out or f" {name}\n" in re.sub(" +\n", "\n", out)
    for name in CURVATURES:
        assert type(read_method(f"gns:{name}").curvature) is type(models.resolve(name))


def test_version_and_help(gns):
    assert gns("--version") == (0, f"gnsopt {gnsopt.__version__}\n", "")
    for command in ("", "--help"):
        code, out, _ = gns(command)
        assert code == 0
        assert "compare" in out


# -------------------------------------------------------------------------------------------------- interrupts


def write_long():
    """Write data on which the gradient method takes more iterations than anyone waits for."""
    X, y = datasets.make_logistic(200, 20, condition=1e5, seed=0)
    dump_svmlight_file(X, y, "long.txt", zero_based=False)


LONG = "./long.txt --tol 0 --l2 1e-9 --maxiter 1000000000"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_ends_a_fit_with_the_best_point_saved():
    write_long()
    command = f"fit {LONG} --method gradient --save-weights w.npz --save-trace t.csv"
    process = subprocess.Popen(
        [sys.executable, "-m", "gnsopt.cli", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if "iteration 64 " in line:
                break
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # impatience must not cost the files
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert facts(out)["status"] == Status.INTERRUPTED.message
    with np.load("w.npz") as saved:
        assert str(saved["status"]) == "interrupted"
        weights = saved["weights"]
    X, y = datasets.load("./long.txt")
    best = Point(Logistic(X, y, l2=1e-9), weights).f
    assert float(facts(out)["objective"]) == pytest.approx(best, rel=1e-14)
    with open("t.csv", newline="") as file:
        values = [float(row["fun"]) for row in csv.DictReader(file)]
    assert len(values) > 64
    assert_allclose(best, min(values), rtol=1e-12)


@pytest.fixture
def signal_at(monkeypatch):
    """Send a signal to this very process at an iteration of the run whose label starts so."""
    follow = Meter.follow

    def arrange(number, run, iteration):
        def watched(meter, label):
            show, seen = follow(meter, label), 0

            def callback(intermediate_result):
                nonlocal seen
                seen += 1
                show(intermediate_result=intermediate_result)
                if label.startswith(run) and seen == iteration:
                    assert signal.getsignal(number) not in (signal.SIG_DFL, before), "no handler: the run would die"
                    signal.raise_signal(number)

            # the driver tells the two kinds of callback by the name of the argument
            return callback

        before = signal.getsignal(number)
        monkeypatch.setattr(Meter, "follow", watched)
        return before

    return arrange


def test_sigterm_ends_a_fit_like_ctrl_c(gns, signal_at):
    write_long()
    before = signal_at(signal.SIGTERM, "gradient", 5)
    code, out, _ = gns(f"fit {LONG} --method gradient --save-weights w.npz")
    assert code == 143, "128 + SIGTERM"
    assert facts(out)["status"] == Status.INTERRUPTED.message
    with np.load("w.npz") as saved:
        assert str(saved["status"]) == "interrupted"
    assert signal.getsignal(signal.SIGTERM) == before, "the handler must not outlive the command"


@pytest.mark.parametrize("stopped", ["gradient", "scipy:CG"])
def test_a_signal_ends_a_comparison_with_what_there_is(gns, folder, signal_at, stopped):
    write_long()
    signal_at(signal.SIGINT, stopped, 3)
    code, out, err = gns(f"compare {LONG} --methods gns,{stopped},fast-gradient")
    assert code == 130
    table = rows(out)
    assert list(table) == ["gns", stopped]
    assert (table[stopped]["status"], table[stopped]["iterations"]) == ("interrupted", "3")
    assert err.splitlines()[-1] == "interrupted: 2 of 3 methods have run"
    assert list(folder.glob("*.png"))

"""The benchmark against peers: its oracle, minima and clocks, the convention of each peer, and a quick run."""

import math
import os
import subprocess
import time

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import approx_fprime

import gnsopt
from experiments import environment
from experiments.benchmarks.glm import __main__ as command
from experiments.benchmarks.glm import cell, figure, optimum, registry, report, tasks
from experiments.benchmarks.glm.oracle import Oracle
from experiments.benchmarks.glm.schedule import Schedule
from experiments.storage import read_json, write_json
from tests.libraries import MULTINOMIAL

METHODS = registry.load()
ACCURACY = {"snapml dual": 1e-6}  # it comes no closer, whatever its tolerance; wrong penalties cost more: see below


def task(k=1, intercept=False, kind=np.asarray, l2=0.01):
    """Return breast cancer, standardised, or its features with three made-up classes."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    if k > 1:
        X, y = X[:120, :5], np.digitize(X[:120, 6], [-0.5, 0.5])
    return tasks.Task(kind(X), np.unique(y, return_inverse=True)[1], k, l2, intercept)


KINDS = [(k, intercept, kind) for k in (1, 3) for intercept in (False, True) for kind in (np.asarray, sparse.csr_array)]


@pytest.mark.parametrize(("k", "intercept", "kind"), KINDS)
def test_the_oracle_is_that_of_the_library_and_of_differences(k, intercept, kind):
    given = task(k, intercept, kind)
    oracle = given.oracle()
    family = gnsopt.Logistic if k == 1 else gnsopt.Softmax
    problem = family(given.X, given.codes, given.l2, fit_intercept=intercept)
    x, v = np.random.default_rng(1).standard_normal((2, oracle.size))
    z = problem.prepare(x)
    assert oracle.fun(x) == pytest.approx(problem.fun(x, z), rel=1e-14)
    np.testing.assert_allclose(oracle.grad(x), problem.grad(x, z), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(oracle.grad(x), approx_fprime(x, given.oracle().fun, 1e-7), atol=1e-6)
    H = oracle.hess(x)
    slope = (given.oracle().grad(x + 1e-6 * v) - given.oracle().grad(x - 1e-6 * v)) / 2e-6
    np.testing.assert_allclose(H @ v, slope, atol=1e-8)
    np.testing.assert_allclose(oracle.product(x, v), H @ v, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(oracle.diagonal(x), np.diag(H), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("k", [1, 3])
def test_small_losses_keep_their_digits_and_far_points_are_finite_or_inf(k):
    X = np.ones((4, 1))
    codes = np.array([1, 1, 1, 1])
    V = np.array([60.0]) if k == 1 else np.array([0.0, 60.0, 0.0])
    loss = Oracle(X, codes, k, 0.0, False).fun(V)
    assert loss == pytest.approx(max(1, k - 1) * math.exp(-60.0), rel=1e-14)
    assert Oracle(X, codes, k, 0.0, False).fun(-1000 * V) == pytest.approx(
        60_000.0 + math.log(max(1, k - 1)), rel=1e-14
    )


@pytest.mark.parametrize(("k", "intercept"), [(1, False), (1, True), (3, False), (3, True)])
def test_a_minimum_is_found_by_each_way(k, intercept, monkeypatch):
    whole = task(k, intercept)
    wide = tasks.Task(whole.X[:20] @ np.eye(whole.X.shape[1], 40), whole.codes[:20], k, 0.01, intercept)
    for given in (whole, wide):
        _, dense = optimum.minimum(given.oracle())
        assert dense["gnorm"] <= 1e-13
        monkeypatch.setattr(optimum, "DENSE", 0)
        monkeypatch.setattr(optimum, "SPAN", 0)
        _, conjugate = optimum.minimum(given.oracle())
        monkeypatch.undo()
        assert "span" in dense["route"] or given is whole
        assert "conjugate" in conjugate["route"]
        assert conjugate["gnorm"] <= 1e-12
        assert conjugate["f_star"] == pytest.approx(dense["f_star"], rel=1e-14)


def test_the_known_optimum_of_breast_cancer():
    (problem,) = tasks.read("quick")
    oracle = problem.load().oracle()
    assert optimum.minimum(oracle)[1]["f_star"] == pytest.approx(0.0665690080089, abs=1e-13)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("k", "intercept"), [(1, False), (1, True), (3, False), (3, True)])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_minimises_this_objective(name, k, intercept, kind):
    method, given = METHODS[name], task(k, intercept, kind)
    if not method.installed:
        pytest.skip(f"{method.needs} is not installed")
    if not method.takes(given.size):
        pytest.skip("not for this problem")
    if name == "sklearn newton-cholesky" and k > 1 and not MULTINOMIAL:
        pytest.skip("fits one classifier for each class")
    f_star = optimum.minimum(given.oracle())[1]["f_star"]
    judge = cell.Judge(given.oracle(), f_star)
    watch = cell.Judging(time.process_time, 20.0, judge, {"r8"})
    cell.attempt(method, given, min(method.tolerances, key=lambda tol: abs(math.log10(tol) + 10)), watch)
    assert -1e-13 <= watch.last["relative"] <= ACCURACY.get(name, 1e-8)


def test_a_wrong_penalty_would_be_seen():
    right, intercept = task(), task(intercept=True)
    judge = cell.Judge(right.oracle(), optimum.minimum(right.oracle())[1]["f_star"])
    assert judge(optimum.minimum(task(l2=0.02).oracle())[0])["relative"] > 1e-3
    penalised = tasks.Task(np.c_[right.X, np.ones(len(right.X))], right.codes, 1, right.l2, False)
    judge = cell.Judge(intercept.oracle(), optimum.minimum(intercept.oracle())[1]["f_star"])
    assert judge(optimum.minimum(penalised.oracle())[0])["relative"] > 1e-5


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_looking_at_an_iterate_is_not_on_the_clock():
    given, clock = task(), Clock()
    best, found = optimum.minimum(given.oracle())
    judge = cell.Judge(given.oracle(), found["f_star"])

    def slow(x):
        clock.now += 100.0
        return judge(x)

    slow.reached = judge.reached
    watch = cell.Judging(clock, 60.0, slow, {"r4", "g8"})

    def fit(task, tol, watch):
        for x in (0.0 * best, 0.999 * best, best, best):
            clock.now += 1.0
            watch(x)
        raise AssertionError("the watch ends the run")

    cell.attempt(registry.Method("", fit, "", (), lambda size: True, False), given, 1.0, watch)
    assert {name: (hit["index"], hit["seconds"]) for name, hit in watch.hits.items()} == {
        "r4": (2, 2.0),
        "g8": (3, 3.0),
    }


def test_targets_are_those_of_the_definition():
    given = task()
    best, found = optimum.minimum(given.oracle())
    judge = cell.Judge(given.oracle(), found["f_star"])
    start = np.linalg.norm(given.oracle().grad(0 * best))
    assert judge.bound == 1e-8 * start > 1e-8
    assert judge.reached(judge(best)) == {"r4", "r8", "g8"}
    assert judge.reached({"relative": 1.01e-4, "gnorm": 1.01 * judge.bound}) == set()
    assert judge.reached({"relative": 0.99e-4, "gnorm": 0.99 * judge.bound}) == {"r4", "g8"}


def test_every_problem_of_the_list_can_be_built():
    problems = tasks.read("full")
    assert len({problem.slug for problem in problems}) == len(problems) > 100
    assert {problem.source.get("source", "named") for problem in problems} <= set(tasks.SOURCES)
    assert {problem.data for problem in tasks.read("core")} >= {"a9a", "wide", "digits unscaled", "correlated 1e6"}
    with pytest.raises(ValueError, match="group 'none' is unknown; choose one of core, full, quick"):
        tasks.read("none")
    with pytest.raises(ValueError, match="no method is called 'none'"):
        registry.select(["none"])


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("gaussian", {"n": 50, "d": 4, "k": 3, "spread": 2.0}, (50, 4)),
        ("gaussian", {"n": 4000, "d": 3, "correlation": 0.9}, (4000, 3)),
        ("correlated", {"n": 30, "d": 5, "condition": 1e3}, (30, 5)),
        ("counts", {"n": 40, "d": 3}, (40, 3)),
        ("text", {"n": 60, "d": 200, "words": 10}, (60, 200)),
    ],
)
def test_generators(name, options, shape):
    X, y = tasks.SOURCES[name](name="", **options)
    again, _ = tasks.SOURCES[name](name="", **options)
    assert X.shape == shape
    assert (X != again).sum() == 0
    assert np.unique(y).size == options.get("k", 2)
    if name == "text":
        np.testing.assert_allclose(np.sqrt((X * X).sum(axis=1)), 1.0)
        assert 0 < X.nnz <= 600
    if "correlation" in options:
        np.testing.assert_allclose(np.corrcoef(X.T), [[1, 0.9, 0.81], [0.9, 1, 0.9], [0.81, 0.9, 1]], atol=0.02)
        np.testing.assert_allclose(X.std(axis=0), 1.0, atol=0.05)
    if name == "correlated":
        assert np.linalg.cond(X) == pytest.approx(1e3, rel=1e-9)


def test_a_quick_run_is_kept_and_read(tmp_path, capsys):
    arguments = ["--quick", "--results", str(tmp_path), "--targets", "g8", "r4"]
    assert command.main(arguments) == 0
    folder = tmp_path / "benchmarks" / "glm"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/*.json")}
    assert len(before) == 4
    answer = read_json(folder / "cells" / "breast_cancer@1-over-n" / "gnsopt@cpu@0.json")
    assert answer["status"] == "done"
    assert list(answer["targets"]["g8"]["counts"]) == ["nit", "njev", "nhev", "nhessp", "nsolve"]
    assert 0 < answer["targets"]["r4"]["seconds"] <= answer["targets"]["g8"]["seconds"] < 60
    assert answer["targets"]["g8"]["gnorm"] <= 1e-8 * 1.42
    assert answer["targets"]["r4"]["gnorm"] > answer["targets"]["g8"]["gnorm"]
    assert (folder / "profiles-cpu.png").read_bytes().startswith(b"\x89PNG")
    text = (folder / "tables-cpu.md").read_text()
    assert "| breast_cancer, l2 = 1/n | 569 x 30 (1) |" in text
    assert text.count("the best peer of each problem") == 2
    capsys.readouterr()
    assert command.main(arguments) == 0  # nothing is run again
    assert {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/*.json")} == before
    assert capsys.readouterr().err == ""


def entry(seconds):
    return report.Entry(seconds, 10 * seconds, "done" if seconds < math.inf else "timeout", {"nit": 3}, "note")


def test_tables_and_profiles_from_made_up_times():
    (problem,) = tasks.read("quick")
    minimum = {"size": {"n": 1, "d": 2, "k": 1, "sparse": False}, "pass_seconds": 0.1, "hessian_seconds": 0.4}
    times = [
        {"gnsopt": 2.0, "a": 1.0, "b": 4.0},
        {"gnsopt": 1.0, "a": math.inf, "b": 2.0},
        {"gnsopt": math.inf, "a": 3.0},
    ]
    found = [report.Row(problem, minimum, {name: entry(value) for name, value in row.items()}) for row in times]
    assert [row.ratio("gnsopt", ["gnsopt"]) for row in found] == [2.0, 0.5, math.inf]
    lines = report.means(found, ["gnsopt"]).splitlines()
    assert lines[2] == "| gnsopt | the best peer of each problem | 2 | 1 | 2 | 1 | 0 |"
    assert lines[3] == "| gnsopt | a | 1 | 2 | 2 | 1 | 1 |"
    assert lines[4] == f"| gnsopt | b | 2 | {0.5:.3g} | 0.5 | 0 | 0 |"
    first = report.versus_best(found, ["gnsopt"], worst_first=True).splitlines()[3]
    assert "| 2 | 2 | a | 1 | 20 | 10 | 5 | 3 |" in first
    factors, shares = figure.profile(found)["gnsopt"]
    np.testing.assert_allclose(factors, [1.0, 2.0])
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3])


@pytest.mark.parametrize(("clock", "threads"), [("cpu", 1), ("wall", os.cpu_count())])
def test_a_cell_that_was_killed_keeps_what_it_knew(clock, threads, tmp_path, monkeypatch):
    (problem,) = tasks.read("quick")
    schedule = Schedule(tmp_path, [problem], [], 1, clock, 1.0)
    path = schedule.path(problem, "one")

    def killed(command, env, **settings):
        assert {env[name] for name in environment.VARIABLES} == {str(threads)}
        write_json(path, {"status": "running", "targets": {"r4": 1}})
        return subprocess.CompletedProcess(command, -9, stderr=b"")

    monkeypatch.setattr(subprocess, "run", killed)
    answer = schedule.start([], path, 60.0, problem, "method")
    assert (answer["status"], answer["targets"]) == ("timeout", {"r4": 1})
    assert schedule.known(path) == answer

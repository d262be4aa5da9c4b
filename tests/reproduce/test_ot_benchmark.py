"""The transport benchmark: how it measures errors, its thresholds and tables, a quick run, each peer's convention."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.benchmarks.ot import __main__ as command
from experiments.benchmarks.ot import cell, report
from experiments.benchmarks.ot.instances import INSTANCES, digits
from experiments.benchmarks.ot.methods import METHODS, Method


def method(solve, few=1):
    return Method("fake", solve, "numpy", few=few)


def test_a_threshold_is_lowered_until_the_plan_itself_is_good_enough():
    a = b = np.array([0.5, 0.5])
    asked = []

    def solve(a, b, C, reg, threshold, max_iter):
        asked.append(threshold)
        plan = np.full((2, 2), 0.25)
        plan[0, 0] += 3 * threshold  # both marginals are off by it
        return plan, 1

    found = cell.measure((a, b, np.eye(2), 0.1), method(solve), 1e-3, 1.0)
    assert found["reached"]
    assert found["threshold"] == pytest.approx(1e-3 / 16)
    assert found["error"] == pytest.approx(6e-3 / 16)
    assert found["cost"] == pytest.approx(0.5 + 3e-3 / 16)
    assert asked[2:5] == [1e-3, 1e-3 / 4, 1e-3 / 16]
    assert set(asked[5:]) == {1e-3 / 16}
    assert len(asked) == 4 + cell.REPEATS


@pytest.mark.parametrize("bad", [np.nan, -0.1])
def test_what_never_gets_there_reports_its_best_error(bad):
    def solve(a, b, C, reg, threshold, max_iter):
        plan = np.full((2, 2), 0.25)
        plan[0, 0] += 0.1 if threshold < 1e-3 else bad - 0.25
        return plan, 0

    found = cell.measure((np.full(2, 0.5),) * 2 + (np.eye(2), 0.1), method(solve), 1e-3, 1.0)
    assert not found["reached"]
    assert found["error"] == pytest.approx(0.2)


def test_a_run_at_its_limit_of_iterations_is_the_last_one():
    caps = []

    def solve(a, b, C, reg, threshold, max_iter):
        caps.append(max_iter)
        return np.full((2, 2), 0.2), max_iter

    found = cell.measure((np.full(2, 0.5),) * 2 + (np.eye(2), 0.1), method(solve, few=7), 1e-3, 1e-9)
    assert caps == [1, 7, 7]
    assert not found["reached"]


@pytest.mark.parametrize("first", [0, 1])
def test_setting_up_takes_nothing_off_the_seconds_promised(first, monkeypatch):
    """Setting up takes 0.9 s and an iteration 1 ms, so that the probe of 10 promises 66 iterations only."""
    clock, caps = [0.0], []
    monkeypatch.setattr(cell.time, "process_time", lambda: clock[0])

    def solve(a, b, C, reg, threshold, max_iter):
        caps.append(max_iter)
        done = min(max_iter, 4000)
        clock[0] += 0.9 + 1e-3 * done
        return np.full((2, 2), 0.25 - (4000 - done) / 1e6), done - 1 + first  # POT counts from zero

    data = (np.full(2, 0.5),) * 2 + (np.eye(2), 0.1)
    found = cell.measure(data, method(solve, few=10), 1e-6, 6.0)
    assert caps[2] == 65
    assert found["reached"]
    assert found["threshold"] == 1e-6, "a run that was cut off is no reason for a smaller threshold"
    caps.clear()
    found = cell.measure(data, method(solve, few=10), 1e-6, 3.0)
    assert not found["reached"]
    assert found["seconds"] >= 0.8 * 3.0
    assert caps == sorted(caps)
    assert caps[-1] <= 3000


def test_errors_of_plans():
    a, b = np.array([0.4, 0.6]), np.array([0.3, 0.7])
    plan = np.outer(a, b)
    assert cell.error_of(plan, a, b) < 1e-15
    assert cell.error_of(plan + [[0.1, 0], [0, 0]], a, b) == pytest.approx(0.2)
    assert cell.error_of(plan * [[np.nan, 1], [1, 1]], a, b) == np.inf
    assert cell.error_of(plan * [[-1, 1], [1, 1]], a, b) == np.inf


def test_tables_of_ratios_failures_and_disagreements():
    def done(seconds, cost=1.0, error=1e-10):
        return {"reached": True, "seconds": seconds, "iterations": 3, "cost": cost, "error": error}

    failed = {"reached": False, "error": 2e-5, "cost": 3.0, "seconds": 5.0, "iterations": 9}
    cells = {
        ("one", report.OURS, 1e-9): done(1.0),
        ("one", "POT sinkhorn", 1e-9): done(8.0, cost=1.0 + 1e-9),
        ("one", "regot SSNS", 1e-9): done(2.0, cost=1.0 + 1e-7),
        ("two", report.OURS, 1e-9): done(2.0),
        ("two", "POT sinkhorn", 1e-9): done(4.0),
        ("two", "regot SSNS", 1e-9): failed,
        ("two", "POT emd (linear program)", 1e-9): done(0.1, cost=0.5),
    }
    instances, methods = ["one", "two"], [report.OURS, "POT sinkhorn", "regot SSNS", "POT emd (linear program)"]
    whole = report.table(cells, instances, methods, 1e-9)
    assert "| regot SSNS | 2 (3) | x 2e-05 |" in whole
    assert "| POT emd (linear program) |  | 0.1 (3) |" in whole
    means = report.means(cells, instances, methods, 1e-9, limit=20.0)
    assert "| POT sinkhorn | 2 of 2 | 4 | 4 | 2 |" in means
    assert f"| regot SSNS | 1 of 2 | 2 | {np.sqrt(2 * 10):.2g} | 2 |" in means
    assert "emd" not in means
    del cells["two", "regot SSNS", 1e-9]  # not tried after a failure at a larger target, which is a failure too
    cells["two", "regot SSNS", 1e-6] = failed
    assert report.means(cells, instances, methods, 1e-9, limit=20.0) == means
    best = report.versus_best(cells, instances, methods, 1e-9)
    assert "| one | 1 | regot SSNS | 2 | 0.50 |" in best
    assert "| two | 2 | POT sinkhorn | 4 | 0.50 |" in best
    wrong = report.disagreements(cells, {"one": 1.0, "two": 1.0})
    assert len(wrong) == 1
    assert "regot SSNS" in wrong[0]


def test_a_quick_run_without_peers(tmp_path, capsys):
    arguments = ["--quick", "--methods", "gnsopt auto", "--results", str(tmp_path)]
    assert command.main(arguments) == 0
    text = capsys.readouterr().out
    assert "| gnsopt auto |" in text
    assert "x " not in text
    files = list((tmp_path / "benchmarks" / "ot" / "cells").iterdir())
    assert len(files) == 2
    before = {path: path.stat().st_mtime_ns for path in files}
    assert command.main([*arguments, "--table"]) == 0
    assert command.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.parametrize("code", [1, -9])
def test_only_a_process_that_is_killed_is_a_failure_of_its_method(tmp_path, monkeypatch, code):
    monkeypatch.setattr(command.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=code))
    job = command.Job(tmp_path, 1.0, 1, force=False)
    if code > 0:
        with pytest.raises(SystemExit, match="ended with code 1"):
            job.ask("digits8 L1", "gnsopt auto", 1e-6)
        assert job.ask("digits8 L1", "gnsopt auto", 1e-6, run=False) is None
    else:
        assert job.ask("digits8 L1", "gnsopt auto", 1e-6)["killed"]


def test_names_and_absent_libraries(capsys):
    assert command.main(["--list", "--methods", "gnsopt*", "--instances", "rand*"]) == 0
    assert capsys.readouterr().out.split("\n\n")[0].splitlines() == [n for n in INSTANCES if n.startswith("rand")]
    with pytest.raises(SystemExit):
        command.main(["--methods", "no such"])
    assert "--list shows them" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in METHODS if name != "regot sparse_newton"])
def test_every_method_means_the_same_problem(name):
    one = METHODS[name]
    if not one.installed:
        pytest.skip(f"{one.module} is not installed")
    a, b, C, _ = digits(8, 2)
    a, b = a[:60] / a[:60].sum(), b / b.sum()
    C = C[:60]
    plan, iterations = one.solve(a, b, np.asarray(C, order=one.order), 0.05, 1e-10, 100_000)
    ours, _ = METHODS["gnsopt newton"].solve(a, b, C, 0.05, 1e-13, 100_000)
    if one.exact:
        assert np.sum(C * plan) <= np.sum(C * ours)
        assert cell.error_of(plan, a, b) < 1e-12
    else:
        np.testing.assert_allclose(plan, ours, atol=1e-9)
        assert iterations > 0

"""The benchmark of the main job on a set that needs no file: its numbers, its comparison and its resumption."""

import numpy as np
import pytest

from experiments.benchmarks import main_job, measure
from gnsopt import datasets
from tests.libraries import MULTINOMIAL


@pytest.mark.skipif(not MULTINOMIAL, reason="scikit-learn's dense method fits one classifier for each class")
def test_a_cell_agrees_with_its_peer_and_is_not_run_twice(tmp_path):
    job = main_job.Job(tmp_path, threads=1, peer_seconds=120.0, force=False)
    row = job.row("iris", "3/n", with_peers=True, run=True)
    assert (row["n"], row["d"], row["classes"], row["status"]) == (150, 4, 3, "converged")
    assert row["gnorm"] <= 1e-8
    assert row["peer"] == "newton-cholesky"
    assert row["relative_difference"] <= 1e-14
    assert not row["contradiction"]
    assert 0.05 < row["peak_gib"] < 8  # GiB, not KiB or bytes
    assert 0 < row["seconds"] < 600
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert len(before) == 4
    assert job.row("iris", "3/n", with_peers=True, run=True) == row
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == before
    assert "150 x 4 (3) | 3/n | converged" in main_job.table([row])


def test_absent_data_are_left_out(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("GNSOPT_DATA", str(tmp_path))
    job = main_job.Job(tmp_path, threads=1, peer_seconds=1.0, force=False)
    assert job.row("no-such-set", "1/n", with_peers=True, run=True) is None
    assert "no-such-set is left out" in capfd.readouterr().err


@pytest.mark.parametrize("data", ["breast_cancer", "iris"])
def test_the_independent_evaluation_is_that_of_the_problem(data):
    X, y = datasets.load(data)
    X = X / X.max(axis=0)
    objective = measure.problem(X, y, 0.3)
    x = np.random.default_rng(0).standard_normal(objective.n)
    value, gradient = measure.evaluate(X, y, 0.3, x)
    z = objective.prepare(x)
    assert value == pytest.approx(objective.fun(x, z), rel=1e-14)
    np.testing.assert_allclose(gradient, objective.grad(x, z), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", [*measure.SKLEARN, *measure.SCIPY])
def test_every_peer_answers_in_our_order_of_variables(name):
    if name == "newton-cholesky" and not MULTINOMIAL:
        pytest.skip("fits one classifier for each class")
    X, y = datasets.load("iris")
    answer = measure.peer(X, y, 0.02, name, seconds=60.0)
    assert answer["gnorm"] <= 1e-7  # scikit-learn's lbfgs ends there, on its line search
    assert answer["fun"] == pytest.approx(measure.limit(X, y, 0.02)["fun"], rel=1e-12)


def test_a_contradiction_is_told_from_a_peer_that_is_not_done():
    ours = {"fun": 1.0, "independent_fun": 1.0, "gnorm": 1e-12, "gnorm_2": 1e-12, "l2_value": 1e-8}
    theirs = {"fun": 1.0 + 1e-11, "gnorm": 1e-9, "gnorm_2": 1e-9}
    assert not main_job.compare(ours, theirs, "peer")["contradiction"]  # 1e-18/2e-8 = 5e-11 are allowed
    assert main_job.compare(ours, theirs | {"gnorm_2": 1e-10}, "peer")["contradiction"]
    assert main_job.compare(ours | {"independent_fun": 1 + 1e-12}, theirs, "peer")["contradiction"]


def test_the_table_goes_between_its_marks(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text(main_job.README.read_text())
    monkeypatch.setattr(main_job, "README", readme)
    main_job.write_readme("| one table |\n")
    once = readme.read_text()
    main_job.write_readme("| another |\n")
    assert readme.read_text() == once.replace("| one table |", "| another |")
    assert once.startswith("# Benchmarks")

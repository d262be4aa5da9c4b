"""The benchmark of bilevel methods, in its quick sizes: cells, their exact values, the report."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks.bilevel import report
from experiments.benchmarks.bilevel.plain import Plain
from experiments.benchmarks.bilevel.recorder import OutOfTime, Recorder
from experiments.benchmarks.bilevel.tasks import task
from gnsopt.bilevel import LogisticPenalties

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bilevel")
    command = [sys.executable, "-m", "experiments.benchmarks.bilevel", "--quick", "--results", str(folder)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


def test_cells_hold_exact_losses_on_two_sets(results):
    cells = [json.loads(path.read_text()) for path in results.glob("*.json")]
    assert {cell["task"] for cell in cells} == {"bc-feature", "bc-single"}
    for cell in cells:
        if np.isfinite(cell["validation"][-1]) and cell["method"] not in ("grid 30", "LogisticRegressionCV"):
            assert cell["validation"][-1] == pytest.approx(cell["believed"][-1], rel=0.05)
        counted = cell["method"] not in ("jaxopt", "LogisticRegressionCV")
        assert len(cell["works"]) == len(cell["limits"])
        assert (cell["work"] > 0) == counted
        assert cell["works"] == sorted(cell["works"])
    text = (results / "RESULTS.md").read_text()
    for head in ("**bc-single**", "**bc-feature**", "| maid-qn |", "test, 0.2 s"):
        assert head in text
    best = min(cell["validation"][-1] for cell in cells if cell["task"] == "bc-single")
    mine = next(c for c in cells if c["task"] == "bc-single" and c["method"] == "maid-qn")
    assert mine["validation"][-1] <= best * (1 + 1e-4)


def test_finished_cells_are_kept(results):
    command = [sys.executable, "-m", "experiments.benchmarks.bilevel", "--quick", "--results", str(results)]
    ran = subprocess.run([*command, "--tasks", "bc-single"], cwd=ROOT, capture_output=True, text=True)
    assert "bc-single, maid-qn: there" in ran.stdout
    wrong = subprocess.run([*command, "--tasks", "bc-double"], cwd=ROOT, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "'bc-double' is neither a task" in wrong.stderr


@pytest.mark.parametrize("name", ["bc-feature", "digits-class", "text-feature"])
def test_the_peers_problem_is_ours(name):
    given = task(name)
    plain = Plain(given.train, given.validation, given.groups)
    problem = LogisticPenalties(*given.train, *given.validation, groups=given.groups)
    assert (plain.n, plain.d) == (problem.n, problem.d)
    rng = np.random.default_rng(0)
    theta, w, v = rng.normal(-2, 1, plain.d), 0.3 * rng.standard_normal(plain.n), rng.standard_normal(plain.n)
    penalty = np.exp(theta)[plain.group]
    np.testing.assert_allclose(penalty, problem.penalties(theta))
    f, g, P = plain.loss(plain.X, plain.y, w)
    value, gradient = problem.lower(w, theta)
    assert f + 0.5 * w @ (penalty * w) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(g + penalty * w, gradient, rtol=1e-10, atol=1e-14)
    h = problem.objective(theta)
    H = h.hess(w, h.prepare(w))
    np.testing.assert_allclose(plain.product(P, penalty, v), H.matvec(v), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(plain.diagonal(P, penalty), H.diagonal(), rtol=1e-9)
    assert plain.loss(plain.Xv, plain.yv, w)[0] == pytest.approx(problem.upper(w, theta)[0], rel=1e-12)


def test_the_recorder_keeps_the_best_at_each_limit(monkeypatch):
    now = iter([0.0, 0.5, 0.9, 1.5, 2.5])
    monkeypatch.setattr("experiments.benchmarks.bilevel.recorder.time.process_time", lambda: next(now))
    recorder = Recorder((1.0, 2.0))
    recorder.start()
    for work, value in ((10.0, 3.0), (20.0, 4.0), (30.0, 2.0)):
        recorder.work = work
        recorder.see(value, [work / 10])
    recorder.work = 40.0
    with pytest.raises(OutOfTime):
        recorder.see(1.0, [4])
    assert [(value, theta.tolist()) for value, theta in recorder.end()] == [(3.0, [1.0]), (2.0, [3.0])]
    assert recorder.works == [30.0, 40.0]  # counted when the limit was seen to have passed


def test_the_report_judges_what_it_shows():
    def cell(task, method, values):
        return {
            "task": task,
            "method": method,
            "validation": values,
            "limits": [1, 2],
            "test": values,
            "work": 1.0,
            "ended": 1.0,
        }

    table = {
        ("bc-feature", "maid-qn"): cell("bc-feature", "maid-qn", [0.5, 0.5]),
        ("bc-feature", "hoag"): cell("bc-feature", "hoag", [0.9, 0.4]),
        ("bc-feature", "L-BFGS-B + implicit + Jacobi"): cell("bc-feature", "x", [0.5, 0.499]),
    }
    told = report._verdicts(table)
    assert "misses HOAG's" in told[0]
    assert "never loses" in told[1]

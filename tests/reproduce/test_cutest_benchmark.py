"""The CUTEst benchmark: its limits, its criterion, its tables, a quick run."""

import numpy as np
import pytest

from experiments.benchmarks.cutest import __main__ as command
from experiments.benchmarks.cutest import library, measure, report

needs_library = pytest.mark.skipif(not library.available(), reason="the problem library is not installed")


@needs_library
def test_sets_leave_out_what_is_wrong():
    constrained, free = library.equality_constrained(), library.unconstrained()
    assert len(constrained) == 73
    assert len(free) > 190
    assert not {"HIMMELBB", "GULF", "EQC", "DANWOODLS"} & {*constrained, *free}


@needs_library
def test_derivatives_of_the_library():
    file = library.CUTEst("HS77")
    rng = np.random.default_rng(0)
    x, y, v = 1 + 0.1 * rng.standard_normal(5), rng.standard_normal(2), rng.standard_normal(5)
    t = 1e-6
    up, down = x + t * v, x - t * v
    assert (file.fun(up) - file.fun(down)) / (2 * t) == pytest.approx(file.grad(x) @ v, rel=1e-7)
    np.testing.assert_allclose((file.cons(up) - file.cons(down)) / (2 * t), file.jac(x) @ v, rtol=1e-7)
    np.testing.assert_allclose((file.grad(up) - file.grad(down)) / (2 * t), file.hess(x) @ v, rtol=1e-6, atol=1e-8)
    curved = (file.jac(up).T @ y - file.jac(down).T @ y) / (2 * t)
    np.testing.assert_allclose(curved, file.cons_hess(x, y) @ v, rtol=1e-6, atol=1e-8)


@needs_library
def test_residuals_do_not_trust_the_solver():
    file = library.CUTEst("HS28")
    optimality, feasibility = measure.residuals(file, np.array([0.5, -0.5, 0.5]))
    assert max(optimality, feasibility) <= 1e-15
    optimality, feasibility = measure.residuals(file, np.array([1.0, 0.0, 0.0]))
    assert optimality > 0.1
    assert feasibility == pytest.approx(0.0)


@needs_library
def test_a_run_without_time_is_judged_where_it_began():
    row = measure.run("HS6", "gnsopt", 0.0)
    assert row["ended"] == "out of time"
    assert row["residual"] > 1e-3
    assert row["nit"] == -1


@needs_library
@pytest.mark.parametrize("which", ["constrained", "unconstrained"])
def test_quick_run(tmp_path, capsys, which):
    assert command.main([which, "--quick", "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "3 problems" in printed
    assert "| gnsopt | 3 | 3 | 3 |" in printed
    assert (tmp_path / "benchmarks" / "cutest" / f"{which}.md").read_text() == printed[:-1]
    before = sorted(tmp_path.rglob("*.json"))
    assert command.main([which, "--quick", "--table", "--results", str(tmp_path)]) == 0
    assert sorted(tmp_path.rglob("*.json")) == before


def test_tables():
    def row(residual, nit, f, H):
        return {"residual": residual, "nit": nit, "f": f, "H": H, "n": 2, "m": 1}

    cells = {
        ("A", "one"): row(1e-9, 4, 4, 4),
        ("A", "two"): row(1e-7, 16, 16, 0),
        ("B", "one"): row(1e-3, -1, 9, 9),
        ("B", "two"): row(1e-5, 2, 2, 2),
    }
    text = report.summary(cells, ["A", "B"], ["one", "two"])
    assert "| one | 1 | 1 | 1 | 4.0 | 4.0 | 4.0 |" in text
    assert "| two | 2 | 1 | 0 | 16.0 | 16.0 | 1.0 |" in text
    assert "| B | 2 | 1 | -/9/9 (1e-03) | 2/2/2 (1e-05) |" in report.details(cells, ["A", "B"], ["one", "two"])

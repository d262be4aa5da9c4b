"""Sweeps: what a toml means, what is written, and what a kill costs."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import OptimizeResult
from sklearn.linear_model import LogisticRegression

from experiments import config, run, storage, sweep
from experiments.results import load
from gnsopt import Status, datasets

ROOT = Path(__file__).parents[2]
HEAD = """
[provenance]
paper = "p"
figure = "f"
claim = "c"
"""
SMALL = """
[[grid]]
problem = {name = "logsumexp", n = 8, m = 9}
solver = {label = "GNS", method = "gns", metric = "gram"}
stop = {gap = 1e-8}
"""


@pytest.fixture
def toml(tmp_path):
    """Write a config into the folder of a paper."""

    def write(text, name="figure"):
        path = tmp_path / "paper" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD + text)
        return path

    return write


@pytest.fixture
def go(tmp_path, monkeypatch):
    """Run a config in this process, whose environment stays as it is."""
    monkeypatch.setattr(run.environment, "limit_threads_from_start", lambda threads: None)

    def main(path, *options):
        code = run.main([str(path), "--results", str(tmp_path / "results"), *options])
        return code, tmp_path / "results" / "paper"

    return main


# ---------------------------------------------------------------------------------------------------- the toml


def test_lists_and_grids_are_a_union_of_products(toml):
    cells = config.read(
        toml("""
        [[grid]]
        problem = {name = "logsumexp", n = [5, 6], mu = [1.0, 0.1]}
        solver = [
            {label = "a", method = "gns"},
            {label = "s {alpha:g}", method = "super-newton", alpha = [0.0, 0.5, 1.0]},
        ]
        stop = [{gtol = 1e-3}, {gtol = 1e-4}]
        [[grid]]
        problem = {name = "logsumexp", n = 7}
        solver = {label = "a", method = "gns"}
        """)
    ).cells
    assert len(cells) == len({cell.key for cell in cells}) == 2 * 2 * 4 * 2 + 1
    assert {cell.label for cell in cells} == {"a", "s 0", "s 0.5", "s 1"}
    assert {(cell.problem["n"], cell.problem.get("mu")) for cell in cells} == {
        *((n, mu) for n in (5, 6) for mu in (1.0, 0.1)),
        (7, None),
    }


def test_quick_changes_what_is_there_and_run_gives_defaults_of_stop(toml):
    path = toml("""
        [run]
        repeats = 5
        maxiter = 9
        [[grid]]
        problem = [{name = "logsumexp", n = 100}, {name = "logistic", data = "a9a"}]
        solver = {method = "gns"}
        stop = {gtol = 1e-3}
        [quick]
        problem = {n = 4, data = "iris"}
        run = {repeats = 1}
        stop = {gtol = 1e-1}
        """)
    full, quick = config.read(path), config.read(path, quick=True)
    assert [cell.problem for cell in full.cells] == [
        {"name": "logsumexp", "n": 100},
        {"name": "logistic", "data": "a9a"},
    ]
    assert [cell.problem for cell in quick.cells] == [
        {"name": "logsumexp", "n": 4},
        {"name": "logistic", "data": "iris"},
    ]
    assert full.cells[0].stop == {"maxiter": 9, "gtol": 1e-3}
    assert quick.cells[0].stop == {"maxiter": 9, "gtol": 1e-1}
    assert (full.cells[0].run["repeats"], quick.cells[0].run["repeats"]) == (5, 1)


def test_the_key_sees_every_setting_but_the_label(toml):
    def key(text):
        return config.read(toml(text)).cells[0].key

    assert key(SMALL) == key(SMALL.replace('"GNS"', '"another label"'))
    changes = {
        "n = 8": "n = 7",
        '"gram"': '"identity"',
        "gap = 1e-8": "gap = 1e-7",
        "[[grid]]": "[run]\nseed = 1\n[[grid]]",
    }
    assert len({key(SMALL), *(key(SMALL.replace(old, new)) for old, new in changes.items())}) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL.replace("stop", "stopp"), "unknown 'stopp'"),
        (SMALL.replace("gap", "gapp"), "unknown 'gapp'"),
        ("[run]\nrepets = 1" + SMALL, "unknown 'repets'"),
        (SMALL.replace('method = "gns", ', ""), "needs solver"),
        ("", "no cell"),
        ("[run", "figure.toml"),
        (SMALL + SMALL.replace('"gram"', '"identity"'), "two curves"),
        (SMALL.replace('"GNS"', '"{foo}"'), "label = '{foo}' .*KeyError.* one of label, method, metric"),
        (SMALL.replace('"GNS"', '"{}"'), "label = '{}' cannot be written"),
        (SMALL.replace('"GNS"', '"{"'), "label = '{' cannot be written"),
        (SMALL.replace('"GNS"', '"{metric:d}"'), "label = '{metric:d}' cannot be written"),
        *(
            (f"[run]\n{name} = {value}" + SMALL, f"{name} = .* must be an integer of at least {least}")
            for name, values, least in (
                ("threads", ('"a"', 0, -1, 1.5, "true", 10**30, "[1]"), 1),
                ("repeats", ('"a"', 0), 1),
                ("warmup", (-1,), 0),
                ("seed", ('"a"', -1, 0.5), 0),
                ("maxiter", (-1, '"a"'), 0),
            )
            for value in values
        ),
        ("[run]\nbudget = -1" + SMALL, "budget = -1 must be a number of at least 0"),
        ("[run]\ninterleave = 1" + SMALL, "interleave = 1 must be a string"),
        ("[run]\nseed = 2020-01-01" + SMALL, "seed = 2020-01-01 is a date"),
        (SMALL.replace("1e-8", '"a"'), "stop: gap = 'a' must be a number"),
        (SMALL.replace("1e-8", "nan"), "stop: gap = nan must be a number"),
        (SMALL.replace("{gap = 1e-8}", "1"), "stop = 1 must be a table"),
        (SMALL.replace("{gap = 1e-8}", "[1]"), "stop = 1 must be a table"),
        (SMALL.replace("n = 8", "n = 2020-01-01"), "problem: n = 2020-01-01 is a date"),
        (SMALL.replace("n = 8", "n = {a = [12:00:00]}"), "problem: n = .* is a date"),
        (SMALL.replace('"gram"', "2020-01-01T00:00:00"), "solver: metric = .* is a date"),
        (SMALL.replace('"logsumexp"', "1"), "problem: name = 1 must be a string"),
        (SMALL.replace('"gns"', "1"), "solver: method = 1 must be a string"),
        (SMALL.replace("{name", "1 # {name"), "problem = 1 must be a table"),
        (SMALL.replace("{name", "[1] # {name"), "problem = 1 must be a table"),
        (SMALL.replace("[[grid]]", "[grid]"), r"grid = .* must be tables; begin each with a line \[\[grid\]\]"),
    ],
)
def test_misuse_is_told(toml, text, message):
    with pytest.raises(ValueError, match=message):
        config.read(toml(text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("grid = 1", "grid = 1 must be tables"),
        ("grid = [1]", "grid = 1 must be a table"),
        ("run = 1", "run = 1 must be a table"),
        ("quick = 1", "quick = 1 must be a table"),
        ("quick.stop = 1", "quick.stop = 1 must be a table"),
        ("provenance = 1", "provenance = 1 must be a table"),
        ("provenance = {paper = 1}", "lacks paper, figure, claim; write each as a string"),
    ],
)
def test_what_is_no_table_ends_in_one_line(tmp_path, capsys, line, message):
    path = tmp_path / "x.toml"
    path.write_text(f"{line}\n{'' if line.startswith('provenance') else HEAD}")
    with pytest.raises(SystemExit) as exit:
        run.main([str(path), "--quick"])
    told = capsys.readouterr().err.strip().splitlines()
    assert (exit.value.code, told[-1].startswith("python -m experiments.run: error: ")) == (2, True), told
    assert message in told[-1]


def test_provenance_is_asked_for(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(HEAD.replace('claim = "c"', "") + SMALL)
    with pytest.raises(ValueError, match="lacks claim"):
        config.read(path)


# ---------------------------------------------------------------------------------------------------- results


def test_results_hold_what_was_run(toml, go):
    path = toml("[run]\nrepeats = 3\nwarmup = 1" + SMALL)
    code, folder = go(path)
    assert code == 0
    assert (folder / "figure" / "config.toml").read_bytes() == path.read_bytes()
    results = load(folder / "figure")
    (found,) = results.runs
    assert results.provenance["claim"] == "c"
    assert not results.quick
    facts = found.facts
    assert facts["status"] == "target_reached"
    assert 0 <= facts["fun"] - facts["f_star"] == facts["gap"] <= 1e-8 < found["fun"][-2] - facts["f_star"]
    assert facts["seconds_min"] <= facts["seconds"] <= facts["seconds_max"]
    assert facts["seconds_min"] == found["time"][-1]
    assert len(facts["cpu_each"].split()) == 3
    assert all(float(each) > 0 for each in facts["cpu_each"].split())
    assert (facts["nit"], facts["nsolve"]) == (len(found["fun"]) - 1, found["nsolve"][-1])
    assert found.reached(1e-8) == facts["nit"]
    assert found.reached(-1.0) == np.inf
    (surroundings,) = storage.read_json(folder / "figure" / "environment.json")["environments"]
    assert surroundings["numba_threads"] == 1
    assert all(pool["num_threads"] == 1 for pool in surroundings["pools"])
    assert {"python", "numpy", "scipy", "numba", "gnsopt", "commit", "processors"} <= set(surroundings)


def test_the_median_and_the_least_time_are_kept_and_the_warm_up_is_not_timed(toml, monkeypatch):
    (cell,) = config.read(toml("[run]\nrepeats = 5\nwarmup = 2" + SMALL)).cells
    seconds, plain, limits = iter([9.0, 3.0, 1.0, 5.0, 2.0, 4.0]), sweep._minimize, []

    def slow(cell, f_star, **overrides):
        found = plain(cell, f_star, **overrides)
        found.trace._rows[-1]["time"] = next(seconds)
        limits.append(overrides.get("maxiter"))
        return found

    monkeypatch.setattr(sweep, "_minimize", slow)
    ((facts, trace),) = sweep.measure([cell], sweep.minimum(cell)["f_star"])
    assert limits == [2, None, None, None, None, None]
    assert (facts["seconds_min"], facts["seconds"], facts["seconds_max"]) == (1.0, 3.0, 5.0)
    assert trace["time"][-1] == 1.0


def test_each_iteration_has_its_least_time(toml, monkeypatch):
    (cell,) = config.read(toml("[run]\nrepeats = 3" + SMALL)).cells
    plain, disturbed = sweep._minimize, iter([3, 1, 2])  # the iteration before which each run has to wait

    def waiting(cell, f_star, **overrides):
        found, after = plain(cell, f_star, **overrides), next(disturbed)
        for k, row in enumerate(found.trace._rows):
            row["time"] = k + (100.0 if k >= after else 0.0)
        return found

    monkeypatch.setattr(sweep, "_minimize", waiting)
    ((facts, trace),) = sweep.measure([cell], sweep.minimum(cell)["f_star"])
    steps = np.arange(facts["nit"] + 1)
    np.testing.assert_array_equal(trace["time"], np.where(steps >= 3, steps + 100.0, steps))


TURNS = """
[run]
repeats = 3
interleave = "growth"
[[grid]]
problem = {name = "logsumexp", n = 8, m = [9, 10]}
solver = {label = "{growth}", method = "gns", metric = "gram", growth = ["paper", "ratio"]}
stop = {gap = 1e-8}
"""


def order_of_runs(monkeypatch, seconds=None):
    """Note which rule runs on how many rows, and make each run last as long as `seconds` says."""
    order, plain = [], sweep._minimize

    def noted(cell, f_star, **overrides):
        order.append((cell.problem["m"], cell.solver["growth"]))
        found = plain(cell, f_star, **overrides)
        if seconds is not None:
            found["cpu"] = found.trace._rows[-1]["time"] = next(seconds)
        return found

    monkeypatch.setattr(sweep, "_minimize", noted)
    return order


def test_cells_that_are_compared_are_run_in_turns(toml, go, monkeypatch):
    order = order_of_runs(monkeypatch, iter([float(k) for k in range(1, 13)]))
    code, folder = go(toml(TURNS))
    assert code == 0
    once = ["paper", "ratio", "ratio", "paper", "paper", "ratio"]
    assert order == [(m, rule) for m in (9, 10) for rule in once]
    facts = {(run.facts["problem.m"], run.label): run.facts for run in load(folder / "figure").runs}
    assert facts[9, "paper"]["cpu_each"] == "1 4 5"
    assert facts[9, "ratio"]["cpu_each"] == "2 3 6"
    assert facts[10, "ratio"]["seconds"] == 9.0


def test_a_pair_is_run_anew_if_one_of_it_is_missing(toml, go, monkeypatch):
    path = toml(TURNS.replace("repeats = 3", "repeats = 1"))
    _, folder = go(path)
    lost = next(cell for cell in config.read(path).cells if (cell.problem["m"], cell.label) == (10, "ratio"))
    (folder / "cells" / f"{lost.key}.npz").unlink()
    order = order_of_runs(monkeypatch)
    go(path)
    assert order == [(10, "paper"), (10, "ratio")]


def test_repeats_end_with_the_budget_and_without_an_arrival(toml, go, monkeypatch):
    order = order_of_runs(monkeypatch, iter([0.1, 0.1, 0.1, 0.1, 0.5, 0.1]))
    go(toml(TURNS.replace("[run]", "[run]\nbudget = 0.25")))
    assert [m for m, _ in order] == [9, 9, 9, 9, 10, 10]
    order.clear()
    monkeypatch.undo()
    order = order_of_runs(monkeypatch)
    for cells in ({"maxiter": 2}, {}):
        group = [cell for cell in config.read(toml(TURNS)).cells if cell.problem["m"] == 9]
        group = [dataclasses.replace(cell, stop=cell.stop | cells) for cell in group]
        sweep.measure(group, sweep.minimum(group[0])["f_star"])
    assert len(order) == 2 + 6


def test_a_broken_cell_of_a_pair_costs_not_the_other(toml, go, capsys, monkeypatch):
    plain = sweep._minimize

    def broken(cell, f_star, **overrides):
        if cell.label == "ratio":
            raise ZeroDivisionError("no")
        return plain(cell, f_star, **overrides)

    monkeypatch.setattr(sweep, "_minimize", broken)
    code, folder = go(toml(TURNS))
    assert code == 1
    assert "ratio: ZeroDivisionError: no" in " ".join(capsys.readouterr().err.split())
    assert [run.label for run in load(folder / "figure").runs] == ["paper", "paper"]


def test_a_second_run_runs_nothing_and_force_runs_all(toml, go):
    path = toml(SMALL)
    _, folder = go(path)
    (cell,) = (folder / "cells").iterdir()
    before = cell.stat().st_mtime_ns
    go(path)
    go(toml(SMALL.replace('"GNS"', '"renamed"'), "other"))  # another figure with the same cell
    assert cell.stat().st_mtime_ns == before
    assert load(folder / "other").runs[0].label == "renamed"
    go(path, "--force")
    assert cell.stat().st_mtime_ns > before
    assert len(list((folder / "cells").iterdir())) == 1


def test_f_star_is_the_minimum(toml, go):
    _, folder = go(
        toml("""
        [[grid]]
        problem = {name = "softmax", data = "iris", l2 = "3/n", fit_intercept = true}
        solver = {label = "GNS", method = "gns"}
        stop = {gap = 1e-6}
        """)
    )
    facts = load(folder / "figure").runs[0].facts
    X, y = datasets.load("iris")
    model = LogisticRegression(C=1 / 3, solver="newton-cg", tol=1e-12, max_iter=1000).fit(X, y)
    loss = -np.mean(model.predict_log_proba(X)[np.arange(150), y.astype(int)])
    assert facts["f_star"] == pytest.approx(loss + 0.5 * 3 / 150 * np.sum(model.coef_**2), rel=1e-13)
    assert "grad f = 0" in facts["f_star_route"]
    assert 0 <= facts["gap"] <= 1e-6


def test_absent_data_are_left_out_with_a_message(toml, go, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GNSOPT_DATA", str(tmp_path))
    grid = """
        [[grid]]
        problem = {name = "logistic", data = "no-such-set"}
        solver = {label = "real", method = "gns"}
        """
    code, folder = go(toml(SMALL + grid))
    assert code == 0
    assert "left out: real: name='no-such-set'" in " ".join(capsys.readouterr().err.split())
    results = load(folder / "figure")
    assert [each.label for each in results.runs] == ["GNS"]
    assert "GNSOPT_DATA" in results.skipped[0]["message"]


def test_a_broken_cell_costs_no_other(toml, go, capsys):
    broken = SMALL.replace('"GNS"', '"broken"').replace('"gns"', '"gns", gamma0 = -1.0')
    code, folder = go(toml(broken + SMALL))
    assert code == 1
    assert "broken: ValueError: gamma0=-1.0" in " ".join(capsys.readouterr().err.split())
    assert [each.label for each in load(folder / "figure").runs] == ["GNS"]


def test_a_value_below_f_star_is_told(toml, go, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "minimum", lambda cell: {"f_star": 1e3, "route": "a wrong one"})
    code, folder = go(toml(SMALL))
    assert code == 1
    assert "below f* = 1000.0 (a wrong one)" in " ".join(capsys.readouterr().err.split())
    assert load(folder / "figure").runs[0].facts["gap"] < 0


def test_without_a_known_minimum_f_star_is_the_lowest_value(toml, go, monkeypatch):
    monkeypatch.setattr(sweep, "minimum", lambda cell: {"f_star": None, "route": "unknown"})
    worse = SMALL.replace('"GNS"', '"worse"').replace("gap = 1e-8", "maxiter = 2")
    code, folder = go(toml(SMALL.replace("gap = 1e-8", "gtol = 1e-6") + worse))
    assert code == 0
    best, worse = load(folder / "figure").runs
    assert best.facts["f_star"] == worse.facts["f_star"] == best.facts["fun"] < worse.facts["fun"]
    assert best.facts["f_star_route"] == "the lowest value of these runs"


def test_a_gap_without_a_known_minimum_is_refused(toml, go, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "minimum", lambda cell: {"f_star": None, "route": "unknown"})
    assert go(toml(SMALL))[0] == 1
    assert "use gtol" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("last", "found"), [(1e-14, True), (1e-9, False)])
def test_a_minimum_is_where_the_gradient_vanishes_whatever_ends_the_run(toml, monkeypatch, last, found):
    end = OptimizeResult(
        status=Status.STEP_FAILURE,
        fun=1.0,
        jac=np.array([last]),
        message="no step",
        trace={"gnorm": np.array([1, last])},
    )
    solver = SimpleNamespace(minimize=lambda *_, **__: end)
    monkeypatch.setattr(sweep, "GradNormSmooth", lambda: solver)
    (cell,) = config.read(toml(SMALL.replace("logsumexp", "polytope"))).cells
    if found:
        assert sweep.minimum(cell)["f_star"] == 1.0
    else:
        with pytest.raises(RuntimeError, match="no step"):
            sweep.minimum(cell)


def test_force_computes_every_minimum_anew(toml, go, monkeypatch):
    path = toml(SMALL.replace("n = 8", "n = [7, 8]"))
    go(path)
    asked, plain = [], sweep.minimum
    monkeypatch.setattr(sweep, "minimum", lambda cell: asked.append(cell.problem["n"]) or plain(cell))
    go(path)
    assert asked == []
    go(path, "--force")
    assert asked == [7, 8]


# ------------------------------------------------------------------------------------------------ interruptions

# The third gradient of the third of five cells sends a signal to the process, unless a file says that it was sent.
DEADLY = """
import os, signal, sys
from pathlib import Path

toml, results, sent, name = sys.argv[1:]
from experiments import catalog, run

def deadly(n, seed=0):
    instance = catalog.logsumexp(n, n + 1, seed=seed)
    objective, calls = instance.objective, []
    plain = objective.grad
    def grad(x, z):
        calls.append(1)
        if n == 13 and len(calls) == 3 and not Path(sent).exists():
            Path(sent).touch()
            os.kill(os.getpid(), getattr(signal, name))
        return plain(x, z)
    objective.grad = grad
    return instance

catalog.PROBLEMS["deadly"] = deadly
sys.exit(run.main([toml, "--results", results]))
"""
FIVE = """
[[grid]]
problem = {name = "deadly", n = [11, 12, 13, 14, 15]}
solver = {label = "GNS", method = "gns", metric = "gram"}
stop = {gap = 1e-8}
"""


@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -signal.SIGKILL), ("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_sweep_loses_the_running_cell_only(toml, tmp_path, name, code):
    folder = tmp_path / "results" / "paper"
    command = [sys.executable, "-c", DEADLY, toml(FIVE), folder.parent, tmp_path / "sent", name]

    def cells():
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (folder / "cells").iterdir()}

    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert first.returncode == code, first.stderr
    kept = cells()
    keys = [cell.key for cell in config.read(toml(FIVE)).cells]
    assert set(kept) == {f"{key}.npz" for key in keys[:2]}
    if name == "SIGINT":  # what is there can be drawn
        assert "goes on from there" in " ".join(first.stderr.split())
        results = load(folder / "figure")
        assert (len(results.runs), len(results.skipped)) == (2, 3)

    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    done = cells()
    assert {path: done[path] for path in kept} == kept
    assert set(done) == {f"{key}.npz" for key in keys}
    results = load(folder / "figure")
    assert [each.facts["problem.n"] for each in results.runs] == [11, 12, 13, 14, 15]
    assert all(each.facts["success"] for each in results.runs)


def test_a_killed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    storage.write_text(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from experiments.storage import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_failed_write_leaves_no_trace(tmp_path):
    with pytest.raises(RuntimeError), storage.replacing(tmp_path / "file"):
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_threads_are_limited_before_numpy_is_imported():
    code = (
        "import os, sys; from experiments import config, environment, run\n"
        "assert 'numpy' not in sys.modules and 'numba' not in sys.modules\n"
        "environment.limit_threads_from_start(1); import numpy; from threadpoolctl import threadpool_info\n"
        "assert all(pool['num_threads'] == 1 for pool in threadpool_info()) and os.environ['OMP_NUM_THREADS'] == '1'\n"
    )
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=plain, check=True)

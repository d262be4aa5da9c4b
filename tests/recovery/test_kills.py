"""Killed for real: what `gnsopt fit`, `gnsopt compare` and sweeps keep, and that they go on from it."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import dump_svmlight_file

import gnsopt
from experiments import config, results, storage, sweep
from experiments import run as runner
from gnsopt import Checkpoint, Logistic, Point, Status, cli, datasets
from gnsopt.cli import interrupt
from gnsopt.cli.interrupt import heed, interruptible, unhurried
from gnsopt.cli.misuse import Misuse
from gnsopt.cli.saving import save
from gnsopt.solvers import GradientMethod

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds for what takes one: machines are busy
pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
    pytest.mark.usefixtures("folder"),
]


@pytest.fixture
def started():
    """Start a process that is killed at the end of the test, whatever happens."""
    processes = []

    def start(*command):
        processes.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=os.getcwd())
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_until(ready, process):
    """Wait for a condition while the process lives."""
    limit = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit, "nothing happened"
        time.sleep(0.02)


@pytest.fixture
def long():
    """Data on which the gradient method takes more iterations than anyone waits for."""
    X, y = datasets.make_logistic(200, 20, condition=1e5, seed=0)
    dump_svmlight_file(X, y, "long.txt", zero_based=False)
    return Logistic(*datasets.load("./long.txt"), l2=1e-9)


LONG = "./long.txt --tol 0 --l2 1e-9"
FIT = f"fit {LONG} --method gradient --checkpoint c.npz --checkpoint-every 0"


# -------------------------------------------------------------------------------------------------------- fit


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_a_fit_that_is_killed_goes_on_with_the_steps_that_it_would_have_taken(gns, started, long, folder, name):
    saving = " --save-weights w.npz --save-trace t.csv"
    process = started(*(sys.executable, "-m", "gnsopt.cli"), *f"{FIT} --maxiter 1000000000{saving}".split())
    number, file = getattr(signal, name), Checkpoint("c.npz")
    wait_until(lambda: os.path.exists("c.npz") and file.load().nit >= 100, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (-number if name == "SIGKILL" else 128 + number), err
    assert "Traceback" not in err

    kept = file.load()
    assert kept.nit >= 100
    assert Point(long, kept.best).f == min(row["fun"] for row in kept.rows)
    if name == "SIGKILL":
        assert not os.path.exists("w.npz")
    else:
        assert kept.status == Status.INTERRUPTED
        with np.load("w.npz") as saved:
            assert_array_equal(saved["weights"], kept.best)
        with open("t.csv", newline="") as trace:
            assert [float(row["fun"]) for row in csv.DictReader(trace)] == [row["fun"] for row in kept.rows]

    maxiter = kept.nit + 50
    code, out, err = gns(f"{FIT} --maxiter {maxiter} --resume{saving}")
    assert (code, "starts anew" in out) == (1, False)
    assert re.search(rf"resumed +c.npz, {kept.nit} iterations", out)
    whole = GradientMethod().minimize(long, gtol=0, maxiter=maxiter)
    assert_array_equal([row["fun"] for row in file.load().rows], whole.trace["fun"])
    assert_array_equal(file.load().best, whole.x)
    assert sorted(os.listdir(folder)) == ["c.npz", "long.txt", "t.csv", "w.npz"], "no temporary file is left"


# A terminal that is closed: a signal comes, and whatever is printed from then on is an error.
CLOSED = """
import os, pty, signal, sys, time
child, terminal = pty.fork()
if child == 0:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may be deaf to it (nohup)
    os.execv(sys.executable, [sys.executable, "-m", "gnsopt.cli", *sys.argv[1:]])
while not os.path.exists("c.npz") and os.waitpid(child, os.WNOHANG) == (0, 0):
    time.sleep(0.02)
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_closed_terminal_costs_nothing():
    X, y = datasets.make_logistic(200, 20, condition=1e5, seed=0)
    dump_svmlight_file(X, y, "long.txt", zero_based=False)
    command = f"{FIT} --maxiter 1000000000 --maxtime 100 --save-weights w.npz --save-trace t.csv"
    done = subprocess.run([sys.executable, "-c", CLOSED, *command.split()], timeout=PATIENCE)
    assert done.returncode == 128 + signal.SIGHUP
    with np.load("w.npz") as saved:
        assert_array_equal(saved["weights"], Checkpoint("c.npz").load().best)
    assert os.path.exists("t.csv")


def test_resuming_says_what_it_does(gns):
    code, out, _ = gns("fit iris --method gns --checkpoint c.npz --resume --maxiter 3")
    assert (code, "nothing: c.npz is not there yet" in out) == (1, True)
    before = Path("c.npz").read_bytes()
    code, _, err = gns("fit iris --method gns --checkpoint c.npz")
    assert code == 2
    assert "--resume" in err
    assert Path("c.npz").read_bytes() == before
    code, out, err = gns("fit iris --method gns --checkpoint c.npz --resume")
    assert (code, "starts anew" in out) == (0, False)
    assert err.startswith("gns: iteration 4 "), "iterations are counted from the start of the whole run"
    gns("fit iris --method fast-gradient --checkpoint d.npz --maxiter 3")
    _, out, _ = gns("fit iris --method fast-gradient --checkpoint d.npz --maxiter 5 --resume")
    assert "starts anew from the best point" in out


@pytest.mark.parametrize(("method", "lost"), [("gns", False), ("gns:secant", True), ("gns:exact:nystrom", True)])
def test_resuming_says_that_what_a_curvature_remembers_is_lost(gns, method, lost):
    gns(f"fit iris --method {method} --checkpoint c.npz --maxiter 1")
    _, out, _ = gns(f"fit iris --method {method} --checkpoint c.npz --resume")
    assert ("what its curvature remembered is not there" in out) == lost


AT_THE_END = {  # what runs after the last step, and whether the file has that step
    "the last checkpoint": ("gnsopt.checkpoint.write", 7),
    "the summary": ("gnsopt.cli.fit.facts_of_result", 0),
    "the saving": ("numpy.savez", 0),
    "the accuracy": ("gnsopt.cli.fit.accuracy", 0),
}


@pytest.mark.parametrize("name", AT_THE_END)
def test_a_signal_after_the_last_step_does_not_cost_the_weights(gns, monkeypatch, name):
    place, status = AT_THE_END[name]
    module, _, function = place.rpartition(".")
    plain, came = getattr(sys.modules[module], function), []

    def interrupted(*args, **options):
        if not came and not (name == "the saving" and "weights" not in options):
            came.append(1)
            signal.raise_signal(signal.SIGTERM)
        return plain(*args, **options)

    monkeypatch.setattr(sys.modules[module], function, interrupted)
    code, out, err = gns("fit iris --method gns --checkpoint c.npz --save-weights w.npz --save-trace t.csv --quiet")
    assert came
    assert code == 143
    kept = Checkpoint("c.npz").load()
    assert kept.status == status
    with np.load("w.npz") as saved:
        assert_array_equal(saved["weights"].ravel(), kept.best)
    with open("t.csv", newline="") as trace:
        assert len(list(csv.DictReader(trace))) == len(kept.rows)
    assert ("interrupted after the fit" in err) == (status == 0)


@pytest.mark.parametrize("kept", [True, False])
def test_a_signal_outside_the_fit_says_what_is_there(gns, monkeypatch, kept):
    if kept:
        gns("fit iris --method gns --checkpoint c.npz --maxiter 2")
    monkeypatch.setattr(sys.modules["gnsopt.cli.fit"], "describe", lambda *_: signal.raise_signal(signal.SIGTERM))
    code, _, err = gns("fit iris --method gns --checkpoint c.npz --resume")
    assert code == 143
    assert err.strip() == f"interrupted outside the fit: {'c.npz is there, for --resume' if kept else 'nothing saved'}"


def test_a_checkpoint_that_cannot_be_written_is_told_at_once(gns, monkeypatch):
    Path("runs").mkdir()
    plain = gnsopt.Softmax.grad

    def removed(*args):
        shutil.rmtree("runs", ignore_errors=True)
        return plain(*args)

    monkeypatch.setattr(gnsopt.Softmax, "grad", removed)
    command = "fit iris --method gradient --checkpoint runs/c.npz --checkpoint-every 0 --maxiter 8"
    _, _, err = gns(command)
    lines = err.splitlines()
    told = [number for number, line in enumerate(lines) if "runs/c.npz was not written" in line]
    assert len(told) == 1
    assert told[0] < next(number for number, line in enumerate(lines) if "iteration 8" in line)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            "fit iris --checkpoint c.npz --save-weights ./c.npz",
            "--checkpoint c.npz would overwrite what --save-weights",
        ),
        ("fit shard-*.npz --save-weights shard-1.npz", "--save-weights shard-1.npz would overwrite what is read"),
        ("ot a.csv b.csv --save-plan b.csv", "--save-plan b.csv would overwrite what is read"),
    ],
)
def test_files_are_not_written_over_each_other(gns, command, told):
    for name in ("shard-1.npz", "shard-2.npz", "a.csv", "b.csv"):
        Path(name).write_text("1,2")
    code, _, err = gns(command)
    assert (code, err.count("\n")) == (2, 1)
    assert told in err


def test_a_signal_after_a_command_has_nothing_to_end(monkeypatch):
    before = {number: signal.getsignal(number) for number in interrupt.SIGNALS}
    monkeypatch.setattr(cli, "app", lambda: sys.exit(0))
    try:
        with pytest.raises(SystemExit):
            cli.main()
        assert all(signal.getsignal(number) == signal.SIG_IGN for number in before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("fit iris --resume", "--checkpoint FILE.npz"),
        ("fit iris --checkpoint c.npz --checkpoint-every -1", "--checkpoint-every -1"),
        ("fit iris --checkpoint c.txt", ".npz"),
        ("fit iris --checkpoint no/c.npz", "does not exist"),
        ("fit iris --checkpoint old.npz --resume", "is no checkpoint of gnsopt"),
        ("fit breast_cancer --checkpoint iris.npz --resume", "samples is 150 there and 569 here"),
        ("fit iris --l2 0.1 --checkpoint iris.npz --resume", "l2 is "),
        ("fit iris --method gradient --checkpoint iris.npz --resume", "method is "),
        ("compare iris --resume", "--save-runs FOLDER"),
        ("compare iris --save-runs old.npz", "is a file"),
        ("compare iris --save-runs no/folder", "no/folder"),
        ("compare iris --methods gns --save-runs runs", "take it with --resume"),
        ("compare iris --methods gns --save-runs runs --resume --tol 1e-3", "gtol is "),
        ("compare breast_cancer --methods gns --save-runs runs --resume", "samples is 150 there"),
    ],
)
def test_misuse_is_told_in_a_line_with_the_cure(gns, command, told):
    Path("old.npz").write_text("weights")
    gns("fit iris --method gns --checkpoint iris.npz --maxiter 2")
    gns("compare iris --methods gns --save-runs runs --no-figure")
    code, _, err = gns(f"{command} --quiet")
    assert (code, err.count("\n")) == (2, 1)
    assert told in err


@pytest.mark.parametrize("option", ["--save-weights w.npz", "--save-trace t.csv", "--checkpoint c.npz"])
def test_a_folder_that_cannot_be_written_is_told_before_any_work(gns, monkeypatch, option):
    monkeypatch.setattr(os, "access", lambda *_: False)
    code, out, err = gns(f"fit iris {option}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cannot be written" in err


# ---------------------------------------------------------------------------------------------------- compare


def test_a_comparison_that_is_killed_keeps_the_methods_that_have_run(gns, started, long):
    limits = f"{LONG} --maxiter 100000000 --no-figure --save-runs runs"
    command = f"compare {limits} --methods gns,gradient"
    process = started(*(sys.executable, "-m", "gnsopt.cli"), *command.split())
    kept = Path("runs", "gns.npz")
    wait_until(kept.exists, process)
    process.kill()
    process.communicate()
    before = kept.read_bytes(), kept.stat().st_mtime_ns
    code, out, err = gns(f"compare {limits} --methods gns,super-newton,scipy:L-BFGS-B --resume")
    assert "gns (1 of 3)" not in err, "it has run"
    assert "super-newton (2 of 3)" in err
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == before
    assert sorted(os.listdir("runs")) == ["gns.npz", "scipy_L-BFGS-B.npz", "super-newton.npz"]
    whole = gnsopt.GradNormSmooth().minimize(long, gtol=0)
    row = next(line.split() for line in out.splitlines() if line.startswith("gns "))
    assert str(whole.nit) in row
    assert_array_equal(Checkpoint(kept).load().best, whole.x)
    _, again, err = gns(f"compare {limits} --methods gns,super-newton,scipy:L-BFGS-B --resume")
    assert again == out, "the same table, seconds and all"
    assert err == ""


@pytest.mark.parametrize("when", ["in the run", "before it"])
def test_a_method_that_was_interrupted_has_not_run(gns, monkeypatch, when):
    plain = gnsopt.SuperNewton.minimize

    def interrupted(self, *args, **options):
        if options.get("maxiter") == 1:
            return plain(self, *args, **options)
        if when == "before it":
            signal.raise_signal(signal.SIGTERM)
        return plain(self, *args, **options | {"callback": lambda x: signal.raise_signal(signal.SIGTERM)})

    monkeypatch.setattr(gnsopt.SuperNewton, "minimize", interrupted)
    command = "compare iris --methods gns,super-newton,gradient --no-figure --save-runs runs"
    code, out, err = gns(command)
    assert code == 143
    assert ("interrupted" in out) == (when == "in the run"), "with its best point in the table"
    assert re.fullmatch(r"interrupted: [12] of 3 methods have run", err.splitlines()[-1])
    assert os.listdir("runs") == ["gns.npz"]
    monkeypatch.setattr(gnsopt.SuperNewton, "minimize", plain)
    code, out, err = gns(f"{command} --resume")
    assert [name for name in ("gns", "super-newton", "gradient") if f"{name} (" in err] == ["super-newton", "gradient"]


@pytest.mark.parametrize("place", ["gnsopt.cli.compare.report", "gnsopt.cli.kept_runs.write"])
def test_a_signal_in_the_table_or_the_keeping_does_not_uncount_the_runs(gns, monkeypatch, place):
    """While a run is kept: it is kept and counted, then the comparison ends."""
    module, _, function = place.rpartition(".")
    module = sys.modules[module]  # the package has the command by this name
    plain = getattr(module, function)
    monkeypatch.setattr(module, function, lambda *a: signal.raise_signal(signal.SIGTERM) or plain(*a))
    code, _, err = gns("compare iris --methods gns,super-newton --no-figure --save-runs runs")
    assert code == 143
    assert len(os.listdir("runs")) == (2 if function == "report" else 1)
    assert err.splitlines()[-1] == f"interrupted: {len(os.listdir('runs'))} of 2 methods have run"


def test_a_comparison_does_not_overwrite_what_another_one_has_kept_meanwhile(gns, monkeypatch):
    plain = gnsopt.GradNormSmooth.minimize

    def meanwhile(*args, **options):
        Path("runs", "gns.npz").write_text("theirs")
        return plain(*args, **options)

    monkeypatch.setattr(gnsopt.GradNormSmooth, "minimize", meanwhile)
    code, out, err = gns("compare iris --methods gns --no-figure --save-runs runs")
    assert (code, "gns " in out) == (0, True)
    assert "runs/gns.npz was not written: another comparison has, meanwhile" in err
    assert Path("runs", "gns.npz").read_text() == "theirs"


# ---------------------------------------------------------------------------------------------------- signals


def test_a_signal_waits_until_the_file_is_there():
    with pytest.raises(KeyboardInterrupt), interruptible() as signals:
        save(Path("a.txt"), lambda part: (signal.raise_signal(signal.SIGTERM), part.write_text("whole")))
    assert Path("a.txt").read_text() == "whole"
    assert signals.code == 143


def test_signals_wait_for_the_outermost_block():
    reached = []

    def inner():
        with unhurried():
            signal.raise_signal(signal.SIGINT)
        reached.append(1)

    with pytest.raises(KeyboardInterrupt), interruptible(), unhurried():
        inner()
    assert reached == [1]


def test_the_first_signal_decides_and_impatience_does_not_hurt(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: now[0])
    with interruptible() as signals:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        now[0] = 1.9
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            heed()
        now[0] = 2.1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signals.code == 143
    heed()


def test_handlers_come_back_and_what_nohup_ignores_stays_ignored():
    before = [signal.getsignal(number) for number in interrupt.SIGNALS]
    hup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in before
    finally:
        signal.signal(signal.SIGHUP, hup)
    assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before


def test_a_save_that_fails_is_told_in_a_line(monkeypatch):
    Path("a.txt").write_text("old")
    with pytest.raises(Misuse, match="No such file"):
        save(Path("gone", "a.txt"), lambda part: part.write_text("new"))

    def fails(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(Misuse, match="No space left"):
        save(Path("a.txt"), fails)
    assert os.listdir() == ["a.txt"]
    assert Path("a.txt").read_text() == "old"


# ----------------------------------------------------------------------------------------------------- sweeps

TOML = """
[provenance]
paper = "p"
figure = "f"
claim = "c"

[[grid]]
problem = {name = "logsumexp", n = [8, 9, 10], m = 12}
solver = {label = "GNS", method = "gns", metric = "gram"}
stop = {gap = 1e-8}
"""


@pytest.fixture
def go(monkeypatch, tmp_path, capsys):
    """Run a sweep of three cells in this process: ``go() -> (exit code, errors)``."""
    monkeypatch.setattr(runner.environment, "limit_threads_from_start", lambda threads: None)
    toml = tmp_path / "paper" / "figure.toml"
    toml.parent.mkdir()
    toml.write_text(TOML)

    def main(*options):
        code = runner.main([str(toml), "--results", str(tmp_path / "results"), *options])
        return code, " ".join(capsys.readouterr().err.split())

    main.cells = [tmp_path / "results" / "paper" / "cells" / f"{cell.key}.npz" for cell in config.read(toml).cells]
    main.figure = tmp_path / "results" / "paper" / "figure"
    main.optima = tmp_path / "results" / "paper" / "optima"
    return main


def measured(monkeypatch):
    """Record which cells are measured."""
    seen, plain = [], sweep.measure
    monkeypatch.setattr(
        sweep, "measure", lambda cells, f: seen.extend(c.problem["n"] for c in cells) or plain(cells, f)
    )
    return seen


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_damaged_cell_is_run_once_more_and_the_others_are_not(go, monkeypatch, content):
    assert go()[0] == 0
    kept = [path.read_bytes() for path in go.cells]
    go.cells[1].write_bytes(kept[1][:-40] if content is None else content)
    seen = measured(monkeypatch)
    code, err = go()
    assert (code, seen) == (0, [9])
    assert f"cell {go.cells[1].stem} is damaged: it is run once more" in err
    assert [go.cells[k].read_bytes() for k in (0, 2)] == [kept[0], kept[2]]
    assert len(results.load(go.figure).runs) == 3


def test_a_damaged_minimum_is_computed_once_more(go):
    assert go()[0] == 0
    kept = {path: storage.read_json(path) for path in go.optima.iterdir()}
    for path in kept:
        path.write_text('{"f_st')
    for path in go.cells:
        path.unlink()
    assert go()[0] == 0
    assert {path: storage.read_json(path) for path in go.optima.iterdir()} == kept


def test_a_signal_in_the_writing_of_a_cell_does_not_cost_it(go, monkeypatch):
    plain = np.savez

    def interrupted(file, **arrays):
        if "facts" in arrays and not go.cells[1].exists() and go.cells[0].exists():
            signal.raise_signal(signal.SIGTERM)
        plain(file, **arrays)

    monkeypatch.setattr(sweep.np, "savez", interrupted)
    code, err = go()
    assert code == 143
    assert "goes on from there" in err
    assert [path.exists() for path in go.cells] == [True, True, False]
    assert len(results.load(go.figure).runs) == 2
    seen = measured(monkeypatch)
    assert go()[0] == 0
    assert seen == [10]


def test_a_run_that_made_a_result_of_the_signal_is_not_a_finished_cell(go, monkeypatch):
    """Runs of transport and bilevel problems end with statuses of their own."""
    plain = gnsopt.GradNormSmooth.minimize

    def swallowed(self, problem, *args, **options):
        found = plain(self, problem, *args, **options)
        if problem.n == 9:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                found.status = int(Status.STEP_FAILURE)
        return found

    monkeypatch.setattr(gnsopt.GradNormSmooth, "minimize", swallowed)
    assert go()[0] == 130
    assert [path.exists() for path in go.cells] == [True, False, False]


def test_a_disk_that_is_full_ends_the_sweep_in_a_line_and_keeps_what_is_there(go, monkeypatch):
    plain = os.replace

    def full(part, path):
        if Path(path) == go.cells[1]:
            raise OSError(28, "No space left on device")
        plain(part, path)

    with monkeypatch.context() as context:
        context.setattr("gnsopt.files.os.replace", full)
        code, err = go()
    assert code == 1
    assert "the results cannot be written: [Errno 28] No space left on device" in err
    assert [path.exists() for path in go.cells] == [True, False, False]
    assert not list(go.cells[0].parent.glob(".*"))
    seen = measured(monkeypatch)
    assert go()[0] == 0
    assert seen == [9, 10]


def test_results_that_cannot_be_written_are_told_before_any_work(go, monkeypatch):
    seen = measured(monkeypatch)
    go.optima.parent.mkdir(parents=True)
    go.optima.write_text("in the way")
    code, err = go()
    assert (code, seen) == (1, [])
    assert "the results cannot be written" in err
    go.optima.unlink()
    monkeypatch.setattr(sweep.os, "access", lambda *_: False)
    code, err = go()
    assert (code, seen) == (1, [])
    assert "cannot be written" in err


def test_two_sweeps_at_once_share_their_cells(go, monkeypatch):
    """While this one runs its first cell, another one runs all three."""
    plain, seen = sweep.measure, []

    def shared(cells, f_star):
        seen.extend(cell.problem["n"] for cell in cells)
        if len(seen) == 1:
            with monkeypatch.context() as context:
                context.setattr(sweep, "measure", plain)
                assert go()[0] == 0
        return plain(cells, f_star)

    monkeypatch.setattr(sweep, "measure", shared)
    assert go()[0] == 0
    assert seen == [8], "the others were there when their turn came"
    assert len(results.load(go.figure).runs) == 3


def test_what_a_killed_sweep_was_writing_is_removed_by_the_next(go):
    code = (
        "import os, signal, sys; from pathlib import Path; from experiments.storage import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(go.cells[0])], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(go.cells[0].parent.iterdir())) == 1
    assert go()[0] == 0
    assert sorted(go.cells[0].parent.iterdir()) == sorted(go.cells)


def test_an_interrupt_before_the_sweep_is_a_line(go, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", interrupted)
    assert go() == (130, "interrupted: nothing was going on")


def test_results_of_another_format_are_refused(go):
    assert go()[0] == 0
    about = storage.read_json(go.figure / "environment.json")
    assert about["format"] == config.FORMAT
    storage.write_json(go.figure / "environment.json", about | {"format": 99})
    with pytest.raises(ValueError, match="is of format 99, this version reads format 2: run the sweep once more"):
        results.load(go.figure)
    storage.write_json(go.figure / "environment.json", {k: v for k, v in about.items() if k != "format"})
    assert len(results.load(go.figure).runs) == 3
    (go.figure / "trace.npz").write_bytes(b"half")
    with pytest.raises(ValueError, match="trace.npz is damaged"):
        results.load(go.figure)


def test_cells_of_another_format_are_run_anew(go, monkeypatch):
    assert go()[0] == 0
    monkeypatch.setattr(config, "FORMAT", 3)
    seen = measured(monkeypatch)
    assert go()[0] == 0
    assert seen == [8, 9, 10]
    assert all(path.exists() for path in go.cells), "and the old ones are kept"

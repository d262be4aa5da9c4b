"""``gnsopt fit`` on shards, here and on a cluster."""

import shlex

import numpy as np
import pytest

from gnsopt import Logistic, Softmax, datasets, minimize
from gnsopt.cli import app

X, y = datasets.make_softmax(120, 5, 3, seed=1)


@pytest.fixture
def gns(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of three shards: ``gns("fit ...") -> (exit code, output, errors)``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GNSOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COLUMNS", raising=False)
    for i in range(3):
        np.savez(f"part-{i}.npz", X=X[40 * i : 40 * i + 40], y=y[40 * i : 40 * i + 40])

    def run(line):
        with pytest.raises(SystemExit) as exit:
            app(shlex.split(line), prog_name="gnsopt")
        told = capsys.readouterr()
        return exit.value.code or 0, told.out, told.err

    return run


def test_a_name_with_brackets(gns, tmp_path):
    """Of a file that is there: it is read, and not written over."""
    (tmp_path / "part-0.npz").rename(tmp_path / "one[1].npz")
    code, out, err = gns("fit 'one[1].npz'")
    assert (code, "40 samples" in out) == (0, True), err
    code, _, err = gns("fit 'one[1].npz' --save-weights 'one[1].npz'")
    assert (code, "would overwrite what is read" in err) == (2, True), err


def objective(out):
    return float(next(line for line in out.splitlines() if line.startswith("objective")).split()[1])


def test_a_pattern_is_the_whole(gns):
    code, out, err = gns("fit 'part-*.npz' --l2 1e-2 --fit-intercept --save-weights w.npz --save-trace t.csv")
    whole = minimize(Softmax(X, y, l2=1e-2, fit_intercept=True))
    assert (code, "120 samples, 5 features, 3 classes" in out, "3 blocks" in out) == (0, True, True), err
    assert objective(out) == pytest.approx(whole.fun, rel=1e-13)
    chances = Softmax(X, y, fit_intercept=True).predict(whole.x, X)
    assert f"{np.mean(chances.argmax(axis=1) == y):.2%}" in out
    with np.load("w.npz") as saved:
        assert saved["weights"].shape == (6, 3)
        assert list(saved["classes"]) == [0, 1, 2]


def test_one_file_text_and_the_default_penalty(gns, tmp_path):
    for i in range(2):
        rows = [
            f"{int(t > 0)} " + " ".join(f"{j + 1}:{v!r}" for j, v in enumerate(x.tolist()))
            for x, t in zip(X, y, strict=True)
        ]
        (tmp_path / f"part-{i}.svm").write_text("\n".join(rows[60 * i : 60 * i + 60]) + "\n")
    code, out, _ = gns("fit 'part-*.svm'")
    assert code == 0
    assert objective(out) == pytest.approx(minimize(Logistic(X, y > 0, l2=1 / 120)).fun, rel=1e-13)
    code, out, _ = gns("fit ./part-0.npz")
    assert code == 0
    assert "40 samples" in out


def test_checkpoint_and_resume(gns):
    assert gns("fit 'part-*.npz' --maxiter 1 --checkpoint c.npz --quiet")[0] == 1
    code, out, _ = gns("fit 'part-*.npz' --checkpoint c.npz --resume")
    assert code == 0
    assert objective(out) == pytest.approx(minimize(Softmax(X, y, l2=1 / 120)).fun, rel=1e-13)


MISUSE = {
    "fit 'nothing-*.npz'": "no file matches",
    "fit 'part-*.npz' --loss logistic": "part-0.npz: its labels make 3 classes",
    "fit 'part-*.npz' --l2 many": "--l2 'many'",
    "fit 'part-*.npz' --dask nonsense://x": "no Dask scheduler answers at 'nonsense://x'",
    "fit 'bad*.npz'": "bad.npz has no array 'y'",
    "fit 'targets*.npz'": "are no classes (one is 0.5)",
}


@pytest.mark.parametrize("line", MISUSE)
def test_misuse_is_one_line(gns, line):
    if "--dask" in line:
        pytest.importorskip("distributed")
    np.savez("bad.npz", X=X)
    np.savez("targets.npz", X=X, y=np.r_[0.5, y[1:]])
    code, out, err = gns(line)
    assert (code, out) == (2, "")
    assert MISUSE[line] in " ".join(err.split())
    assert "Traceback" not in err


def test_on_a_cluster(gns, client):
    address = client.scheduler_info()["address"]
    code, out, err = gns(f"fit 'part-*.npz' --l2 1e-2 --dask {address}")
    assert code == 0, err
    assert objective(out) == pytest.approx(minimize(Softmax(X, y, l2=1e-2)).fun, rel=1e-13)
    code, out, err = gns(f"fit iris --l2 1e-2 --dask {address}")
    assert code == 0, err
    assert objective(out) == pytest.approx(minimize(Softmax(*datasets.load("iris"), l2=1e-2)).fun, rel=1e-13)

"""On a Dask cluster: the same bits, one round trip, and a worker that is lost costs time."""

import os
import signal
import subprocess
import sys
import types

import numpy as np
import pytest

from gnsopt import RowBlocks, Softmax, datasets, minimize
from gnsopt.blocks import connect, engines, shards, split
from gnsopt.blocks.engines import OnDask
from gnsopt.exceptions import MissingRequirement

X, y = datasets.make_softmax(640, 6, 3, density=0.5, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for i in range(16):
        S = X[40 * i : 40 * i + 40]
        arrays = {"data": S.data, "indices": S.indices, "indptr": S.indptr, "shape": S.shape}
        np.savez(folder / f"part-{i}.npz", y=y[40 * i : 40 * i + 40], **arrays)
    return folder


def files(folder):
    return shards(folder / "part-*.npz")


def test_the_run_on_a_cluster_is_the_run_here_bit_for_bit(client, folder):
    here = minimize(
        RowBlocks("softmax", files(folder), l2=1e-3), tol=1e-10, method="gns", options={"curvature": "exact"}
    )
    problem = RowBlocks("softmax", files(folder), l2=1e-3, client=client)
    there = minimize(problem, tol=1e-10, method="gns", options={"curvature": "exact"})
    assert there.success
    assert (there.x == here.x).all()
    memory = minimize(Softmax(X, y, l2=1e-3), tol=1e-10)
    ours = minimize(problem, tol=1e-10)
    assert (ours.nit, ours.nhev, ours.nhessp, ours.curvature) == (
        memory.nit,
        memory.nhev,
        memory.nhessp,
        memory.curvature,
    )
    assert abs(ours.fun - memory.fun) <= 1e-14


def test_arrays_of_this_process(client):
    ours = RowBlocks("softmax", split(X, y, rows=50), l2=1e-3, client=client)
    theirs = RowBlocks("softmax", split(X, y, rows=50), l2=1e-3)
    x = np.linspace(-1, 1, ours.n)
    assert (ours.prepare(x).g == theirs.prepare(x).g).all()
    assert ours.accuracy(x) == theirs.accuracy(x)


def test_an_evaluation_is_a_task_for_each_bundle_and_one_for_their_sum(client, folder, monkeypatch):
    problem = RowBlocks("softmax", files(folder), l2=1e-3, client=client)
    assert len(problem._handles) == 4  # two for each of two threads
    x = np.zeros(problem.n)
    calls = []

    class Counting:
        def __getattr__(self, name):
            def call(*args, **options):
                calls.append((name, len(args[1]) if name == "map" else 1))
                return getattr(client, name)(*args, **options)

            return call

    problem.engine = OnDask(Counting())
    problem.prepare(x + 1.0)
    assert calls == [("map", 4), ("submit", 1), ("gather", 1)]


def test_large_arguments_go_to_each_worker_once(client, monkeypatch):
    monkeypatch.setattr(engines, "LARGE", 8)
    ours, theirs = (RowBlocks("softmax", split(X, y, rows=50), l2=1e-3, client=c) for c in (client, None))
    x = np.linspace(-1, 1, ours.n)
    assert (ours.prepare(x).g == theirs.prepare(x).g).all()


def test_rows_do_not_move(client, folder):
    problem = RowBlocks("softmax", files(folder), l2=1e-3, client=client)
    for i in range(3):  # of a first task Dask does not know that it is short, and may move it
        problem.prepare(np.full(problem.n, 0.1 * i))
    before = {key: tuple(who) for key, who in client.who_has(problem._handles).items()}
    minimize(problem)
    assert {key: tuple(who) for key, who in client.who_has(problem._handles).items()} == before


def test_a_bad_shard_is_named_from_the_worker(client, folder, tmp_path):
    np.savez(tmp_path / "bad.npz", X=np.full((3, 6), np.nan), y=[0, 1, 2])
    with pytest.raises(ValueError, match=r"bad\.npz: X contains NaN"):
        RowBlocks("softmax", [*files(folder), *shards([tmp_path / "bad.npz"])], client=client)
    with pytest.raises(ValueError, match="threads=2"):
        RowBlocks("softmax", files(folder), client=client, threads=2)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_time_and_no_bit(client, folder):
    settings = {"tol": 1e-10, "method": "gns"}
    problem = RowBlocks("softmax", files(folder), l2=1e-3, client=client)
    quiet = minimize(problem, **settings)
    killed = []

    def callback(xk):
        if len(killed) == 0:
            pids = client.run(os.getpid)
            victim = next(iter({who[0] for who in client.who_has(problem._handles).values()}))
            killed.append(pids[victim])
            os.kill(pids[victim], signal.SIGKILL)

    again = minimize(problem, callback=callback, **settings)
    assert killed
    assert again.success
    assert (again.x == quiet.x).all()
    assert again.nit == quiet.nit
    client.wait_for_workers(2, timeout=60)


def test_a_cluster_without_workers_is_refused(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "PATIENCE", 0.1)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        pytest.raises(ValueError, match="no worker for"),
    ):
        RowBlocks("softmax", split(X, y), client=client)


def test_what_goes_wrong_with_the_cluster_is_no_numerical_trouble(client, folder):
    """It leaves the run, where a trial that cannot be evaluated is only rejected."""
    distributed = pytest.importorskip("distributed")
    worker = types.SimpleNamespace(address="tcp://gone")
    for error in (distributed.KilledWorker("task", worker, 3), distributed.CancelledError("task")):

        class Failing:
            def __getattr__(self, name):
                return getattr(client, name)

            def gather(self, futures, error=error):
                raise error

        problem = RowBlocks("softmax", files(folder), l2=1e-3, client=client)
        problem.engine = OnDask(Failing())
        with pytest.raises(OSError, match="died|gone"):
            problem.prepare(np.zeros(problem.n))


def test_connect_says_what_is_wrong(monkeypatch):
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="no Dask scheduler answers at 'nonsense://x'"):
        connect("nonsense://x")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingRequirement, match=r"pip install 'gnsopt\[dask\]'"):
        connect("tcp://127.0.0.1:1")


def test_dask_is_imported_only_by_those_who_use_it():
    code = "import sys, gnsopt, gnsopt.estimators, gnsopt.cli; sys.exit('dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

"""On a Dask cluster: the same bits, one round trip, and a worker that is lost costs time."""

import os
import pickle
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from scipy.sparse import csr_array

from gnsopt import RowBlocks, Softmax, datasets, minimize
from gnsopt.blocks import connect, engines, shards, split
from gnsopt.blocks.engines import OnDask, _each
from gnsopt.blocks.sources import Part
from gnsopt.blocks.survey import look
from gnsopt.blocks.work import Local
from gnsopt.exceptions import MissingRequirement

X, y = datasets.make_softmax(640, 6, 3, density=0.5, seed=1)
DENSE = np.random.default_rng(1).standard_normal((800, 6))
TARGETS = {
    "logistic": DENSE[:, 0] + DENSE[::-1, 1] > 0,
    "squared": DENSE[:, 0] + DENSE[::-1, 1],
    "poisson": np.round(np.exp(0.3 * DENSE[:, 0])),
}


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


@pytest.mark.parametrize("model", TARGETS)
def test_no_bit_depends_on_how_dense_rows_came(client, model):
    """Arrays from a message may be unaligned, and NumPy's products with them have other bits."""
    blocks = split(DENSE, TARGETS[model], 1.0 + np.arange(800) % 3, rows=50)
    runs = [minimize(RowBlocks(model, blocks, l2=1e-3, client=where)) for where in (None, client, client)]
    assert len({run.x.tobytes() for run in runs}) == 1


@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_sent_unaligned_is_the_same(sparse):
    """A message as Dask may cut it: nothing begins at a multiple of eight bytes."""
    rows = csr_array(DENSE * (DENSE > 0.5)) if sparse else DENSE
    plan = RowBlocks("logistic", split(rows, TARGETS["logistic"], rows=800), l2=1e-3)._handles[0]._make.args[2][0]
    part = Part(rows, TARGETS["logistic"], np.ones(800))
    x = np.linspace(-1, 1, 6)
    here = Local(part, plan)
    for there in (Local(cut(part), plan), cut(here)):
        for task in (lambda made: made.evaluate(x, ("hess",)), Local.moments):
            assert [np.asarray(a).tobytes() for a in task(there)] == [np.asarray(a).tobytes() for a in task(here)]
    facts, others = look(part, True), look(cut(part), True)
    assert facts.moments.tobytes() == others.moments.tobytes()
    given = []
    _each([here], lambda made, v: given.append(v), [cut(x)])
    assert given[0].flags.aligned


def cut(value):
    """Return `value` sent to another process, its arrays one byte off."""
    buffers = []
    text = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(text, buffers=[memoryview(b"x" + bytes(b.raw()))[1:] for b in buffers])


def test_an_evaluation_is_a_task_for_each_bundle_and_one_for_their_sum(client, folder, monkeypatch):
    problem = RowBlocks("softmax", files(folder), l2=1e-3, client=client)
    assert len(problem._handles) == 4  # two for each of two threads
    x = np.zeros(problem.n)
    calls = []

    class Counting:
        def __getattr__(self, name):
            if not callable(getattr(client, name)):
                return getattr(client, name)

            def call(*args, **options):
                calls.append((name, len(args[1]) if name == "map" else 1))
                return getattr(client, name)(*args, **options)

            return call

    problem.engine = OnDask(Counting())
    problem.prepare(x + 1.0)
    assert [call for call in calls if call[0] != "sync"] == [("map", 4), ("submit", 1), ("gather", 1)]


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
@pytest.mark.parametrize("large", [engines.LARGE, 8])
@pytest.mark.parametrize("model", ["softmax", "logistic"])
def test_a_worker_that_is_killed_costs_time_and_no_bit(client, folder, monkeypatch, model, large):
    """Nor does one that dies with a large argument."""
    monkeypatch.setattr(engines, "LARGE", large)
    settings = {"tol": 1e-10, "method": "gns"}
    blocks = files(folder) if model == "softmax" else split(DENSE, TARGETS[model], rows=50)
    problem = RowBlocks(model, blocks, l2=1e-3, client=client)
    quiet = minimize(RowBlocks(model, blocks, l2=1e-3), **settings)
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


def test_a_cluster_that_loses_all_workers_ends_the_run(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "PATIENCE", 0.5)
    monkeypatch.setattr(engines, "TICK", 0.1)
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0", silence_logs=50) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        problem = RowBlocks("softmax", split(X, y), client=client)
        with pytest.raises(OSError, match=r"no worker for 0\.5 s; start one with 'dask worker"):
            minimize(problem, callback=lambda xk: cluster.scale(0))
        cluster.scale(1)
        problem = RowBlocks("softmax", split(X, y), client=client)
        with pytest.raises(OSError, match="client of the cluster is closed: keep it open"):
            minimize(problem, callback=lambda xk: client.close())
        with pytest.raises(ValueError, match="client is closed: connect anew"):
            RowBlocks("softmax", split(X, y), client=client)


def test_a_client_of_a_coroutine_is_refused(client):
    class Asynchronous:
        asynchronous = True

        def __getattr__(self, name):
            return getattr(client, name)

    with pytest.raises(TypeError, match="asynchronous"):
        RowBlocks("softmax", split(X, y), client=Asynchronous())


def test_arguments_of_a_middle_size_are_not_taken_for_each_other(client):
    """Dask gives what it finds large a name of its own, which two runs at once would share."""
    bundle = [client.submit(list, ["made"], pure=False)]
    asked = [OnDask(client)._map(_each, bundle, _second, [np.full(14_000, float(i))]) for i in range(3)]
    assert client.gather([futures[0] for futures in asked]) == [[0.0], [1.0], [2.0]]


def _second(made, x):
    time.sleep(0.1)
    return float(x[0])


def test_what_goes_wrong_with_the_cluster_is_no_numerical_trouble(client, folder):
    """It leaves the run, where a trial that cannot be evaluated is only rejected."""
    distributed = pytest.importorskip("distributed")
    worker = types.SimpleNamespace(address="tcp://gone")
    for error in (distributed.KilledWorker("task", worker, 3), distributed.CancelledError("task")):

        class Failing:
            def __getattr__(self, name):
                return getattr(client, name)

            async def gather(self, futures, asynchronous, error=error):
                raise error

        problem = RowBlocks("softmax", files(folder), l2=1e-3, client=client)
        problem.engine = OnDask(Failing())
        with pytest.raises(OSError, match="died|gone"):
            problem.prepare(np.zeros(problem.n))


def test_connect_says_what_is_wrong(monkeypatch):
    pytest.importorskip("distributed")
    for address in ("nonsense://x", "nonsense", "", "-1", "http://x:1", "x:0", "x:99999", "tcp://[::1]"):
        with pytest.raises(ValueError, match=f"no Dask scheduler answers at {address!r}: write".replace("[::1]", ".*")):
            connect(address)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingRequirement, match=r"pip install 'gnsopt\[dask\]'"):
        connect("tcp://127.0.0.1:1")


def test_addresses_as_dask_writes_them(monkeypatch):
    distributed = pytest.importorskip("distributed")
    asked = []
    monkeypatch.setattr(distributed, "Client", lambda address, **options: asked.append(address))
    addresses = ["tcp://10.0.0.1:8786", "10.0.0.1:8786", "tls://a.b-c:1", "tcp://[::1]:8786", "inproc://10.0.0.1/7/1"]
    for address in addresses:
        connect(address)
    assert asked == addresses


def test_dask_is_imported_only_by_those_who_use_it():
    code = "import sys, gnsopt, gnsopt.estimators, gnsopt.cli; sys.exit('dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

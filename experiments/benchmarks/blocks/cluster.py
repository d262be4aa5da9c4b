"""A cluster of two worker processes of this machine: the run of the rows in memory, its overhead, a worker killed.

Run as ``python -m experiments.benchmarks.blocks.cluster``; data by name as `gnsopt.datasets.load` finds them.
"""

import argparse
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster

import gnsopt
from gnsopt.blocks import shards, work

COUNTS = ("nit", "nfev", "njev", "nhev", "nhessp", "nsolve")


def write(folder, X, y, parts):
    ends = [len(y) * i // parts for i in range(parts + 1)]
    for i, (lo, hi) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        S = X[lo:hi]
        np.savez(folder / f"part-{i}.npz", data=S.data, indices=S.indices, indptr=S.indptr, shape=S.shape, y=y[lo:hi])
    return shards(folder / "part-*.npz")


def median_ms(task, times):
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - began)
    return {"median": round(1e3 * float(np.median(seconds)), 1), "least": round(1e3 * min(seconds), 1)}


def timed(problem, **settings):
    began = time.perf_counter()
    result = gnsopt.minimize(problem, tol=1e-8, **settings)
    return result, time.perf_counter() - began


def kill_after(seconds, client, killed):
    """Kill one worker process after a while."""

    def task():
        time.sleep(seconds)
        pids = client.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        killed.append(True)

    thread = threading.Thread(target=task)
    thread.start()
    return thread


def measure(name, parts):
    X, y = gnsopt.datasets.load(name)
    model = gnsopt.Logistic if np.unique(y).size == 2 else gnsopt.Softmax
    here = model(X, y, l2=1 / len(y))
    gnsopt.minimize(here, options={"maxiter": 2})  # compiles the kernels
    memory, seconds = timed(here)
    out = {"in memory": {**{key: memory[key] for key in COUNTS}, "fun": memory.fun, "seconds": round(seconds, 2)}}
    with tempfile.TemporaryDirectory() as folder:
        blocks = write(Path(folder), X, y, parts)
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
        with cluster, Client(cluster) as client:
            problem = gnsopt.RowBlocks(model, blocks, l2=1 / len(y), client=client)
            gnsopt.minimize(problem, options={"maxiter": 2})
            quiet, seconds = timed(problem)
            told = {key: quiet[key] for key in COUNTS}
            out["two workers"] = {**told, "difference": quiet.fun - memory.fun, "seconds": round(seconds, 2)}
            x = np.zeros(problem.n)
            out["ms"] = {
                "empty evaluation on the cluster": median_ms(lambda: problem.total(nothing, x), 100),
                "evaluation on the cluster": median_ms(
                    lambda: problem.total(work.Local.evaluate, next(other(x)), ()), 30
                ),
                "evaluation in memory": median_ms(
                    lambda: (lambda p: here.grad(p, here.prepare(p)))(next(other(x))), 30
                ),
            }
            killed = []
            thread = kill_after(seconds / 3, client, killed)
            again, longer = timed(problem)
            thread.join()
            out["a worker killed"] = {
                "iterations": again.nit,
                "same bits": bool((again.x == quiet.x).all()),
                "seconds": round(longer, 2),
                "killed": bool(killed),
            }
    return out


def nothing(local, x):
    """Return sums of the sizes of an evaluation, without work."""
    return 0.0, np.zeros_like(x)


def other(x, seed=iter(range(10**9))):  # noqa: B008
    """Yield a point that nobody has seen: what is kept of a point does not help."""
    yield x + 1e-3 * next(seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*", default=["covtype.libsvm.binary.scale", "covtype"])
    parser.add_argument("--parts", type=int, default=16)
    args = parser.parse_args()
    for name in args.data:
        print(name, json.dumps(measure(name, args.parts), indent=1), flush=True)


if __name__ == "__main__":
    main()

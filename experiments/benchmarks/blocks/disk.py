"""Rows on disk: logistic regression on 5 million x 100 float64 in a file of 4 GB, a pass at a time.

Run as ``python -m experiments.benchmarks.blocks.disk``; the file is made in a temporary folder and deleted afterwards.
Each measure is a process of its own, so that its largest resident memory is that of the measure.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import gnsopt
from gnsopt.blocks import split

ROWS, FEATURES = 5_000_000, 100
CHUNK = 50_000  # rows that are drawn at a time


def generate(folder, n, d, seed=0):
    """Write X.npy and y.npy: Gaussian features whose scales fall from 1 to 0.1, labels of a logistic model."""
    rng = np.random.default_rng(seed)
    scale, w = np.geomspace(1, 0.1, d), rng.standard_normal(d)
    w *= 2 / np.linalg.norm(scale * w)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float64, (n, d))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.int8, (n,))
    X.flush()
    for lo in range(0, n, CHUNK):
        hi = min(lo + CHUNK, n)
        rows = scale * rng.standard_normal((hi - lo, d))
        y[lo:hi] = rows @ w + rng.logistic(size=hi - lo) > 0
        with open(folder / "X.npy", "r+b") as file:
            file.seek(X.offset + 8 * d * lo)
            rows.tofile(file)
    del X
    y.flush()


def forget(folder):
    """Drop the files from the page cache: the next pass comes from the disk."""
    for name in ("X.npy", "y.npy"):
        with open(folder / name, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak():
    """Return the largest resident memory in MB, of all kinds of pages, and what is anonymous now."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
            "anonymous_mb": int(status["RssAnon"].split()[0]) / 1000}  # fmt: skip


def timed(task):
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    return {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def open_blocks(folder):
    return split(*(np.load(folder / name, mmap_mode="r") for name in ("X.npy", "y.npy")))


def read(blocks):
    """Read all blocks, by as many threads as a pass takes."""
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda block: block.X.read()[0, 0], blocks):
            pass


class Timed:
    """An engine that reads the rows plainly just before each pass: other work of the machine slows down both."""

    def __init__(self, engine, blocks, before):
        self.engine, self.blocks, self.before = engine, blocks, before
        self.read, self.passes = [], []

    def total(self, *args):
        out = []
        for times, task in (
            (self.read, lambda: read(self.blocks)),
            (self.passes, lambda: out.append(self.engine.total(*args))),
        ):
            self.before()
            times.append(timed(task))
        return out[0]


def middle(times, what):
    return round(float(np.median([t[what] for t in times])), 2)


def measure(folder, cold):
    warm_up = gnsopt.RowBlocks("logistic", split(*gnsopt.datasets.make_logistic(999, 100)), l2=1e-3)
    gnsopt.minimize(warm_up)  # compiles the kernels
    blocks = open_blocks(folder)
    before = (lambda: forget(folder)) if cold else (lambda: None)
    before()
    out = []
    survey = timed(lambda: out.append(gnsopt.RowBlocks("logistic", blocks, l2=1 / ROWS)))
    problem = out[0]
    problem.engine = engine = Timed(problem.engine, blocks, before)
    result = gnsopt.minimize(problem, tol=1e-8)
    ratios = [r["seconds"] / p["seconds"] for r, p in zip(engine.read, engine.passes, strict=True)]
    return {
        "survey": survey,
        "passes": len(engine.passes),
        "read: seconds, cpu": (middle(engine.read, "seconds"), middle(engine.read, "cpu")),
        "pass: seconds, cpu": (middle(engine.passes, "seconds"), middle(engine.passes, "cpu")),
        "speed of reading that a pass has": round(float(np.median(ratios)), 2),
        "ratios": [round(r, 2) for r in ratios],
        "iterations": result.nit,
        "gradient": np.abs(result.jac).max(),
        "status": result.message,
        "objective": result.fun,
        "curvature": result.curvature,
        **peak(),
        "load": os.getloadavg()[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="measure the files of this folder, in this process")
    parser.add_argument("--cold", action="store_true", help="drop the files from the page cache before each pass")
    args = parser.parse_args()
    if args.folder:
        print(json.dumps(measure(args.folder, args.cold), indent=1))
        return
    with tempfile.TemporaryDirectory() as name:
        print(f"generate: {timed(lambda: generate(Path(name), ROWS, FEATURES))}", flush=True)
        for cold in ([], ["--cold"]):
            command = [sys.executable, "-m", "experiments.benchmarks.blocks.disk", "--folder", name, *cold]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{'from the disk' if cold else 'from the page cache'}: {done.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()

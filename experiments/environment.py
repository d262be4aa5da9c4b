"""What a measurement depends on besides its settings: threads, limited here, and versions, recorded here."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS")
LIBRARIES = ("numpy", "scipy", "numba", "sklearn", "matplotlib")


def limit_threads_from_start(threads: int) -> None:
    """Size the thread pools of the libraries that are not loaded yet: call it before NumPy is imported."""
    for name in VARIABLES:
        if name != "NUMBA_NUM_THREADS" or "numba" not in sys.modules:  # a loaded Numba refuses another number
            os.environ[name] = str(threads)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Limit BLAS, OpenMP and Numba inside a block, whatever the pools' sizes."""
    import numba
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        numba.set_num_threads(before)


def describe() -> dict[str, Any]:
    """Return versions, threads as they are limited now, processors and the commit; neither names nor paths."""
    import numba
    from threadpoolctl import threadpool_info

    import gnsopt

    return {
        "gnsopt": gnsopt.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        **{name: sys.modules[name].__version__ for name in LIBRARIES if name in sys.modules},
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "numba_threads": numba.get_num_threads(),
        "pools": [
            {name: pool.get(name) for name in ("internal_api", "version", "architecture", "num_threads")}
            for pool in threadpool_info()
        ],
    }


def commit() -> str | None:
    """Return the commit of this checkout, with ``-dirty`` where files differ from it; None outside of one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None

"""What every test has: one BLAS thread, no window, the same hypothesis examples each time, data by name."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before NumPy is imported (nothing above imports it): a thread pool is sized when its library loads.
# Subprocesses inherit the setting.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# Slow generation says something about the load of the machine, not about the code.
settings.register_profile(
    "gnsopt",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gnsopt")


@pytest.fixture(scope="session")
def data():
    """Load a data set by name, ``data("a9a")``; skip the test where the file is absent."""
    folder = os.environ.get("GNSOPT_DATA")

    def load(name, **options):
        if not folder:
            pytest.skip("GNSOPT_DATA is not set")
        if not any((Path(folder) / (name + suffix)).is_file() for suffix in ("", ".xz", ".bz2", ".gz")):
            pytest.skip(f"no data set {name!r} in the folder that GNSOPT_DATA names")
        from gnsopt import datasets

        return datasets.load(name, **options)

    return load


@pytest.fixture
def folder(tmp_path, tmp_path_factory, monkeypatch):
    """An empty folder to work in, and an environment without data folder, cache, colours or window size."""
    for name in ("GNSOPT_DATA", "COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GNSOPT_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gns(folder, capsys):
    """Run a command in this process: ``gns("fit iris") -> (exit code, output, errors)``."""
    from gnsopt.cli import app

    def run(command):
        with pytest.raises(SystemExit) as end:
            app(command.split(), prog_name="gnsopt")
        written = capsys.readouterr()
        return end.value.code, written.out, written.err

    return run

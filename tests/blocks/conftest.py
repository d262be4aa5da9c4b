"""A cluster of two worker processes, once for all tests that need one."""

import pytest


@pytest.fixture(scope="session")
def client():
    """A client of two worker processes; skip the test without Dask."""
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("dask.array")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client

"""Runs the tests of peers: marks what does not apply, and records what comes of each test for the table."""

import numpy as np
import pytest
import scipy

from tests.peers.suite import APART, FAILED, PASSED, UNTOUCHED, name_of

OWN = "test_the_table"  # an adapter's own test: the table, against what has just come of the others


def suite_of(item):
    """Return the suite of a peer's test, None for one of ours."""
    suite = getattr(getattr(item, "module", None), "SUITE", None)
    return None if suite is None or item.name.startswith(OWN) else suite


@pytest.hookimpl(tryfirst=True)  # before -k and the like leave tests out
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if not (suite := suite_of(item)) or suite.scope(item)]
    for item in items:
        if suite := suite_of(item):
            suite.collected.add(name_of(item))
            if reason := suite.reason(item, suite.apart):
                item.add_marker(pytest.mark.skip(reason=f"{APART}: {reason}"))
            elif reason := suite.reason(item, suite.failures):
                item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture(autouse=True)
def array_api(monkeypatch):
    """Let scikit-learn's tests of the array API run: with NumPy's arrays they need nothing more."""
    if np.lib.NumpyVersion(scipy.__version__) >= "1.14.0":  # older ones refuse
        monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    suite = suite_of(pyfuncitem)
    if suite is None:
        return (yield)
    suite.used = False
    result = yield
    if not suite.used:
        pytest.skip(f"{APART}: {UNTOUCHED}")
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    suite = suite_of(item)
    if suite and (report.when == "call" or report.outcome != "passed"):
        name = name_of(item)
        if hasattr(report, "wasxfail"):
            known = suite.reason(item, suite.failures)
            suite.outcomes[name] = (FAILED, known) if known else (APART, f"may fail: {report.wasxfail}")
        elif report.skipped:
            _, _, reason = report.longrepr
            reason = reason.removeprefix("Skipped: ")
            reason = reason.removeprefix(f"{APART}: ") if reason.startswith(APART) else f"skips itself: {reason}"
            suite.outcomes[name] = APART, reason
        else:
            suite.outcomes[name] = (PASSED, "") if report.passed else (FAILED, "not explained")
    return report

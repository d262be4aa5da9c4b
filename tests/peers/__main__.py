"""``python -m tests.peers``: run the tests of the peers that are installed, and write the table.

POT's are in its sources alone: ``POT_TESTS=pot/test python -m tests.peers``. What is not run, or not to its end, keeps
its part of the table.
"""

import sys
from pathlib import Path

import pytest

from tests.peers.table import write


class Writer:
    """Writes the page at the end of the session."""

    suites = ()

    def pytest_collection_finish(self, session):
        modules = {item.module for item in session.items}
        self.suites = [module.SUITE for module in modules if hasattr(module, "SUITE")]

    def pytest_sessionfinish(self, session):
        write(self.suites)

    def pytest_terminal_summary(self, terminalreporter):
        for suite in self.suites:
            if not suite.complete:
                terminalreporter.line(f"{suite.title}: not all tests were run, its part of the page stays as it was")


OPTIONS = ["-q", "-p", "no:cacheprovider", "-k", "not test_the_table"]  # --lf would hide tests from the count
sys.exit(pytest.main([str(Path(__file__).parent), *OPTIONS, *sys.argv[1:]], plugins=[Writer()]))

"""``python -m tests.peers``: run the tests of the peers that are installed, and write the table."""

import sys
from pathlib import Path

import pytest

from tests.peers.table import write


class Writer:
    """Writes the page at the end of the session."""

    def pytest_collection_finish(self, session):
        modules = {item.module for item in session.items}
        self.suites = [module.SUITE for module in modules if hasattr(module, "SUITE")]

    def pytest_sessionfinish(self, session):
        write(self.suites)


sys.exit(pytest.main([str(Path(__file__).parent), "-q", "-k", "not test_the_table", *sys.argv[1:]], plugins=[Writer()]))

"""The page holds whole runs only."""

from pathlib import Path

from tests.peers import table
from tests.peers.suite import PASSED, Suite


def test_a_run_that_left_tests_out_does_not_write(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "PAGE", tmp_path / "peers.md")
    suite = Suite(Path("test_one.py"), "pytest", "ours", "theirs")
    suite.collected = {"test_a", "test_b"}
    suite.outcomes = {"test_a": (PASSED, ""), "test_b": (PASSED, "")}
    table.write([suite])
    whole = table.PAGE.read_text()
    assert "| 2 | 0 | 0 |" in whole
    del suite.outcomes["test_b"]
    table.write([suite])
    assert table.PAGE.read_text() == whole


def test_tests_that_are_deselected_are_missed(pytestconfig):
    """The adapters count what there is before -k and the like leave tests out."""
    hooks = pytestconfig.pluginmanager.hook.pytest_collection_modifyitems.get_hookimpls()
    conftest = str(Path(__file__).with_name("conftest.py"))
    ours = [hook for hook in hooks if getattr(hook.plugin, "__file__", None) == conftest]
    assert [hook.tryfirst for hook in ours] == [True]

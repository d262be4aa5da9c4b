"""A peer's module of tests with ours in place of theirs: what of it applies, what does not and why, what came of it."""

import contextlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import pytest

PASSED, APART, FAILED = "passed", "not applicable", "failed"
UNTOUCHED = "calls nothing that ours stands in for"
OTHER_ARRAYS = "array_api.*(torch|cupy|array_api_strict|dpnp)"  # in names of tests of scikit-learn


def name_of(item):
    """Return the name of a test in its module, with its class and its parameters."""
    return item.nodeid.partition("::")[2]


def not_applicable(reason):
    """End the running test of a peer: it asks for what ours does not have."""
    pytest.skip(f"{APART}: {reason}")


@dataclass
class Suite:
    """One module of tests.

    `file` is where it is, `peer` the distribution it belongs to, `ours` and `theirs` say what stands in for what.
    Tests outside of `scope` are left out. `apart` and `failures` are pairs of a pattern of the test's name, its
    parameters included, and the reason why it does not apply or fails; a test of `failures` has to fail.
    """

    file: Path
    peer: str
    ours: str
    theirs: str
    scope: Callable[[pytest.Item], bool] = lambda item: True
    apart: tuple[tuple[str, str], ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    used: bool = False
    collected: set[str] = field(default_factory=set)
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def title(self):
        """The name of the row in the table."""
        return f"{self.peer}, {self.file.name}"

    @property
    def version(self):
        """The installed version of the peer, and of Python, which some tests ask for."""
        return f"{version(self.peer)} on Python {sys.version_info.major}.{sys.version_info.minor}"

    @property
    def complete(self):
        """Whether all tests of the module were run: options of pytest and Ctrl-C leave some out."""
        return self.collected == {*self.outcomes}

    def load(self, **instead):
        """Return the tests and fixtures of a fresh copy of the module, imported while names elsewhere are replaced.

        A name with two underscores for each dot, such as ``sklearn__linear_model__LogisticRegression=``.
        """
        spec = importlib.util.spec_from_file_location(f"peer_{self.file.stem}", self.file)
        module = importlib.util.module_from_spec(spec)
        with contextlib.ExitStack() as stack:
            for name, value in instead.items():
                stack.enter_context(mock.patch(name.replace("__", "."), value, create=True))
            spec.loader.exec_module(module)
        return module

    def reason(self, item, pairs):
        """Return the reason of the first pair whose pattern is found in the item's name."""
        name = name_of(item)
        return next((reason for pattern, reason in pairs if re.search(pattern, name)), None)


class With:
    """A module with some of its functions replaced."""

    def __init__(self, module, **instead):
        self._module = module
        self.__dict__.update(instead)

    def __getattr__(self, name):
        return getattr(self._module, name)


def find(peer_module):
    """Return the file of a module of tests; skip where it is not installed."""
    try:
        spec = importlib.util.find_spec(peer_module)
    except ImportError:
        spec = None
    if spec is None or not Path(spec.origin).is_file():
        pytest.skip(f"{peer_module} is not installed", allow_module_level=True)
    return Path(spec.origin)


def collected(module):
    """Return what pytest is to find: tests, classes of tests, fixtures, marks."""
    found = {
        name: value
        for name, value in vars(module).items()
        if name.startswith(("test_", "Test"))
        or name == "pytestmark"
        or hasattr(value, "_pytestfixturefunction")
        or type(value).__name__ == "FixtureFunctionDefinition"
    }
    for value in found.values():
        for mark in getattr(value, "pytestmark", ()):
            if mark.name == "parametrize" and isinstance(mark.args[1], Iterator):  # which pytest deprecates
                object.__setattr__(mark, "args", (mark.args[0], [*mark.args[1]], *mark.args[2:]))
    return found

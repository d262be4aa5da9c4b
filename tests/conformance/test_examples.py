"""The examples in the docstrings of solvers, problems, curvatures and diagnostics run, and print what they say."""

import doctest
import pkgutil
from importlib import import_module

import pytest

from gnsopt import curvature, diagnostics, problems, solvers

EXAMPLES = [
    example
    for package in (solvers, problems, curvature, diagnostics)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    for example in doctest.DocTestFinder(exclude_empty=True).find(import_module(module.name))
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example(example, capsys):
    failed, tried = doctest.DocTestRunner(verbose=False).run(example)
    assert failed == 0 < tried, capsys.readouterr().out


def test_there_are_examples():
    assert len(EXAMPLES) >= 10

"""The examples in the docstrings of the library run, and print what they say."""

import doctest
import pkgutil
from importlib import import_module

import pytest

from gnsopt import bilevel, constrained, curvature, diagnostics, estimators, ot, problems, solvers

EXAMPLES = [
    example
    for package in (solvers, problems, curvature, diagnostics, bilevel, constrained, estimators, ot)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    for example in doctest.DocTestFinder(exclude_empty=True).find(import_module(module.name))
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example(example, capsys):
    failed, tried = doctest.DocTestRunner(verbose=False).run(example)
    assert failed == 0 < tried, capsys.readouterr().out


def test_there_are_examples():
    assert len(EXAMPLES) >= 10

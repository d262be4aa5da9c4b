"""The examples in the docstrings of the bilevel package run, and print what they say."""

import doctest
from importlib import import_module

import pytest

MODULES = ("gnsopt.bilevel.minimize", "gnsopt.bilevel.problems.linear_penalties")
EXAMPLES = [
    example
    for module in MODULES
    for example in doctest.DocTestFinder(exclude_empty=True).find(import_module(module))
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example(example, capsys):
    failed, tried = doctest.DocTestRunner(verbose=False).run(example)
    assert failed == 0 < tried, capsys.readouterr().out


def test_there_are_examples():
    assert {example.name.rsplit(".", 1)[1] for example in EXAMPLES} >= {"minimize", "LogisticPenalties"}

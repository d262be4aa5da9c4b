"""The table of the peers' tests, `docs/peers.md`: written by ``python -m tests.peers``, compared by each adapter."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.peers.suite import APART, FAILED, PASSED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "peers.md"
HEAD = """\
# Peers' own tests, pointed at gnsopt

`tests/peers` runs the tests that other libraries wrote for themselves, with gnsopt in place of what they test. The
tests are theirs, unchanged, as installed; an adapter translates the call, and drops options that the replaced method
alone has. A test *does not apply* where it asks for something that gnsopt does not have, or looks inside of the other
library. The reasons are below, each with the number of its tests: a test is one function with one set of parameters.
Tests that do not name what is replaced are left out.

This page is written by `POT_TESTS=pot/test python -m tests.peers`, where `pot` is a checkout of POT, whose wheels come
without tests; the test suite compares it with what comes of the tests.

| peer's tests | version | ours | in place of | passed | not applicable | failed |
|---|---|---|---|---:|---:|---:|
"""


def row(suite):
    """Return the suite's line of the table."""
    count = defaultdict(int)
    for outcome, _ in suite.outcomes.values():
        count[outcome] += 1
    counts = " | ".join(str(count[outcome]) for outcome in (PASSED, APART, FAILED))
    return f"| {suite.title} | {suite.version} | `{suite.ours}` | `{suite.theirs}` | {counts} |\n"


def section(suite):
    """Return what passed, what does not apply and what failed, in words."""
    functions = defaultdict(set)
    count = defaultdict(int)
    for name, result in suite.outcomes.items():
        functions[result].add(re.sub(r"\[.*", "", name).split("::")[-1])
        count[result] += 1
    lines = [f"\n## {suite.title}\n"]
    for outcome, title in ((PASSED, "Passed"), (FAILED, "Failed"), (APART, "Not applicable")):
        found = sorted(result for result in functions if result[0] == outcome)
        lines += [f"\n{title}:\n\n"] * bool(found)
        for result in found:
            names = ", ".join(f"`{name}`" for name in sorted(functions[result]))
            lines.append(f"- {result[1]} ({count[result]}): {names}\n" if result[1] else f"- {names}\n")
    return "".join(lines)


def parsed(text):
    """Return the rows and the sections of a page, by title."""
    head, *sections = re.split(r"(?=^\n## )", text, flags=re.MULTILINE)
    rows = {line.split(" | ")[0].removeprefix("| "): f"{line}\n" for line in head.splitlines()[HEAD.count("\n") :]}
    return rows, {part.strip().splitlines()[0].removeprefix("## "): part for part in sections}


def write(suites):
    """Write the page anew; suites that were not run, or not to their end, keep what is there of them."""
    rows, sections = parsed(PAGE.read_text()) if PAGE.exists() else ({}, {})
    for suite in (suite for suite in suites if suite.complete):
        rows[suite.title], sections[suite.title] = row(suite), section(suite)
    titles = sorted(rows)
    PAGE.write_text(HEAD + "".join(rows[t] for t in titles) + "".join(sections[t] for t in titles))


def check(suite, request):
    """Compare the page with the outcomes of this module's tests, if all were run, and with the version of the page."""
    if not suite.complete:
        pytest.skip("not all tests of this module were run")
    unexplained = [name for name, result in suite.outcomes.items() if result == (FAILED, "not explained")]
    assert not unexplained
    rows, sections = parsed(PAGE.read_text())
    if f" {suite.version} " not in rows[suite.title]:
        pytest.skip(f"the table is not of {suite.peer} {suite.version}")
    advice = "run `python -m tests.peers` and look at the difference"
    assert (rows[suite.title], sections[suite.title]) == (row(suite), section(suite)), advice

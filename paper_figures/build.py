"""Draw the figures of a paper from the results of its experiments, and check the claim of each on the data drawn.

    python -m paper_figures.build gns
    python -m paper_figures.build gns --quick --only lse_gamma

A figure is a module ``paper_figures/<paper>/figure_<name>.py`` with ``draw(results) -> Figure`` and ``claim(results)``,
which asserts what the figure shows.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
from matplotlib.style import context

from experiments import results
from experiments.run import results_folder
from experiments.storage import replacing

logging.getLogger("fontTools").setLevel(logging.ERROR)  # its remarks on the dates of Matplotlib's own fonts
FOLDER = Path(__file__).parent
FORMATS = ("png", "pdf")
UNDATED = {"pdf": {"CreationDate": None}, "png": {"Software": None}}  # the same data give the same file


def names(paper: str) -> list[str]:
    """Return the names of a paper's figures."""
    found = sorted(path.stem.removeprefix("figure_") for path in (FOLDER / paper).glob("figure_*.py"))
    if not found:
        papers = ", ".join(sorted({path.parent.name for path in FOLDER.glob("*/figure_*.py")}))
        raise ValueError(f"there is no figure of {paper!r}; the papers here are {papers}")
    return found


def module(paper: str, name: str) -> ModuleType:
    """Return the module of a figure."""
    return importlib.import_module(f"paper_figures.{paper}.figure_{name}")


def build(paper: str, name: str, source: Path, target: Path) -> str | None:
    """Draw and save one figure and check its claim; return a sentence if something is wrong."""
    folder = source / paper / name
    try:
        data = results.load(folder)
    except FileNotFoundError:
        return f"{paper}/{name}: no results in {folder}; run: python -m experiments.run {paper}/{name}.toml"
    script = module(paper, name)
    with mpl.rc_context(), context(FOLDER / "style.mplstyle"):
        figure = script.draw(data)
        for suffix in FORMATS:
            with replacing(target / paper / f"{name}.{suffix}") as file:
                figure.savefig(file, format=suffix, metadata=UNDATED[suffix])
    try:
        script.claim(data)  # after drawing, so that one can look at what is wrong
    except (AssertionError, KeyError) as error:
        return f"{paper}/{name}: the claim does not hold: {error}"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m paper_figures.build", description=__doc__.partition("\n")[0])
    parser.add_argument("paper", help="a folder of figures, such as gns")
    parser.add_argument("--quick", action="store_true", help="draw the results of --quick experiments")
    parser.add_argument("--only", action="append", metavar="NAME", help="this figure; may be given several times")
    parser.add_argument("--results", type=Path, help="folder of the results (default: results, or results/quick)")
    parser.add_argument(
        "--out", type=Path, help="folder of the drawings (default: paper_figures; with --quick, that of the results)"
    )
    options = parser.parse_args(arguments)
    source = options.results or results_folder(options.quick)
    target = options.out or (source if options.quick else FOLDER)
    try:
        known = names(options.paper)
        wrong = sorted(set(options.only or ()) - set(known))
        if wrong:
            raise ValueError(f"there is no figure {wrong[0]!r}; {options.paper} has {', '.join(known)}")
    except ValueError as error:
        parser.error(str(error))
    troubles = []
    for name in options.only or known:
        trouble = build(options.paper, name, source, target)
        troubles += [trouble] if trouble else []
        print(trouble or f"{options.paper}/{name}: drawn in {target / options.paper}, and its claim holds")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())

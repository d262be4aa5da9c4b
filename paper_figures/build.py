"""Draw the figures of a paper from the results of its experiments, and check the claim of each on the data drawn.

    python -m paper_figures.build gns
    python -m paper_figures.build gns --quick --only lse_gamma

A figure is a module ``paper_figures/<paper>/figure_<name>.py`` with ``draw(results) -> Figure`` and ``claim(results)``,
which asserts what the figure shows; where it has ``markdown(results) -> str`` too, that is written to ``<name>.md``.
Nothing is drawn unless every cell of the toml as it is now has been run.
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
from experiments.run import FOLDER as TOMLS
from experiments.run import results_folder
from experiments.storage import replacing, write_text
from paper_figures.drawing import save

logging.getLogger("fontTools").setLevel(logging.ERROR)  # its remarks on the dates of Matplotlib's own fonts
FOLDER = Path(__file__).parent
FORMATS = ("png", "pdf")


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


class Incomplete(Exception):
    """Results that are not all that the toml asks for."""


def read(folder: Path, toml: Path) -> results.Results:
    """Return the results of a figure; raise Incomplete unless they are all that its toml, as it is now, asks for."""
    try:
        data = results.load(folder)
    except FileNotFoundError:
        raise Incomplete(f"no results in {folder}") from None
    if (folder / "config.toml").read_bytes() != toml.read_bytes():
        raise Incomplete(f"the results are of another version of {toml.name}")
    if data.skipped:
        reasons = "; ".join(dict.fromkeys(str(row["message"]) for row in data.skipped))
        raise Incomplete(f"{len(data.skipped)} of {len(data.skipped) + len(data.runs)} cells are missing ({reasons})")
    return data


def build(paper: str, name: str, source: Path, target: Path, quick: bool = False) -> str | None:
    """Draw and save one figure and check its claim; return a sentence if something is wrong."""
    what, step = f"{paper}/{name}", "the results cannot be read"
    try:
        data = read(source / paper / name, TOMLS / paper / f"{name}.toml")
        if data.quick and target == FOLDER:
            return f"{what}: results of --quick do not replace the drawings in {FOLDER.name}; give --quick or --out"
        step = "it cannot be drawn"
        script = module(paper, name)
        with mpl.rc_context(), context(FOLDER / "style.mplstyle"):
            figure = script.draw(data)
            for suffix in FORMATS:
                with replacing(target / paper / f"{name}.{suffix}") as file:
                    save(figure, file, suffix)
        if hasattr(script, "markdown"):
            write_text(target / paper / f"{name}.md", script.markdown(data))
        step = "the claim does not hold"  # after drawing, so that one can look at what is wrong
        script.claim(data)
    except Incomplete as lacking:
        options = (" --quick" if quick else "") + (f" --results {source}" if source != results_folder(quick) else "")
        return f"{what}: {lacking}; nothing is drawn; run: python -m experiments.run {what}.toml{options}"
    except Exception as error:  # whatever it is, the other figures are built
        return f"{what}: {step}: {type(error).__name__}: {error}"
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
        trouble = build(options.paper, name, source, target, options.quick)
        troubles += [trouble] if trouble else []
        print(trouble or f"{options.paper}/{name}: drawn in {target / options.paper}, and its claim holds")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())

"""Reading what a sweep wrote: all that a figure may draw from."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import FORMAT
from experiments.storage import read_arrays, read_json
from gnsopt._typing import Array

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = (
    "cell",
    "label",
    "commit",
    "message",
    "curvature",
    "f_star_route",
    "cpu_each",
)  # never numbers, whatever they look like


@dataclass(frozen=True)
class Run:
    """A curve: its row of runs.csv and its trace, ``run["fun"]``; a trace in the sense of `gnsopt.plotting`."""

    label: str
    facts: dict[str, Any]
    trace: dict[str, Array]

    def __getitem__(self, column: str) -> Array:
        """Return a column of the trace."""
        return self.trace[column]

    def reached(self, gap: float) -> float:
        """Return the first iteration with ``f - f* <= gap``, infinity if there is none."""
        (found,) = np.nonzero(self["fun"] - self.facts["f_star"] <= gap)
        return int(found[0]) if found.size else np.inf


@dataclass(frozen=True)
class Results:
    """The runs of one figure, in the order of its toml."""

    provenance: dict[str, str]
    quick: bool
    runs: tuple[Run, ...]
    skipped: tuple[dict[str, Any], ...]

    def __getitem__(self, label: str) -> Run:
        """Return the only run of that label."""
        return self.run(label)

    def run(self, label: str, **settings: Any) -> Run:
        """Return the only run of that label whose row has these settings: ``run("exact", **{"problem.n": 100})``."""
        found = [run for run in self.select(**settings) if run.label == label]
        if len(found) != 1:
            labels = ", ".join(dict.fromkeys(run.label for run in self.runs))
            raise KeyError(f"{len(found)} runs are called {label!r} with {settings}; the labels are {labels}")
        return found[0]

    def select(self, **settings: Any) -> list[Run]:
        """Return the runs whose row has these settings."""
        return [run for run in self.runs if all(run.facts.get(name) == value for name, value in settings.items())]


def load(folder: Path) -> Results:
    """Read the folder of one figure; FileNotFoundError if the sweep was not run, or not to its end.

    ValueError, with the cure, if a file is damaged or of another format.
    """
    about = read_json(folder / "environment.json")
    if (known := about.get("format", FORMAT)) != FORMAT:  # it was not written down at first
        raise ValueError(f"{folder} is of format {known}, this version reads format {FORMAT}: run the sweep once more")
    provenance = tomllib.loads((folder / "config.toml").read_text())["provenance"]
    with (folder / "runs.csv").open(newline="") as file:
        rows = [
            {name: text if name in TEXT else _value(text) for name, text in row.items() if text}
            for row in csv.DictReader(file)
        ]
    traces: dict[str, dict[str, Array]] = {}
    for name, array in read_arrays(folder / "trace.npz").items():
        key, column = name.split("/")
        traces.setdefault(key, {})[column] = array
    return Results(
        provenance,
        bool(about["quick"]),
        tuple(Run(str(row["label"]), row, traces[row["cell"]]) for row in rows if row["cell"] in traces),
        tuple(row for row in rows if row["cell"] not in traces),
    )


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

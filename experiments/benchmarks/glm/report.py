"""Tables: our times against the best peer of each problem, and every method's, from the files of the cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from experiments.benchmarks.glm.schedule import Schedule
from experiments.benchmarks.glm.tasks import Problem

DEFAULT = "gnsopt"
BELOW = -1e-10  # relative gap of an iterate that refutes the stored minimum


@dataclass(frozen=True)
class Entry:
    """A method on a problem: seconds to a target (the median of the repeats, infinity for a failure)."""

    seconds: float
    passes: float
    status: str
    counts: dict[str, Any]
    note: str


@dataclass(frozen=True)
class Row:
    """A problem with the entries of all methods that took it on, for one target."""

    problem: Problem
    minimum: dict[str, Any]
    entries: dict[str, Entry]

    def best_peer(self, ours: Iterable[str]) -> tuple[str, Entry] | None:
        """Return the fastest method that is not ours, if one reached the target."""
        peers = {name: each for name, each in self.entries.items() if name not in ours and each.seconds < math.inf}
        return min(peers.items(), key=lambda item: item[1].seconds) if peers else None

    def ratio(self, name: str, ours: Iterable[str]) -> float:
        """Return its time over that of the best peer: below 1 it is ahead; NaN where neither is there."""
        best = self.best_peer(ours)
        if name not in self.entries:
            return math.nan
        seconds = self.entries[name].seconds
        if best is None:
            return 0.0 if seconds < math.inf else math.nan
        return seconds / best[1].seconds


def rows(schedule: Schedule, target: str) -> list[Row]:
    """Return a row for each problem that has cells, whichever were run in this call."""
    found = []
    for problem in schedule.problems:
        minimum = schedule.known(schedule.path(problem, "minimum"))
        if minimum is None or minimum["status"] != "done":
            continue
        entries = {}
        for method in schedule.methods:
            paths = [schedule.cell_path(problem, method, repeat) for repeat in range(schedule.repeats)]
            if answers := [answer for answer in map(schedule.known, paths) if answer is not None]:
                entries[method.name] = entry(answers, target)
        if entries:
            found.append(Row(problem, minimum, entries))
    return found


def entry(answers: Sequence[dict[str, Any]], target: str) -> Entry:
    """Return the median of the repeats; one that failed took infinitely long."""
    hits = [answer.get("targets", {}).get(target) for answer in answers]
    seconds = median([hit["seconds"] if hit else math.inf for hit in hits])
    pairs = zip(hits, answers, strict=True)
    passes = median([hit["seconds"] / answer["pass_seconds"] if hit else math.inf for hit, answer in pairs])
    note = str(answers[0].get("note", ""))
    if seconds == math.inf:
        failed = answers[hits.index(None)]
        message = failed.get("message", "")[:60]
        return Entry(seconds, passes, f"{failed['status']}: {message}" if message else failed["status"], {}, note)
    return Entry(seconds, passes, "done", next(hit for hit in hits if hit)["counts"], note)


def geometric_mean(values: Iterable[float]) -> float:
    """Return it, NaN for no values."""
    logs = [math.log(value) for value in values if 0 < value < math.inf]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def number(value: float) -> str:
    """Return three digits."""
    return "-" if math.isnan(value) else "failed" if value == math.inf else f"{value:.3g}"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a table, its first line the head."""
    head, *rest = lines
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *rest))


def versus_best(found: Sequence[Row], ours: Sequence[str], worst_first: bool = False) -> str:
    """Return the table of the default against the best peer of each problem."""
    lines = [
        (
            *("problem", "n x d (outputs)", "ratio to best peer", "seconds", "best peer", "its seconds"),
            *("passes", "its passes", "Hessian builds", "nit", "gradients", "Hessians", "products", "curvature"),
        )
    ]
    order = [row for row in found if DEFAULT in row.entries]
    if worst_first:
        order.sort(key=lambda row: -row.ratio(DEFAULT, ours) if not math.isnan(row.ratio(DEFAULT, ours)) else 0.0)
    for row in order:
        entry, best, size = row.entries[DEFAULT], row.best_peer(ours), row.minimum["size"]
        builds = row.minimum["hessian_seconds"]
        price = entry.passes * row.minimum["pass_seconds"] / builds if builds else math.nan
        lines.append(
            (
                row.problem.name,
                f"{size['n']} x {size['d']} ({size['k']})" + (" sparse" if size["sparse"] else ""),
                number(row.ratio(DEFAULT, ours)),
                number(entry.seconds) if entry.status == "done" else entry.status,
                best[0] if best else "none",
                number(best[1].seconds) if best else "-",
                number(entry.passes),
                number(best[1].passes) if best else "-",
                number(price),
                *(str(entry.counts.get(name, "")) for name in ("nit", "njev", "nhev", "nhessp")),
                entry.note,
            )
        )
    return markdown(lines)


def means(found: Sequence[Row], ours: Sequence[str]) -> str:
    """Return, for each method of ours, its ratios to the best peer and to each peer: geometric means and failures."""
    lines = [
        (
            *("method", "against", "problems", "geometric mean of its time over theirs", "worst"),
            *("it fails, they do not", "they fail, it does not"),
        )
    ]
    peers = list(dict.fromkeys(name for row in found for name in row.entries if name not in ours))
    for name in ours:
        with_it = [row for row in found if name in row.entries]
        best = [(row.entries[name], row.best_peer(ours)) for row in with_it]
        pairs = {"the best peer of each problem": [(mine, theirs[1] if theirs else None) for mine, theirs in best]}
        for peer in peers:
            pairs[peer] = [(row.entries[name], row.entries[peer]) for row in with_it if peer in row.entries]
        for other, entries in pairs.items():
            ratios = [
                mine.seconds / theirs.seconds
                for mine, theirs in entries
                if theirs and mine.seconds < math.inf and theirs.seconds < math.inf
            ]
            lost = sum(mine.seconds == math.inf and theirs is not None and theirs.seconds < math.inf
                       for mine, theirs in entries)  # fmt: skip
            won = sum(mine.seconds < math.inf and (theirs is None or theirs.seconds == math.inf)
                      for mine, theirs in entries)  # fmt: skip
            worst = max(ratios, default=math.nan)
            lines.append(
                (name, other, str(len(ratios)), number(geometric_mean(ratios)), number(worst), str(lost), str(won))
            )
    return markdown(lines)


def ratios(found: Sequence[Row], ours: Sequence[str]) -> str:
    """Return the table of every method's time over that of the best peer."""
    names = list(dict.fromkeys(name for row in found for name in row.entries))
    lines = [("problem", *names)]
    for row in found:
        cells = []
        for name in names:
            entry = row.entries.get(name)
            failed = entry is not None and entry.seconds == math.inf
            cells.append(entry.status.partition(":")[0] if failed and entry else number(row.ratio(name, ours)))
        lines.append((row.problem.name, *cells))
    return markdown(lines)


def refuted(schedule: Schedule) -> list[str]:
    """Return the problems whose stored minimum an iterate lies below, beyond rounding."""
    found = []
    for problem in schedule.problems:
        for path in sorted(schedule.path(problem, "minimum").parent.glob("*@*.json")):
            answer = schedule.known(path) or {}
            gaps = [each["relative"] for each in answer.get("attempts", ()) if "relative" in each]
            if min(gaps, default=0.0) < BELOW:
                found.append(f"{problem.name}: {path.stem} is {min(gaps):.1e} below the stored minimum")
    return found

"""Running the cells: each in a fresh process and its own file, methods in turn, so that all meet the same machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments import environment
from experiments.benchmarks.glm.registry import Method
from experiments.benchmarks.glm.tasks import Problem, Size, slug
from experiments.storage import read_json, write_json

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Schedule:
    """What to run, and where it is kept.

    Parameters
    ----------
    folder : Path
        ``<folder>/<problem>/minimum.json`` and ``<folder>/<problem>/<method>@<clock>@<repeat>.json``.
    problems : sequence of Problem
        In this order.
    methods : sequence of Method
        Round-robin, for each repeat of a problem.
    repeats : int
        Of each method.
    clock : {"cpu", "wall"}
        CPU seconds at one thread, or wall seconds at all.
    timeout : float
        Seconds on that clock for a cell; the minimum has ten times that.
    force : bool
        Run what is there once more, the minima excepted.
    """

    folder: Path
    problems: Sequence[Problem]
    methods: Sequence[Method]
    repeats: int
    clock: str
    timeout: float
    force: bool = False

    def run(self) -> None:
        """Run the cells that are not there; finished ones are kept whenever it is stopped."""
        for problem in self.problems:
            found = self.minimum(problem)
            if found["status"] != "done":
                print(f"{problem.name} is left out: {found.get('message', found['status'])}", file=sys.stderr)
                continue
            size = Size(**found["size"])
            for repeat in range(self.repeats):
                for method in self.methods:
                    if method.takes(size):
                        self.cell(problem, method, repeat)

    def minimum(self, problem: Problem) -> dict[str, Any]:
        """Return the minimum of a problem, computed once."""
        path = self.path(problem, "minimum")
        answer = self.known(path)
        if answer is None:
            answer = self.start(["minimum", json.dumps(asdict(problem)), str(path)], path, 10 * self.timeout, problem)
        return answer

    def cell(self, problem: Problem, method: Method, repeat: int) -> dict[str, Any]:
        """Return a cell, from its file or from a process."""
        path = self.cell_path(problem, method, repeat)
        answer = None if self.force else self.known(path)
        if answer is None:
            rest = [method.name, self.clock, repr(self.timeout), str(self.path(problem, "minimum"))]
            command = ["run", json.dumps(asdict(problem)), str(path), *rest]
            answer = self.start(command, path, 40 * self.timeout + 300, problem, method.name)
        return answer

    def path(self, problem: Problem, name: str) -> Path:
        """Return a file of a problem."""
        return self.folder / problem.slug / f"{name}.json"

    def cell_path(self, problem: Problem, method: Method, repeat: int) -> Path:
        """Return the file of a cell."""
        return self.path(problem, f"{slug(method.name)}@{self.clock}@{repeat}")

    @staticmethod
    def known(path: Path) -> dict[str, Any] | None:
        """Return the answer in a file, if it is a final one."""
        answer = read_json(path) if path.exists() else None
        return None if answer is None or answer["status"] in ("running", "absent") else dict(answer)

    def start(self, arguments: list[str], path: Path, seconds: float, problem: Problem, name: str = "minimum") -> Any:
        """Start the process and return its answer; one that was killed keeps what it knew."""
        print(f"{problem.name}: {name}", file=sys.stderr, flush=True)
        path.unlink(missing_ok=True)
        threads = 1 if self.clock == "cpu" or name == "minimum" else os.cpu_count() or 1
        limited = {**os.environ, **dict.fromkeys(environment.VARIABLES, str(threads)), "MPLBACKEND": "Agg"}
        command = [sys.executable, "-m", "experiments.benchmarks.glm.cell", *arguments]
        try:
            done = subprocess.run(
                command,
                env=limited,
                cwd=ROOT,
                timeout=seconds,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for this process, which kills that one: it would write half a run
            )
            how, error = f"ended with code {done.returncode}", done.stderr.decode(errors="replace")[-500:]
        except subprocess.TimeoutExpired:
            how, error = f"no answer in {seconds:g} seconds", ""
        answer = read_json(path) if path.exists() else {"status": "failed", "message": f"{how}: {error}"}
        if answer["status"] == "running":  # ended by its own clock, or by the system for want of memory
            answer |= {"status": "timeout", "message": how}
        write_json(path, answer)
        return answer

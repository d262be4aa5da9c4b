"""Run the experiments of a figure, or of all figures of a paper; a sweep that was stopped resumes.

python -m experiments.run gns/lse_iterations.toml
python -m experiments.run gns --quick
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import config, environment

FOLDER = Path(__file__).parent


def find(name: str) -> list[Path]:
    """Return the toml files that a name stands for: a file or a folder, here or in this package's folder."""
    for path in (Path(name), FOLDER / name, FOLDER / f"{name}.toml"):
        if path.is_file():
            return [path]
        if path.is_dir() and (files := sorted(path.glob("*.toml"))):
            return files
    known = ", ".join(sorted({path.parent.name for path in FOLDER.glob("*/*.toml")}))
    raise ValueError(f"{name!r} is neither a toml file nor a folder of them; the papers here are {known}")


def results_folder(quick: bool) -> Path:
    """Return where results go by default; quick ones never mix with the others."""
    return Path("results", "quick") if quick else Path("results")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.run", description=__doc__.partition("\n")[0])
    parser.add_argument("what", help="a toml file (gns/lse_iterations.toml), or a folder for all of its files (gns)")
    parser.add_argument("--quick", action="store_true", help="the small sizes of the [quick] table")
    parser.add_argument("--results", type=Path, help="folder of the results (default: results, or results/quick)")
    parser.add_argument("--force", action="store_true", help="run the cells that are there once more")
    options = parser.parse_args(arguments)
    try:
        configs = [config.read(path, options.quick) for path in find(options.what)]
    except (ValueError, OSError) as error:
        parser.error(str(error))
    environment.limit_threads_from_start(max(each.threads for each in configs))
    try:
        return run(configs, options.results or results_folder(options.quick), options.force)
    except KeyboardInterrupt:  # outside the sweep: while NumPy is imported, say
        print("interrupted: nothing was going on", file=sys.stderr)
        return 128 + signal.SIGINT


def run(configs: Sequence[config.Config], results: Path, force: bool) -> int:
    """Run the sweeps; return the exit code."""
    from rich.console import Console  # from here on NumPy is imported

    from experiments import sweep
    from gnsopt.cli.interrupt import interruptible  # SIGTERM too, and where a shell started the sweep in the background

    console = Console(stderr=True)
    failures: list[str] = []
    signals = interruptible()
    try:
        with signals:
            for each in configs:
                failures += sweep.run(each, results, force, console)
    except KeyboardInterrupt:
        console.print("interrupted: finished cells are kept; the same command goes on from there")
        return signals.code
    except OSError as error:  # a missing data set is none of these: the runner leaves its cells out
        console.print(f"the results cannot be written: {error}", style="red", markup=False, highlight=False)
        return 1
    for failure in failures:
        console.print(failure, style="red", markup=False, highlight=False)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

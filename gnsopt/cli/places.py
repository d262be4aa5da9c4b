"""Where mass is: points from a CSV file, or the pixels of a grey image."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gnsopt._typing import Array
from gnsopt.cli.misuse import Misuse

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm")
MASSES = ("mass", "masses", "weight", "weights")
NUMBER = r"[-+]?\d+(?:,\d+)?(?:[eE][-+]?\d+)?"
DECIMAL_COMMAS = re.compile(rf"(?=.*,){NUMBER}(?:\s*[;\s]\s*{NUMBER})+")  # a line of more than one number
GREY = np.array([0.299, 0.587, 0.114])  # of red, green and blue [ITU-R BT.601]


@dataclass(frozen=True)
class Places:
    """Points with masses.

    Parameters
    ----------
    name : str
        What the user called the file.
    X : ndarray of shape (n, d)
        Coordinates; of an image rows and columns of its pixels, in C order.
    mass : ndarray of shape (n,)
        Non-negative masses.
    sides : tuple of int, optional
        Height and width of an image.
    """

    name: str
    X: Array
    mass: Array
    sides: tuple[int, int] | None = None

    def __str__(self) -> str:
        """Describe the places in a line."""
        n, d = self.X.shape
        if self.sides is not None:
            return f"{self.name}: an image of {self.sides[0]} x {self.sides[1]} pixels"
        masses = (
            "equal masses" if np.ptp(self.mass) == 0 else f"masses from {self.mass.min():.3g} to {self.mass.max():.3g}"
        )
        return f"{self.name}: {n} point{'s' * (n > 1)} in {d} dimension{'s' * (d > 1)}, {masses}"


def read_places(path: Path, dark: bool) -> Places:
    """Read a file; an image by its ending, anything else as CSV."""
    if not path.is_file():
        raise Misuse(f"{path} is no file: name a CSV file of points or a grey image")
    return read_image(path, dark) if path.suffix.lower() in IMAGES else read_points(path)


def read_points(path: Path) -> Places:
    """Read a point from each line: coordinates between commas, semicolons, tabs or blanks.

    A first line that holds names is a heading; a column called mass or weight holds the masses. So is a comment just
    above the numbers that names such a column, as NumPy's ``savetxt`` writes it.
    """
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        raise Misuse(f"{path} is no text: points come in a CSV file, images end in {', '.join(IMAGES)}") from None
    written = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    rows = [(number, line) for number, line in written if not line.startswith("#")]
    if not rows:
        raise Misuse(f"{path} holds no points: write the coordinates of one in each line")
    for number, line in rows:
        if DECIMAL_COMMAS.fullmatch(line):
            raise Misuse(f"{path}, line {number}: {line!r} has decimal commas: write points")
    separator = next((mark for mark in (";", ",", "\t") if mark in rows[0][1]), None)
    cells = [(number, _split(line, separator)) for number, line in rows]
    names = [cell.lower() for cell in cells[0][1]]
    heading = not all(_is_number(cell) for cell in cells[0][1])
    cells = cells[1:] if heading else cells
    above = [line for number, line in written if number < rows[0][0]]
    if above and not heading:
        said = [cell.lower() for cell in _split(above[-1].lstrip("# \t"), separator)]
        heading = len(said) == len(names) and any(name in MASSES for name in said)
        names = said if heading else names
    if not cells:
        raise Misuse(f"{path} holds a heading but no points: write the coordinates of one in each line")
    table = np.array([_numbers(row, len(names), f"{path}, line {number}") for number, row in cells])
    column = [name in MASSES for name in names] if heading else [False] * len(names)
    if sum(column) > 1 or all(column):
        raise Misuse(f"{path} has the columns {', '.join(names)}: one may hold masses, the others are coordinates")
    if not any(column):
        return Places(path.name, table, np.ones(len(table)))
    return Places(path.name, table[:, np.logical_not(column)], table[:, column.index(True)])


def _split(line: str, separator: str | None) -> list[str]:
    return (
        line.split() if separator is None else [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(row: list[str], width: int, where: str) -> list[float]:
    if len(row) != width:
        raise Misuse(f"{where} has {len(row)} columns, the first line {width}")
    for cell in row:
        if not _is_number(cell) or not np.isfinite(float(cell)):
            raise Misuse(f"{where}: {cell!r} is no finite number")
    return [float(cell) for cell in row]


def read_image(path: Path, dark: bool) -> Places:
    """Read a grey image (colours are turned to grey): light pixels carry the mass, or dark ones.

    What is transparent has none: it is seen before a black ground, or before a white one where dark pixels count.
    """
    try:
        from matplotlib.image import imread

        levels = np.asarray(imread(path))
    except ImportError as error:
        raise Misuse("images need Matplotlib: pip install 'gnsopt[plot]'") from error
    except (OSError, ValueError, SyntaxError) as error:  # the last is Pillow's, of a broken PNG
        raise Misuse(f"{path} cannot be read as an image: {error}") from error
    white = float(np.iinfo(levels.dtype).max) if np.issubdtype(levels.dtype, np.integer) else 1.0
    pixels = levels.astype(float)
    if pixels.ndim == 3:
        opaque = pixels[..., -1] / white if pixels.shape[2] in (2, 4) else 1.0
        pixels = pixels[..., :3] @ GREY if pixels.shape[2] >= 3 else pixels[..., 0]
        pixels = pixels * opaque + (white * (1.0 - opaque) if dark else 0.0)
    mass = (pixels.max() - pixels if dark else pixels).ravel()
    if not mass.max() > 1e-9 * white:  # less is rounding: levels are at least white / 65535 apart
        cure = "all pixels are alike" if dark else "all pixels are black; --dark takes dark ones for mass"
        raise Misuse(f"{path} has no mass: {cure}")
    height, width = pixels.shape
    X = np.moveaxis(np.indices((height, width)), 0, -1).reshape(-1, 2).astype(float)
    return Places(path.name, X, mass / mass.max(), (height, width))

"""Grey images: checks, synthetic ones, and the patches around their pixels with the adjoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array


def as_images(images: Any, name: str) -> Array:
    """Return images as an array of shape (N, height, width).

    Parameters
    ----------
    images : array_like of shape (N, height, width) or (height, width)
        Grey images.
    name : str
        For errors.

    Returns
    -------
    ndarray of shape (N, height, width)
        The images, float64.

    Raises
    ------
    ValueError
        If they have another shape or are not finite.
    """
    try:
        a = np.asarray("" if np.ma.is_masked(images) else images)
    except ValueError:
        raise ValueError(f"{name} is ragged; it must be real of shape (N, height, width)") from None
    if a.ndim not in (2, 3) or a.size == 0 or a.dtype.kind not in "fiub":
        raise ValueError(f"{name} has shape {a.shape} and dtype {a.dtype}; it must be real of shape (N, height, width)")
    a = np.array(a, dtype=float).reshape(-1, *a.shape[-2:])
    if not np.isfinite(a).all():
        raise ValueError(f"{name} contains NaN or infinity")
    return a


def piecewise_constant(number: int, side: int, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Return synthetic images of rectangles and discs, clean and with normal noise.

    Parameters
    ----------
    number, side : int
        How many images, of how many pixels each way.
    noise : float, default=0.1
        Standard deviation of the noise; grey values are in [0, 1].
    seed : int, default=0
        Of shapes and noise.

    Returns
    -------
    clean, noisy : ndarray of shape (number, side, side)
        The images.
    """
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[0:side, 0:side] / side
    clean = np.empty((number, side, side))
    for image in clean:
        image[:] = rng.uniform(0.2, 0.8)
        for shape in range(8):
            (r, c), (high, wide), grey = rng.random(2), rng.uniform(0.08, 0.3, 2), rng.random()
            inside = np.maximum(abs(row - r) / high, abs(column - c) / wide) < 1
            if shape % 2:
                inside = np.hypot((row - r) / high, (column - c) / high) < 1
            image[inside] = grey
    return clean, clean + noise * rng.standard_normal(clean.shape)


def patches(x: Array, size: int) -> Array:
    """Return the patch around each pixel, the images padded by reflection.

    Parameters
    ----------
    x : ndarray of shape (N, height, width)
        Images.
    size : int
        Side of a patch, odd.

    Returns
    -------
    ndarray of shape (N * height * width, size^2)
        The patches.
    """
    r = size // 2
    padded = np.pad(x, ((0, 0), (r, r), (r, r)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.asarray(windows.reshape(x.size, size * size))


def patches_t(P: Array, size: int, shape: tuple[int, ...]) -> Array:
    """Return the images to which the adjoint of `patches` takes the patches P.

    Parameters
    ----------
    P : ndarray of shape (N * height * width, size^2)
        Patches.
    size : int
        Side of a patch.
    shape : tuple of int
        ``(N, height, width)``.

    Returns
    -------
    ndarray of shape (N, height, width)
        The images.
    """
    N, height, width = shape
    r, windows = size // 2, P.reshape(N, height, width, size, size)
    padded = np.zeros((N, height + 2 * r, width + 2 * r))
    for i in range(size):
        for j in range(size):
            padded[:, i : i + height, j : j + width] += windows[..., i, j]
    return fold(padded, r)


def fold(padded: Array, r: int) -> Array:
    """Add the reflected borders back to the pixels that they repeat: the adjoint of padding.

    Parameters
    ----------
    padded : ndarray of shape (N, height + 2 r, width + 2 r)
        Images with borders.
    r : int
        Width of a border.

    Returns
    -------
    ndarray of shape (N, height, width)
        The images.
    """
    return _fold(_fold(padded, r, 1), r, 2)


def _fold(padded: Array, r: int, axis: int) -> Array:
    """Add the reflected borders back to the pixels that they repeat."""
    p = np.moveaxis(padded, axis, 0)
    length = p.shape[0] - 2 * r
    out = p[r : r + length].copy()
    out[1 : r + 1] += p[:r][::-1]
    out[length - 1 - r : length - 1] += p[r + length :][::-1]
    return np.moveaxis(out, 0, axis)

r"""Denoising with a learned regulariser: smoothed total variation and fields of experts.

    x*(theta) = argmin_x (1/N) [ 1/2 |x - y|^2 + 1/2 sum_k w_k sum_p sqrt((C_k x)_p^2 + nu_k^2) ],
    f(theta)  = 1/(2N) |x*(theta) - clean|^2

over N grey images at once: x is one vector, the images one after the other. C_k are linear filters, w_k their weights
and nu_k the widths of the smoothed absolute value. ``mu = 1/N`` exactly, whatever theta is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.arguments import as_number, shown
from gnsopt.bilevel.problem import BilevelProblem, Constants
from gnsopt.bilevel.problems.images import as_images, fold, patches, patches_t

BOX = (-12.0, 4.0)  # of logarithms of weights and widths by default, for grey values of the order of 1 (chosen)
THIRD = 0.8587  # rounded up from 3/2 (4/5)^{5/2}, the largest nu^2 |d^3/du^3 sqrt(u^2 + nu^2)|, at u = nu/2


class Denoising(BilevelProblem):
    """What the two regularisers share; a subclass has the filters and the meaning of theta.

    Parameters
    ----------
    clean, noisy : array_like of shape (N, height, width) or (height, width)
        Images.
    d : int
        Number of upper variables.
    bounds : object
        As in `BilevelProblem`.

    Raises
    ------
    ValueError
        If the images are not finite or their shapes differ.
    """

    def __init__(self, clean: Any, noisy: Any, d: int, bounds: Any) -> None:
        self.clean, self.noisy = as_images(clean, "clean"), as_images(noisy, "noisy")
        if self.clean.shape != self.noisy.shape:
            raise ValueError(f"clean has shape {self.clean.shape}, noisy {self.noisy.shape}; they must be alike")
        self.N = self.clean.shape[0]
        super().__init__(self.clean.size, d, bounds=bounds, x0=self.noisy.reshape(-1))

    # ------------------------------------------------------------------------------- what a regulariser brings

    def weights(self, theta: Array) -> Array:
        """Return ``w_k``, shape (K,)."""
        raise NotImplementedError

    def widths(self, theta: Array) -> Array:
        """Return ``nu_k``, shape (K,)."""
        raise NotImplementedError

    def forward(self, x: Array, theta: Array) -> Array:
        """Return all ``C_k x`` of images x, shape (K, ...)."""
        raise NotImplementedError

    def adjoint(self, U: Array, theta: Array, power: int = 1) -> Array:
        """Return ``sum_k C_k' U_k``, images; with ``power=2`` of the filters with squared coefficients."""
        raise NotImplementedError

    def gather(self, by_weight: Array, by_width: Array, by_filter: Any, theta: Array) -> Array:
        """Return the derivative in theta from those in ``log w_k``, ``log nu_k`` and, where learned, the filters."""
        raise NotImplementedError

    def by_filter(self, S: Array, x: Array, T: Array, q: Array) -> Any:
        """Return the derivative of ``sum_k <S_k, C_k x> + <T_k, C_k q>`` in the filters; None where they are fixed."""
        return None

    # -------------------------------------------------------------------------------------------------- oracles

    def images(self, x: Array) -> Array:
        """Return the lower variables as images, shape (N, height, width)."""
        return x.reshape(self.clean.shape)

    def _parts(self, x: Array, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Responses U, roots ``sqrt(U^2 + nu^2)``, and w and nu^2 with axes to multiply them."""
        U = self.forward(self.images(x), theta)
        axes = (slice(None),) + (None,) * (U.ndim - 1)
        w, nu2 = self.weights(theta)[axes], self.widths(theta)[axes] ** 2
        return U, np.sqrt(U * U + nu2), w, nu2

    def lower(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Return h and its gradient in x."""
        U, root, w, _ = self._parts(x, theta)
        gap = x - self.noisy.reshape(-1)
        h = 0.5 * float(gap @ gap) + 0.5 * float(np.sum(w * root))
        return h / self.N, (gap + self.adjoint(0.5 * w * U / root, theta).reshape(-1)) / self.N

    def hvp(self, x: Array, theta: Array) -> Any:
        """Return ``v -> H v``."""
        _, root, w, nu2 = self._parts(x, theta)
        bend = 0.5 * w * nu2 / root**3

        def product(v: Array) -> Array:
            V = self.forward(self.images(v), theta)
            return np.asarray((v + self.adjoint(bend * V, theta).reshape(-1)) / self.N)

        return product

    def hdiag(self, x: Array, theta: Array) -> Array:
        """Return the diagonal of H; at the borders up to the terms of pixels that padding repeats in one patch."""
        _, root, w, nu2 = self._parts(x, theta)
        return np.asarray((1 + self.adjoint(0.5 * w * nu2 / root**3, theta, power=2).reshape(-1)) / self.N)

    def lower_theta(self, x: Array, theta: Array) -> Array:
        """Return the gradient of h in theta."""
        U, root, w, nu2 = self._parts(x, theta)
        slope = 0.5 * w * U / root
        filters = self.by_filter(slope, self.images(x), np.zeros_like(slope), self.images(x))
        return self.gather(_sums(0.5 * w * root), _sums(0.5 * w * nu2 / root), filters, theta) / self.N

    def cross_t(self, x: Array, theta: Array, q: Array) -> Array:
        """Return ``J' q``: the derivative of ``<grad_x h, q>`` in theta."""
        U, root, w, nu2 = self._parts(x, theta)
        Q = self.forward(self.images(q), theta)
        slope, bend = 0.5 * w * U / root, 0.5 * w * nu2 / root**3
        filters = self.by_filter(bend * Q, self.images(x), slope, self.images(q))
        return self.gather(_sums(slope * Q), -_sums(bend * U * Q), filters, theta) / self.N

    def upper(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        """Return the squared distance to the clean images over 2N, and its gradient in x."""
        gap = x - self.clean.reshape(-1)
        return 0.5 * float(gap @ gap) / self.N, gap / self.N, None

    def mu(self, theta: Array) -> float:
        """Return ``1/N``."""
        return 1.0 / self.N

    def psnr(self, x: Array) -> float:
        """Return the peak signal-to-noise ratio of x in decibels, for images of range 1."""
        return float(-10 * np.log10(np.mean((x - self.clean.reshape(-1)) ** 2)))


class TotalVariation(Denoising):
    r"""Denoising by smoothed anisotropic total variation; theta = (log weight, log width).

        h = (1/N) [ |x - y|^2/2 + e^{theta_0}/2 sum (sqrt((D_1 x)^2 + nu^2) + sqrt((D_2 x)^2 + nu^2)) ]
        nu = e^{theta_1}

    with forward differences D_1, D_2 inside the image [1, section 4.2].

    Parameters
    ----------
    clean, noisy : array_like of shape (N, height, width) or (height, width)
        Images, at least 2 pixels wide and high.
    bounds : pair of array_like, default=(-12, 4)
        Box of theta.

    Raises
    ------
    ValueError
        If the images are not finite, too small, or their shapes differ.

    References
    ----------
    [1] Salehi, Mukherjee, Roberts, Ehrhardt, "An adaptively inexact first-order method for bilevel optimization with
        application to hyperparameter learning", SIAM J. Math. Data Sci. 7 (2025), arXiv 2308.10098.
    """

    def __init__(self, clean: Any, noisy: Any, bounds: Any = BOX) -> None:
        super().__init__(clean, noisy, 2, bounds)
        if min(self.clean.shape[1:]) < 2:
            raise ValueError(f"clean has shape {self.clean.shape}; images must be at least 2 pixels high and wide")

    def weights(self, theta: Array) -> Array:
        """Return the common weight twice."""
        return np.full(2, np.exp(theta[0]))

    def widths(self, theta: Array) -> Array:
        """Return the common width twice."""
        return np.full(2, np.exp(theta[1]))

    def forward(self, x: Array, theta: Array) -> Array:
        """Return vertical and horizontal differences; zero beyond the last row and column."""
        U = np.zeros((2, *x.shape))
        U[0, :, :-1] = x[:, 1:] - x[:, :-1]
        U[1, :, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
        return U

    def adjoint(self, U: Array, theta: Array, power: int = 1) -> Array:
        """Return ``D_1' U_0 + D_2' U_1``; with squared coefficients all signs are plus."""
        sign = -1.0 if power == 1 else 1.0
        x = np.zeros(U.shape[1:])
        x[:, 1:] += U[0, :, :-1]
        x[:, :-1] += sign * U[0, :, :-1]
        x[:, :, 1:] += U[1, :, :, :-1]
        x[:, :, :-1] += sign * U[1, :, :, :-1]
        return x

    def gather(self, by_weight: Array, by_width: Array, by_filter: Any, theta: Array) -> Array:
        """Return the two sums: weight and width are shared by the two differences."""
        return np.array([by_weight.sum(), by_width.sum()])

    def constants(self, theta: Array) -> Constants:
        """Return Lipschitz constants by ``|D|^2 <= 8``; that of J is a bound of its Frobenius norm."""
        w, nu = float(np.exp(theta[0])), float(np.exp(theta[1]))
        bend = 4 * w / nu  # of each of the two columns of J: |d/du| of both is at most 1/nu
        return Constants(
            L=(1 + bend) / self.N,
            L_g=1 / self.N,
            L_H=0.5 * w * THIRD / nu**2 * 8**1.5 / self.N,
            L_J=np.sqrt(2) * bend / self.N,
        )

    def J_norm(self, x: Array, theta: Array) -> float:
        """Return the Frobenius norm of J."""
        U, root, w, nu2 = self._parts(x, theta)
        columns = [self.adjoint(V, theta) for V in (0.5 * w * U / root, 0.5 * w * nu2 * U / root**3)]
        return float(np.sqrt(sum(np.sum(c * c) for c in columns))) / self.N


class FieldsOfExperts(Denoising):
    r"""Denoising by a field of experts: K learned filters, their weights and widths.

        h = (1/N) [ 1/2 |x - y|^2 + 1/2 e^{a_0} sum_k e^{a_k} sum_p sqrt((c_k * x)_p^2 + e^{2 b_k}) ]

    theta = (a_0, a_1..a_K, b_1..b_K, c_1, ..., c_K), filters of `size` x `size` pixels flattened; images are padded by
    reflection without their edge [1, section 4.3]. See `start_theta` for a start.

    Parameters
    ----------
    clean, noisy : array_like of shape (N, height, width) or (height, width)
        Images, larger than half a filter.
    filters : int, default=48
        K.
    size : int, default=7
        Side of a filter, odd.
    bounds : pair of array_like, optional
        Box of theta; by default from -12 to 4 for the logarithms, and -10 to 10 for the filters.
    largest : float, default=2.0
        Grey value up to which the constants hold.

    Raises
    ------
    ValueError
        If the images are not finite, too small for the filters, or their shapes differ.

    Notes
    -----
    The constants are those of one theta, and hold for images with grey values of at most `largest` in absolute value: J
    is not Lipschitz over all images, as the filters are part of theta.

    References
    ----------
    [1] Salehi, Mukherjee, Roberts, Ehrhardt, arXiv 2308.10098.
    """

    def __init__(
        self, clean: Any, noisy: Any, filters: int = 48, size: int = 7, bounds: Any = None, largest: float = 2.0
    ) -> None:
        if not 0 < as_number(largest, "largest") < np.inf:
            raise ValueError(f"largest={shown(largest)} must be a positive number")
        self.largest = float(largest)
        for name, value in (("filters", filters), ("size", size)):
            if not (isinstance(value, int | np.integer) and 1 <= value < 2**31):
                raise ValueError(f"{name}={shown(value)} must be an integer of at least 1")
        if size % 2 == 0:
            raise ValueError(f"size={size} must be odd: a filter is centred at its pixel")
        self.K, self.size = int(filters), int(size)
        logs, rest = 1 + 2 * self.K, self.K * self.size**2
        if bounds is None:
            bounds = tuple(np.repeat([log, entry], [logs, rest]) for log, entry in zip(BOX, (-10, 10), strict=True))
        super().__init__(clean, noisy, logs + rest, bounds)
        if min(self.clean.shape[1:]) <= self.size // 2:
            raise ValueError(f"clean has shape {self.clean.shape}; images must exceed {self.size // 2} pixels each way")
        r, (height, width) = self.size // 2, self.clean.shape[1:]
        copies = fold(np.ones((1, height + 2 * r, width + 2 * r)), r)
        self._padding = float(np.sqrt(copies.max()))  # norm of the padding, and a bound of that of a shift of it

    def start_theta(self, seed: int = 0, weight: float = -3.0, width: float = -3.5) -> Array:
        """Return a start: normal filters without mean (Xavier), all weights and widths alike.

        Parameters
        ----------
        seed : int, default=0
            Of the filters.
        weight, width : float
            ``a_0 + a_k = weight``, with a_k = 0, and b_k.

        Returns
        -------
        ndarray of shape (d,)
            The start.
        """
        c = np.random.default_rng(seed).standard_normal((self.K, self.size**2))
        c = (c - c.mean(axis=1, keepdims=True)) * np.sqrt(2.0 / (self.size**2 * (1 + self.K)))  # fan-in plus fan-out
        return np.concatenate([[weight], np.zeros(self.K), np.full(self.K, width), c.reshape(-1)])

    def filters(self, theta: Array) -> Array:
        """Return the filters, shape (size^2, K)."""
        return theta[1 + 2 * self.K :].reshape(self.K, self.size**2).T

    def weights(self, theta: Array) -> Array:
        """Return ``e^{a_0 + a_k}``."""
        return np.asarray(np.exp(theta[0] + theta[1 : 1 + self.K]))

    def widths(self, theta: Array) -> Array:
        """Return ``e^{b_k}``."""
        return np.asarray(np.exp(theta[1 + self.K : 1 + 2 * self.K]))

    def forward(self, x: Array, theta: Array) -> Array:
        """Return the responses of all filters, shape (K, pixels)."""
        return np.asarray((patches(x, self.size) @ self.filters(theta)).T)

    def adjoint(self, U: Array, theta: Array, power: int = 1) -> Array:
        """Return the sum of the filters, centred at each pixel, with the weights U."""
        return patches_t(U.T @ self.filters(theta).T ** power, self.size, self.clean.shape)

    def by_filter(self, S: Array, x: Array, T: Array, q: Array) -> Array:
        """Return correlations of S with the patches of x plus those of T with those of q, shape (K, size^2)."""
        return np.asarray(S @ patches(x, self.size) + T @ patches(q, self.size))

    def gather(self, by_weight: Array, by_width: Array, by_filter: Any, theta: Array) -> Array:
        """Return the derivatives in the order of theta; a_0 is shared."""
        return np.concatenate([[by_weight.sum()], by_weight, by_width, by_filter.reshape(-1)])

    def filter_norms(self, theta: Array) -> Array:
        """Return bounds of ``|C_k|``: the largest modulus of the filter's Fourier series times that of the padding."""
        # on a grid of M points the modulus of a series of degree r is found up to 1/cos(pi r/M) for each axis
        r, M = self.size // 2, 16 * self.size
        c = self.filters(theta).T.reshape(self.K, self.size, self.size)
        peaks = np.abs(np.fft.rfft2(c, (M, M))).max(axis=(1, 2)) / np.cos(np.pi * r / M) ** 2
        return np.asarray(peaks * self._padding)

    def constants(self, theta: Array) -> Constants:
        """Return bounds by the norms of the filters, for grey values up to `largest`; J's by its blocks."""
        w, nu, C, side = self.weights(theta), self.widths(theta), self.filter_norms(theta), self.size
        bend = 0.5 * w * C**2 / nu
        shift = side * self._padding  # bound of |sum_t delta_t S_t| for |delta| = 1
        by_filter = 0.5 * w * C * (2 * shift / nu + THIRD / nu**2 * C * side * self.largest)
        blocks = np.concatenate([[bend.sum()], bend, bend, by_filter])
        return Constants(
            L=(1 + float(bend.sum())) / self.N,
            L_g=1 / self.N,
            L_H=float(np.sum(0.5 * w * THIRD / nu**2 * C**3)) / self.N,
            L_J=float(np.linalg.norm(blocks)) / self.N,
        )

    def J_norm(self, x: Array, theta: Array) -> float:
        """Return a bound of the Frobenius norm of J, column by column."""
        U, root, w, nu2 = self._parts(x, theta)
        C, P = self.filter_norms(theta), patches(self.images(x), self.size)
        slope, bend = 0.5 * w * U / root, 0.5 * w * nu2 / root**3
        sizes = np.linalg.norm(slope, axis=1)
        common = float(np.linalg.norm(self.adjoint(slope, theta)))
        by_filter = self._padding * sizes[:, None] + C[:, None] * np.sqrt(bend**2 @ P**2)
        parts = (common, C * sizes, C * np.linalg.norm(bend * U, axis=1), by_filter.reshape(-1))
        return float(np.linalg.norm(np.concatenate([np.atleast_1d(part) for part in parts]))) / self.N


def _sums(U: Array) -> Array:
    return np.asarray(U.reshape(U.shape[0], -1).sum(axis=1))

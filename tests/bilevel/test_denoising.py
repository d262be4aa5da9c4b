"""Smoothed total variation and fields of experts: adjoints, derivatives, constants, and cleaner images."""

import numpy as np
import pytest

from gnsopt.bilevel import FieldsOfExperts, TotalVariation, minimize
from gnsopt.bilevel.problems.denoising import THIRD
from gnsopt.bilevel.problems.images import patches, patches_t, piecewise_constant

RNG = np.random.default_rng(0)


def total_variation():
    return TotalVariation(*piecewise_constant(2, 9, seed=1)), np.array([-1.2, -1.5])


def fields_of_experts():
    problem = FieldsOfExperts(*piecewise_constant(1, 9, seed=1), filters=3, size=5)
    return problem, problem.start_theta(1, weight=-1.0, width=-1.5) + 0.1 * np.random.default_rng(2).standard_normal(
        problem.d
    )


MAKERS = [total_variation, fields_of_experts]


def solve(problem, theta, x=None):
    """Newton's method on dense Hessians."""
    x = problem.start() if x is None else x
    for _ in range(60):
        h, grad = problem.lower(x, theta)
        H = np.array([problem.hvp(x, theta)(e) for e in np.eye(problem.n)])
        step, t = np.linalg.solve(H, grad), 1.0
        while problem.lower(x - t * step, theta)[0] > h - 1e-4 * t * (grad @ step) and t > 1e-3:
            t /= 2
        x = x - t * step
        if np.linalg.norm(step) < 1e-13:
            break
    return x, H


# ------------------------------------------------------------------------------------------------------- adjoints


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 8, 6)])
def test_patches_and_their_adjoint(size, shape):
    x, P = RNG.standard_normal(shape), RNG.standard_normal((np.prod(shape), size**2))
    assert np.sum(patches(x, size) * P) == pytest.approx(np.sum(x * patches_t(P, size, shape)), rel=1e-11)


def test_patches_are_those_of_correlation():
    from scipy.ndimage import correlate

    x, c = RNG.standard_normal((1, 7, 9)), RNG.standard_normal((5, 5))
    expected = correlate(x[0], c, mode="mirror")  # SciPy's name of NumPy's "reflect"
    np.testing.assert_allclose((patches(x, 5) @ c.ravel()).reshape(7, 9), expected, atol=1e-13)


@pytest.mark.parametrize("make", MAKERS)
def test_forward_and_adjoint(make):
    problem, theta = make()
    x = RNG.standard_normal(problem.clean.shape)
    U = problem.forward(x, theta)
    V = RNG.standard_normal(U.shape)
    assert np.sum(U * V) == pytest.approx(np.sum(x * problem.adjoint(V, theta)), rel=1e-11)


def test_differences_have_a_norm_of_at_most_eight():
    problem, theta = total_variation()
    D = np.array([problem.forward(problem.images(e), theta).ravel() for e in np.eye(problem.n)])
    assert 6.5 < np.linalg.norm(D, 2) ** 2 <= 8
    assert np.linalg.matrix_rank(D) == problem.n - 2  # a constant for each image


# ---------------------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("make", MAKERS)
def test_the_lower_level_is_the_sum_that_it_says(make):
    problem, theta = make()
    x = RNG.standard_normal(problem.n)
    total = 0.5 * np.sum((x - problem.noisy.ravel()) ** 2)
    X = problem.images(x)
    if isinstance(problem, TotalVariation):
        differences = (np.diff(X, axis=1), np.diff(X, axis=2))
        nu = np.exp(theta[1])
        flat = 2 * X.size - sum(D.size for D in differences)  # beyond the border the difference is zero
        total += 0.5 * np.exp(theta[0]) * (sum(np.sqrt(D**2 + nu**2).sum() for D in differences) + flat * nu)
    else:
        from scipy.ndimage import correlate

        a, b, c = theta[1:4], theta[4:7], theta[7:].reshape(3, 5, 5)
        for k in range(3):
            U = np.array([correlate(image, c[k], mode="mirror") for image in X])
            total += 0.5 * np.exp(theta[0] + a[k]) * np.sqrt(U**2 + np.exp(2 * b[k])).sum()
    assert problem.lower(x, theta)[0] == pytest.approx(total / problem.N, rel=1e-12)


@pytest.mark.parametrize("make", MAKERS)
def test_derivatives_are_those_of_finite_differences(make):
    problem, theta = make()
    t = 1e-4
    x, q, move = RNG.standard_normal((3, problem.n))
    for step in (
        *RNG.standard_normal((3, problem.d)),
        np.eye(problem.d)[0],
        np.eye(problem.d)[1],
        np.eye(problem.d)[-1],
    ):
        near = [problem.lower(x, theta + s * t * step) for s in (-2, -1, 1, 2)]
        f = [each[0] for each in near]
        g = [each[1] @ q for each in near]
        slope, cross = ((8 * (v[2] - v[1]) - (v[3] - v[0])) / (12 * t) for v in (f, g))
        assert problem.lower_theta(x, theta) @ step == pytest.approx(slope, rel=1e-8, abs=1e-9)
        assert problem.cross_t(x, theta, q) @ step == pytest.approx(cross, rel=1e-8, abs=1e-9)
    near = [problem.lower(x + s * t * move, theta) for s in (-2, -1, 1, 2)]
    slope = (8 * (near[2][0] - near[1][0]) - (near[3][0] - near[0][0])) / (12 * t)
    assert problem.lower(x, theta)[1] @ move == pytest.approx(slope, rel=1e-8)
    curve = (8 * (near[2][1] - near[1][1]) - (near[3][1] - near[0][1])) / (12 * t)
    np.testing.assert_allclose(problem.hvp(x, theta)(move), curve, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_hessians_are_symmetric_with_least_eigenvalue_one_over_n(make):
    problem, theta = make()
    x = RNG.standard_normal(problem.n)
    H = np.array([problem.hvp(x, theta)(e) for e in np.eye(problem.n)])
    np.testing.assert_allclose(H, H.T, atol=1e-13)
    assert np.linalg.eigvalsh(H)[0] >= 1 / problem.N * (1 - 1e-12)
    assert problem.mu(theta) == 1 / problem.N
    inside = np.ones(problem.clean.shape, dtype=bool)
    if isinstance(problem, FieldsOfExperts):  # a border of the filters' size: pixels repeat in one patch
        inside[:, :4], inside[:, -4:], inside[:, :, :4], inside[:, :, -4:] = False, False, False, False
    assert inside.any()
    np.testing.assert_allclose(problem.hdiag(x, theta)[inside.ravel()], H.diagonal()[inside.ravel()], rtol=1e-12)
    assert np.all(problem.hdiag(x, theta) > 0)


@pytest.mark.parametrize("make", MAKERS)
def test_implicit_gradients_are_those_of_finite_differences(make):
    problem, theta = make()
    x, H = solve(problem, theta)
    z = -problem.cross_t(x, theta, np.linalg.solve(H, problem.upper(x, theta)[1]))
    t = 1e-3
    for step in RNG.standard_normal((2, problem.d)):
        step = step / np.linalg.norm(step)
        f = [problem.upper(solve(problem, theta + s * t * step, x)[0], theta)[0] for s in (-2, -1, 1, 2)]
        assert z @ step == pytest.approx((8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * t), rel=1e-8, abs=1e-10)


# ------------------------------------------------------------------------------------------------------ constants


def test_the_third_derivative_of_the_smoothed_absolute_value():
    u = np.linspace(-3, 3, 100_001)
    third = -3 * u * (u * u + 1) ** -2.5
    assert np.abs(third).max() <= THIRD <= np.abs(third).max() * 1.0001


@pytest.mark.parametrize("make", MAKERS)
def test_constants_are_bounds(make):
    for _ in range(12):
        problem, theta = make()
        theta = theta + 0.7 * RNG.standard_normal(problem.d)
        x = RNG.uniform(-2, 2, problem.n)
        y = np.clip(x + 10 ** RNG.uniform(-3, 0) * RNG.standard_normal(problem.n), -2, 2)
        c, apart = problem.constants(theta), np.linalg.norm(x - y)
        H, H_y = (np.array([problem.hvp(at, theta)(e) for e in np.eye(problem.n)]) for at in (x, y))
        assert np.linalg.eigvalsh(H)[-1] <= c.L
        assert np.linalg.norm(H - H_y, 2) <= c.L_H * apart
        J, J_y = (np.array([problem.cross_t(at, theta, e) for e in np.eye(problem.n)]) for at in (x, y))
        assert np.linalg.norm(J) <= problem.J_norm(x, theta) * (1 + 1e-10)
        assert problem.J_norm(x, theta) <= 30 * np.linalg.norm(J)
        assert np.linalg.norm(J - J_y, 2) <= c.L_J * apart
        assert np.linalg.norm(problem.upper(x, theta)[1] - problem.upper(y, theta)[1]) <= c.L_g * apart * (1 + 1e-12)


@pytest.mark.parametrize("side", [4, 9])  # 4: pixels that padding repeats three times
def test_norms_of_filters_are_bounds(side):
    problem = FieldsOfExperts(*piecewise_constant(1, side, seed=1), filters=4, size=5)
    theta = problem.start_theta(0)
    for k, bound in enumerate(problem.filter_norms(theta)):
        C = np.array([problem.forward(problem.images(e), theta)[k] for e in np.eye(problem.n)])
        assert 0.2 * bound <= np.linalg.norm(C, 2) <= bound


# ------------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("method", ["maid-qn", "penalty"])
def test_total_variation_is_learned(method):
    problem = TotalVariation(*piecewise_constant(2, 16, seed=0))
    found = minimize(problem, [-3.0, -3.0], method, tol=1e-4, maxiter=40)
    assert found.fun == pytest.approx(0.33936, abs=2e-4)
    noisy = problem.psnr(problem.start())
    assert noisy == pytest.approx(20, abs=0.3)  # noise of standard deviation 0.1
    assert problem.psnr(found.x) > noisy + 5
    assert problem.psnr(found.x) == pytest.approx(-10 * np.log10(2 * found.fun * problem.N / problem.n), abs=0.01)


def test_filters_are_learned():
    problem = FieldsOfExperts(*piecewise_constant(1, 16, seed=0), filters=4, size=3)
    start = problem.start_theta(0)
    before = minimize(problem, start, maxiter=0)
    found = minimize(problem, start, maxiter=30)
    assert found.fun < 0.6 * before.fun
    assert problem.psnr(found.x) > problem.psnr(problem.start()) + 3


def test_the_start_is_that_of_the_paper():
    problem = FieldsOfExperts(*piecewise_constant(1, 16))
    theta = problem.start_theta(0)
    assert problem.d == theta.size == 1 + 48 + 48 + 48 * 49 == 2449
    assert theta[0] == -3
    assert np.all(theta[49:97] == -3.5)
    np.testing.assert_allclose(problem.filters(theta).sum(axis=0), 0, atol=1e-13)
    assert problem.filters(theta).std() == pytest.approx(np.sqrt(2 / (49 * 49)), rel=0.05)


def test_images_are_reproducible_and_piecewise_constant():
    clean, noisy = piecewise_constant(3, 32, 0.05, seed=4)
    again, _ = piecewise_constant(3, 32, 0.05, seed=4)
    np.testing.assert_array_equal(clean, again)
    assert np.std(noisy - clean) == pytest.approx(0.05, rel=0.1)
    assert 0 <= clean.min() < clean.max() <= 1
    for image in clean:
        assert len(np.unique(image)) <= 9
        assert np.mean(np.diff(image, axis=0) == 0) > 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: TotalVariation(a, a[:, :5]), "clean has shape"),
        (lambda a: TotalVariation(a[0, 0], a[0, 0]), "clean has shape"),
        (lambda a: TotalVariation(a[:, :1], a[:, :1]), "2 pixels"),
        (lambda a: TotalVariation(a, np.full(a.shape, np.nan)), "noisy contains NaN"),
        (lambda a: TotalVariation(a, a * 1j), "noisy has shape .* complex"),
        (lambda a: FieldsOfExperts(a, a, filters=0), "filters=0"),
        (lambda a: FieldsOfExperts(a, a, size=4), "size=4"),
        (lambda a: FieldsOfExperts(a, a, size=15), "exceed 7"),
        (lambda a: FieldsOfExperts(a, a, size=3, largest=0), "largest=0"),
    ],
)
def test_wrong_images_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((1, 6, 6)))

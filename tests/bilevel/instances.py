"""Small bilevel problems with known answers, for the tests of the implicit methods."""

import numpy as np

from gnsopt.bilevel import BilevelProblem, Constants, LogisticPenalties, RidgePenalties


def least_squares():
    """Return the quadratic with a known solution, and its closed forms: x*, f, grad f, theta*."""
    rng = np.random.default_rng(0)
    A1, A2, A3 = (rng.uniform(size=(1000, 10)) for _ in range(3))
    x1, x2, truth = rng.uniform(size=10), rng.uniform(size=10), rng.uniform(size=10)
    b1 = A1 @ x1 + 0.01 * rng.standard_normal(1000)
    b2 = A2 @ x2 + A3 @ truth + 0.01 * rng.standard_normal(1000)
    H, J = A2.T @ A2, A2.T @ A3
    eigenvalues = np.linalg.eigvalsh(H)
    constants = Constants(L=eigenvalues[-1], L_g=np.linalg.norm(A1, 2) ** 2, L_H=0.0, L_J=0.0)

    def lower(x, theta):
        r = A2 @ x + A3 @ theta - b2
        return 0.5 * r @ r, A2.T @ r

    def upper(x, theta):
        r = A1 @ x - b1
        return 0.5 * r @ r, A1.T @ r, None

    problem = BilevelProblem(
        10,
        10,
        lower=lower,
        upper=upper,
        cross_t=lambda x, theta, q: J.T @ q,
        hvp=lambda x, theta: H,
        mu=eigenvalues[0],
        constants=constants,
        J_norm=lambda x, theta: np.linalg.norm(J, 2),
        x0=x2,
    )

    def solution(theta):
        return np.linalg.solve(H, A2.T @ (b2 - A3 @ theta))

    def f(theta):
        r = A1 @ solution(theta) - b1
        return 0.5 * r @ r

    def gradient(theta):
        B = -A1 @ np.linalg.solve(H, J)
        return B.T @ (A1 @ solution(theta) - b1)

    B, c = -A1 @ np.linalg.solve(H, J), b1 - A1 @ np.linalg.solve(H, A2.T @ b2)
    return problem, solution, f, gradient, np.linalg.lstsq(B, c, rcond=None)[0]


def scalar(a=2.0, c=0.7):
    """``h = (x-a)^2/2 + e^theta x^2/2``, ``f = (x-c)^2/2``: ``x* = a/(1+e^theta)``."""
    return BilevelProblem(
        1,
        1,
        lower=lambda x, t: (0.5 * float((x - a) @ (x - a) + np.exp(t[0]) * (x @ x)), x - a + np.exp(t[0]) * x),
        upper=lambda x, t: (0.5 * float((x - c) @ (x - c)), x - c, None),
        cross_t=lambda x, t, q: np.exp(t) * x * q,
        hvp=lambda x, t: np.array([[1 + np.exp(t[0])]]),
        mu=lambda t: 1 + np.exp(t[0]),
        constants=lambda t: Constants(L=1 + np.exp(t[0]), L_g=1.0, L_H=0.0, L_J=np.exp(t[0])),
        J_norm=lambda x, t: np.exp(t[0]) * abs(x[0]),
        bounds=(-20, 20),
    )


def data(n=90, d=6, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.exp(rng.normal(0, 0.5, d))
    W = rng.standard_normal((d, classes))
    y = np.argmax(X @ W + rng.gumbel(size=(n, classes)), axis=1)
    return X, y


def logistic(groups="feature", classes=2, seed=0, d=6):
    X, y = data(90, d, classes, seed)
    return LogisticPenalties(X[:45], y[:45], X[45:], y[45:], groups=groups)


def ridge(groups="feature", seed=0, d=6):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((80, d))
    y = X @ rng.standard_normal(d) * (np.arange(d) < 3).sum() + rng.standard_normal(80)
    return RidgePenalties(X[:40], y[:40], X[40:], y[40:], groups=groups)

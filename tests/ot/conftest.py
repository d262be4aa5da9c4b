"""Transport problems by name, each as ``(a, b, C, reg)``: those on which the peers were measured."""

import numpy as np
import pytest
from scipy.ndimage import zoom
from sklearn.datasets import load_digits


def assignment(n, eta, seed=0):
    C = np.random.default_rng(seed).random((n, n))
    return np.full(n, 1 / n), np.full(n, 1 / n), C, 1 / eta


def clouds(n, reg, seed=0, m=None):
    rng = np.random.default_rng(seed)
    m = n if m is None else m
    X, Y = rng.standard_normal((n, 2)), rng.standard_normal((m, 2)) + 1
    C = ((X[:, None] - Y) ** 2).sum(-1)
    return np.full(n, 1 / n), np.full(m, 1 / m), C / C.max(), reg


def images(side, power, reg=1 / 1200):
    """Two digits of scikit-learn on the grid of their pixels, enlarged, on a light background."""
    a, b = (np.clip(zoom(image, side / 8, order=1), 0, None).ravel() + 0.01 for image in load_digits().images[:2])
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1).reshape(-1, 2).astype(float)
    C = (np.abs(grid[:, None] - grid) ** power).sum(-1)
    return a / a.sum(), b / b.sum(), C / C.max(), reg


def random_problem(n=7, m=5, reg=0.1, seed=0, mass=1.0):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return mass * a / a.sum(), mass * b / b.sum(), rng.random((n, m)), reg


INSTANCES = {
    "rand500_1/1200": lambda: assignment(500, 1200),
    "rand1000_1/1200": lambda: assignment(1000, 1200),
    "rand1000_1/5000": lambda: assignment(1000, 5000),
    "rand2000_1/1200": lambda: assignment(2000, 1200),
    "rand500_1e-2": lambda: assignment(500, 100),
    "rand1000_1e-2": lambda: assignment(1000, 100),
    "cloud1000_1e-2": lambda: clouds(1000, 1e-2),
    "cloud1000_1e-3": lambda: clouds(1000, 1e-3),
    "cloud2000_1e-3": lambda: clouds(2000, 1e-3),
    "digits8_l1": lambda: images(8, 1),
    "digits8_l2sq": lambda: images(8, 2),
    "grid28_l1": lambda: images(28, 1),
    "grid28_l2sq": lambda: images(28, 2),
}


@pytest.fixture(scope="session")
def make():
    """Makers of problems: ``make.random()``, ``make.instance(name)``, ..."""

    class Make:
        random = staticmethod(random_problem)
        assignment = staticmethod(assignment)
        clouds = staticmethod(clouds)
        images = staticmethod(images)

        @staticmethod
        def instance(name):
            return INSTANCES[name]()

    return Make


def pytest_generate_tests(metafunc):
    if "instance" in metafunc.fixturenames:
        metafunc.parametrize("instance", list(INSTANCES))

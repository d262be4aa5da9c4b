"""Paper mode against saved start norms and a second implementation's counts; the control problem; bounds and seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.adasketch.problems import pde_control
from gnsopt import AdaSketchNewton
from gnsopt.constrained import KKTPoint, Primal, Work
from gnsopt.constrained.paper import definite, inverse_bound, kkt_matrix

START_NORMS = {
    "HS6": 6.222539674441618,
    "BT5": 19.313207915827967,
    "BT9": 10.246950765959598,
    "HS28": 7.483314773547883,
    "BT10": 6.4031242374328485,
    "BT12": 8.244982295479446,
    "HS40": 1.0863811485846027,
    "BT3": 144.3606594609487,
    "HS7": 25.032778511383828,
    "HS51": 6.557438524302,
    "HS52": 49.558046773455466,
    "HS48": 25.612496949731394,
    "HS50": 1294.4187884915762,
    "HS78": 11.322681881957118,
    "HS56": 1.7320508075688774,
    "HS42": 7.54983443527075,
    "ORTHREGB": 261.0007183898159,
}
# fmt: off
OUTER = {
    "HS6": 9, "BT5": 5, "BT10": 7, "BT12": 5, "HS40": 3, "BT6": 8, "BT11": 7, "HS7": 10, "HS47": 14, "HS50": 8,
    "HS77": 8, "MWRIGHT": 6, "HS78": 4, "HS56": 5, "HS42": 4, "HS79": 4, "ORTHREGB": 42, "HS100LNP": 8, "BT2": 11,
    "BT9": 13, "HELIXNE": 8, "RSNBRNE": 11, "CUBENE": 4, "WAYSEA1NE": 7, "WAYSEA2NE": 10, "DENSCHNFNE": 4,
    "HIMMELBC": 5, "INTEQNE": 2,
}
# fmt: on
ONE_STEP = ("HS28", "HS48", "HS51", "HS52", "BT3", "GENHS28", "BOOTH", "HIMMELBA", "ZANGWIL3")
SIZES = {"INTEQNE": (10,)}
EXACT = AdaSketchNewton(accuracy="paper", sketch="exact")


def at_start(problem):
    y = np.zeros(problem.m) if problem.y0 is None else problem.y0
    return KKTPoint(Primal(problem, problem.x0, Work()), y)


@pytest.mark.parametrize("name", START_NORMS)
def test_start_norms_are_those_of_fortran_cutest(cutest, name):
    assert at_start(cutest(name)).F == pytest.approx(START_NORMS[name], rel=1e-9)


@pytest.mark.parametrize("name", OUTER)
def test_outer_counts_are_those_of_a_second_implementation(cutest, name):
    result = EXACT.minimize(cutest(name, *SIZES.get(name, ())))
    assert result.success
    assert result.nit == OUTER[name]
    assert result.kkt["2"] <= 1e-4


@pytest.mark.parametrize("name", ["GOTTFR", "PRICE4NE"])
def test_dependent_rows_end_as_singular(cutest, name):
    result = EXACT.minimize(cutest(name))
    assert (result.reason, result.success) == ("singular", False)
    assert np.isfinite(result.x).all()


@pytest.mark.parametrize("name", ONE_STEP)
def test_quadratic_with_linear_constraints_takes_one_step(cutest, name):
    assert EXACT.minimize(cutest(name)).nit == 1


def test_control_problem_has_the_published_facts():
    problem = pde_control(3)
    assert at_start(problem).F == pytest.approx(19.186735069186607, rel=1e-14)
    result = EXACT.minimize(problem)
    assert result.nit == 1
    assert result.fun == pytest.approx(9.644442051811627, rel=1e-13)
    assert np.linalg.norm(result.multipliers) == pytest.approx(0.7499607, abs=1e-7)


@pytest.mark.parametrize("sketch", ["kaczmarz", "gaussian", "rows", "countsketch"])
def test_sketches_reach_what_exact_solves_reach(hs77, sketch):
    exact = EXACT.minimize(hs77)
    result = AdaSketchNewton(accuracy="paper", sketch=sketch).minimize(hs77)
    assert result.success
    assert abs(result.nit - exact.nit) <= 4
    assert result.fun == pytest.approx(exact.fun, abs=1e-7)
    assert (result.trace["inner"][1:] > 0).all()


def test_seed_decides_bitwise(hs77):
    runs = [AdaSketchNewton(accuracy="paper", seed=seed).minimize(hs77) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    np.testing.assert_array_equal(runs[0].multipliers, runs[1].multipliers)
    assert (runs[0].x != runs[2].x).any()
    assert runs[0].fun == pytest.approx(runs[2].fun, abs=1e-7)


def test_superlinear_schedule(hs77):
    result = AdaSketchNewton(accuracy="paper", theta="superlinear").minimize(hs77, gtol=1e-7)
    assert result.success
    norms = result.trace["gnorm"]
    assert norms[-1] <= 1e-2 * norms[-2]


def test_limit_of_float64_has_its_own_word(hs77):
    """Armijo's test on values cannot see a decrease of about |F|^2 below rounding of the merit."""
    result = EXACT.minimize(hs77, gtol=1e-15)
    assert result.reason == "precision-limit"
    assert result.nit <= 12
    assert result.kkt["2"] <= 1e-6


@given(st.integers(0, 10**6))
def test_psi_bounds_the_inverse(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 7), 1
    m = int(rng.integers(1, n))
    H, G = rng.standard_normal((n, n)), rng.standard_normal((m, n))
    xi_G = np.linalg.eigvalsh(G @ G.T)[0]
    B = definite(H + H.T, G, 0.1, 0.1)
    bound = inverse_bound(B, xi_G, 0.1)
    assert np.linalg.norm(np.linalg.inv(kkt_matrix(B, G)), 2) <= bound


def test_shift_leaves_the_curvature_it_promises():
    rng = np.random.default_rng(0)
    H = rng.standard_normal((6, 6))
    H, G = H + H.T, rng.standard_normal((2, 6))
    B = definite(H, G, 1e-6, 0.1)
    assert (B != H).any()
    Z = np.linalg.qr(G.T, mode="complete")[0][:, 2:]
    assert np.linalg.eigvalsh(Z.T @ B @ Z)[0] >= 0.1
    np.testing.assert_array_equal(definite(np.eye(6), G, 1e-6, 0.1), np.eye(6))

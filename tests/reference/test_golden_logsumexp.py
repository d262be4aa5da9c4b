"""The authors' log-sum-exp experiment (n = m = 1000, mu = 1, B = A A'), against the traces of their own code.

The metric has condition 2e8, so f agrees to about 1e-9; every decision of the search agrees exactly.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from gnsopt import FastGradientMethod, GradientMethod, GradNormSmooth, LogSumExp, SuperNewton

F_STAR = 7.059514755079919
F_START = 68.38058890376917

# f at the iterates 0..14
EXACT = [
    68.38058890376917,
    67.38207388505622,
    65.3954457282493,
    61.87095047874573,
    58.92861457048266,
    53.20315742230867,
    46.54687242658125,
    40.166087112487816,
    33.493405498997795,
    27.21796963280078,
    21.92875552353079,
    17.454450615961743,
    14.367656591414454,
    12.879570173776077,
    11.359818519510235,
]
WEIGHTED_GAUSS_NEWTON = [
    68.38058890376917,
    67.88094621616206,
    67.21505161929632,
    66.41689660181461,
    65.62092103372393,
    64.82965090839902,
    64.04817658238747,
    63.285614441743206,
    62.46753710778265,
    61.684850285320636,
    60.929170477561165,
    60.18717397087694,
    59.44826514713581,
    58.7077461793446,
    57.965079717808564,
]
GRADIENT = [
    68.38058890376917,
    67.38230526110655,
    65.39368295204783,
    61.81553952999044,
    60.44018901379745,
    58.74964666204614,
    56.03231577966418,
    52.57224725059554,
    49.476905020843304,
    47.62759469609314,
    45.4698773907768,
    42.642871888717295,
    40.08891194211715,
    37.739802874636354,
    35.12102138972329,
]
SUPER = [
    68.38058890376917,
    67.38207389503131,
    63.46622233397483,
    58.5450613543589,
    53.26462327672514,
    49.160402556489736,
    45.31573969736794,
    42.034032569286595,
    39.049768195174885,
    36.494296652579486,
    34.309812073743444,
    32.32313855268442,
    30.540066411161973,
    25.848061550566932,
    22.410370566106856,
]
FAST_GRADIENT = [
    68.38058890376917,
    67.38230526110655,
    65.39368295204608,
    61.537901646198975,
    59.13760489198304,
    56.062901861190504,
    52.764941113861354,
    50.173748316105375,
    47.508269015992134,
    45.102540454223785,
    42.04055204895346,
    39.41148036335132,
    35.96105342767722,
    33.302477471988055,
    30.969980857553946,
]

# the same two methods in the identity metric
GRADIENT_IDENTITY = [
    68.38058890376917,
    60.95080580497957,
    58.955461982848604,
    55.90366709891847,
    53.72869791091259,
    51.17970313644505,
    47.88022513999134,
    45.70365388884667,
    43.22989645308092,
    41.75678224880409,
    39.616350785792626,
    36.931551579071375,
    35.44926923142789,
    33.47707079053214,
    31.17225056735846,
]
FAST_GRADIENT_IDENTITY = [
    68.38058890376917,
    60.95080580497957,
    58.95546198284861,
    55.3128589696522,
    52.54767383133039,
    50.204727532684736,
    46.90983113058504,
    44.10176634643588,
    40.081785400926016,
    37.87725803922116,
    35.08865506138793,
    31.874937984117214,
    30.056411343143534,
    27.79256759907212,
    26.443701290255408,
]

# gamma at the start of the iterations 1..25
GAMMA_EXACT = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 256, 512, 256, *[128] * 4, *[64] * 8]
GAMMA_WEIGHTED_GAUSS_NEWTON = [1, 2, 4, *[8] * 5, *[16] * 9, *[32] * 8]


@pytest.fixture(scope="module")
def experiment():
    """The problem, its metric and the start."""
    rng = np.random.RandomState(3124)
    A, b = rng.rand(1000, 1000) * 2 - 1, rng.rand(1000) * 2 - 1
    return SimpleNamespace(problem=LogSumExp.centered(A.T, b, 1.0), B=A @ A.T, x0=np.ones(1000))


def run(experiment, solver):
    """Run `solver` to f - f* <= 1e-8, as the authors' code stops."""
    res = solver.minimize(experiment.problem, experiment.x0, f_target=F_STAR + 1e-8, gtol=0)
    assert res.success
    assert res.fun - F_STAR <= 1e-8 < res.trace["fun"][-2] - F_STAR
    return res


def test_the_data_are_those_of_the_paper(experiment):
    assert experiment.problem.f_star == pytest.approx(F_STAR, rel=1e-15)
    assert experiment.problem.fun(experiment.x0, experiment.problem.prepare(experiment.x0)) == pytest.approx(
        F_START, rel=1e-14
    )
    g = experiment.problem.grad(np.zeros(1000), experiment.problem.prepare(np.zeros(1000)))
    assert np.abs(g).max() <= 1e-15


@pytest.mark.parametrize(
    ("curvature", "iterations", "solves", "f", "gamma"),
    [
        pytest.param("exact", 35, 64, EXACT, GAMMA_EXACT, id="exact"),
        pytest.param(
            "gauss_newton",
            94,
            182,
            WEIGHTED_GAUSS_NEWTON,
            GAMMA_WEIGHTED_GAUSS_NEWTON,
            id="weighted-gauss-newton",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_grad_norm_smooth(experiment, curvature, iterations, solves, f, gamma):
    res = run(experiment, GradNormSmooth(curvature=curvature, metric=experiment.B, growth="paper"))
    assert (res.nit, res.nsolve) == (iterations, solves)
    np.testing.assert_allclose(res.trace["fun"][:15], f, rtol=1e-8)
    start, accepted, trials = (res.trace[name][1:] for name in ("gamma_start", "gamma", "trials"))
    np.testing.assert_array_equal(start[:25], gamma)
    np.testing.assert_array_equal(accepted, start * 0.5 ** (trials - 1))  # halved once per rejected trial
    np.testing.assert_array_equal(start[1:], 2 * accepted[:-1])  # doubled after each accepted one


def test_super_newton(experiment):
    res = run(experiment, SuperNewton(curvature="exact", metric=experiment.B, alpha=1.0, H_min=1e-9))
    assert (res.nit, res.nsolve) == (56, 111)
    np.testing.assert_allclose(res.trace["fun"][:15], SUPER, rtol=1e-10)


def test_gradient_method(experiment):
    res = run(experiment, GradientMethod(metric=experiment.B))
    assert (res.nit, res.njev, res.nsolve, res.nhev) == (152, 153, 0, 0)
    np.testing.assert_allclose(res.trace["fun"][:15], GRADIENT, rtol=1e-10)


def test_fast_gradient_method(experiment):
    res = run(experiment, FastGradientMethod(metric=experiment.B))
    assert (res.nit, res.njev, res.nsolve, res.nhev) == (105, 306, 0, 0)
    np.testing.assert_allclose(res.trace["fun"][:15], FAST_GRADIENT, rtol=1e-10)


@pytest.mark.parametrize(
    ("method", "f", "gap", "gradients"),
    [
        # gradients until f - f* <= a bound
        pytest.param(GradientMethod, GRADIENT_IDENTITY, 0.0021866376467869486, {1e-2: 446}, id="gradient"),
        pytest.param(
            FastGradientMethod,
            FAST_GRADIENT_IDENTITY,
            2.6515656106340657e-06,
            {1e-2: 309, 1e-4: 1009},
            id="fast-gradient",
        ),
    ],
)
def test_gradient_methods_in_the_identity_metric(experiment, method, f, gap, gradients):
    """1000 iterations with B = I; no condition number enters, so that the last f too agrees to rounding (1e-15)."""
    res = method(metric=None).minimize(experiment.problem, experiment.x0, gtol=0, maxiter=1000)
    assert res.nit == 1000
    np.testing.assert_allclose(res.trace["fun"][:15], f, rtol=1e-13)
    assert res.fun - F_STAR == pytest.approx(gap, abs=1e-13)
    for bound, count in gradients.items():
        assert res.trace["njev"][np.argmax(res.trace["fun"] - F_STAR <= bound)] == count

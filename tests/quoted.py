"""Figures that the pages of docs/ quote, and where they come from: where a text is not found one of both is old.

{(page, file): [(text of the page, text of the file), ...]}; white space counts once. The tables of the linear models
are not here.
"""

GNS, FAMILIES = "experiments/gns/README.md", "experiments/families/README.md"
SKETCH, SNS = "experiments/newton_sketch/README.md", "experiments/sns/README.md"
ADASKETCH, MAID = "experiments/adasketch/README.md", "experiments/maid/README.md"
SPARSE = "experiments/sparsity_constrained_ot/README.md"
CUTEST, OT = "experiments/benchmarks/cutest/README.md", "experiments/benchmarks/ot/README.md"
BILEVEL = "experiments/benchmarks/bilevel/README.md"
CHEBYSHEV = "paper_figures/gns/figure_chebyshev_scaling.py"

QUOTED = {
    ("choose.rst", CUTEST): [
        ("216 CUTEst problems: 196 to 1e-6, SciPy's trust-exact 184", "216 problems"),
        ("216 CUTEst problems: 196 to 1e-6, SciPy's trust-exact 184", "| gnsopt | 200 | 196 | 190 |"),
        ("SciPy's trust-exact 184", "| trust-exact | 189 | 184 | 165 |"),
        ("73 CUTEst problems: 72 to 1e-8", "73 problems"),
        ("73 CUTEst problems: 72 to 1e-8", "| gnsopt | 73 | 72 | 72 | 6.8 |"),
        ("trust-constr 65, SLSQP 52", "| trust-constr | 70 | 68 | 65 | 12.5 |"),
        ("trust-constr 65, SLSQP 52", "| SLSQP | 64 | 64 | 52 |"),
    ],
    ("choose.rst", FAMILIES): [
        (
            "27 of 27 NIST regressions from both starts",
            "**true** ([table](../../paper_figures/families/nist.md)): 27 and 27;",
        ),
        ("``lm`` **also 27 with the same scaling**", "SciPy's `lm` and `trf` solve all 27 too"),
        ("11 gradients to a loss of 0.12 where K-FAC takes 69", "takes 11 and 11 gradients on digits and MNIST"),
        ("11 gradients to a loss of 0.12 where K-FAC takes 69", "K-FAC 69 and 59"),
    ],
    ("choose.rst", GNS): [
        ("lazy: up to 3 times the iterations", "lazy up to three times as many"),
        ("Chebyshev chain of 1000: 26 iterations in 2.6 ms", "n = 1000 in 3.5 ms (2.6 with the ratio rule)"),
    ],
    ("choose.rst", SKETCH): [
        ("the exact Hessian is faster on a9a, w8a and madelon", "**the exact Hessian is faster on all three**"),
        (
            "7.9 times fewer products at a condition of 3e7, **1.2 at 1e3**",
            "7.9, 3.0, 2.4 and 1.2 times fewer at 3e7, 2.6e5, 1.9e4 and 1e3",
        ),
        ("on a9a **more than plain conjugate gradients**", "on a9a 827 where CG takes 499"),
    ],
    ("choose.rst", CHEBYSHEV): [
        ("Chebyshev chain of 1000: 26 iterations in 2.6 ms", "RATIO: [(23, 29), (26, 33),"),
    ],
    ("choose.rst", OT): [
        (
            "both targets on 14 of 14 instances, which no peer reaches",
            "**Both targets on all 14 instances, by `gnsopt auto` and `gnsopt newton`, by no peer.**",
        ),
        ("0.2 of the best peer of each instance in the mean", "0.2 times in the geometric mean over instances"),
        (
            "by up to 18 % where ten Sinkhorn iterations suffice",
            "by 1 to 18 %, are `rand500 1e-2` and `rand1000 1e-2`, where ten Sinkhorn iterations suffice",
        ),
        ("0.1 ms to 0.5 s on the same instances", "solves the *unregularised* problem in 0.1 ms to 0.5 s"),
    ],
    ("choose.rst", BILEVEL): [
        ("0.02 to 0.16 s against 0.03 to 0.32 s for Brent", "in 0.02 to 0.16 s (Brent 0.03 to 0.32 s;"),
        ("0.09 s against 0.06 s on text-single", "on text-single 0.09 s against 0.06 s"),
        (
            "HOAG's value after 12 s within the first second on all six tasks",
            "HOAG's value after 12 s within the first second on all six tasks",
        ),
    ],
    ("benchmarks.rst", OT): [
        ("14 of 14 instances", "| gnsopt newton | 14 of 14 |"),
        ("7 to 9 times as fast as the best single peer method", "POT's `sinkhorn`, takes 7 and 9 times as long"),
        ("up to 18 % slower where ten Sinkhorn iterations suffice", "by 1 to 18 %"),
    ],
    ("benchmarks.rst", CUTEST): [
        ("half the iterations with constraints", "| gnsopt | 73 | 72 | 72 | 6.8 |"),
        ("half the iterations with constraints", "| trust-constr | 70 | 68 | 65 | 12.5 |"),
    ],
    ("benchmarks.rst", BILEVEL): [
        (
            "nowhere above L-BFGS-B with Jacobi's preconditioner on the split of the table",
            "it is on this split nowhere above L-BFGS-B + implicit + Jacobi",
        ),
        ("0.09 s against Brent's 0.06 s on text-single", "on text-single 0.09 s against 0.06 s"),
        (
            "the best *test* losses of three tasks are those of slow methods",
            "test loss of digits-weight, text-feature and reuters-feature is that of a slow method",
        ),
    ],
    ("papers/gns.rst", GNS): [
        (
            "exact 35 iterations (64 systems), weighted Gauss-Newton 94 (182)",
            "exact 35 (64), weighted Gauss-Newton 94 (182)",
        ),
        ("linear systems on 111 and loses some on 15", "111 wins, 8 level, 15 losses"),
        ("15 minutes of one processor", "# all: 15 minutes of one processor"),
    ],
    ("papers/super_newton.rst", GNS): [
        ("531, 568, 528, 509 iterations", "531, 568, 528, 509 iterations"),
        ("best in iterations (97) and worst in systems (1221)", "cubic 97 (1221)"),
        ("become 33 (67)", "n = 200: **33 (67)"),
    ],
    ("papers/kronecker.rst", FAMILIES): [
        (
            "11 and 11 gradients, Gauss-Newton 28 and 35, MKOR of rank 8 29 and 28, K-FAC 69 and 59, TrAct 132 and 86",
            "Gauss-Newton 28 and 35, MKOR of rank 8 29 and 28, K-FAC 69 and 59, TrAct 132 and 86",
        ),
        (
            "Gauss-Newton by conjugate gradients takes 0.12 and 0.74 s, K-FAC 0.19 and 4.9",
            "0.12 in 0.12 and 0.74 s, the exact Hessian in 0.11 and 1.0,",
        ),
    ],
    ("papers/nist.rst", FAMILIES): [
        (
            "SciPy's ``trf`` 27, ``lm`` 26, ``dogbox`` 24 with our Jacobian",
            "27 with `trf`, 26 with `lm`, 24 with `dogbox`, all with our Jacobian",
        ),
        ("Gradient-normalised smoothness itself solves 21", "gradient-normalised smoothness itself solves 21"),
    ],
    ("papers/momentum.rst", FAMILIES): [
        (
            "11 against 127 on mushrooms, 7 against 91 on german.numer",
            "11 against 127 on mushrooms, 7 against 91 on german.numer",
        ),
    ],
    ("papers/certified.rst", FAMILIES): [
        ("20 gradients where the Fisher matrix needs 268", "20 against 268"),
        ("comes within 0.1 % from 8 of 12 starts", "comes within 0.1 % from 8 of 12 starts"),
        (
            "ADMM, the paper's, reaches 1e-4 in 3000 iterations where that takes 71 steps to 1e-12",
            "known to 1e-12 of its value (71 steps, 10 ms; ADMM reaches 1e-4 in 3000)",
        ),
    ],
    ("papers/sequences.rst", FAMILIES): [
        (
            "within 17 % of the best fixed :math:`\\omega`, one for each of five bins of the shift within 7 %",
            "within 17 % of the best fixed ω",
        ),
    ],
    ("papers/target_surrogates.rst", FAMILIES): [
        ("33 gradients to 1e-8 against 204", "33 gradients to 1e-8 against 204"),
    ],
    ("papers/newton_sketch.rst", SKETCH): [
        ("49 to 183 steps where sketches take 12 to 42", "49 to 183 steps where sketches take 12 to 42"),
        (
            "7.9, 3.0, 2.4, 1.2 times fewer at conditions of 3e7, 2.6e5, 1.9e4, 1e3",
            "7.9, 3.0, 2.4 and 1.2 times fewer at 3e7, 2.6e5, 1.9e4 and 1e3",
        ),
    ],
    ("papers/adasketch.rst", ADASKETCH): [
        (
            "241 with exact solves, 243 with Kaczmarz, 244 with Gaussian sketches, 178 with the default",
            "241 exact, 243 Kaczmarz, 244 Gaussian, 178 with our default",
        ),
    ],
    ("papers/sns.rst", SNS): [
        (
            "20 + 9 iterations, the paper's counts; Sinkhorn 37 780",
            "20 + 9 to 9e-15, the paper's counts; Sinkhorn 37 780",
        ),
        ("In seconds the factor is 13, not the paper's 700", "in seconds the factor is 13, not 700"),
        ("Semi-dual Newton takes 18 iterations, 8 ms against 132", "18 iterations, 8 ms against 132"),
        ("with 2 n it takes 48", "48, 15, 10, 8, 8 steps to 1e-10"),
    ],
    ("papers/sparsity_constrained_ot.rst", SPARSE): [
        ("within 4e-4 of the optimum", "k = 2 and 4 are within 4e-4 of the optimum"),
    ],
    ("papers/maid.rst", MAID): [
        (
            "is 1.5e8, and every gradient method is at 4e-3 of the gap after 12 000 units",
            "the condition of f is 1.5e8: every gradient method is at 4e-3 of the gap after 12 000 units",
        ),
    ],
}

"""Figures of the families around the core: curvature, target surrogates, linear solvers, diagnostics, baselines."""

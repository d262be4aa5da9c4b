"""Nonlinear problems of the CUTEst collection, from the S2MPJ library: equality constraints, and none."""

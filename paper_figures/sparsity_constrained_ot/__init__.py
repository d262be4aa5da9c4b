"""Figures of "Sparsity-constrained optimal transport" (2209.15466)."""

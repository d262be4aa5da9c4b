"""Figures of "Constrained optimization via exact augmented Lagrangian and iterative sketching" (2305.18379)."""

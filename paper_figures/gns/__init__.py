"""Figures of "Gradient-normalized smoothness for optimization with approximate Hessians" (2506.13710)."""

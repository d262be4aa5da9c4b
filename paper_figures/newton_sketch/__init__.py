"""Figures of Newton sketch and Nystrom preconditioning."""

"""Figures of the papers, drawn from the results of the experiments only."""

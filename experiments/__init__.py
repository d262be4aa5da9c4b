"""Experiments of the papers: declarative configurations and one runner."""

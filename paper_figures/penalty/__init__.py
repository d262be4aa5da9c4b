"""Figures of "Accelerating Sinkhorn algorithm with sparse Newton iterations" (2401.12253)."""

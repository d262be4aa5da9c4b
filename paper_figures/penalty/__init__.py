"""Figures of "On penalty methods for nonconvex bilevel optimization" (2309.01753) and its kin."""

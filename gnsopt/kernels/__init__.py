"""Compiled kernels on arrays and scalars: plain ``@njit(cache=True)`` functions, helpers in the same file."""

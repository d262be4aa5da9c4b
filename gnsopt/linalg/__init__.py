"""Linear algebra below the optimisation: designs, metrics, structured matrices and their shifted solves."""

"""AdaSketch-Newton: the paper's problems and its baselines."""

"""gnsopt against itself and its peers: jobs, their results and tables."""

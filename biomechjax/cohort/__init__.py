"""People and trials: the on-disk folder, and the simulated clinic that is the embedded default."""

"""From initialization to the end of the budget: checkpoints, what lies between, and the log."""

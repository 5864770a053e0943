"""What became of a training run, from its log alone: no torch, no retraining."""

"""The report's figures: each takes frames and returns a matplotlib `Figure`."""

from benchmark.figures.comparisons import comparison_forest, cost_against_batch_size
from benchmark.figures.rates import accuracy_against_rate
from benchmark.figures.search import confirmed_accuracy, search_progress
from benchmark.figures.statuses import status_map
from benchmark.figures.style import STATUS_COLOURS, palette
from benchmark.figures.trajectories import gradient_norm_trajectories

__all__ = [
    "STATUS_COLOURS",
    "accuracy_against_rate",
    "comparison_forest",
    "confirmed_accuracy",
    "cost_against_batch_size",
    "gradient_norm_trajectories",
    "palette",
    "search_progress",
    "status_map",
]

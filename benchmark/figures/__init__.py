"""The report's figures: each takes frames and returns a matplotlib `Figure`."""

from benchmark.figures.claims import VERDICT_LOOKS, claims_forest
from benchmark.figures.comparisons import comparison_forest, cost_by_level, importance_bars
from benchmark.figures.rates import accuracy_against_rate, accuracy_profile
from benchmark.figures.search import confirmed_accuracy, search_progress
from benchmark.figures.statuses import status_map
from benchmark.figures.style import STATUS_COLOURS, looks, words
from benchmark.figures.trajectories import gradient_norm_trajectories

__all__ = [
    "STATUS_COLOURS",
    "VERDICT_LOOKS",
    "accuracy_against_rate",
    "accuracy_profile",
    "claims_forest",
    "comparison_forest",
    "confirmed_accuracy",
    "cost_by_level",
    "gradient_norm_trajectories",
    "importance_bars",
    "looks",
    "search_progress",
    "status_map",
    "words",
]

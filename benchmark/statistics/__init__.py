"""Statistics of a study: frames in, frames out. No torch, no drawing.

Rules that hold throughout: runs are paired by seed; an exploded trial counts at chance accuracy
and at its capped loss and is never dropped; selection is on validation, reporting on test;
intervals are 95% and over seeds, each left out with all its trials, because the cells of a study
share their seeds (`benchmark.statistics.seeds`). Groups come in the order in which they first
appear in the frame.
"""

from benchmark.statistics.clipped import clipping_facts, percentile_rule, spike_scores
from benchmark.statistics.depth import (
    depth_growth,
    theoretical_growth,
    theoretical_recurrent_growth,
    theoretical_residual_growth,
)
from benchmark.statistics.importance import fanova, main_effects, ped_anova
from benchmark.statistics.outcomes import (
    able,
    best_so_far,
    completeness,
    explosion_onset,
    idle,
    outcomes,
    status_shares,
)
from benchmark.statistics.pairing import (
    copies,
    holm,
    paired,
    paired_comparison,
    paired_ratio,
    probability_of_improvement,
    sign_flip,
    tied_with_best,
)
from benchmark.statistics.rates import (
    best_per_arm,
    chosen_rates,
    cross_fitted,
    largest_stable_rate,
    learning_rate_sensitivity,
    rate_scores,
    stable_range,
    usable_decades,
)
from benchmark.statistics.resampling import RESAMPLES, bootstrap, resample
from benchmark.statistics.searches import expected_best, expected_best_curve
from benchmark.statistics.seeds import (
    CONFIDENCE,
    interquartile_mean,
    interval,
    left_open,
    mean,
    over_cells_and_seeds,
    over_seeds,
    performance_profile,
    proportion,
    share,
    smallest_detectable,
)
from benchmark.statistics.spans import rate_spans
from benchmark.statistics.spike_levels import STRICTEST, at_spike_level, spike_level_sensitivity

__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "STRICTEST",
    "able",
    "at_spike_level",
    "best_per_arm",
    "best_so_far",
    "bootstrap",
    "chosen_rates",
    "clipping_facts",
    "completeness",
    "copies",
    "cross_fitted",
    "depth_growth",
    "expected_best",
    "expected_best_curve",
    "explosion_onset",
    "fanova",
    "holm",
    "idle",
    "interquartile_mean",
    "interval",
    "largest_stable_rate",
    "learning_rate_sensitivity",
    "left_open",
    "main_effects",
    "mean",
    "outcomes",
    "over_cells_and_seeds",
    "over_seeds",
    "paired",
    "paired_comparison",
    "paired_ratio",
    "ped_anova",
    "percentile_rule",
    "performance_profile",
    "probability_of_improvement",
    "proportion",
    "rate_scores",
    "rate_spans",
    "resample",
    "share",
    "sign_flip",
    "smallest_detectable",
    "spike_level_sensitivity",
    "spike_scores",
    "stable_range",
    "status_shares",
    "theoretical_growth",
    "theoretical_recurrent_growth",
    "theoretical_residual_growth",
    "tied_with_best",
    "usable_decades",
]

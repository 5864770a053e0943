"""Statistics of a study: frames in, frames out. No torch, no drawing.

Rules that hold throughout: runs are paired by seed; an exploded trial counts at chance accuracy
and at its capped loss and is never dropped; selection is on validation, reporting on test;
intervals are 95% and over seeds, each left out with all its trials, because the cells of a study
share their seeds (`benchmark.statistics.seeds`). Groups come in the order in which they first
appear in the frame.
"""

from benchmark.statistics.bands import explosions_by, in_bands
from benchmark.statistics.clipped import (
    best_products,
    best_thresholds,
    by_clipped_half,
    clipping_facts,
    equal_products,
    percentile_rule,
    product_gaps,
    spike_scores,
    threshold_cells,
    threshold_products,
)
from benchmark.statistics.depth import (
    depth_growth,
    norm_profiles,
    theoretical_growth,
    theoretical_recurrent_growth,
    theoretical_residual_growth,
)
from benchmark.statistics.explosions import (
    breaking_rate,
    broken_beside,
    least_exploding_rate,
    missed_by_nan_test,
)
from benchmark.statistics.importance import fanova, main_effects, ped_anova
from benchmark.statistics.multiples import (
    at_multiples,
    at_own_and_same_rates,
    in_relative_arms,
    varying,
)
from benchmark.statistics.noise import gradient_samples, noise_quartiles, noise_scale
from benchmark.statistics.outcomes import (
    able,
    best_so_far,
    completeness,
    explosion_onset,
    idle,
    idle_in,
    outcome_means,
    outcomes,
    status_shares,
)
from benchmark.statistics.pairing import (
    against_reference,
    copies,
    holm,
    paired,
    paired_comparison,
    paired_ratio,
    probability_of_improvement,
    sign_flip,
)
from benchmark.statistics.ranking import (
    cross_chosen,
    mean_effects,
    tied_ranks,
    tied_with_best,
    with_ranks,
)
from benchmark.statistics.published import beside_published
from benchmark.statistics.rates import (
    best_per_arm,
    choices_of_single_seeds,
    chosen_rates,
    cross_fitted,
    largest_stable_rate,
    learning_rate_sensitivity,
    least_loss_rate,
    rate_ratios,
    rate_scores,
    stable_range,
    usable_decades,
    with_edges,
)
from benchmark.statistics.replication import replicates
from benchmark.statistics.resampling import RESAMPLES, bootstrap, resample
from benchmark.statistics.searches import expected_best, expected_best_curve, expected_of_best
from benchmark.statistics.seeds import (
    CONFIDENCE,
    interquartile_mean,
    interval,
    jackknifed,
    left_open,
    mean,
    over_cells_and_seeds,
    over_seeds,
    performance_profile,
    proportion,
    share,
    smallest_detectable,
    unanimous,
)
from benchmark.statistics.selection import differing_in, where
from benchmark.statistics.sharpness import at_the_edge, sharpness_over_edge
from benchmark.statistics.spans import decades_gained, rate_spans, told_apart
from benchmark.statistics.spike_levels import STRICTEST, at_spike_level, spike_level_sensitivity
from benchmark.statistics.targets import (
    critical_size,
    rules_for_rate,
    scaled_rates,
    trade,
    where_larger_batches_pay,
)

__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "STRICTEST",
    "able",
    "against_reference",
    "at_multiples",
    "at_own_and_same_rates",
    "at_spike_level",
    "at_the_edge",
    "beside_published",
    "best_per_arm",
    "best_products",
    "best_so_far",
    "best_thresholds",
    "bootstrap",
    "breaking_rate",
    "broken_beside",
    "by_clipped_half",
    "choices_of_single_seeds",
    "chosen_rates",
    "clipping_facts",
    "completeness",
    "copies",
    "critical_size",
    "cross_chosen",
    "cross_fitted",
    "decades_gained",
    "depth_growth",
    "differing_in",
    "equal_products",
    "expected_best",
    "expected_best_curve",
    "expected_of_best",
    "explosion_onset",
    "explosions_by",
    "fanova",
    "gradient_samples",
    "holm",
    "idle",
    "idle_in",
    "in_bands",
    "in_relative_arms",
    "interquartile_mean",
    "interval",
    "jackknifed",
    "largest_stable_rate",
    "learning_rate_sensitivity",
    "least_exploding_rate",
    "least_loss_rate",
    "left_open",
    "main_effects",
    "mean",
    "mean_effects",
    "missed_by_nan_test",
    "noise_quartiles",
    "noise_scale",
    "norm_profiles",
    "outcome_means",
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
    "product_gaps",
    "proportion",
    "rate_ratios",
    "rate_scores",
    "rate_spans",
    "replicates",
    "resample",
    "rules_for_rate",
    "scaled_rates",
    "share",
    "sharpness_over_edge",
    "sign_flip",
    "smallest_detectable",
    "spike_level_sensitivity",
    "spike_scores",
    "stable_range",
    "status_shares",
    "theoretical_growth",
    "theoretical_recurrent_growth",
    "theoretical_residual_growth",
    "threshold_cells",
    "threshold_products",
    "tied_ranks",
    "tied_with_best",
    "told_apart",
    "trade",
    "unanimous",
    "usable_decades",
    "varying",
    "where",
    "where_larger_batches_pay",
    "with_edges",
    "with_ranks",
]

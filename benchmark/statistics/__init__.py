"""Statistics of a study: frames in, frames out. No torch, no drawing.

Rules that hold throughout: runs are paired by seed; an exploded trial counts at chance accuracy
and at its capped loss and is never dropped; selection is on validation, reporting on test;
intervals are 95% and over seeds, each left out with all its trials, because the cells of a study
share their seeds (`benchmark.statistics.seeds`). Groups come in the order in which they first
appear in the frame.
"""

from benchmark.statistics.bands import explosions_by, in_bands
from benchmark.statistics.batch_sizes import sizes_near_best
from benchmark.statistics.changes import change_effects, single_changes
from benchmark.statistics.clipped import (
    always_clipped,
    best_products,
    best_thresholds,
    clipping_facts,
    equal_products,
    percentile_rule,
    product_gaps,
    steadiest_product,
    threshold_cells,
    threshold_products,
)
from benchmark.statistics.depth import (
    depth_growth,
    growth_beside_theory,
    norm_profiles,
    theoretical_growth,
    theoretical_recurrent_growth,
    theoretical_residual_growth,
    theory_over_gains,
)
from benchmark.statistics.explosions import (
    breaking_rate,
    broken_beside,
    largest_safe_rate,
    least_exploding_rate,
    missed_by_nan_test,
)
from benchmark.statistics.failing_rates import failing_rates, levels_off, times_beside
from benchmark.statistics.gpu_check import (
    cases_checked,
    disagreements,
    gains_of_width,
    kernels_compared,
)
from benchmark.statistics.growing import at_each_size, gains_of_size
from benchmark.statistics.importance import ped_anova
from benchmark.statistics.limit_law import saturating_law
from benchmark.statistics.multiples import (
    at_multiples,
    at_own_and_same_rates,
    in_relative_arms,
    misplaced_best_rates,
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
    every_factor_compared,
    holm,
    paired,
    paired_comparison,
    paired_ratio,
    probability_of_improvement,
    seeds_needed,
    sign_flip,
    verdicts,
)
from benchmark.statistics.premiums import payouts, premium_gaps, premiums
from benchmark.statistics.published import beside_published
from benchmark.statistics.raised_rates import RaisedRates
from benchmark.statistics.ranking import (
    cross_chosen,
    mean_effects,
    tied_ranks,
    tied_with_best,
    with_ranks,
)
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
from benchmark.statistics.restarts import restart_effect, restarts
from benchmark.statistics.searches import expected_best, expected_of_best
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
    share_of_groups,
    smallest_detectable,
    unanimous,
)
from benchmark.statistics.selection import differing_in, where, without_repeats
from benchmark.statistics.sharpness import at_the_edge, sharpness_over_edge
from benchmark.statistics.spans import decades_gained, rate_spans, told_apart
from benchmark.statistics.spike_levels import STRICTEST, at_spike_level, spike_level_sensitivity
from benchmark.statistics.targets import (
    critical_by_target,
    critical_size,
    rules_for_rate,
    scaled_rates,
    trade,
    where_larger_batches_pay,
)
from benchmark.statistics.tuning import tuned, tuning_gain, tuning_path
from benchmark.statistics.twins import twins
from benchmark.statistics.variance import complete_grid, main_effects, variance_shares
from benchmark.statistics.windows import good_windows, rates_within

__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "STRICTEST",
    "RaisedRates",
    "able",
    "against_reference",
    "always_clipped",
    "at_each_size",
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
    "cases_checked",
    "change_effects",
    "choices_of_single_seeds",
    "chosen_rates",
    "clipping_facts",
    "complete_grid",
    "completeness",
    "copies",
    "critical_by_target",
    "critical_size",
    "cross_chosen",
    "cross_fitted",
    "decades_gained",
    "depth_growth",
    "differing_in",
    "disagreements",
    "equal_products",
    "every_factor_compared",
    "expected_best",
    "expected_of_best",
    "explosion_onset",
    "explosions_by",
    "failing_rates",
    "gains_of_size",
    "gains_of_width",
    "good_windows",
    "gradient_samples",
    "growth_beside_theory",
    "holm",
    "idle",
    "idle_in",
    "in_bands",
    "in_relative_arms",
    "interquartile_mean",
    "interval",
    "jackknifed",
    "kernels_compared",
    "largest_safe_rate",
    "largest_stable_rate",
    "learning_rate_sensitivity",
    "least_exploding_rate",
    "least_loss_rate",
    "left_open",
    "levels_off",
    "main_effects",
    "mean",
    "mean_effects",
    "misplaced_best_rates",
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
    "payouts",
    "ped_anova",
    "percentile_rule",
    "performance_profile",
    "premium_gaps",
    "premiums",
    "probability_of_improvement",
    "product_gaps",
    "proportion",
    "rate_ratios",
    "rate_scores",
    "rate_spans",
    "rates_within",
    "replicates",
    "resample",
    "restart_effect",
    "restarts",
    "rules_for_rate",
    "saturating_law",
    "scaled_rates",
    "seeds_needed",
    "share",
    "share_of_groups",
    "sharpness_over_edge",
    "sign_flip",
    "single_changes",
    "sizes_near_best",
    "smallest_detectable",
    "spike_level_sensitivity",
    "stable_range",
    "status_shares",
    "steadiest_product",
    "theoretical_growth",
    "theoretical_recurrent_growth",
    "theoretical_residual_growth",
    "theory_over_gains",
    "threshold_cells",
    "threshold_products",
    "tied_ranks",
    "tied_with_best",
    "times_beside",
    "told_apart",
    "trade",
    "tuned",
    "tuning_gain",
    "tuning_path",
    "twins",
    "unanimous",
    "usable_decades",
    "variance_shares",
    "varying",
    "verdicts",
    "where",
    "where_larger_batches_pay",
    "with_edges",
    "with_ranks",
    "without_repeats",
]

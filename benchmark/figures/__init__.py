"""The report's figures: each takes frames and returns a matplotlib `Figure`."""

from benchmark.figures.batches import (
    batch_size_over_training,
    costs_by_batch_size,
    critical_by_target,
    failing_by_batch_size,
    rates_by_batch_size,
)
from benchmark.figures.claims import VERDICT_STYLES, claim_comparisons, claims_forest
from benchmark.figures.comparisons import comparison_forest
from benchmark.figures.curves import (
    ACCURACY,
    BATCH_SIZE,
    RATE,
    SECONDS,
    TIMES,
    Measure,
    interval_lines,
)
from benchmark.figures.depth import growth_against_gain, norms_by_layer
from benchmark.figures.detectors import alarm_shares
from benchmark.figures.effects import effect_rows
from benchmark.figures.guards import prices_and_gains
from benchmark.figures.heat import (
    accuracy_against_threshold,
    heat_maps,
    remedies_by_rate,
)
from benchmark.figures.importance import variance_parts
from benchmark.figures.layout import NARROW_WIDTH, narrow, save_svg
from benchmark.figures.multiples import accuracies_by_network, outcomes_by_network
from benchmark.figures.night import night_colour, save_night_svg
from benchmark.figures.phases import norms_before_explosion, phase_diagram
from benchmark.figures.products import accuracy_against_product
from benchmark.figures.published import against_published
from benchmark.figures.rates import accuracy_against_rate
from benchmark.figures.search import search_progress, winners_against_grid
from benchmark.figures.sizes import size_curves
from benchmark.figures.spans import range_tests, sharpness_against_bound, span_chart
from benchmark.figures.statuses import status_map
from benchmark.figures.style import STATUS_COLOURS, styles_of, title, titled, words
from benchmark.figures.throughput import throughput_by_width
from benchmark.figures.trajectories import gradient_norm_trajectories
from benchmark.figures.windows import window_panels

__all__ = [
    "ACCURACY",
    "BATCH_SIZE",
    "NARROW_WIDTH",
    "RATE",
    "SECONDS",
    "STATUS_COLOURS",
    "TIMES",
    "VERDICT_STYLES",
    "Measure",
    "accuracies_by_network",
    "accuracy_against_product",
    "accuracy_against_rate",
    "accuracy_against_threshold",
    "against_published",
    "alarm_shares",
    "batch_size_over_training",
    "claim_comparisons",
    "claims_forest",
    "comparison_forest",
    "costs_by_batch_size",
    "critical_by_target",
    "effect_rows",
    "failing_by_batch_size",
    "gradient_norm_trajectories",
    "growth_against_gain",
    "heat_maps",
    "interval_lines",
    "narrow",
    "night_colour",
    "norms_before_explosion",
    "norms_by_layer",
    "outcomes_by_network",
    "phase_diagram",
    "prices_and_gains",
    "range_tests",
    "rates_by_batch_size",
    "remedies_by_rate",
    "save_night_svg",
    "save_svg",
    "search_progress",
    "sharpness_against_bound",
    "size_curves",
    "span_chart",
    "status_map",
    "styles_of",
    "throughput_by_width",
    "title",
    "titled",
    "variance_parts",
    "window_panels",
    "winners_against_grid",
    "words",
]

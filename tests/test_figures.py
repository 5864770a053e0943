"""Figures of small frames: axes with units, legends, as many artists as the data ask for."""

import contextlib
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from benchmark import figures
from benchmark.figures import layout, style
from benchmark.figures.curves import plain_log
from benchmark.figures.limits import robust_limits
from benchmark.figures.spans import span_chart
from benchmark.records import Trial
from benchmark.statistics import outcomes
from benchmark.statistics.speed import WORKLOADS
from benchmark.status import FINISHED

EXPLODED = figures.Measure("exploded", "exploded trials (%)", factor=100)
MODELS = ("mlp", "cnn")
CLIPPINGS = ("none", "value", "global_norm")
RATES = (0.01, 0.1, 1.0)
PIXELS = 96
"""CSS pixels an inch."""
ENDS = ("", "_low", "_high")
DECADES = [0.001 * 10 ** (k / 2) for k in range(9)]


def grid() -> pd.DataFrame:
    """Two models, three clippings, three rates, two seeds: every rate of 1 dies."""
    rows = []
    for model in MODELS:
        for clipping in CLIPPINGS:
            for rate in RATES:
                for seed in (0, 1):
                    trial = Trial(model=model, clipping=clipping, learning_rate=rate, seed=seed)
                    dead = rate == 1.0
                    rows.append(
                        {
                            **trial.row(),
                            "trial": trial.key,
                            "cell": trial.cell,
                            "status": "dead" if dead else "stable",
                            "first_bad_step": 2.0 if dead else math.nan,
                            "classes": 10,
                            "target_accuracy": 0.9,
                            "warm_up_steps": 0,
                            "test_accuracy": 0.1 if dead else 0.9 + 0.01 * seed,
                            "validation_accuracy": 0.1 if dead else 0.9,
                            "validation_loss": 2.3 if dead else 0.3,
                            "initial_loss": 2.3,
                            "steps": 100,
                            "seconds": 0.5,
                        }
                    )
    return pd.DataFrame(rows)


TRIALS = grid()
OUTCOMES = outcomes(TRIALS)


def history() -> pd.DataFrame:
    """Three checkpoints a trial; the dead trials' norms are 1e6, then infinite."""
    rows = []
    for trial in TRIALS.to_dict("records"):
        dead = trial["status"] == "dead"
        norms = (1.0, 1e6, math.inf) if dead else (1.0, 2.0, 3.0)
        for checkpoint, norm in enumerate(norms):
            rows.append(
                {
                    "trial": trial["trial"],
                    "step": 10 * checkpoint,
                    "samples": 320 * checkpoint,
                    "learning_rate": 0.5,
                    "gradient_norm_max": norm,
                }
            )
    return pd.DataFrame(rows)


COMPARISONS = pd.DataFrame(
    [
        {"panel": panel, "level": level, "effect": effect, "low": effect - 0.01, "high": high}
        for panel in ("at the best rates", "over all rates")
        for level, effect, high in [("value", 0.02, 0.03), ("adaptive", -0.02, -0.01)]
    ]
)
SHARES = pd.DataFrame(
    [
        {"panel": panel, "level": level, "share": share, "low": max(0, share - 0.1), "high": 1.0}
        for panel in ("fatal (n = 50)", "stable (n = 99)")
        for level, share in [("loss_spike", 1.0), ("norm_multiple", 0.5), ("not_finite", 0.0)]
    ]
)
PROGRESS = pd.DataFrame(
    [
        {"model": model, "arm": arm, "number": n, "estimate": 1 / n, "low": low, "high": 2 / n}
        for model in MODELS
        # one search alone has no interval
        for arm, low in (("tpe", 0.1), ("random", math.nan))
        for n in (1, 2, 3)
    ]
)
GRID_BEST = pd.DataFrame({"model": MODELS, "objective": [0.2, 0.3], "trials": [1200, 1200]})
SEARCHES = pd.DataFrame(
    [
        {"model": model, "arm": arm, "estimate": 0.001 * search}
        for model in MODELS
        for arm in ("tpe", "random")
        for search in range(3)
    ]
)
SAMPLERS = pd.DataFrame(
    [
        {"model": model, "arm": arm, "estimate": 0.001, "low": -0.002, "high": 0.004}
        for model in MODELS
        for arm in ("tpe", "random")
    ]
)

DRAWINGS: dict[str, Callable[[], Figure]] = {
    "accuracy_against_rate": lambda: figures.accuracy_against_rate(OUTCOMES, "clipping"),
    "alarm_shares": lambda: figures.alarm_shares(SHARES),
    "comparison_forest": lambda: figures.comparison_forest(COMPARISONS, "difference (points)"),
    "gradient_norm_trajectories": lambda: figures.gradient_norm_trajectories(history(), TRIALS),
    "interval_panels": lambda: figures.interval_lines(
        levels(6, DECADES), figures.RATE, figures.ACCURACY, "level", "facet"
    ),
    "interval_rows": lambda: figures.interval_lines(
        levels(9, (1, 3, 10), "times"), figures.TIMES, EXPLODED, "level", "facet"
    ),
    "search_progress": lambda: figures.search_progress(PROGRESS, GRID_BEST),
    "status_map": lambda: figures.status_map(TRIALS),
    "winners_against_grid": lambda: figures.winners_against_grid(SEARCHES, SAMPLERS),
}
FACETS = {
    "accuracy_against_rate": 2,
    "alarm_shares": 2,
    "comparison_forest": 2,
    "gradient_norm_trajectories": 6,
    "interval_panels": 6,
    "interval_rows": 3,
    "search_progress": 2,
    "status_map": 2,
    "winners_against_grid": 2,
}
LABELS = {
    "accuracy_against_rate": ("learning rate", "test accuracy (%)"),
    "alarm_shares": ("trials with an alarm (%)", ""),
    "comparison_forest": ("difference (points)", ""),
    "gradient_norm_trajectories": ("training examples seen", "MLP: gradient norm"),
    "interval_panels": ("learning rate", "test accuracy (%)"),
    "interval_rows": ("exploded trials (%)", ""),
    "search_progress": ("trials of the search", "best validation loss so far (nats)"),
    "status_map": ("learning rate", ""),
    "winners_against_grid": ("difference in accuracy (points)", ""),
}
LEGENDS = {
    "accuracy_against_rate": ["none", "value", "global norm"],
    "gradient_norm_trajectories": [
        *("none", "value", "global norm", "first bad step", "beyond the axis"),
    ],
    "search_progress": ["TPE", "random", "best of the grid (1,200 trials)"],
    # of statuses that no trial has there is nothing to see
    "status_map": ["stable", "dead"],
}

every = pytest.mark.parametrize("name", DRAWINGS)
either = pytest.mark.parametrize("slim", [False, True], ids=["page", "phone"])


def svg(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


@functools.cache
def laid_out(name: str, slim: bool = False) -> Figure:
    """The figure after its layout, on a page or in a narrow column; not to be changed."""
    with figures.narrow() if slim else contextlib.nullcontext():
        figure = (DRAWINGS | FURTHER)[name]()
    FigureCanvasAgg(figure).draw()
    return figure


def errorbars(axis: Axes) -> list[ErrorbarContainer]:
    return [c for c in axis.containers if isinstance(c, ErrorbarContainer)]


@every
def test_axes_are_labelled_with_units(name: str) -> None:
    figure = laid_out(name)
    x, y = LABELS[name]
    shared = [text for text in (figure.get_supxlabel(), figure.get_supylabel()) if text]
    labels_x = [axis.get_xlabel() for axis in figure.axes]
    labels_y = [axis.get_ylabel() for axis in figure.axes]
    assert x in labels_x + shared
    assert y in labels_y


@every
def test_a_facet_for_each_panel(name: str) -> None:
    assert len(laid_out(name).axes) == FACETS[name]


@pytest.mark.parametrize("name", LEGENDS)
def test_one_legend_names_every_level(name: str) -> None:
    (legend,) = laid_out(name).legends
    assert [text.get_text() for text in legend.get_texts()] == LEGENDS[name]


@every
def test_the_same_data_give_the_same_bytes(name: str) -> None:
    assert svg(DRAWINGS[name]()) == svg(DRAWINGS[name]())


@every
def test_nothing_is_fetched_by_a_figure(name: str) -> None:
    text = svg(DRAWINGS[name]()).decode()
    assert 'href="http' not in text
    assert "url(http" not in text


def outside(figure: Figure) -> list[object]:
    """What reaches beyond the canvas."""
    # ticks beyond the limits of an axis are made but not drawn
    extents = [axis.get_tightbbox() for axis in figure.axes]
    extents += [artist.get_window_extent() for artist in (*figure.legends, *figure.texts)]
    page = figure.bbox.expanded(1.002, 1.002)
    corners = [(x, y) for box in extents for x, y in (box.min, box.max)]
    return [corner for corner in corners if not page.contains(*corner)]


@every
def test_every_text_lies_within_the_page(name: str) -> None:
    assert outside(laid_out(name)) == []


def texts(figure: Figure) -> list[Text]:
    """Whatever is written in a figure: titles, labels, numbers at ticks and beside marks."""
    found = [*figure.texts, *(t for legend in figure.legends for t in legend.get_texts())]
    for axis in (axis for axis in figure.axes if axis.get_visible() and axis.axison):
        found += [axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts]
        for line, limits in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
            low, high = sorted(limits)
            # ticks beyond the limits of an axis are made but not drawn
            shown = [tick for tick in line.get_major_ticks() if low <= tick.get_loc() <= high]
            found += [tick.label1 for tick in shown if tick.label1.get_visible()]
    return [text for text in found if text.get_text()]


@either
@every
def test_no_text_lies_on_another(name: str, slim: bool) -> None:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(laid_out(name, slim))]
    pairs = itertools.combinations(boxes, 2)
    # half a point of air between letters, none of it above and below them
    assert [(a, b) for (a, x), (b, y) in pairs if x.padded(-0.5).overlaps(y.padded(-0.5))] == []


def crowded(figure: Figure) -> list[str]:
    """Numbers under an axis that touch the one before them."""
    found = []
    for axis in figure.axes:
        low, high = sorted(axis.get_xlim())
        shown = [t for t in axis.get_xticklabels() if low <= t.get_position()[0] <= high]
        shown = sorted((t for t in shown if t.get_text()), key=lambda t: t.get_position()[0])
        boxes = [label.get_window_extent() for label in shown]
        pairs = zip(shown[1:], boxes, boxes[1:], strict=False)
        found += [label.get_text() for label, before, box in pairs if before.x1 + 3 > box.x0]
    return found


@every
def test_numbers_under_an_axis_stand_apart(name: str) -> None:
    assert crowded(laid_out(name)) == []


def test_numbers_stand_apart_under_narrow_panels_too() -> None:
    long = {"level": "weight_standardization", "effect": 0.7, "low": -0.1, "high": 1.26}
    rows = pd.DataFrame([{"panel": panel, **long} for panel in "abcd"])
    figure = figures.comparison_forest(rows, "added time (%)")
    FigureCanvasAgg(figure).draw()
    assert crowded(figure) == []


def test_widths_that_are_all_zero_stand_on_a_plain_scale() -> None:
    ends = {f"{v}{e}": 0.0 for v in ("decades", "sensitivity") for e in ("", "_low", "_high")}
    rates = {"low_rate": 0.1, "high_rate": 0.1, "best_rate": 0.1}
    rows = pd.DataFrame([{"normalization": level, **rates, **ends} for level in ("none", "batch")])
    figure = span_chart(rows, "normalization", [0.01, 0.1, 1.0])
    FigureCanvasAgg(figure).draw()
    assert [axis.xaxis.get_offset_text().get_text() for axis in figure.axes] == ["", "", ""]
    assert all(axis.get_xlim()[0] < 0 for axis in figure.axes[1:])  # markers at zero are whole
    assert crowded(figure) == []


@either
@pytest.mark.parametrize("name", LEGENDS)
def test_a_legend_covers_no_axes(name: str, slim: bool) -> None:
    figure = laid_out(name, slim)
    (legend,) = figure.legends
    others = [axis.get_tightbbox() for axis in figure.axes]
    others += [text.get_window_extent() for text in figure.texts]
    assert not any(legend.get_window_extent().overlaps(other) for other in others)


def test_a_line_and_interval_for_each_level() -> None:
    figure = figures.accuracy_against_rate(OUTCOMES, "clipping")
    assert [len(errorbars(axis)) for axis in figure.axes] == [3, 3]
    line = errorbars(figure.axes[0])[0].lines[0]
    assert line.get_ydata().tolist() == pytest.approx([90.5, 90.5, 10.0])
    # the lines are shifted apart along the rate, the middle one not at all
    middle = errorbars(figure.axes[0])[1].lines[0]
    assert middle.get_xdata().tolist() == pytest.approx(list(RATES))


def test_chance_is_drawn_where_the_classes_put_it() -> None:
    figure = figures.accuracy_against_rate(OUTCOMES, "clipping")
    dotted = [line for line in figure.axes[1].lines if line.get_linestyle() == ":"]
    assert [list(line.get_ydata()) for line in dotted] == [[10.0, 10.0]]


def test_effects_stand_in_the_unit_of_the_axis() -> None:
    figure = figures.comparison_forest(COMPARISONS, "difference (points)")
    points = [bar.lines[0].get_xdata()[0] for bar in errorbars(figure.axes[0])]
    assert points == pytest.approx([-2.0, 2.0])  # in the order of all figures
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["adaptive", "value"]


def test_status_bars_fill_their_cells_with_the_shares() -> None:
    figure = figures.status_map(TRIALS)
    bars = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    assert len(bars) == 9, "no bar for a status that did not occur"
    colours = [to_hex(bar.get_facecolor()) for bar in bars if bar.get_x() > 1.5]
    assert colours == [figures.STATUS_COLOURS["dead"].lower()] * 3
    assert {round(bar.get_width(), 6) for bar in bars} == {0.92}


def test_a_status_map_with_a_row_for_each_level_of_the_facet() -> None:
    figure = figures.status_map(TRIALS, "clipping", "normalization")
    assert figure.axes[0].get_title() == "MLP, no normalization"


def test_many_rates_do_not_crowd_the_axis() -> None:
    rates = [10 ** (k / 2) for k in range(-6, 5)]
    many = pd.concat([TRIALS.assign(learning_rate=rate) for rate in rates])
    ticks = figures.status_map(many).axes[0].get_xticklabels()
    assert [t.get_text() for t in ticks] == ["0.001", "0.01", "0.1", "1", "10", "100"]


def test_trajectories_mark_onsets_and_lost_norms() -> None:
    figure = figures.gradient_norm_trajectories(history(), TRIALS)
    calm, exploding = figure.axes[0], figure.axes[2]
    assert calm.get_title() == "rate 0.01"
    marks = {
        marker: sum(
            len(line.get_xdata()) for line in exploding.lines if line.get_marker() == marker
        )
        for marker in ("x", "^")
    }
    # three clippings, two seeds
    assert marks == {"x": 6, "^": 6}
    assert sum(len(line.get_xdata()) for line in calm.lines if line.get_marker() == "x") == 0
    line = next(line for line in calm.lines if line.get_marker() == "None")
    assert line.get_ydata().tolist() == [2.0, 3.0]


def test_trajectories_show_at_most_five_rates() -> None:
    rates = np.geomspace(0.001, 100, 11)
    parts = [TRIALS.assign(learning_rate=r, trial=TRIALS["trial"] + str(r)) for r in rates]
    steps = [history().assign(trial=history()["trial"] + str(r)) for r in rates]
    figure = figures.gradient_norm_trajectories(pd.concat(steps), pd.concat(parts))
    assert len(figure.axes) == 2 * 4


def test_the_grid_is_a_dashed_line_beside_the_search() -> None:
    figure = figures.search_progress(PROGRESS, GRID_BEST)
    dashed = [line for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in dashed] == [0.3]
    alone = figures.search_progress(PROGRESS, GRID_BEST.iloc[:0])
    assert [line for line in alone.axes[0].lines if line.get_linestyle() == "--"] == []


def test_every_search_has_a_tick_at_its_difference() -> None:
    figure = figures.winners_against_grid(SEARCHES, SAMPLERS)
    ticks = [line for line in figure.axes[0].lines if line.get_marker() == "|"]
    assert list(ticks[0].get_xdata()) == pytest.approx([0.0, 0.1, 0.2])


def test_an_interval_that_is_missing_is_not_drawn() -> None:
    lone = SAMPLERS.assign(low=math.nan, high=math.nan)
    assert svg(figures.winners_against_grid(SEARCHES, lone))


@pytest.mark.parametrize("factor", ["clipping", "normalization", "batch_policy", "optimizer"])
def test_levels_of_a_factor_are_told_apart(factor: str) -> None:
    registered = {
        "clipping": ["none", "value", "global_norm", "per_layer_norm", "adaptive", "autoclip"],
        "normalization": ["none", "batch", "layer", "group", "rms", "instance"],
        "batch_policy": ["fixed", "accumulate", "doubling", "noise_scale", "cabs", "dive"],
        "optimizer": ["sgd", "momentum", "adam", "adamw", "nesterov", "rmsprop"],
    }[factor]
    looks = list(figures.styles_of(registered).values())
    assert len({(style.colour, style.line) for style in looks}) == len(registered)
    assert len({(style.marker, style.line) for style in looks}) == len(registered)


def test_a_level_looks_the_same_in_every_company() -> None:
    alone = figures.styles_of(["value"])["value"]
    assert figures.styles_of(["none", "adaptive", "value"])["value"] == alone


def test_unknown_levels_take_spare_looks() -> None:
    looks = figures.styles_of(["none", "my_own", "mine_too"])
    assert looks["my_own"] != looks["mine_too"]
    assert looks["none"] == style.BASELINE


def test_every_status_of_a_finished_trial_has_a_colour() -> None:
    assert set(figures.STATUS_COLOURS) == set(FINISHED)


def marks(axis: Axes, marker: str) -> list[float]:
    """The abscissae of all points drawn with a marker."""
    return [
        float(x) for line in axis.lines if line.get_marker() == marker for x in line.get_xdata()
    ]


def numbers(axis: Axes) -> list[str]:
    """What is written into an axis, its title aside."""
    return [text.get_text() for text in axis.texts]


def test_one_effect_far_off_does_not_squeeze_the_others() -> None:
    effects = [-0.31, -0.01, 0.0, 0.01, 0.02]
    rows = [
        {"panel": "mlp", "level": f"l{i}", "effect": e, "low": e - 0.01, "high": e + 0.01}
        for i, e in enumerate(effects)
    ]
    axis = figures.comparison_forest(pd.DataFrame(rows), "points").axes[0]
    low, high = axis.get_xlim()
    assert -4 < low < -2
    assert 3 < high < 4
    # at the edge, beyond all that is on scale, with its number
    assert marks(axis, "<") == pytest.approx([-3.0])
    assert numbers(axis) == ["−31", "−1.0", "0.0", "+1.0", "+2.0"]


def test_an_effect_far_below_zero_is_clear_of_it_where_all_others_gain() -> None:
    rows = [
        {"panel": "mlp", "level": f"l{i}", "effect": e, "low": e, "high": e}
        for i, e in enumerate([-0.55, 0.02, 0.03, 0.03, 0.04])
    ]
    axis = figures.comparison_forest(pd.DataFrame(rows), "points").axes[0]
    (arrow,) = marks(axis, "<")
    assert arrow == pytest.approx(-0.2 * 4.0)


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([0.0, 0.0, 0.0, 5.0], (0.0, 5.0)),  # nothing to tell an outlier by
        ([1.0, 2.0, 3.0, 4.0, 100.0], (1.0, 4.0)),
        ([math.nan, math.inf, 1.0, 2.0], (1.0, 2.0)),
        ([], (0.0, 1.0)),
    ],
)
def test_limits_leave_out_what_lies_far_off(
    values: list[float], limits: tuple[float, float]
) -> None:
    assert robust_limits(values) == limits


def test_a_norm_far_off_does_not_flatten_the_trajectories() -> None:
    steps = history()
    steps.loc[steps["gradient_norm_max"] == 1e6, "gradient_norm_max"] = 1e19
    axis = figures.gradient_norm_trajectories(steps, TRIALS).axes[2]
    assert axis.get_ylim()[1] < 1e7
    assert len(marks(axis, "^")) == 6


def levels(count: int, xs: Sequence[float], column: str = "learning_rate") -> pd.DataFrame:
    """So many levels at the same numbers, whose intervals reach beyond what a share can be."""
    rows = [
        {"facet": "f", "level": f"l{i}", column: x, "estimate": 0.1 * i, "low": -0.1, "high": 1.1}
        for i in range(count)
        for x in xs
    ]
    return pd.DataFrame(rows)


def test_levels_that_coincide_are_set_apart_and_stay_at_their_place() -> None:
    rates = [0.1 * 10 ** (k / 4) for k in range(4)]
    axis = figures.interval_lines(levels(4, rates), figures.RATE, EXPLODED, "level", "facet").axes[
        0
    ]
    places = np.array([bar.lines[0].get_xdata() for bar in errorbars(axis)])
    assert places.shape == (4, 4)
    assert len(set(places[:, 0])) == 4
    # nearer to their own rate than to the next
    halfway = np.sqrt(rates[:-1]) * np.sqrt(rates[1:])
    assert (places[:, :-1].max(axis=0) < halfway).all()
    assert (places[:, 1:].min(axis=0) > halfway).all()


def test_many_levels_at_few_numbers_are_rows_in_the_order_of_their_means() -> None:
    figure = laid_out("interval_rows")
    assert [axis.get_title() for axis in figure.axes] == [f"{n} × best rate" for n in (1, 3, 10)]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"l{i}" for i in range(9)]
    assert set(numbers(figure.axes[1])) == {f"{10 * i}" for i in range(9)}
    ends = [x for axis in figure.axes for line in axis.lines for x in line.get_xdata()]
    assert (min(ends), max(ends)) == (0, 100)  # no share is below none, or above all


def test_many_levels_over_many_rates_have_a_panel_each_beside_the_baseline() -> None:
    figure = DRAWINGS["interval_panels"]()
    assert [axis.get_title() for axis in figure.axes] == [f"l{i}" for i in range(6)]
    assert [len(errorbars(axis)) for axis in figure.axes] == [1] * 6
    behind = [[line.get_label() for line in axis.lines[:1]] for axis in figure.axes[1:]]
    assert behind == [["l0 (in every panel)"]] * 5


@pytest.mark.parametrize(
    ("rates", "shown"),
    [
        ([10 ** (k / 4) for k in range(-10, 7)], ["0.01", "0.1", "1", "10"]),
        ([0.01 * 3**k for k in range(5)], ["0.01", "0.03", "0.1", "0.3"]),
        ([0.1, 0.2], ["0.1", "0.2"]),
        ([0.1], ["0.1"]),
    ],
)
def test_rates_are_read_in_decades_wherever_they_were_run(
    rates: list[float], shown: list[str]
) -> None:
    axis = Figure().subplots()
    axis.set_xscale("log")
    axis.plot(rates, rates)
    layout.rate_ticks(axis, rates)
    assert [label.get_text() for label in axis.get_xticklabels()] == shown


def test_policies_have_a_panel_each() -> None:
    shares = [{"share": share, "batch_size": 32, "model": "mlp"} for share in (0.1, 0.9)]
    rows = pd.DataFrame(
        [{**row, "batch_policy": policy} for policy in ("dive", "doubling") for row in shares]
    )
    figure = figures.batch_size_over_training(rows, "model")
    assert [axis.get_title() for axis in figure.axes] == ["doubling", "DIVE"]


def test_facets_that_differ_in_one_thing_stand_side_by_side_and_are_named_by_it() -> None:
    rows = TRIALS[TRIALS["model"] == "mlp"].assign(init_gain=1.0)
    figure = figures.phase_diagram(rows, "init_gain", "clipping", "model")
    assert [axis.get_title() for axis in figure.axes] == ["none", "global norm", "value"]
    assert len({axis.get_position().y0 for axis in figure.axes}) == 1


def test_facets_that_differ_in_two_things_name_each_of_them_once() -> None:
    rows = TRIALS.assign(init_gain=1.0)
    axes = figures.phase_diagram(rows, "init_gain", "model", "clipping").axes
    over = ["no clipping", "value clipping", "global-norm clipping"]
    assert [axis.get_title() for axis in axes] == [*over, "", "", ""]
    beside = ["model MLP\ngain", "", "", "model CNN\ngain", "", ""]
    assert [axis.get_ylabel() for axis in axes] == beside


def test_what_was_not_run_is_said_and_a_panel_without_trials_is_not_there() -> None:
    run = TRIALS[(TRIALS["model"] == "mlp") | (TRIALS["clipping"] == "none")]
    figure = figures.status_map(run)
    assert [numbers(axis) for axis in figure.axes] == [[], ["not run", "not run"]]
    apart = TRIALS.assign(normalization=np.where(TRIALS["model"] == "mlp", "batch", "none"))
    facets = figures.status_map(apart, facet="normalization").axes
    assert [axis.get_visible() for axis in facets] == [True, False, False, True]


def range_test() -> pd.DataFrame:
    rows = [
        {"trial": f"{level}{seed}", "model": "mlp", "clipping": level, "learning_rate": rate}
        | {"train_loss": math.inf if rate > 1 and level == "value" else 2.0 + seed}
        for level in CLIPPINGS
        for seed in (0, 1)
        for rate in (0.1, 1.0, 10.0)
    ]
    return pd.DataFrame(rows)


def test_each_range_test_has_its_panel_beside_the_baseline() -> None:
    figure = figures.range_tests(range_test(), "clipping")
    assert [axis.get_title() for axis in figure.axes] == ["value", "global norm"]
    lines = [[line.get_label() for line in axis.lines[:2]] for axis in figure.axes]
    assert lines == [["none", "value"], ["none", "global norm"]]
    # behind a line that is the same the baseline is still seen
    assert all(
        axis.lines[0].get_linewidth() > axis.lines[1].get_linewidth() for axis in figure.axes
    )
    assert marks(figure.axes[0], "^") == [10.0]
    assert all(len(axis.collections) == 2 for axis in figure.axes)  # bands over seeds


def test_every_rate_has_another_colour() -> None:
    looks = style.ordered_styles([10.0**k for k in range(12)])
    assert len({style.colour for style in looks.values()}) == 12


def test_rates_whose_product_is_the_same_lie_on_each_other() -> None:
    rows = [
        ("global_norm", rate, product, accuracy, float(product > 0.1))
        for rate in (0.1, 1.0)
        for product, accuracy in ((0.1, 0.5), (1.0, 0.8))
    ]
    columns = ["clipping", "learning_rate", "product", "accuracy", "clipped_fraction"]
    axis = figures.accuracy_against_product(pd.DataFrame(rows, columns=columns)).axes[0]
    lines = [line for line in axis.get_lines() if line.get_linestyle() == "-"]
    assert [line.get_ydata().tolist() for line in lines] == [[50.0, 80.0]] * 2
    # a point is filled where steps were clipped
    marks = [line for line in axis.get_lines() if line.get_linestyle() == "None"]
    filled = [m.get_xdata().tolist() for m in marks if m.get_markerfacecolor() != "white"]
    assert filled == [[1.0]] * 2


def network_rows(**columns: list[float]) -> pd.DataFrame:
    levels = {"network": ["MLP", "MLP", "CNN"], "level": ["none", "value", "none"]}
    return pd.DataFrame({**levels, "panel": "mnist", **columns})


def test_trials_of_all_networks_are_drawn_with_their_medians() -> None:
    rows = network_rows(accuracy=[0.94, 0.9, 0.96]).assign(series="10 ×", best=0.95)
    rows = pd.concat([rows, rows, rows.assign(accuracy=0.1)])
    mlp, cnn = figures.accuracies_by_network(rows.iloc[::-1]).axes[::-1]
    assert mlp.get_xscale() == "linear"
    assert [t.get_text() for t in mlp.get_yticklabels()] == ["value", "none"]
    assert [t.get_text() for t in cnn.get_yticklabels()] == ["none"]
    dots, medians, reference = mlp.get_lines()
    # a trial that is lost lies off scale; a median is where most trials are
    assert sorted(dots.get_xdata()) == pytest.approx([-5.0, -5.0, -1.0, -1.0])
    assert medians.get_xdata().tolist() == pytest.approx([-5.0, -1.0])
    assert reference.get_xdata()[0] == 0


def test_a_level_far_below_its_reference_is_an_arrow_with_its_number() -> None:
    rows = network_rows(accuracy=[0.1, 0.94, 0.94]).assign(series="3 ×", best=0.95)
    rows = pd.concat([rows, rows.assign(series="10 ×"), rows.iloc[1:], rows.iloc[1:]])
    mlp, _ = figures.accuracies_by_network(rows).axes
    assert numbers(mlp) == ["◂−85", "◂−85"]
    # the numbers of one level do not lie on each other
    first, second = (text.xyann[0] for text in mlp.texts)
    assert second - first > 10


def test_panels_that_are_alike_have_one_scale() -> None:
    ends = {"low": 0.0, "high": 0.0}
    rows = [
        {"panel": panel, "level": level, "effect": effect, **ends}
        for panel, effects in (("a", (0.0, 0.01)), ("b", (0.0, 0.3)), ("c", (-0.2, 0.6)))
        for level, effect in zip(("value", "zclip"), effects, strict=True)
    ]
    frame = pd.DataFrame(rows)
    limits = [
        axis.get_xlim() for axis in figures.comparison_forest(frame, "x", alike=("b", "c")).axes
    ]
    assert limits[1] == limits[2] != limits[0]
    apart = [axis.get_xlim() for axis in figures.comparison_forest(frame, "x").axes]
    assert apart[1] != apart[2]


def test_accuracies_near_a_reference_are_told_apart() -> None:
    rows = network_rows(accuracy=[0.5, 0.94, 0.96]).assign(series="10 ×", best=0.95)
    mlp, cnn = figures.accuracies_by_network(rows).axes
    medians = [axis.get_lines()[1].get_xdata().tolist() for axis in (mlp, cnn)]
    assert medians == [pytest.approx([-1.0]), pytest.approx([1.0])]
    left, right = mlp.get_xlim()
    assert right - left < 30


def test_a_category_keeps_its_look_whichever_of_them_occur() -> None:
    kind = pd.CategoricalDtype(["1 ×", "3 ×", "10 ×"])
    rows = network_rows(accuracy=[0.9, 0.9, 0.9]).assign(best=0.95)
    rows = pd.concat([rows.assign(series="10 ×"), rows.assign(series="3 ×")])
    axis = figures.accuracies_by_network(rows.assign(series=rows["series"].astype(kind))).axes[0]
    looks = {line.get_label(): line.get_color() for line in axis.get_lines()}
    assert (looks["3 ×"], looks["10 ×"]) == (style.SPARE[1].colour, style.SPARE[2].colour)
    assert [text for text in looks if text.endswith("×")] == ["3 ×", "10 ×"]


def test_how_trials_end_is_stacked() -> None:
    rows = network_rows(diverged=[0.5, 0.0, 1.0], stuck=[0.25, 0.0, 0.0], healed=[0.25, 0.5, 0.0])
    mlp, cnn = figures.outcomes_by_network(rows).axes
    ends = [(bar.get_x(), bar.get_width()) for bar in mlp.patches]
    # of the first clipping, then of the second
    assert ends == [(0, 50), (0, 0), (50, 25), (0, 0), (75, 25), (0, 50)]
    assert [bar.get_width() for bar in cnn.patches] == [100, 0, 0]


def test_a_percentile_beyond_the_thresholds_is_an_arrow_with_its_value() -> None:
    summary = pd.DataFrame(
        {"learning_rate": 1.0, "clipping_threshold": [0.1, 1.0], "estimate": 0.5}
        | {"low": 0.4, "high": 0.6}
    )
    rules = pd.DataFrame({"learning_rate": [1.0], "percentile": [3e17], "best_threshold": [0.1]})
    axis = figures.accuracy_against_threshold(summary, rules).axes[0]
    assert axis.get_xlim() == pytest.approx((0.05, 2.0))
    assert numbers(axis) == [r"$3\times10^{17}$ →"]
    assert marks(axis, "*") == [0.1]


def test_the_best_rate_is_written_and_flagged_on_the_edge() -> None:
    ends = {f"{v}{e}": 1.0 for v in ("decades", "sensitivity") for e in ("", "_low", "_high")}
    rows = pd.DataFrame(
        [
            {"clipping": level, "low_rate": rate, "high_rate": rate, "best_rate": rate, **ends}
            for level, rate in (("none", 0.03), ("value", 1.0))
        ]
    )
    axis = span_chart(rows, "clipping", [0.01, 0.03, 0.1, 1.0]).axes[0]
    assert numbers(axis) == ["0.03", "1 (edge)"]


def test_a_short_logarithmic_axis_has_more_than_two_numbers() -> None:
    figure = Figure()
    axis = figure.subplots()
    axis.plot([0, 1], [1.0, 2.6])
    plain_log(axis)
    FigureCanvasAgg(figure).draw()
    low, high = axis.get_ylim()
    shown = [t.get_text() for t in axis.get_yticklabels() if low <= t.get_position()[1] <= high]
    assert shown == ["1", "1.5", "2"]


def test_facets_that_share_an_axis_show_the_estimates_of_all() -> None:
    rows = [
        {"model": model, "batch_size": size, "normalization": "none", "estimate": value}
        for model, value in (("mlp", 0.85), ("cnn", 0.4))
        for size in (4, 32)
    ]
    summary = pd.DataFrame(rows).assign(low=-0.3, high=1.2)
    drawn = figures.interval_lines(
        summary, figures.BATCH_SIZE, figures.ACCURACY, "normalization", "model"
    )
    limits = np.array([axis.get_ylim() for axis in drawn.axes])
    assert np.all((limits > [-5, 85]) & (limits < [40, 105]))


def shown_ticks(axis: Axes) -> list[str]:
    """The numbers under an axis."""
    low, high = axis.get_xlim()
    return [t.get_text() for t in axis.get_xticklabels() if low <= t.get_position()[0] <= high]


def test_narrow_panels_have_fewer_rates_and_large_numbers_no_exponent() -> None:
    figure = Figure(figsize=(layout.PAGE_WIDTH, 3), layout="constrained")
    axes = figure.subplots(1, 3, squeeze=False)[0]
    for axis in axes:
        axis.plot([8, 2048], [1, 2])
        axis.set_xscale("log")
        layout.value_ticks(axis, [8, 32, 128, 512, 2048])
    FigureCanvasAgg(figure).draw()
    assert shown_ticks(axes[0]) == ["8", "128", "2,048"]
    assert crowded(figure) == []


@pytest.mark.parametrize(
    ("effects", "off"),
    [((-3.0, -1.0, 1.0), []), ((8.0, 20.0, 30.0), []), ((-60.0, 0.0, 4.0), ["−60"])],
)
def test_an_effect_far_from_all_others_is_an_arrow_with_its_number(
    effects: tuple[float, ...], off: list[str]
) -> None:
    rows = [
        {"effect": effect, "low": effect - 1, "high": effect + 1, "comparison": f"size {place}"}
        for place, effect in enumerate(effects)
    ]
    claim = {"claim": 1, "part": "as accurate", "unit": "percentage points", "enough": 1.0}
    frame = pd.DataFrame(rows).assign(**claim, smallest=1.0, verdict="mixed")
    figure = figures.claim_comparisons(frame)
    FigureCanvasAgg(figure).draw()
    axis = figure.axes[0]
    assert len(shown_ticks(axis)) >= 3
    assert [text for text in numbers(axis) if text] == off
    assert len(marks(axis, "<")) == len(off)
    left, right = axis.get_xlim()
    assert all(left <= effect <= right for effect in effects) is not bool(off)
    assert ("arrows" in axis.get_xlabel()) is bool(off)


@pytest.mark.parametrize(("arrows", "off"), [(True, ["+80", "−40"]), (False, [])])
def test_effects_far_off_are_arrows_where_that_is_asked_for(arrows: bool, off: list[str]) -> None:
    effects = {"a": 0.8, "b": 0.01, "c": -0.02, "d": -0.4, "e": 0.0}
    rows = [
        {"row": row, "panel": "MLP", "changed": "clipping", "effect": effect}
        | {"low": effect - 0.01, "high": effect + 0.01}
        for row, effect in effects.items()
    ]
    (axis,) = figures.effect_rows(pd.DataFrame(rows), "changed", "points", arrows=arrows).axes
    assert numbers(axis) == off
    left, right = axis.get_xlim()
    assert bool(left > -40 and right < 80) is arrows


def test_what_a_guard_costs_stands_beside_what_it_gains() -> None:
    figure = figures.prices_and_gains(GUARDED)
    price, gain, _, other = figure.axes
    assert [marked(axis) for axis in (price, gain)] == [["o"], ["s", "^"]]
    points = [bar.lines[0].get_xdata().tolist() for bar in errorbars(gain)]
    assert points == [pytest.approx([1.0, 1.0]), pytest.approx([3.0, 3.0])]
    # each network has its own guards in its own order, and what is lost off scale has its number
    rows = [[t.get_text() for t in axis.get_yticklabels()] for axis in figure.axes]
    assert rows == [["value", "ZClip"], ["", ""], ["ZClip", "skip step"], ["", ""]]
    assert numbers(other) == ["−50"]
    assert len(marks(other, "<")) == 1
    assert [text.get_text() for text in gain.texts] == ["not run: corrupt example"]


def marked(axis: Axes) -> list[str]:
    """The markers of the points with intervals."""
    return [str(bar.lines[0].get_marker()) for bar in errorbars(axis)]


def test_titles_of_narrow_panels_do_not_run_into_each_other() -> None:
    names = ("MLP on MNIST", "MLP on Fashion-MNIST", "CNN on Fashion-MNIST")
    effect = {"row": "momentum", "changed": "optimizer", "effect": 0.1, "low": 0.0, "high": 0.2}
    frame = pd.DataFrame([{"panel": name, **effect} for name in names])
    figure = figures.effect_rows(frame, "changed", "difference", arrows=True)
    FigureCanvasAgg(figure).draw()
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_a_published_accuracy_far_off_is_an_arrow_with_its_number() -> None:
    ends = {"value": 0.0, "from": -1.0, "to": 1.0, "verdict": "reproduced"}
    near = [{"estimate": e, "low": e - 0.5, "high": e + 0.5} for e in (-1, -0.5, 0, 0.3, 0.8, 1)]
    rows = [*near, {"estimate": -31.0, "low": -60.0, "high": -2.0}]
    frame = pd.DataFrame([{"name": f"SGD {i}", **ends, **row} for i, row in enumerate(rows)])
    axis = figures.against_published(frame, "points").axes[0]
    assert axis.get_xlim()[0] > -10
    assert [text.get_text() for text in axis.texts] == ["−31"]


def test_a_number_that_cannot_be_told_looks_unlike_one_that_is_reproduced() -> None:
    row = {"name": "SGD", "value": 0.0, "from": -1.0, "to": 1.0}
    row |= {"estimate": 0.0, "low": -2.0, "high": 2.0}
    frame = pd.DataFrame([row | {"verdict": v} for v in ("reproduced", "cannot tell")])
    figure = figures.against_published(frame, "points")
    drawn = [bar.lines[0] for bar in errorbars(figure.axes[0])]
    assert len({(line.get_color(), line.get_marker()) for line in drawn}) == 2
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[2:] == ["reproduced", "cannot tell"]


def test_a_figure_is_saved_as_savefig_does_with_a_single_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn() -> Figure:
        figure, axes = layout.canvas(1, 2, 2.0)
        axes[0, 0].plot([1, 2], [3e5, 4e5])
        axes[0, 1].set_title("a title")
        return figure

    drawn().savefig(tmp_path / "twice.svg", metadata={"Date": None})
    drawings = []
    draw = Axes.draw

    def counted(axes: Axes, renderer: RendererBase) -> None:
        drawings.append(axes)
        draw(axes, renderer)

    monkeypatch.setattr(Axes, "draw", counted)
    layout.save_svg(drawn(), tmp_path / "once.svg")
    assert len(drawings) == 2
    assert (tmp_path / "once.svg").read_bytes() == (tmp_path / "twice.svg").read_bytes()


def test_a_logarithmic_axis_without_a_positive_number_can_be_drawn(tmp_path: Path) -> None:
    figure, axes = layout.canvas(1, 1, 2)
    axes[0, 0].plot([1, 2], [float("nan")] * 2)
    plain_log(axes[0, 0])
    layout.save_svg(figure, tmp_path / "empty.svg")
    assert axes[0, 0].get_ylim()[0] > 0


REMEDIES = pd.DataFrame(
    {
        "factor": ["", "", "clipping"],
        "remedy": ["no remedy", "no remedy", "value clipping"],
        "learning_rate": [0.1, 1.0, 1.0],
        "accuracy": [0.8, 0.1, 0.75],
        "diverged": [0.0, 0.9, 0.0],
    }
)


def test_a_remedy_at_chance_says_itself_that_all_diverged() -> None:
    lost = REMEDIES.assign(diverged=1.0)
    axis = figures.remedies_by_rate(lost, "test accuracy (%)").axes[0]
    assert [text.get_text() for text in axis.texts] == [
        "80.0\n100% div.",
        "10.0",
        "75.0\n100% div.",
    ]


def test_remedies_by_rate_say_who_diverged() -> None:
    axis = figures.remedies_by_rate(REMEDIES, "test accuracy (%)").axes[0]
    assert [text.get_text() for text in axis.texts] == ["80.0", "10.0\n90% div.", "75.0"]
    assert [text.get_position() for text in axis.texts] == [(0, 0), (1, 0), (1, 1)]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["no remedy", "value clipping"]
    # a line between the kinds of remedies
    assert [line.get_ydata()[0] for line in axis.lines] == [0.5]


def test_levels_on_one_spot_are_named_together_and_drawn_once() -> None:
    gains = (0.5, 1.0, 2.0)
    levels = {"none": lambda g: g**2, "weight_norm": lambda g: 1.01 * g**2, "batch": lambda _: 1.5}
    rows = pd.DataFrame(
        {"model": "mlp", "normalization": level, "init_gain": gain, "growth": grows(gain)}
        for level, grows in levels.items()
        for gain in gains
    )
    rows = rows.assign(low=rows["growth"], high=rows["growth"])
    figure = figures.growth_against_gain(rows, rows, "normalization")
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["none, weight normalization", "batch", "theory"]
    assert len(figure.axes[0].containers) == 2


def test_lines_without_intervals_have_no_bars() -> None:
    rows = levels(1, DECADES).assign(low=np.nan, high=np.nan)
    figure = figures.interval_lines(rows, figures.RATE, figures.ACCURACY, "level", "facet")
    assert [c.has_yerr for axis in figure.axes for c in axis.containers] == [False]


# --- in the narrow column of a phone --------------------------------------------------------------

PANELS = ("MLP on MNIST", "MLP on Fashion-MNIST", "CNN on Fashion-MNIST")
EFFECTS = pd.DataFrame(
    [
        {
            "panel": panel,
            "row": row,
            "changed": "optimizer",
            "effect": 0.1,
            "low": -0.2,
            "high": 0.4,
        }
        for panel in PANELS
        for row in ("momentum", "weight standardization, twice the rate")
    ]
)
VERDICTS = pd.DataFrame(
    [
        {
            "claim": 1,
            "part": part,
            "unit": "percentage points",
            "effect": effect,
            "verdict": "mixed",
        }
        | {"low": effect - 1, "high": effect + 1, "enough": 1.0, "smallest": 1.0}
        | {"comparison": f"clipping against none, MLP on Fashion-MNIST, rate {effect:g}"}
        for part in ("at its best rate", "at ten times the best rate without clipping")
        for effect in (-3.0, 30.0)
    ]
)
PUBLISHED = pd.DataFrame(
    [
        {"name": "2c2d on Fashion-MNIST, SGD at 0.1", "value": 0.0, "from": -1.0, "to": 1.0}
        | {"estimate": estimate, "low": estimate - 1, "high": estimate + 1, "verdict": "differs"}
        for estimate in (-2.0, 0.5)
    ]
)
MAP = pd.DataFrame(
    [
        {"learning_rate": rate, "clipping_threshold": threshold, "clipping": clipping, "value": 0.5}
        for clipping in CLIPPINGS
        for rate in DECADES
        for threshold in DECADES
    ]
)
GROWTH = pd.DataFrame(
    [
        {"model": model, "initialization": "he", "init_gain": gain, "growth": gain}
        | {"low": gain / 1.1, "high": 1.1 * gain}
        for model in ("mlp_deep", "cnn_deep")
        for gain in (0.5, 0.7, 1.0, 1.4, 2.0)
    ]
)
PROFILES = pd.DataFrame(
    [
        {"normalization": name, "init_gain": gain, "layer_index": layer, "a": 2.0, "b": 1.0}
        for name in ("none", "batch")
        for gain in (0.5, 1.0, 2.0)
        for layer in range(1, 31)
    ]
)
COLUMNS = ["network", "panel", "level"]
COSTS = pd.DataFrame(
    [
        {"model": model, "batch_size": size}
        | {f"{value}{end}": 1e4 / size for value in ("steps", "samples", "seconds") for end in ENDS}
        for model in MODELS
        for size in (8, 32, 128, 512, 2048)
    ]
)
CRITICAL = pd.DataFrame(
    {"model": MODELS, "critical": 128.0, "low": 64.0, "high": 256.0}
    | {"noise": 100.0, "noise_low": 64.0, "noise_high": 256.0}
)
RULES = pd.DataFrame(
    [
        {"model": model, "batch_size": size, "best_rate": 0.1, "low_rate": 0.05, "high_rate": 0.2}
        | {"linear": size / 80, "root": 0.1}
        for model in MODELS
        for size in (8, 32, 128, 512, 2048)
    ]
)
FAILING = pd.DataFrame(
    [
        {"panel": panel, "batch_size": size, "rate": rate, "low": rate / 2, "high": 2 * rate}
        for panel in ("all images, 1 pass", "2% of the images, 1,500 updates")
        for size, rate in ((8, 0.2), (32, 0.7), (512, 1.0))
    ]
)
FAILING_CELLS = FAILING[["panel", "batch_size"]].merge(
    pd.DataFrame({"learning_rate": RATES, "diverged": [k / len(RATES) for k in range(len(RATES))]}),
    how="cross",
)
TARGETS = pd.DataFrame(
    [
        {"model": model, "target": target, "critical": size, "low": 50.0, "high": math.inf}
        | {"noise": 80.0, "noise_low": 60.0, "noise_high": 120.0, "largest": 512.0}
        for model in MODELS
        for target, size in ((0.75, 100.0), (0.8, 150.0), (0.85, math.inf))
    ]
)
SIZES = pd.DataFrame(
    [
        {"policy": policy, "model": "mlp", "share": share, "batch_policy": policy, "batch_size": 32}
        for policy in ("dive", "doubling", "noise_scale")
        for share in (0.1, 0.9)
    ]
)
SPANS = pd.DataFrame(
    [
        {"clipping": level, "low_rate": 0.1, "high_rate": 1.0, "best_rate": 0.3}
        | {f"{v}{e}": 1.0 for v in ("decades", "sensitivity") for e in ENDS}
        for level in CLIPPINGS
    ]
)
CURVES = pd.DataFrame(
    [
        {"dimension": dimension, "normalization": "none", "size": size, "estimate": 0.8}
        | {"low": 0.7, "high": 0.9}
        for dimension in ("width, MLP", "training examples, CNN")
        for size in (16, 64, 256, 1024)
    ]
)
EDGES = pd.DataFrame(
    [
        {"samples": samples, "rate": rate, "edge": rate * samples, "normalization": normalization}
        for normalization in ("none", "batch")
        for rate in RATES
        for samples in (1000, 50_000, 100_000)
    ]
)
VARIANCES = pd.DataFrame(
    [
        {"model": model, "scope": scope, "part": part, "estimate": 0.4, "low": 0.3, "high": 0.5}
        for model in ("mlp", "cnn")
        for scope in ("all rates", "within half a decade of the best", "each at its own best rate")
        for part in ("learning rate", "learning rate × normalization", "between seeds")
    ]
)
SPEEDS = pd.DataFrame(
    [
        {"workload": workload, "arm": arm, "processes": 1, "trials_together": k, "times_alike": 2.0}
        | {"times_alike_low": 1.9, "times_alike_high": 2.1}
        for workload in list(WORKLOADS)[:3]
        for arm in ("engine", "tensors")
        for k in (1, 8, 64, 512)
    ]
)
BEFORE = pd.DataFrame(
    [
        {"kind": kind, "schedule": schedule, "before": before, "windows": 9}
        | {"median": 1.0 + 1 / before, "low": 0.5, "high": 4.0}
        for kind in ("explosion", "control")
        for schedule in ("constant", "one_cycle", "cosine")
        for before in (1, 2, 3)
    ]
)
THRESHOLDS = pd.DataFrame(
    [
        {"learning_rate": rate, "clipping_threshold": threshold, "estimate": 0.5}
        | {"low": 0.4, "high": 0.6}
        for rate in RATES
        for threshold in (0.01, 0.1, 1.0, 10.0)
    ]
)
PERCENTILES = pd.DataFrame({"learning_rate": RATES, "percentile": 3e17, "best_threshold": 0.1})
GAINS = pd.concat([TRIALS.assign(init_gain=gain) for gain in (0.5, 1.0, 2.0)])
PRODUCTS = TRIALS.assign(
    clipped_fraction=0.7, accuracy=0.9, product=[10.0 ** (k % 4 - 3) for k in range(len(TRIALS))]
)

MULTIPLES = pd.DataFrame(
    [
        {"network": network, "panel": panel, "level": level, "times": times, "effect": effect}
        | {"low": effect - 0.1, "high": effect + 0.1, "diverged": 0.2, "stuck": 0.1, "healed": 0.3}
        for network in ("MLP, no normalization", "CNN, batch normalization")
        for panel in ("mnist", "fashion-mnist")
        for level in CLIPPINGS
        for times, effect in ((1, 0.01), (3, -0.2), (10, 0.5))
    ]
)

GUARDED = pd.DataFrame(
    [
        {"network": network, "level": level, "panel": panel, "disturbed": panel != "undisturbed"}
        | {"effect": effect, "low": effect - 0.001, "high": effect + 0.001}
        | {"missed": "corrupt example" if level == "value" else ""}
        for network, guards in (("MLP", ("value", "zclip")), ("CNN", ("zclip", "skip_step")))
        for level in guards
        for panel, effect in (
            *(("undisturbed", -0.01), ("bad batch", 0.01)),
            ("rate bump", -0.5 if level == "skip_step" else 0.03),
        )
    ]
)

SINGLE = pd.DataFrame(
    [
        {"remedy": remedy, "model": model, "learning_rate": rate, "seed": seed}
        | {"accuracy": (0.85 if rate < 3 else 0.1) + 0.01 * seed}
        for remedy in ("plain", "clipped at 0.1")
        for model in MODELS
        for rate in (0.1, 1.0, 10.0)
        for seed in range(2)
    ]
)
WINDOWS = pd.DataFrame(
    [
        {"remedy": remedy, "model": model, "least": 0.1, "good": 1.0}
        | {"least_edge": remedy == "plain", "good_edge": False}
        for remedy in ("plain", "clipped at 0.1")
        for model in MODELS
    ]
)
FURTHER: dict[str, Callable[[], Figure]] = {
    "accuracy_against_product": lambda: figures.accuracy_against_product(PRODUCTS),
    "accuracy_against_threshold": lambda: figures.accuracy_against_threshold(
        THRESHOLDS, PERCENTILES
    ),
    "against_published": lambda: figures.against_published(
        PUBLISHED, "test accuracy here, less the published one (percentage points)"
    ),
    "batch_size_over_training": lambda: figures.batch_size_over_training(SIZES, "model"),
    "claim_comparisons": lambda: figures.claim_comparisons(VERDICTS),
    "claims_forest": lambda: figures.claims_forest(VERDICTS, VERDICTS),
    "costs_by_batch_size": lambda: figures.costs_by_batch_size(COSTS, CRITICAL, "80%"),
    "critical_by_target": lambda: figures.critical_by_target(TARGETS),
    "failing_by_batch_size": lambda: figures.failing_by_batch_size(
        FAILING_CELLS, FAILING, FAILING.assign(rate=FAILING["rate"] / 2)
    ),
    "effect_rows": lambda: figures.effect_rows(
        EFFECTS, "changed", "difference (points)", arrows=True
    ),
    "accuracies_by_network": lambda: figures.accuracies_by_network(
        MULTIPLES.assign(series="10 ×", accuracy=0.5, best=0.9, chance=0.1)
    ),
    "growth_against_gain": lambda: figures.growth_against_gain(
        GROWTH, GROWTH[GROWTH["model"] == "mlp_deep"], "initialization"
    ),
    "heat_maps": lambda: figures.heat_maps(
        MAP, "learning_rate", "clipping_threshold", "clipping", "test accuracy (%)"
    ),
    "interval_lines": lambda: figures.interval_lines(
        levels(3, DECADES), figures.RATE, figures.ACCURACY, "level", "facet"
    ),
    "norms_before_explosion": lambda: figures.norms_before_explosion(BEFORE, "schedule"),
    "norms_by_layer": lambda: figures.norms_by_layer(
        PROFILES, "normalization", {"a": "error signal dL/dh", "b": "gradient of the weights"}
    ),
    "outcomes_by_network": lambda: figures.outcomes_by_network(MULTIPLES[MULTIPLES["times"] == 3]),
    "prices_and_gains": lambda: figures.prices_and_gains(GUARDED),
    "phase_diagram": lambda: figures.phase_diagram(GAINS, "init_gain", "model", "clipping"),
    "range_tests": lambda: figures.range_tests(range_test(), "clipping"),
    "rates_by_batch_size": lambda: figures.rates_by_batch_size(RULES),
    "remedies_by_rate": lambda: figures.remedies_by_rate(REMEDIES, "test accuracy (%)"),
    "sharpness_against_bound": lambda: figures.sharpness_against_bound(EDGES, "normalization"),
    "size_curves": lambda: figures.size_curves(
        CURVES, figures.ACCURACY, {"width, MLP": "width", "training examples, CNN": "examples"}
    ),
    "span_chart": lambda: figures.span_chart(SPANS, "clipping", list(RATES)),
    "throughput_by_width": lambda: figures.throughput_by_width(SPEEDS),
    "variance_parts": lambda: figures.variance_parts(VARIANCES),
    "window_panels": lambda: figures.window_panels(SINGLE, WINDOWS, 10.0),
}
narrowed = pytest.mark.parametrize("name", [*DRAWINGS, *FURTHER])


def test_most_of_the_height_is_that_of_accuracies_near_the_best() -> None:
    first, second = figures.window_panels(SINGLE, WINDOWS, 10.0).axes[:2]
    heights = first.transData.transform([(1, 10), (1, 75), (1, 85)])[:, 1]
    assert heights[2] - heights[1] > 3 * (heights[1] - heights[0])
    assert first.get_ylim() == second.get_ylim()
    # every trial is a point, and every window a bar below zero
    points = [line for line in first.lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in points] == [6, 6]
    bars = [list(line.get_xdata()) for line in first.lines if max(line.get_ydata()) < 0]
    assert [bar for bar in bars if len(bar) > 1] == [[0.1, 1.0]] * 2
    assert [line.get_marker() for line in first.lines].count("<") == 2
    assert [line.get_marker() for line in second.lines].count("<") == 0


def test_lines_are_squeezed_beyond_their_focus() -> None:
    rows = pd.DataFrame(
        {"learning_rate": [0.1, 1.0], "estimate": [0.01, 0.6], "low": 0.0, "high": [0.02, 0.9]}
    ).assign(level="value", facet="mlp")
    change = figures.Measure("change", "change (points)", factor=100)
    (axis,) = figures.interval_lines(
        rows, figures.RATE, change, "level", "facet", 0.0, focus=(-10, 10)
    ).axes
    assert axis.get_ylim() == (-10, 60)
    heights = axis.transData.transform([(1, -10), (1, 10), (1, 60)])[:, 1]
    assert (heights[2] - heights[1]) / (heights[1] - heights[0]) == pytest.approx(0.25)
    # one interval ends at 90, above the panel, and none below it
    (arrow,) = [line for line in axis.lines if not line.get_clip_on()]
    assert (arrow.get_marker(), list(arrow.get_ydata())) == ("^", [60])


def test_every_function_is_drawn_for_a_phone() -> None:
    made = [f for f in vars(figures).values() if inspect.isfunction(f)]
    drawn = {f.__name__ for f in made if f.__annotations__.get("return") == "Figure"}
    assert drawn - {*DRAWINGS, *FURTHER} == set()


@narrowed
def test_a_narrow_figure_fits_a_phone_and_its_type_can_be_read(name: str) -> None:
    figure = laid_out(name, slim=True)
    assert figure.get_figwidth() * PIXELS <= 400
    points = {text.get_text(): float(text.get_fontsize()) for text in texts(figure)}
    scale = 380 / (figure.get_figwidth() * layout.SVG_POINTS)
    assert {word: size for word, size in points.items() if size * scale < 9} == {}


@narrowed
def test_nothing_in_a_narrow_figure_is_cut(name: str) -> None:
    assert outside(laid_out(name, slim=True)) == []


@narrowed
def test_numbers_under_narrow_axes_stand_apart(name: str) -> None:
    assert crowded(laid_out(name, slim=True)) == []


def test_panels_that_leave_their_row_and_column_say_what_these_do() -> None:
    figure = laid_out("gradient_norm_trajectories", slim=True)
    assert len({round(axis.get_position().x0, 2) for axis in figure.axes}) == 2
    assert [axis.get_title() for axis in figure.axes] == 2 * [f"rate {r:g}" for r in RATES]
    said = [axis.get_ylabel().removesuffix(": gradient norm") for axis in figure.axes]
    assert said == ["MLP", "", "MLP", "CNN", "", "CNN"]


def test_rows_that_stand_below_each_other_are_named_in_every_panel() -> None:
    figure = laid_out("effect_rows", slim=True)
    names = [[t.get_text() for t in axis.get_yticklabels()] for axis in figure.axes]
    assert names == 3 * [["momentum", "weight\nstandardization,\ntwice the rate"]]
    assert [axis.get_xlabel() for axis in figure.axes] == ["", "", "percentage points"]
    assert [axis.get_title().replace("\n", " ") for axis in figure.axes] == list(PANELS)


def test_panels_that_share_their_numbers_keep_more_than_one() -> None:
    rows = pd.concat([GAINS.assign(learning_rate=rate) for rate in DECADES])
    with figures.narrow():
        figure = figures.phase_diagram(rows, "init_gain", "model", "clipping")
    FigureCanvasAgg(figure).draw()
    assert [shown_ticks(axis) for axis in figure.axes[3:]] == 3 * [["0.001", "0.1", "10"]]


def test_panels_of_the_first_row_that_stand_below_it_keep_their_titles() -> None:
    panels = [f"{times} × the rate" for times in range(5)]
    rows = pd.concat([MULTIPLES.assign(panel=panel) for panel in panels])
    with figures.narrow():
        figure = figures.outcomes_by_network(rows[rows["times"] == 3].drop_duplicates(COLUMNS))
    FigureCanvasAgg(figure).draw()
    assert [axis.get_title().replace("\n", " ") for axis in figure.axes] == 2 * panels
    named = [any(t.get_text() for t in axis.get_yticklabels()) for axis in figure.axes]
    assert named == 2 * [True, False, False, True, False]


def test_panels_that_are_not_there_leave_no_gap() -> None:
    apart = TRIALS.assign(normalization=np.where(TRIALS["model"] == "mlp", "batch", "none"))
    with figures.narrow():
        figure = figures.status_map(apart, facet="normalization")
    FigureCanvasAgg(figure).draw()
    upper, lower = (axis.get_position() for axis in figure.axes if axis.get_visible())
    # numbers, a title and the air between them
    assert (upper.y0 - lower.y1) * figure.get_figheight() < 0.8
    assert lower.height == pytest.approx(upper.height)


def test_what_is_drawn_after_a_narrow_figure_is_as_wide_as_ever() -> None:
    with figures.narrow():
        assert layout.canvas(1, 1, 2)[0].get_figwidth() == layout.NARROW_WIDTH
    assert layout.canvas(1, 1, 2)[0].get_figwidth() == layout.PAGE_WIDTH


def test_accuracies_far_below_the_others_do_not_flatten_their_colours() -> None:
    image = figures.remedies_by_rate(REMEDIES, "test accuracy (%)").axes[0].images[0]
    # of 80, 75 and 10%, and 59%, which is another colour than 10
    assert image.get_clim() == pytest.approx((10.0, 80.0))
    shades = [float(image.norm(value)) for value in (10.0, 59.0, 75.0, 80.0)]
    assert min(np.diff(shades)) > 0.1

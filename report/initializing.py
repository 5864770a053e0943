"""How gradients grow with depth before the first update: the initialization page."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from benchmark.figures.depth import growth_against_gain, norms_by_layer
from benchmark.statistics import depth_growth, theoretical_growth
from report import prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name, number, phrase
from report.quantities import magnitude, unbroken, with_error
from report.remembering import once

GROUPS = ["model", "normalization", "initialization", "init_gain", "width", "depth"]
VARIANCE = {"he": 2.0, "orthogonal": 2.0, "glorot": 1.0, "torch": 1 / 3}
"""sigma_w^2 at gain 1: variance of a hidden weight times its fan-in, between equal widths."""
PADDED = "cnn_deep"
"""Whose zero padding takes something of the norm in every layer."""
KINDS = {"backprop_norm": "error signal dL/dh", "gradient_norm": "gradient of the weights"}


def theory(normalization: str, initialization: str, gain: float) -> float:
    """Growth rate a layer that theory expects; NaN where it has no formula."""
    if normalization == "weight_norm":
        # at the start the same function of the same weights
        normalization = "none"
    rate = theoretical_growth(normalization, gain)
    if normalization != "none":
        return rate
    # the formula is that of He's initialization
    return rate * VARIANCE.get(initialization, math.nan) / VARIANCE["he"]


@once
def growths(source: Evidence) -> pd.DataFrame:
    """Growth rate of every group of draws, with the columns ``theory`` and ``ratio``."""
    rows = depth_growth(source.results.layers, source.results.trials, GROUPS)
    cells = zip(rows["normalization"], rows["initialization"], rows["init_gain"], strict=True)
    rows["theory"] = [theory(*cell) for cell in cells]
    return rows.assign(ratio=rows["growth"] / rows["theory"])


def deepest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows at each model's largest depth and width."""
    for size in ("depth", "width"):
        rows = rows[rows[size] == rows.groupby("model")[size].transform("max")]
    return rows


@needs("initialization")
def answer(source: Evidence) -> str:
    """Growth rates against theory, in words."""
    rows = growths(source)
    if rows.empty:
        return "No network of this study has the three hidden layers that a growth rate takes."
    dense = rows[rows["model"] != PADDED]
    sentences = [_plain(dense), _batch(dense), _others(dense)]
    return " ".join(filter(None, sentences)) or "Theory has no formula for these networks."


def _plain(rows: pd.DataFrame) -> str:
    plain = rows[(rows["normalization"] == "none") & (rows["initialization"] == "he")]
    plain = plain.dropna(subset=["ratio"])
    if plain.empty:
        return ""
    within = ((plain["low"] <= plain["theory"]) & (plain["theory"] <= plain["high"])).mean()
    off = float(np.exp(np.abs(np.log(plain["ratio"])).max()) - 1)
    return (
        "In plain dense ReLU networks the squared norm of the error signal changes by the square "
        "of the gain from one layer to the one before it, as theory says: over "
        f"{prose.count(len(plain), 'combination')} of gain, depth and width the measured rate is "
        f"{plain['ratio'].min():.2f} to {plain['ratio'].max():.2f} times that "
        f"(at most {prose.percent(off, 0)} off; {prose.percent(within, 0)} of the intervals hold "
        "the theoretical value), so that gradients explode above gain 1 and vanish below it."
    )


def _batch(rows: pd.DataFrame) -> str:
    batch = rows[(rows["normalization"] == "batch") & (rows["initialization"] == "he")]
    batch = deepest(batch.dropna(subset=["growth"]))
    if batch.empty:
        return ""
    low, high = batch["growth"].min(), batch["growth"].max()
    depth = int(batch["depth"].iloc[0])
    spread = f"{low:.2f}" if high - low < 0.005 * low else f"{low:.2f} to {high:.2f}"
    return (
        f"**Batch normalization makes them explode whatever the gain**: at {depth} layers by "
        f"{spread} a layer, theory {theoretical_growth('batch', 1.0):.2f}; over the whole "
        f"depth the norm grows {magnitude(float(np.sqrt(high ** (depth - 1))))} times."
    )


def _others(rows: pd.DataFrame) -> str:
    others = deepest(rows[(rows["initialization"] == "he") & (rows["init_gain"] == 1)])
    others = others[~others["normalization"].isin(["none", "batch"])].dropna(subset=["growth"])
    parts = [
        f"{phrase('normalization', r['normalization'])} {r['growth']:.2f}"
        for r in others.to_dict("records")
    ]
    return f"At gain 1 the others grow a layer by: {prose.listing(parts)}." if parts else ""


@needs("initialization")
def growth_figure(source: Evidence, factor: str) -> str:
    """Growth rate against gain, by normalization or by initialization."""
    other, baseline = {
        "normalization": ("initialization", "he"),
        "initialization": ("normalization", "none"),
    }[factor]
    rows = growths(source)
    rows = deepest(rows[rows[other] == baseline]).dropna(subset=["growth"])
    if rows.empty or rows[factor].nunique() < 2:
        return f"The study has one {factor} only, so there is nothing to compare."
    gains = np.geomspace(rows["init_gain"].min(), rows["init_gain"].max(), 30)
    lines = pd.DataFrame(
        {
            factor: level,
            "init_gain": gain,
            "growth": theory(**{factor: level, other: baseline}, gain=gain),
        }
        for level in rows[factor].unique()
        for gain in gains
    ).dropna()
    draws = prose.count(int(rows["draws"].max()), "draw")
    sizes = prose.listing(
        f"{name(model)} {int(part['depth'].iloc[0])} layers of {int(part['width'].iloc[0])}"
        for model, part in rows.groupby("model", sort=False)
    )
    caption = (
        f"Measured growth rate of the squared norm of dL/dh a layer, from the last hidden layer "
        f"to the second, against the gain, by {factor} ({sizes}; {draws} each). Above 1 (dotted) "
        "gradients explode towards the input, below it they vanish. Points are measured, bars "
        "95% bootstrap intervals over draws; wide lines are theory where it has a formula, in the "
        "colour of what it is for."
    )
    if PADDED in set(rows["model"]):
        caption += " Zero padding takes something of the norm in every layer of the CNN."
    alt = "Rate a layer against gain, log scales. At the largest gain: " + prose.listing(
        f"{name(r['model'])} {name(r[factor])} {number(r['growth'])}"
        for r in rows[rows["init_gain"] == rows["init_gain"].max()].to_dict("records")
    )
    drawing = growth_against_gain(rows, lines, factor)
    return figure(source, f"growth-{factor}", drawing, caption, f"{alt}.", ("layers", "trials"))


@once
def profiles(source: Evidence) -> pd.DataFrame:
    """Norms by layer of the deepest dense He networks, divided by the last hidden layer's.

    Columns ``normalization``, ``init_gain``, ``layer_index``, ``backprop_norm``,
    ``gradient_norm``, ``depth``: root mean squares over draws.
    """
    frame = source.outcomes
    chosen = frame[(frame["initialization"] == "he") & (frame["model"] != PADDED)]
    chosen = deepest(chosen[chosen["normalization"].isin(["none", "batch"])])
    keys = ["trial", "normalization", "init_gain", "depth"]
    rows = source.results.layers.merge(chosen[keys], on="trial")
    # the classifier has an initialization of its own
    rows = rows[(rows["step"] == 0) & (rows["layer_index"] <= rows["depth"])]
    squares = rows.assign(**{kind: rows[kind].astype(float) ** 2 for kind in KINDS})
    by = ["normalization", "init_gain", "depth", "layer_index"]
    means = squares.groupby(by, sort=False)[list(KINDS)].mean().pow(0.5).reset_index()
    groups = means.sort_values("layer_index").groupby(by[:-1], sort=False)
    last = groups[list(KINDS)].transform("last")
    return means.assign(**{kind: means[kind] / last[kind] for kind in KINDS})


@needs("initialization")
def profile_figure(source: Evidence) -> str:
    """The error signal beside the gradient of the weights, layer by layer."""
    rows = profiles(source)
    if rows.empty:
        return "The study has no dense network that was drawn after He."
    depth = int(rows["depth"].max())
    caption = (
        f"Norm of the error signal dL/dh (left) and of the weights' gradient (right) by layer, in "
        f"dense networks of {depth} layers, each divided by that of the last hidden layer; root "
        "mean squares over draws. Above gain 1 the error signal explodes towards the input; "
        "without normalization the weights' gradient hides that, because it is the error signal "
        "times the activation, which has grown in the other direction."
    )
    alt = "Norms by layer, log scale. " + _contrast(rows)
    drawing = norms_by_layer(rows, "normalization", KINDS)
    return figure(source, "backprop-by-layer", drawing, caption, alt, ("layers", "trials"))


@needs("initialization")
def contrast(source: Evidence) -> str:
    """Why weight gradients alone do not show explosion, in numbers."""
    return _contrast(profiles(source))


def _contrast(rows: pd.DataFrame) -> str:
    plain = rows[(rows["normalization"] == "none") & (rows["layer_index"] == 2)]
    if plain.empty:
        return ""
    row = plain.sort_values("init_gain").iloc[-1]
    return (
        f"Without normalization, at gain {row['init_gain']:g} and {int(row['depth'])} layers, the "
        f"error signal in the second layer is {magnitude(row['backprop_norm'])} times that in the "
        f"last, the gradient of the weights {magnitude(row['gradient_norm'])} times: a look at "
        "weight gradients alone would not tell."
    )


@needs("initialization")
def table(source: Evidence) -> str:
    """Measured rates of the deepest networks and theory, a column for each gain."""
    rows = deepest(growths(source))
    rows = rows[rows["initialization"] == "he"]
    gains = sorted(rows["init_gain"].unique())
    out = []
    for (model, normalization), group in rows.groupby(["model", "normalization"], sort=False):
        cells = group.set_index("init_gain").reindex(gains)[["growth", "low", "high"]]
        found = [with_error(*row) for row in cells.itertuples(index=False)]
        out.append((unbroken(model), name(normalization), _formula(normalization), *found))
    headings = ["model", "normalization", "theory", *(f"gain {gain:g}" for gain in gains)]
    text = prose.table(pd.DataFrame(out, columns=headings))
    note = "Measured growth rate a layer, plus or minus half its 95% interval."
    if (lost := int(rows["growth"].isna().sum())) > 0:
        note += f" In {prose.count(lost, 'cell')} (–) norms left the range of single precision."
    return f"{text}\n\n{note}"


def _formula(normalization: str) -> str:
    if normalization in ("none", "weight_norm"):
        return "gain²"
    rate = theory(normalization, "he", 1.0)
    return "–" if math.isnan(rate) else f"{rate:.3f}"


@needs("initialization")
def by_size(source: Evidence) -> str:
    """Whether the rate depends on depth and width."""
    rows = growths(source)
    rows = rows[(rows["initialization"] == "he") & (rows["init_gain"] == 1)]
    rows = rows[rows["normalization"].isin(["none", "batch", "layer"])]
    if rows.empty:
        return "The study has no network at gain 1."
    wide = rows.pivot_table(
        index=["model", "width", "depth"], columns="normalization", values="growth", sort=False
    ).reset_index()
    wide["model"] = wide["model"].map(unbroken)
    levels = [c for c in wide.columns if c not in ("model", "width", "depth")]
    wide[levels] = wide[levels].map(lambda rate: "–" if math.isnan(rate) else f"{rate:.2f}")
    text = prose.table(wide, ["model", "width", "depth", *map(name, levels)])
    return f"Growth rate a layer at gain 1, by width and depth:\n\n{text}"

"""What all figures share: the style of each level, and the words on axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.colors import to_hex

LONGEST = 40
"""Characters of a label, beyond which it leaves no room for what it labels."""

# Okabe and Ito's palette, which stays distinct for the common colour blindnesses; its yellow is
# left out, because lines of it fade on white
BLACK, GREY, ORANGE, SKY, GREEN = "#222222", "#666666", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

STATUS_COLOURS: dict[str, str] = {
    "stable": BLUE,
    "recovered": SKY,
    "damaged": PURPLE,
    "stalled": "#ABABAB",
    "collapsed": ORANGE,
    "dead": VERMILION,
    "nonfinite": BLACK,
}
"""Colour of each status of a finished trial, in the order in which bars are stacked."""


@dataclass(frozen=True)
class Style:
    """How a level is drawn, in every figure: colour is never the only difference."""

    colour: str
    marker: str
    line: Literal["-", "--"] = "-"


COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
MARKERS = ("s", "^", "D", "v", "P", "X", "*")
SOLID = tuple(map(Style, COLOURS, MARKERS))
# dashed, and with other markers
DASHED = tuple(Style(c, m, "--") for c, m in zip(COLOURS, MARKERS[3:] + MARKERS[:3], strict=True))
SPARE = SOLID + DASHED
"""Looks in the order in which they are given out: seven colours solid, then dashed."""
BASELINE = Style(GREY, "o")
ON_COLOURS = ON_DARK, ON_LIGHT = "#fffffe", "#222221"
"""Of numbers written on a colour, which stay by night: white and black are those of the page."""
PATCH = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
"""Behind a number: a line that runs through it would read as a stroke of it, or hide its point."""
RAMP = 0.12, 0.88
"""Of the colour map of ordered numbers, where neither end fades into a page."""


def _factor(*levels: str) -> dict[str, Style]:
    return dict(zip(levels, (BASELINE, *SPARE), strict=False))


STYLES: dict[str, Style] = {
    **_factor(
        *("sgd", "momentum", "adam", "adamw", "nesterov", "rmsprop"),
        *("lion", "lamb", "muon", "schedule_free_sgd"),
    ),
    **_factor(
        *("constant", "step", "cosine", "warmup_cosine", "one_cycle", "plateau", "range_test"),
        "warmup",
    ),
    **_factor(
        *("fixed", "doubling", "accumulate", "grow_instead_of_decay", "noise_scale"),
        *("norm_test", "cabs", "dive", "full"),
    ),
    **_factor(
        *("none", "batch", "layer", "group", "rms", "instance", "ghost_batch"),
        *("weight_norm", "weight_standardization"),
    ),
    **_factor(
        *("none", "global_norm", "adaptive", "per_layer_norm", "value", "zclip", "autoclip"),
        *("adagc", "update_rms", "normalized", "skip_step", "zclip_capped", "skip_step_all"),
        "rewind",
    ),
    **_factor("float32", "bfloat16", "float16", "float16_static", "float16_dynamic"),
    **_factor("grid", "tpe", "random", "quasi-random"),
    "mlp": SPARE[0],
    "cnn": SPARE[1],
}
"""Style of each level: the same one in every figure. The first of each factor is its baseline."""


def styles_of(levels: Iterable[object]) -> dict[Any, Style]:
    """Style of each level; a level that is not known takes a spare one that no other here has.

    >>> styles_of(["none"])["none"].colour
    '#666666'
    >>> shown = styles_of(["none", "global_norm", "custom"])
    >>> shown["custom"] == shown["global_norm"]
    False
    """
    found = list(dict.fromkeys(levels))
    known = {level: STYLES[str(level)] for level in found if str(level) in STYLES}
    free = [style for style in SPARE if style not in known.values()] or SPARE
    unknown = [level for level in found if level not in known]
    spare = {level: free[i % len(free)] for i, level in enumerate(unknown)}
    return {level: spare[level] if level in spare else known[level] for level in found}


def in_order(levels: Iterable[Any]) -> list[Any]:
    """Each level once, those that are known in their order in every figure, the others after them.

    >>> in_order(["value", "custom", "none", "value"])
    ['none', 'value', 'custom']
    """
    places = {level: place for place, level in enumerate(STYLES)}
    return sorted(dict.fromkeys(levels), key=lambda level: places.get(str(level), len(places)))


def ordered_styles(values: Sequence[Any]) -> dict[Any, Style]:
    """Looks of numbers in their order, from dark to light: no colour twice, however many.

    The darkest and the lightest can be told from a black and from a white page.

    >>> len({style.colour for style in ordered_styles(range(20)).values()})
    20
    """
    ramp = mpl.colormaps["viridis"]
    darkest, lightest = RAMP
    step = (lightest - darkest) / max(len(values) - 1, 1)
    shades = [darkest + step * i for i in range(len(values))]
    return {
        value: Style(to_hex(ramp(shade)), MARKERS[i % len(MARKERS)])
        for i, (value, shade) in enumerate(zip(values, shades, strict=True))
    }


NAMES = {
    **{"mlp": "MLP", "mlp_wide": "wide MLP", "mlp_deep": "deep MLP", "mlp_tanh": "tanh MLP"},
    **{"cnn": "CNN", "cnn_2c2d": "2c2d CNN", "cnn_deep": "deep CNN"},
    **{"rnn": "RNN", "resnet": "ResNet", "transformer_qk": "transformer, QK norm"},
    **{"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"},
    **{"mnist-60k": "all of MNIST", "fashion-mnist-60k": "all of Fashion-MNIST"},
    **{"autoclip": "AutoClip", "zclip": "ZClip", "zclip_capped": "capped ZClip"},
    **{"per_layer_norm": "per-layer norm", "normalized": "normalized gradients"},
    **{"skip_step_all": "full-window skip", "rewind": "rewinding"},
    **{"weight_norm": "weight normalization"},
    **{"accumulate": "accumulation", "warmup": "warm-up", "warmup_cosine": "warm-up cosine"},
    **{"adagc": "AdaGC", "update_rms": "update RMS", "rmsprop": "RMSprop"},
    **{"adam": "Adam", "adamw": "AdamW", "nesterov": "Nesterov"},
    **{"lion": "Lion", "lamb": "LAMB", "muon": "Muon", "schedule_free_sgd": "schedule-free SGD"},
    **{"tpe": "TPE", "sgd": "SGD", "rms": "RMS", "cabs": "CABS", "dive": "DIVE"},
    "unhealed": "diagnose",
    **{"he": "He", "glorot": "Glorot", "tf32": "TF32"},
    **{"float16_static": "float16, constant scale", "float16_dynamic": "float16, dynamic scale"},
}
"""What a level is called, in prose, tables and figures alike, where its words are not its own."""

_titles: ContextVar[Mapping[str, str]] = ContextVar("titles", default=MappingProxyType({}))


@contextmanager
def titled(titles: Mapping[str, str]) -> Iterator[None]:
    """Within it, levels that are not known are called by the ``titles`` that results give them.

    >>> with titled({"root_norm": "RootNorm"}):
    ...     words("root_norm"), words("root norm")
    ('RootNorm', 'root norm')
    """
    token = _titles.set(titles)
    try:
        yield
    finally:
        _titles.reset(token)


def title(name: object) -> str | None:
    """The title that results give a level that is not known; None where they give none."""
    return None if str(name) in NAMES else _titles.get().get(str(name))


def words(name: object) -> str:
    """A column or level as a reader's words: underscores become spaces.

    >>> words("global_norm"), words(0.1), words(0.0316228), words(2048)
    ('global norm', '0.1', '0.0316', '2048')
    """
    if isinstance(name, float | int):
        return f"{name:.3g}" if abs(name) < 1000 else f"{name:g}"
    return NAMES.get(str(name)) or title(name) or str(name).replace("_", " ")


def label_of(name: object, longest: int = LONGEST) -> str:
    """`words` as a label of a figure: cut at ``longest``, and text whatever dollars it holds.

    >>> label_of("a$b$"), label_of("a long name", longest=7)
    ('a\\\\$b\\\\$', 'a long…')
    """
    text = words(name)
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return short.replace("$", r"\$")


def tick_text(value: float) -> str:
    """A number on an axis: three digits, or whole from a thousand on, and no exponent like 1e+06.

    >>> tick_text(0.0316228), tick_text(2048), tick_text(-5), tick_text(2e7)
    ('0.0316', '2,048', '−5', '$2\\\\times10^{7}$')
    """
    size = abs(value)
    if size and not 1e-4 <= size < 1e6:
        mantissa, exponent = f"{value:.0e}".split("e")
        power = f"10^{{{int(exponent)}}}"
        return f"${power}$" if mantissa == "1" else rf"${mantissa}\times{power}$"
    return (f"{value:,.0f}" if size >= 1000 else f"{value:.3g}").replace("-", "−")


def rate_text(rate: float) -> str:
    """A learning rate in a title or beside a mark, to the three digits that it has in the text.

    >>> rate_text(0.0316228), rate_text(0.125), rate_text(10.0)
    ('0.0316', '0.125', '10')
    """
    return tick_text(float(f"{rate:.3g}"))

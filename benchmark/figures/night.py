"""Figures on a dark page: the same drawing, in colours that can be told from a dark ground."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from matplotlib.colors import to_hex, to_rgb

from benchmark.figures.style import ON_COLOURS

GROUND, INK = "#121212", "#F2F2F2"
"""What white and black become: the ground of the book's dark pages, and nearly white."""
CONTRAST = 3.0
"""Of a colour against the ground, from which lines and marks can be seen (WCAG 2.1, 1.4.11)."""
STEPS = 20
"""Shares of white between which a colour is lightened."""
GREY = 0.06
"""Difference between the channels of a colour, up to which it is a grey."""
COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")


@functools.cache
def night_colour(colour: str) -> str:
    """``colour`` on a dark page: greys turn about, and other colours become as light as need be.

    What is written on a colour, and not on the page, stays as it is.

    >>> night_colour("#ffffff"), night_colour("#000000"), night_colour("#56b4e9")
    ('#121212', '#f2f2f2', '#56b4e9')
    """
    if colour in ON_COLOURS:
        return colour
    channels = to_rgb(colour)
    if max(channels) - min(channels) <= GREY:
        return _mixed(to_rgb(INK), to_rgb(GROUND), sum(channels) / 3)
    lighter = (_mixed(channels, (1.0, 1.0, 1.0), step / STEPS) for step in range(STEPS + 1))
    return next(found for found in lighter if contrast(found, GROUND) >= CONTRAST)


def contrast(colour: str, other: str) -> float:
    """Ratio of the relative luminances of two colours, from 1 to 21 (WCAG 2.1).

    >>> round(contrast("#ffffff", "#000000"))
    21
    """
    low, high = sorted(map(_luminance, (colour, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _mixed(first: tuple[float, ...], second: tuple[float, ...], share: float) -> str:
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(first, second, strict=True))
    return to_hex((red, green, blue))


def save_night_svg(path: Path) -> Path:
    """Write the SVG at ``path`` again for a dark page, as ``NAME-night.svg`` beside it.

    Only its colours are exchanged: nothing is laid out or drawn a second time.
    """
    drawn = COLOUR.sub(lambda found: night_colour(found[0]), path.read_text(encoding="utf-8"))
    # black is what has no colour of its own
    drawn = drawn.replace("<svg ", f'<svg fill="{INK}" ', 1)
    night = path.with_stem(f"{path.stem}-night")
    night.write_text(drawn, encoding="utf-8")
    return night

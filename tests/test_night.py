"""Figures on a dark page: the same drawing in colours that can be told from its ground."""

from pathlib import Path

import pytest

from benchmark.figures.night import CONTRAST, GROUND, INK, contrast, night_colour, save_night_svg
from benchmark.figures.style import COLOURS, ON_COLOURS, STATUS_COLOURS, ordered_styles

RAMP = [style.colour for style in ordered_styles(range(9)).values()]


@pytest.mark.parametrize("colour", sorted({*COLOURS, *STATUS_COLOURS.values(), *RAMP}))
def test_what_is_drawn_can_be_told_from_a_dark_page_and_a_white_one(colour: str) -> None:
    # a grey is as far from one ground as from the other
    least = CONTRAST if colour != STATUS_COLOURS["stalled"] else 2.2
    assert contrast(night_colour(colour), GROUND) >= least
    assert contrast(colour, "#ffffff") >= 1.5


@pytest.mark.parametrize("colours", [STATUS_COLOURS.values(), RAMP])
def test_no_two_colours_become_one_by_night(colours: list[str]) -> None:
    assert len({night_colour(colour) for colour in colours}) == len(colours)


def test_greys_turn_about_and_what_stands_on_a_colour_stays() -> None:
    assert (night_colour("#ffffff"), night_colour("#000000")) == (GROUND.lower(), INK.lower())
    assert contrast(night_colour("#cccccc"), GROUND) < contrast(night_colour("#262626"), GROUND)
    assert [night_colour(colour) for colour in ON_COLOURS] == list(ON_COLOURS)


def test_a_drawing_by_night_differs_in_its_colours_alone(tmp_path: Path) -> None:
    day = tmp_path / "a-narrow.svg"
    day.write_text(
        '<svg width="9pt"><path d="M 0 0" style="fill: #ffffff; stroke: #0072b2"/>'
        '<image href="data:image/png;base64,AA#"/></svg>'
    )
    night = save_night_svg(day)
    assert night == tmp_path / "a-narrow-night.svg"
    assert night.read_text() == (
        f'<svg fill="{INK}" width="9pt"><path d="M 0 0" style="fill: {GROUND.lower()}; '
        'stroke: #0072b2"/><image href="data:image/png;base64,AA#"/></svg>'
    )

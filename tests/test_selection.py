"""Choosing trials by level, and what intervals of ranges of rates tell apart."""

import pandas as pd
import pytest

from benchmark.statistics.selection import differing_in, where
from benchmark.statistics.spans import told_apart

FRAME = pd.DataFrame(
    [("none", "constant"), ("value", "constant"), ("value", "step"), ("none", "step")],
    columns=["clipping", "schedule"],
)
BASELINES = {"clipping": "none", "schedule": "constant"}


@pytest.mark.parametrize(("factor", "rows"), [("clipping", [0, 1]), ("schedule", [0, 3])])
def test_one_factor_varies_and_the_others_do_not(factor: str, rows: list[int]) -> None:
    assert differing_in(FRAME, factor, BASELINES).index.tolist() == rows


def test_a_list_of_levels_keeps_the_order_of_the_rows() -> None:
    assert where(FRAME, schedule=["step", "constant"], clipping="none").index.tolist() == [0, 3]


def spans(**sensitivities: float) -> pd.DataFrame:
    """Ranges that are wider the less sensitive; intervals of 0.2 to either side."""
    rows = pd.DataFrame({"level": sensitivities.keys(), "sensitivity": sensitivities.values()})
    rows["decades"] = 3 - rows["sensitivity"]
    ends = {
        f"{column}_{end}": rows[column] + move
        for column in ("sensitivity", "decades")
        for end, move in (("low", -0.2), ("high", 0.2))
    }
    return rows.assign(**ends)


def test_sure_differences_come_with_what_shares_the_lead() -> None:
    found = told_apart(spans(none=2.0, a=1.7, b=1.0, c=0.5, d=0.3), "level", "none")
    assert found is not None
    assert found["calmer"]["level"].tolist() == ["d", "c", "b"]
    assert found["least"]["level"].tolist() == ["d", "c"]
    assert found["wider"]["level"].tolist() == ["d", "c", "b"]
    assert (found["calmest"]["level"], found["widest"]["level"]) == ("d", "d")
    assert (found["base"]["level"], found["others"]) == ("none", 4)


def test_the_furthest_is_named_even_where_nothing_is_sure() -> None:
    found = told_apart(spans(none=2.0, a=1.9, b=2.1), "level", "none")
    assert found is not None
    assert found["calmer"].empty
    assert found["least"].empty
    assert (found["calmest"]["level"], found["widest"]["level"]) == ("a", "a")


@pytest.mark.parametrize("levels", [{"none": 1.0}, {"a": 1.0, "b": 2.0}])
def test_without_two_sides_there_is_nothing_to_compare(levels: dict[str, float]) -> None:
    assert told_apart(spans(**levels), "level", "none") is None

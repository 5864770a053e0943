"""The plain records that everything else passes around: no torch, no files."""

from benchmark.names import Choice, Named
from benchmark.records.fields import REAL_NUMBERS, WHOLE_NUMBERS
from benchmark.records.levels import Levels, levels_of, plain_levels
from benchmark.records.narrowing import read_selection
from benchmark.records.ranges import Range
from benchmark.records.rates import SELECT, RelativeRates, rates_between
from benchmark.records.searches import Search
from benchmark.records.studies import Study
from benchmark.records.trials import (
    CONFIGURATION,
    EARLIER_MOMENTUM,
    NUMERIC_FACTORS,
    OWNERS,
    Trial,
    numbers_of,
)

__all__ = [
    "CONFIGURATION",
    "EARLIER_MOMENTUM",
    "NUMERIC_FACTORS",
    "OWNERS",
    "REAL_NUMBERS",
    "SELECT",
    "WHOLE_NUMBERS",
    "Choice",
    "Levels",
    "Named",
    "Range",
    "RelativeRates",
    "Search",
    "Study",
    "Trial",
    "levels_of",
    "numbers_of",
    "plain_levels",
    "rates_between",
    "read_selection",
]

"""What a study's strategies are called and what they do, in words that go with its results.

The report reads results without the strategies themselves: a custom one is not there, and the
built-in ones need torch.
"""

from __future__ import annotations

from typing import Any

from benchmark.engine import REGISTRIES
from benchmark.records import Range, Search, Study
from benchmark.records.levels import levels_of, plain

FIELDS = ("title", "summary", "reference", "formula")
"""What is taken from a strategy, a model or a data set, where it has it."""
NUMBERS = ("threshold", "parameter")
"""The fields that hold a strategy's one tunable number."""

Words = dict[str, dict[str, dict[str, str]]]
"""Factor -> name of a level -> what of it (`FIELDS` and ``default``) -> words."""


def words_of(study: Study | Search) -> Words:
    """The words of every level of ``study`` that has some.

    >>> factors = {"clipping": ("none", "value"), "learning_rate": 0.1}
    >>> study = Study(name="s", question="?", factors=factors, seeds=(0,))
    >>> words_of(study)["clipping"]["none"]
    {'summary': 'the gradient as it is', 'reference': '-'}
    >>> words_of(study)["clipping"]["value"]["default"]
    '0.01'
    """
    found: Words = {}
    for block in study.blocks():
        for factor, levels in block.items():
            for level in levels_of(levels) if factor in REGISTRIES else ():
                entry = REGISTRIES[factor].get(level) if isinstance(level, str) else level
                found.setdefault(factor, {})[plain(level)] = _described(entry)
    return found


def with_earlier(earlier: Any, now: Words) -> Words:
    """``now``, and before it the words of levels that only an ``earlier`` run of the study had."""
    earlier = earlier if isinstance(earlier, dict) else {}
    factors = dict.fromkeys([*earlier, *now])
    return {factor: {**earlier.get(factor, {}), **now.get(factor, {})} for factor in factors}


def _described(entry: Any) -> dict[str, str]:
    words = {field: getattr(entry, field, "") for field in FIELDS}
    for field in NUMBERS:
        if isinstance(number := getattr(entry, field, None), Range):
            words["default"] = f"{number.default:g}"
    return {field: str(text) for field, text in words.items() if text}

"""The contract that every strategy keeps, checked with one call.

>>> from benchmark.contracts import check
>>> from benchmark.strategies.schedules import Schedule, cosine
>>> check(Schedule("twice cosine", cosine, "custom", "half a cosine"))
Traceback (most recent call last):
    ...
benchmark.contracts.subject.BrokenContract: schedule 'twice cosine' must have a name without \
blanks, commas and equality signs
"""

from benchmark.contracts.checking import check
from benchmark.contracts.subject import BrokenContract

__all__ = ["BrokenContract", "check"]

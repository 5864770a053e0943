"""The contract that every strategy keeps, checked with one call.

>>> from benchmark.contracts import check
>>> from benchmark.strategies.schedules import Schedule, cosine
>>> check(Schedule("twice_cosine", cosine, "", "half a cosine"))
Traceback (most recent call last):
    ...
benchmark.contracts.subject.BrokenContract: schedule 'twice_cosine' must have a reference
"""

from benchmark.contracts.checking import check
from benchmark.contracts.subject import BrokenContract

__all__ = ["BrokenContract", "check"]

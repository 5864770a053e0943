"""The seed article's claims as data: what would show each, and what the studies say.

`CLAIMS` states the fourteen claims with their parts, studies and rules; `verdicts` judges every
comparison, and `by_claim` every claim, from the results at hand. A rule looks at effects and their
95% intervals, never at what anyone expects: with other data it gives another verdict.
"""

from report.claims import robustness
from report.claims.catalogue import CLAIMS
from report.claims.explosion import learned_from
from report.claims.judging import (
    all_judged,
    at_spike_level,
    by_claim,
    by_part,
    claim_verdict,
    decades,
    fewest_seeds,
    part,
    part_on,
    raised_by,
    verdicts,
)
from report.claims.records import MIXED, NO_EFFECT, NOT_TESTED, REFUTED, SUPPORTED, UNDECIDED
from report.claims.remedies import lowering

__all__ = [
    "CLAIMS",
    "MIXED",
    "NOT_TESTED",
    "NO_EFFECT",
    "REFUTED",
    "SUPPORTED",
    "UNDECIDED",
    "all_judged",
    "at_spike_level",
    "by_claim",
    "by_part",
    "claim_verdict",
    "decades",
    "fewest_seeds",
    "learned_from",
    "lowering",
    "part",
    "part_on",
    "raised_by",
    "robustness",
    "verdicts",
]

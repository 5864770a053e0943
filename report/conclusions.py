"""The findings and verdicts that the discussion takes up."""

from report.batch_updates import against_fixed
from report.claims import by_claim
from report.explosion import exploded, missed, plain_and_aided
from report.headline import against_none, holding, room
from report.rates import widest

__all__ = [
    "against_fixed",
    "against_none",
    "by_claim",
    "exploded",
    "holding",
    "missed",
    "plain_and_aided",
    "room",
    "widest",
]

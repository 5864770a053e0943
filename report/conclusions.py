"""The findings and verdicts that the discussion takes up."""

from report.claims import by_claim
from report.explosion import exploded
from report.headline import against_none, everywhere

__all__ = ["against_none", "by_claim", "everywhere", "exploded"]

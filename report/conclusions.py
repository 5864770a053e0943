"""The verdicts that the conclusions list."""

from report.claims import by_claim

__all__ = ["by_claim"]

"""What the introduction lists."""

from report.claims import CLAIMS

__all__ = ["CLAIMS"]

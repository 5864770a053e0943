"""How fast trials are trained, against the ordinary way, and where the time goes."""

from benchmark.timing.comparison import comparison
from benchmark.timing.diagnostics import diagnostics
from benchmark.timing.driving import driving
from benchmark.timing.plans import Plan, plan
from benchmark.timing.stopwatch import Job, Lab, Row
from benchmark.timing.strategies import strategies

__all__ = [
    "Job",
    "Lab",
    "Plan",
    "Row",
    "comparison",
    "diagnostics",
    "driving",
    "plan",
    "strategies",
]

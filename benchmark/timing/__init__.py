"""How fast trials are trained, against the ordinary way, and where the time goes."""

from benchmark.timing.comparison import arm_jobs
from benchmark.timing.diagnostics import diagnostic_jobs
from benchmark.timing.driving import driver_jobs
from benchmark.timing.plans import Plan, plan_of
from benchmark.timing.stopwatch import Job, Lab, Row, unprepared
from benchmark.timing.strategies import strategy_jobs

__all__ = [
    "Job",
    "Lab",
    "Plan",
    "Row",
    "arm_jobs",
    "diagnostic_jobs",
    "driver_jobs",
    "plan_of",
    "strategy_jobs",
    "unprepared",
]

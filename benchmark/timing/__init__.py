"""How fast trials are trained, against the baseline loop, and where the time goes."""

from benchmark.timing.comparison import arm_jobs
from benchmark.timing.diagnostics import diagnostic_jobs
from benchmark.timing.driving import driver_jobs
from benchmark.timing.guards import guard_jobs
from benchmark.timing.kernel_choice import by_kernels
from benchmark.timing.peers import NO_JAX, jax_is_installed
from benchmark.timing.plans import Plan, plan_of, plan_on_gpu
from benchmark.timing.stopwatch import Job, Lab, Row, unprepared
from benchmark.timing.strategies import strategy_jobs

__all__ = [
    "NO_JAX",
    "Job",
    "Lab",
    "Plan",
    "Row",
    "arm_jobs",
    "by_kernels",
    "diagnostic_jobs",
    "driver_jobs",
    "guard_jobs",
    "jax_is_installed",
    "plan_of",
    "plan_on_gpu",
    "strategy_jobs",
    "unprepared",
]

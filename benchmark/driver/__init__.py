"""Running studies: Optuna, processes, files."""

from benchmark.driver.grid import run_study
from benchmark.driver.options import Options
from benchmark.driver.search import run_search

__all__ = ["Options", "run_search", "run_study"]

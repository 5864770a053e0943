"""Where and how a study runs."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.driver.executors import cores
from benchmark.driver.stopping import Stopping
from benchmark.engine.devices import choose_device, describe_device


@dataclass(frozen=True)
class Options:
    """Where and how a study runs; none of it changes what comes out.

    Parameters
    ----------
    results
        Folder under which the study's own folder lies.
    device
        ``auto``, ``cpu`` or ``cuda``.
    workers
        Processes; None for one a core on a CPU and one on a GPU.
    storage
        URL of an Optuna storage to which finished trials are copied.
    executor
        ``processes``, ``here`` (this process), ``dask://HOST:PORT``, or a custom executor,
        which then runs ``workers`` calls at a time.
    retrain
        Whether trials are trained again whose custom strategies, models or data sets have changed;
        their old rows are set aside. Without it such a study is refused.
    stopping
        Tells the run to stop once what is in flight has landed.
    """

    results: Path
    device: str = "auto"
    workers: int | None = None
    storage: str | None = None
    progress: bool = True
    executor: str | Executor = "processes"
    retrain: bool = False
    stopping: Stopping = field(default_factory=Stopping)

    @property
    def processes(self) -> int:
        """How many processes train."""
        if self.workers is not None:
            return self.workers
        return 1 if choose_device(self.device).type == "cuda" else cores()

    @property
    def where(self) -> str:
        """What the files say about the device; each row says it for itself."""
        if isinstance(self.executor, str) and self.executor.startswith("dask://"):
            return "a Dask cluster"
        return describe_device(choose_device(self.device))

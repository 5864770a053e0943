"""Where and how a study runs."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.driver.executors import processes_for
from benchmark.driver.places import CLUSTER
from benchmark.driver.stopping import Stopping
from benchmark.engine.machine.devices import choose_device, describe_device, gpus, libraries


@dataclass(frozen=True)
class Options:
    """Where and how a study runs; none of it changes what comes out.

    Parameters
    ----------
    results
        Folder under which the study's own folder lies.
    device
        ``auto``, ``cpu``, ``cuda`` for all GPUs in turn, or ``cuda:N`` for one of them.
    workers
        Processes; None for one a core on a CPU, and eight a GPU.
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
        return processes_for(self.gpus) if self.workers is None else self.workers

    @property
    def gpus(self) -> list[str]:
        """The GPUs of this machine that train, which are none for a CPU or on a cluster."""
        if self.elsewhere:
            return []
        device = choose_device(self.device)
        if device.type != "cuda":
            return []
        return [str(device)] if ":" in self.device else gpus()

    @property
    def libraries(self) -> dict[str, Any]:
        """What a GPU's numbers depend on besides torch; nothing for a CPU or a cluster."""
        return {} if self.elsewhere else libraries(choose_device(self.device))

    @property
    def elsewhere(self) -> bool:
        """Whether other machines train than this one, which then needs no device of theirs."""
        return isinstance(self.executor, str) and self.executor.startswith(CLUSTER)

    @property
    def where(self) -> str:
        """What the files say about the device; each row says it for itself."""
        if self.elsewhere:
            return "a Dask cluster"
        return describe_device(choose_device(self.device))

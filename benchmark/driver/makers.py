"""What the process that trains says of itself: its versions and device, and which worker it is."""

from __future__ import annotations

import sys
from typing import Any

from benchmark.engine.machine.devices import choose_device, describe_device, libraries
from benchmark.provenance import surroundings


def made_here(device: str) -> dict[str, Any]:
    """By what this process makes rows on ``device``, as the provenance of a file has it.

    Raises
    ------
    ValueError
        If it has no such device.
    """
    chosen = choose_device(device)
    return surroundings(device=describe_device(chosen), **libraries(chosen))


def worker_address() -> str | None:
    """That of the Dask worker that this process is, or None."""
    # who has not imported Dask is none of its workers
    dask = sys.modules.get("distributed")
    try:
        return str(dask.get_worker().address) if dask else None
    except ValueError:
        return None

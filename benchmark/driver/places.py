"""Where units can be trained, by the names that an option may have, and on how many cores here."""

import os

EXECUTORS = {
    "processes": "worker processes on this machine",
    "here": "the process of the driver, for a debugger",
    "dask://HOST:PORT": "a Dask cluster, by the address of its scheduler",
}

CLUSTER = "dask://"
"""How an executor's name begins that is a cluster: other machines train, with other devices."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Where units can be trained, by the names that an option may have."""

EXECUTORS = {
    "processes": "worker processes on this machine",
    "here": "the process of the driver, for a debugger",
    "dask://HOST:PORT": "a Dask cluster, by the address of its scheduler",
}

CLUSTER = "dask://"
"""How an executor's name begins that is a cluster: other machines train, with other devices."""

"""A Dask worker with a pretended GPU: `dask worker ... --preload tests/gpu_worker.py`.

All that the driver has it do is done on that GPU, whose version of CUDA `PRETENDED_CUDA` names.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from pretended_gpu import pretended_gpu

from benchmark.driver import cluster

ENTERED = threading.local()


def on_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        # torch's modes are a thread's own, and the one that trains stays
        if not hasattr(ENTERED, "gpu"):
            ENTERED.gpu = pretended_gpu()
            ENTERED.gpu.__enter__()
        return function(*arguments)

    return call


def dask_setup(_: object) -> None:
    torch.version.cuda = os.environ["PRETENDED_CUDA"]
    # what the driver asks the worker is answered by another thread
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_name = lambda *_: "pretended GPU"
    # by its name, as a worker finds what it is to call
    cluster.call_if_same = on_gpu(cluster.call_if_same)

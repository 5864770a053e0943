"""Which device to train on, and how to make it repeat itself bit by bit."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmark.engine.settings import graphs
from benchmark.kernels import asked
from benchmark.records.fields import DEVICE


def choose_device(name: str) -> torch.device:
    """The device that ``name`` stands for; ``"cuda"`` is the GPU that torch has as its current one.

    Raises
    ------
    ValueError
        If it is none of auto, cpu, cuda and cuda:N, or no such GPU is there.
    """
    name = DEVICE("device", name)
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch sees no GPU; use --device cpu")
    if (number := name.partition(":")[2]) and int(number) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} was asked for, but the GPUs here are {', '.join(gpus())}"
        )
    return torch.device("cuda", int(number) if number else _current())


def gpus() -> list[str]:
    """Names of the GPUs that torch sees, for `choose_device`."""
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def _current() -> int:
    # to ask CUDA would start it, which a driver that trains nothing need not
    return torch.cuda.current_device() if torch.cuda.is_initialized() else 0


def memory(device: torch.device) -> int:
    """Bytes of a GPU that this process may take."""
    # "cuda" is the current one; not every function of torch takes it by that name
    index = torch.cuda.current_device() if device.index is None else device.index
    total = torch.cuda.get_device_properties(index).total_memory
    return int(total * torch.cuda.get_per_process_memory_fraction(index))


def libraries(device: torch.device) -> dict[str, str]:
    """What a GPU's numbers depend on besides torch; nothing for a CPU.

    Raises
    ------
    ValueError
        If the environment asks for graphs in other words than `settings.GRAPHS`, on a CPU too.
    """
    captured = graphs()
    if device.type != "cuda":
        return {}
    try:
        found = re.search(r"\d+\.[\d.]+", Path("/proc/driver/nvidia/version").read_text())
    except OSError:
        found = None
    return {
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "driver": found[0] if found else "unknown",
        "convolutions": "torch" if asked() == "torch" else "unfolded",
        "graphs": captured,
    }


def describe_device(device: torch.device) -> str:
    """Name of the device for the results."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({_processor()})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@contextmanager
def reproducible(device: torch.device, tf32: bool = False) -> Iterator[None]:
    """Within, the same work on the same device and versions gives the same bits.

    ``tf32`` lets a GPU round the factors of matrix products.

    Nothing that is set around it counts: gradients that are switched off, inference mode, an
    autocast, anomaly detection, which would make an error of an explosion, or a precision of
    products. All of it is afterwards as it was.

    On a CPU one thread works: several in one process slow each other down on a busy machine,
    and the order of sums would depend on their number.
    """
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    # the module is named as a function is, which hides it from type checkers
    memory_of: Any = torch.utils.deterministic
    filled = memory_of.fill_uninitialized_memory
    if device.type == "cuda":
        # cuBLAS reads it when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # nothing reads memory before it is written, and to fill it takes as long as to compute
        memory_of.fill_uninitialized_memory = False
    else:
        torch.set_num_threads(1)
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
            torch.autograd.set_detect_anomaly(False),
            products_in("tf32" if tf32 and device.type == "cuda" else "ieee"),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
        if device.type == "cuda":
            # not on a CPU, where it would import torch's compiler: a second of each process
            torch.use_deterministic_algorithms(deterministic, warn_only=warned)
            memory_of.fill_uninitialized_memory = filled


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within, factors of products in single precision are rounded to ``precision``, or not.

    ``"tf32"`` rounds them, ``"ieee"`` does not; on a GPU torch's own choice rounds those of
    convolutions and leaves other products alone.
    """
    # not by the older switches `allow_tf32`, which cannot be read once a newer one was set
    cuda, cudnn, mkldnn = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn
    switches: list[Any] = [cuda.matmul, cudnn.conv, cudnn.rnn]  # type: ignore[attr-defined]
    switches += [mkldnn.matmul, mkldnn.conv, mkldnn.rnn]  # type: ignore[attr-defined]
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = precision
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value

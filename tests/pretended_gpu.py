"""A pretended GPU for machines without one: runs the engine's CUDA path on the CPU, and watches.

Within `pretended_gpu`, tensors on ``cuda`` are CPU tensors inside a wrapper whose ``device`` is not
the CPU, so that the code takes the branches that it takes on a GPU. To mix them with CPU tensors
raises `DeviceMix`, as on CUDA; what makes the host wait for a GPU is counted, with its line. Half
precision is that of the CPU without autocast: a region of it does nothing here. A graph is captured
and launched as CUDA does it: the operations are taken down with their memory, without the Python
around them, and carried out again; what makes the host wait is refused meanwhile.

    with pretended_gpu() as watch:
        train(trials, device="cuda")
    print(watch.waits, watch.launches, watch.captures, watch.replays)
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch.utils import _pytree as pytree
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

import benchmark
from benchmark import gpus
from benchmark.engine import training

aten = torch.ops.aten
PLACE = "meta:0"
"""With an index, so that ``meta`` alone stays what it is: torch goes backward in this thread."""
WAITS = {
    *(aten._local_scalar_dense.default, aten.nonzero.default, aten.is_nonzero.default),
    *(aten.masked_select.default, aten.equal.default, aten.bincount.default),
    *(aten._unique2.default, aten.unique_consecutive.default, aten.repeat_interleave.Tensor),
}
"""Operations of which the host has to see the results."""
MOVES = {aten._to_copy.default, aten.copy_.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
LOOKS = {aten.detach.default, aten._unsafe_view.default}
"""Operations that launch nothing, beside views."""
PACKAGE = str(Path(benchmark.__file__).parent)

DeviceMix = type("DeviceMix", (RuntimeError,), {})


class OnDevice(torch.Tensor):
    """A tensor of the pretended device; ``held`` has its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnDevice:
        form = {"strides": held.stride(), "dtype": held.dtype, "device": PLACE}
        made = torch.Tensor._make_wrapper_subclass(cls, held.shape, **form)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, None)

    def tolist(self) -> list[Any]:
        _note("waits", "tolist")
        return self.held.tolist()


def _on_device(value: object) -> bool:
    return isinstance(value, torch.device) and (value.type == "cuda" or str(value) == PLACE)


def _run(func: Any, args: Any, kwargs: Any, watch: Watch | None) -> Any:
    flat, spec = pytree.tree_flatten((args, kwargs))
    ours = [x for x in flat if isinstance(x, OnDevice)]
    theirs = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, OnDevice)]
    wanted = kwargs.get("device")
    there = _on_device(wanted) if isinstance(wanted, torch.device) else bool(ours)
    if func is aten.copy_.default:
        there = isinstance(args[0], OnDevice)
    if func in MOVES:
        if ours and not there:
            _note("waits", "from the device")
        elif there and (theirs or not ours):
            _note("waits", "to the device")
    elif ours and theirs:
        if func in INDEXED and isinstance(args[0], OnDevice):
            _note("waits", f"{func} with an index on the CPU")
        elif all(t.dim() == 0 for t in theirs):
            _note("scalars", str(func))  # CUDA takes a number that the host holds as a tensor
        else:
            shapes = [tuple(t.shape) for t in theirs]
            raise DeviceMix(f"{func} of a tensor on the device and {shapes} on the CPU, {_where()}")
    if ours and (func in WAITS or (func in INDEXED and any(map(_is_mask, args[1])))):
        _note("waits", str(func))
    held = [x.held if isinstance(x, OnDevice) else x for x in flat]
    held = [torch.device("cpu") if _on_device(x) else x for x in held]
    on_cpu = pytree.tree_unflatten(held, spec)
    out = func(*on_cpu[0], **on_cpu[1])
    if there and CUDAGraph.recording is not None:
        CUDAGraph.recording.operations.append((func, *on_cpu, out))
    if torch.Tag.inplace_view in func.tags and ours:  # the wrapper's own shape has to follow
        with no_dispatch():
            func(*args, **kwargs)
    if watch is not None and there:
        watch.count(func, out)
    known = {id(x.held): x for x in ours}

    def back(x: Any) -> Any:
        mine = there and isinstance(x, torch.Tensor) and not isinstance(x, OnDevice)
        return (known[id(x)] if id(x) in known else OnDevice(x)) if mine else x

    return pytree.tree_map(back, out)


def _is_mask(index: object) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def _where() -> str:
    frame = sys._getframe()
    while frame.f_back and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _note(kind: str, what: str) -> None:
    if kind == "waits" and CUDAGraph.recording is not None:
        raise RuntimeError(f"operation not permitted when stream is capturing: {_where()}  {what}")
    if Watch.active is not None:
        if kind == "waits" and Watch.active.sync_debug_mode == "error":
            raise RuntimeError(f"called a synchronizing CUDA operation: {_where()}  {what}")
        getattr(Watch.active, kind)[f"{_where()}  {what}"] += 1


class CUDAGraph:
    """The operations of a capture, on memory of the pretended device."""

    recording: CUDAGraph | None = None
    broken = False
    """Whether a capture has failed, after which the generator is of no use until one ends well."""

    def __init__(self) -> None:
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def capture_begin(self, **how: Any) -> None:
        """What follows is taken down."""
        assert CUDAGraph.recording is None
        CUDAGraph.recording = self

    def capture_end(self) -> None:
        """What follows is not."""
        CUDAGraph.recording, CUDAGraph.broken = None, False

    def replay(self) -> None:
        """Carry them out, each result in the place of that in the capture."""
        assert Watch.active is not None
        Watch.active.replays += 1
        with no_dispatch():
            for func, args, kwargs, out in self.operations:
                again = func(*args, **kwargs)
                for old, new in zip(*map(pytree.tree_leaves, (out, again)), strict=True):
                    # a view, or what was computed in place, is where it was
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


@contextmanager
def _capturing(graph: CUDAGraph, **how: Any) -> Iterator[None]:
    assert Watch.active is not None
    graph.capture_begin()
    try:
        yield
        graph.capture_end()
        Watch.active.captures += 1
    except Exception:
        CUDAGraph.recording, CUDAGraph.broken = None, True
        raise


class Watch(TorchDispatchMode):
    """Counts what happens on the pretended GPU while it is entered.

    Attributes
    ----------
    waits, scalars
        By line and operation, how often the host waited or handed over a single number as a tensor.
    launches
        How many operations would have been kernels or copies.
    captures, replays
        How many graphs were made, and how often one was launched.
    generator, other
        Of the device and of another one, in their first states.
    """

    active: Watch | None = None

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.scalars: Counter[str] = Counter()
        self.launches = self.captures = self.replays = 0
        self.generator = torch.Generator()
        self.other = torch.Generator()
        self.sync_debug_mode: int | str = 0

    def set_sync_debug_mode(self, mode: int | str) -> None:
        """Make waits errors, or not."""
        self.sync_debug_mode = mode

    def seed_all(self, seed: int) -> None:
        """Of all devices, as `torch.manual_seed` does."""
        for generator in (self.generator, self.other):
            generator.manual_seed(seed)

    def get_rng_state(self, *_: Any) -> torch.Tensor:
        """Of the device's generator."""
        if CUDAGraph.broken:
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
        return self.generator.get_state()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self)

    def count(self, func: Any, out: Any) -> None:
        made = any(isinstance(x, torch.Tensor) for x in pytree.tree_leaves(out))
        self.launches += made and not func.is_view and func not in LOOKS


@contextmanager
def pretended_gpu() -> Iterator[Watch]:
    """Within, ``device="cuda"`` is the pretended GPU; afterwards everything is as it was."""
    watch = Watch()
    answers: dict[str, Any] = {"is_available": True, "get_device_name": "pretended GPU"}
    answers |= {"_lazy_init": None, "empty_cache": None}
    answers |= {"is_bf16_supported": True}
    answers |= {"device_count": 1, "current_device": 0, "is_initialized": True}
    answers |= {"get_per_process_memory_fraction": 1.0}
    answers |= {"get_device_properties": SimpleNamespace(total_memory=80 * 2**30)}
    stand_ins = {k: (lambda *_, value=v, **__: value) for k, v in answers.items()}
    stand_ins |= {
        "synchronize": lambda *_: _note("waits", "synchronize"),
        "get_rng_state": watch.get_rng_state,
        "get_sync_debug_mode": lambda: watch.sync_debug_mode,
        "set_sync_debug_mode": watch.set_sync_debug_mode,
        "set_rng_state": lambda state, *_: watch.generator.set_state(state),
        "Stream": lambda *_: SimpleNamespace(wait_stream=lambda _: None),
        "current_stream": lambda *_: SimpleNamespace(wait_stream=lambda _: None),
        "stream": lambda _: nullcontext(),
        "graph_pool_handle": lambda: object(),
        "CUDAGraph": CUDAGraph,
        "graph": _capturing,
        "default_generators": (watch.generator, watch.other),
        "manual_seed": watch.generator.manual_seed,
        "manual_seed_all": watch.seed_all,
    }
    lifted = torch._C._only_lift_cpu_tensors()
    # `torch.tensor(list, device=)` moves where it is seen
    torch._C._set_only_lift_cpu_tensors(True)
    training._on_device.cache_clear()
    Watch.active = watch
    try:
        gpu_types = patch.object(gpus, "TYPES", gpus.TYPES | {torch.device(PLACE).type})
        with patch.multiple(torch.cuda, **stand_ins), gpu_types, watch:
            yield watch
    finally:
        Watch.active = None
        CUDAGraph.broken = False
        training._on_device.cache_clear()
        torch._C._set_only_lift_cpu_tensors(lifted)

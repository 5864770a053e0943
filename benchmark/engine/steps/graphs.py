"""Steps as CUDA graphs: what a step launches is captured once, and then launched as a whole.

A step launches 30 to 75 operations, at some 10 us each more than a GPU takes for them in up to a
hundred small networks. A graph of them is one launch. Its memory stays where it is: the state of
the population, the examples' numbers and the rates' factors are copied there, and what the step
measures is copied from there, without waiting.

What is captured is the step itself (`Stepping` and `Program.step`), which remains the reference: a
graph whose first steps do not give the bits of that is not used. What cannot be captured takes its
steps as before.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from benchmark.engine.machine.fitting import is_too_much
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.stepping import GetBatch, Stepping
from benchmark.models import MODELS

log = logging.getLogger(__name__)

LEAST_STEPS = 50
"""Steps of one shape from which a graph is worth its capture, which takes as long as some 30."""
WARM_UP = 3
"""Steps before a capture, in which libraries choose their kernels and take their memory; a graph
has to repeat them bit for bit."""
KEPT_GRAPHS = 8
"""Most graphs of a run; the one that was used least recently goes first."""
SHARE = 3
"""A graph takes memory beside that of evaluations, so a step of it may take a third of what fits:
of larger ones the GPU is the limit, and not its launches."""
LARGEST_STATE = 2**27
"""Most parameters of all trials in a graph, whose new values are copied to where the old ones were:
beyond, the copies take longer than the launches."""
IN_A_STEP = ("model", "normalization", "loss", "optimizer", "clipping", "precision")
"""Fields whose strategies compute in a step. A graph repeats what these did while it was captured,
so that they must be functions of tensors alone, as those of the package are known to be."""

PACKAGE = "benchmark."

Named = dict[str, Tensor]

CAPTURED = "captured"
OUTCOMES: Counter[str] = Counter()
"""How many graphs this process has captured, and why others were not."""


class NotRepeated(RuntimeError):
    """A captured step is not the step that was captured."""


def why_eager(program: Program) -> str | None:
    """Why the steps of ``program`` are not captured, or None where they are."""
    if program.device.type != "cuda":
        return "not on a GPU"
    model = program.parts.model
    if MODELS.get(model.name) is not model:
        return f"model {model.name!r} is custom"
    if program.one_by_one is not None:
        return "the network runs as plain PyTorch"
    for field in IN_A_STEP:
        part = getattr(program.parts, field)
        if not _ours(part):
            return f"{field} {part.name!r} is custom"
    return None


def _ours(value: Any) -> bool:
    """Whether a strategy computes by the package's own functions alone, wherever it comes from."""
    if isinstance(value, FunctionType):
        return value.__module__.startswith(PACKAGE) and value.__closure__ is None
    if isinstance(value, tuple):
        return all(map(_ours, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = type(value).__module__.startswith(PACKAGE)
        return own and all(_ours(getattr(value, f.name)) for f in dataclasses.fields(value))
    return not callable(value)


def tensors_of(population: Population) -> Named:
    """Every tensor of a population, by its field and name."""
    found: Named = {}
    for field in dataclasses.fields(population):
        value = getattr(population, field.name)
        if isinstance(value, dict):
            found |= {f"{field.name}.{name}": tensor for name, tensor in value.items()}
        else:
            found[field.name] = value
    return found


def copy_of(population: Population) -> Population:
    """The same in memory of its own."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(population):
        value = getattr(population, field.name)
        each = isinstance(value, dict)
        values[field.name] = {k: v.clone() for k, v in value.items()} if each else value.clone()
    return Population(**values)


class FixedStep(Stepping):
    """Steps whose numbers lie in the same memory each time, which are launched as one graph.

    `capture` makes it, and `begin` comes before the first step of every population.

    Parameters
    ----------
    population
        The first that takes such steps; it is copied, and so is every other by `begin`.
    index, factor
        Examples (K, B) and factors (K,) of its first step.
    """

    def __init__(
        self,
        program: Program,
        get_batch: GetBatch,
        population: Population,
        index: Tensor,
        factor: Tensor,
    ):
        super().__init__(program, get_batch, copy_of(population))
        self._index = index.clone(memory_format=torch.contiguous_format)
        self._factor = factor.clone()
        self._results: Tensor | None = None
        self._launch: Callable[[], None] | None = None
        self._rows: list[Tensor] = []

    def begin(self, population: Population) -> None:
        """Go on with ``population``, of which nothing is changed."""
        mine, given = tensors_of(self.population), tensors_of(population)
        _check_form(mine, given)
        for name, tensor in mine.items():
            tensor.copy_(given[name])
        self._rows = []

    def step(self, index: Tensor, factor: Tensor) -> None:
        """One update on the examples ``index`` (K, B); ``factor`` (K,) is that of the rates."""
        self._index.copy_(index)
        self._factor.copy_(factor)
        assert self._launch is not None
        self._launch()
        self._keep_results()

    def step_on(self, images: Tensor, labels: Tensor, factor: Tensor) -> None:
        """One update on a batch that is no part of a graph."""
        self._update(images, labels, factor)
        self._keep_results()

    def parameters(self) -> Tensor:
        """A copy of the parameters (K, D)."""
        return self.population.parameters.clone()

    def end(self) -> tuple[Population, tuple[Tensor, ...]]:
        """A copy of the population, and what the steps since `begin` measured."""
        return copy_of(self.population), torch.stack(self._rows).unbind(1)

    def body(self) -> None:
        """The step that is captured: from fixed memory to fixed memory."""
        self._update(*self.get_batch(self._index), self._factor)

    def _update(self, images: Tensor, labels: Tensor, factor: Tensor) -> None:
        moved, *measured = self.program.step(self.population, images, labels, factor)
        _put(tensors_of(moved), tensors_of(self.population))
        assert self._results is not None
        torch.stack([tensor.double() for tensor in measured], out=self._results)

    def _keep_results(self) -> None:
        assert self._results is not None
        self._rows.append(self._results.clone())

    def capture(self, pool: Any) -> None:
        """Launch further steps as one graph, whose memory is of ``pool``.

        Afterwards the population is that of some steps later: `begin` follows.

        Raises
        ------
        RuntimeError
            If a step cannot be captured; `NotRepeated` if it comes out as another.
        """
        first = copy_of(self.population)
        with beside(self.program.device):
            # as they are taken without a graph
            plain = Stepping(self.program, self.get_batch, copy_of(first))
            for _ in range(WARM_UP):
                plain.step(self._index, self._factor)
            population, columns = plain.end()
            measured = torch.stack([column[-1] for column in columns])
            self._results = torch.empty_like(measured)
            # so that every kernel is loaded before, and what would break the capture is met here
            with _refusing_waits():
                self.body()
            launch = captured(self.body, pool)
        self.begin(first)
        for _ in range(WARM_UP):
            launch()
        wanted = tensors_of(population) | {"measured": measured}
        found = tensors_of(self.population) | {"measured": self._results}
        _check_form(wanted, found)
        same = [_same_bits(tensor, found[name]) for name, tensor in wanted.items()]
        if not torch.stack(same).all().item():
            raise NotRepeated("a captured step does not give the bits of the step")
        self._launch = launch


def _check_form(mine: Named, given: Named) -> None:
    def form(tensors: Named) -> dict[str, tuple[object, ...]]:
        return {name: (tuple(t.shape), t.dtype, t.device) for name, t in tensors.items()}

    if form(mine) != form(given):
        raise NotRepeated(f"a step changes the form of its state: {form(mine)} to {form(given)}")


def _put(new: Named, old: Named) -> None:
    """Copy the new values to where the old ones are."""
    _check_form(old, new)
    moved = {name: tensor for name, tensor in new.items() if tensor is not old[name]}
    # what lies in another one's old place would be overwritten before it is copied
    places = {name: _place(tensor) for name, tensor in old.items()}
    for name, tensor in moved.items():
        if any(_place(tensor) == place for other, place in places.items() if other != name):
            moved[name] = tensor.clone()
    for name, tensor in moved.items():
        old[name].copy_(tensor)


def _place(tensor: Tensor) -> object:
    return tensor.untyped_storage()._cdata


def _same_bits(a: Tensor, b: Tensor) -> Tensor:
    return ((a == b) | (a.isnan() & b.isnan())).all()


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    # one for all captures: the memory of one pool goes with its stream
    return torch.cuda.Stream(device)


@contextmanager
def beside(device: torch.device) -> Iterator[None]:
    """Within, a stream in which a capture may begin; what came before is done there, and before
    what comes after."""
    usual, side = torch.cuda.current_stream(device), _stream(device)
    side.wait_stream(usual)
    try:
        # also where the end of a broken capture does not put back the stream
        with torch.cuda.stream(side):
            yield
    except Exception:
        # such a stream may not be fit for another
        _stream.cache_clear()
        raise
    finally:
        usual.wait_stream(side)


@contextmanager
def _refusing_waits() -> Iterator[None]:
    """Within, what makes the host wait for the device is an error, as far as torch knows it."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # that it does not know all of them
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def captured(body: Callable[[], None], pool: Any) -> Callable[[], None]:
    """What launches the graph of ``body``, which is not carried out; to be called in `beside`."""
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.current_stream()
    collects = gc.isenabled()
    # a collection in between might give back what only other streams may
    gc.disable()
    try:
        # "thread_local": other threads of the process may go on with theirs
        with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
            body()
    finally:
        if collects:
            gc.enable()
    return graph.replay


class Graphs:
    """The graphs of a run: one for each number of trials and batch size, made where it pays.

    Parameters
    ----------
    asked
        A key of `settings.GRAPHS`.
    """

    def __init__(self, program: Program, asked: str):
        self._program, self._always = program, asked == "always"
        self._graphs: dict[tuple[int, ...], FixedStep] = {}
        self._taken: Counter[tuple[int, ...]] = Counter()
        self._too_much: set[tuple[int, ...]] = set()
        self._pool: Any = None
        self._why = "switched off" if asked == "0" else why_eager(program)

    def stepping(
        self,
        population: Population,
        get_batch: GetBatch,
        first: tuple[Tensor, Tensor],
        steps: int,
        further: int,
    ) -> Stepping:
        """What takes the next ``steps`` of ``population``.

        Parameters
        ----------
        first
            Examples (K, B) and factors (K,) of the first of them.
        further
            As many more of the same shape are to be expected after these.
        """
        shape = tuple(first[0].shape)
        found = self._graphs.pop(shape, None)
        if found is None and self._pays(population, shape, steps + further):
            found = self._made(population, get_batch, first, shape)
        if found is None:
            self._taken[shape] += steps
            return Stepping(self._program, get_batch, population)
        # last in the order in which they go
        self._graphs[shape] = found
        found.begin(population)
        return found

    def clear(self) -> None:
        """Give back their memory."""
        self._graphs.clear()
        self._pool = None

    def _pays(self, population: Population, shape: tuple[int, ...], expected: int) -> bool:
        if self._why is not None or shape in self._too_much:
            return False
        if self._always:
            return True
        trials, examples = shape
        most = self._program.limit("step").most
        return (
            expected + self._taken[shape] >= LEAST_STEPS
            and (most is None or SHARE * trials * examples <= most)
            and population.parameters.numel() <= LARGEST_STATE
        )

    def _made(
        self,
        population: Population,
        get_batch: GetBatch,
        first: tuple[Tensor, Tensor],
        shape: tuple[int, ...],
    ) -> FixedStep | None:
        """A captured step of this shape; None where there can be none."""
        while len(self._graphs) >= KEPT_GRAPHS:
            del self._graphs[next(iter(self._graphs))]
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        made = FixedStep(self._program, get_batch, population, *first)
        reason, lacking = _trouble(made, self._pool)
        OUTCOMES[reason or CAPTURED] += 1
        if reason is None:
            return made
        _mend(self._program.device, self._pool)
        # their pool may be broken
        self.clear()
        if lacking:
            # a step alone may fit
            del made
            torch.cuda.empty_cache()
            self._too_much.add(shape)
        else:
            self._why = reason
        if not lacking and OUTCOMES[reason] == 1:
            log.warning("steps are launched one operation after another, not as graphs: %s", reason)
        return None


def _trouble(made: FixedStep, pool: Any) -> tuple[str | None, bool]:
    """Why ``made`` cannot be captured, or None, and whether it is memory that is lacking."""
    try:
        made.capture(pool)
    # of whatever kind: the step itself meets it again, where it is the step's
    except Exception as error:
        causes = list(_chain(error))
        text = str(causes[-1]).strip().partition("\n")[0][:160]
        # no more than words, because the frames of errors have the tensors
        return f"{type(causes[-1]).__name__}: {text}", any(map(is_too_much, causes))
    return None, False


def _mend(device: torch.device, pool: Any) -> None:
    """Undo what a broken capture leaves in torch, where it left anything.

    Memory would go on to be taken for its pool, and the generator of the device, which a capture
    borrows, would refuse to give its state. One that ends well puts it back.
    """
    library: Any = torch._C
    with suppress(Exception):
        library._cuda_endAllocateToPool(device.index, pool)
    with suppress(Exception), torch.cuda.stream(torch.cuda.Stream(device)):
        graph = torch.cuda.CUDAGraph()
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            torch.zeros(1, device=device)
        finally:
            graph.capture_end()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those in whose handling it came up: the end of a broken capture is another."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

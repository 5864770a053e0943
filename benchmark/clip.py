"""Any registered clipping in any PyTorch loop: one line after the optimizer is made.

The strategy is the suite's own object, so that what a study measured is what a loop gets.

>>> import torch
>>> from benchmark import clip
>>> model = torch.nn.Linear(2, 1)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
>>> guard = clip.attach(optimizer, "global_norm", threshold=1.0)
>>> model(torch.full((4, 2), 100.0)).sum().backward()
>>> optimizer.step()
>>> guard.log[["step", "clipped"]].to_dict("records")
[{'step': 1, 'clipped': True}]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmark.layout import Layout
from benchmark.names import find, quoted
from benchmark.records.declarations import Number
from benchmark.records.fields import TEXT, Real, Rule, Whole, refused
from benchmark.strategies.clipping import CLIPPINGS, Clipping, Context, State, keep
from benchmark.strategies.clipping.rule import threshold_of
from benchmark.strategies.returned import check_clipped, check_initial

SKIPPING = "step"
AFTER = "update"
"""Stages of a clipping: it leaves whole steps out, or acts on the optimizer's update."""
READ_EVERY = 256
"""Steps after which what was measured is read from the device, all at once."""
MEASURED = ("loss", "norm", "norm_after", "clipped")
CHECKPOINT = ("clipping", "threshold", "steps", "state")
"""What `Guard.state_dict` has."""
TAKEN_WITH: dict[str, Rule] = {"clipping": TEXT, "threshold": Real(), "steps": Whole(0)}
"""What the first three of these may be."""


def attach(
    optimizer: Optimizer,
    clipping: str | Clipping,
    threshold: float | None = None,
    *,
    model: nn.Module | None = None,
) -> Guard:
    """Clip with ``clipping`` in every step that ``optimizer`` takes from now on.

    It acts inside ``optimizer.step()``, hence after gradients were accumulated and after a
    `torch.amp.GradScaler` has unscaled them, and in whatever trainer calls the optimizer
    (Lightning, Accelerate, Transformers). All parameter groups are clipped together. A parameter
    without a gradient counts as a gradient of zero and stays without one.

    Parameters
    ----------
    clipping
        The name of a registered clipping (``python -m benchmark list clipping``), or a
        `benchmark.Clipping`.
    threshold
        Its one tunable number; its published default unless given.
    model
        The module that the parameters belong to. Only a clipping that treats the classifier
        differently (``adaptive``) needs it.

    Returns
    -------
    A `Guard`: what it measured, its state for a checkpoint, and how to take it off.

    Raises
    ------
    UnknownName
        If no clipping has that name.
    ValueError
        If an argument is not of its kind, the threshold is outside its range, the optimizer
        evaluates its closure several times (L-BFGS), or parameters lie on several devices.
    """
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"`optimizer` must be one of torch's, but got {quoted(optimizer)}")
    if model is not None and not isinstance(model, nn.Module):
        raise ValueError(f"`model` must be a torch module, but got {quoted(model)}")
    rule = find(clipping, CLIPPINGS, "clipping")
    return Guard(optimizer, rule, threshold_of(rule, threshold), model)


class Guard:
    """A clipping that acts in an optimizer's steps; made by `attach`.

    Attributes
    ----------
    clipping, threshold
        The strategy and its tunable number.
    steps
        How many steps it has seen.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        clipping: Clipping,
        threshold: float,
        model: nn.Module | None = None,
    ) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError(
                "LBFGS evaluates its closure several times a step, which no clipping is defined "
                "for; allowed: optimizers that take one gradient a step"
            )
        self.clipping = clipping
        self.threshold = threshold
        self.steps = 0
        self._optimizer = optimizer
        self._parameters = [p for p in _parameters(optimizer) if p.requires_grad]
        self._layout = _layout(self._parameters, model, clipping)
        self._state: State = {}
        self._loss: Tensor | None = None
        self._norm: Tensor = torch.zeros(())
        self._before: list[Tensor] = []
        self._withheld: list[tuple[Tensor, Tensor]] = []
        self._unread: list[Tensor] = []
        self._rows: list[list[float]] = []
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]

    def observe(self, loss: Tensor | float) -> None:
        """Tell the loss of the batch whose gradient the next step takes.

        For ``skip_step``, which then watches the loss as well as the norm, and for the log. Where
        the step is given a closure its value is taken.

        Raises
        ------
        ValueError
            If it is no single real number, but the loss of every example, say.
        """
        like = self._parameters[0]
        told = _single(loss)
        self._loss = torch.as_tensor(told, device=like.device).detach().to(self._dtype).view(())

    @property
    def log(self) -> pd.DataFrame:
        """Columns ``step``, ``loss``, ``norm``, ``norm_after``, ``clipped``, ``threshold``.

        A row a step, counted from 1: the gradient's norm as it came and as the optimizer got it
        (zero where ``skip_step`` left the step out), and whether the gradient or the update was
        clipped, or the step left out. The loss is NaN unless it was told: by `observe`, or by the
        closure of the step. Reading it waits for the device.
        """
        self._read()
        frame = pd.DataFrame(self._rows, columns=list(MEASURED), dtype=float)
        frame.insert(0, "step", range(self.steps - len(frame) + 1, self.steps + 1))
        return frame.assign(clipped=frame["clipped"] > 0, threshold=self.threshold)

    def state_dict(self) -> dict[str, Any]:
        """What the strategy remembers, for a checkpoint."""
        return {
            "clipping": self.clipping.name,
            "threshold": self.threshold,
            "steps": self.steps,
            "state": {name: value.clone() for name, value in self._state.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was taken.

        Raises
        ------
        ValueError
            If it is not what `state_dict` gives, or of another clipping, threshold or parameters.
            Nothing is changed then.
        """
        if not isinstance(state, Mapping):
            raise refused("state", state, "what `state_dict` of a guard gives")
        if missing := [key for key in CHECKPOINT if key not in state]:
            raise ValueError(
                f"the checkpoint must have {', '.join(CHECKPOINT)}, as `state_dict` of a guard "
                f"gives them, but lacks {', '.join(missing)}: it has {quoted(list(state))}"
            )
        own = {"clipping": self.clipping.name, "threshold": self.threshold}
        meant = {name: TAKEN_WITH[name](name, state[name]) for name in TAKEN_WITH}
        for name, value in own.items():
            if meant[name] != value:
                raise ValueError(
                    f"the checkpoint was taken with {name}={quoted(state[name])}, but this guard "
                    f"has {value!r}"
                )
        remembered = self._checked(state["state"], meant["steps"])
        self.steps, self._state = meant["steps"], remembered
        self._rows, self._unread = [], []

    def _checked(self, state: object, steps: int) -> State:
        """What a checkpoint after ``steps`` remembers, of the form that this guard's rule has."""
        if not isinstance(state, Mapping):
            raise refused("state", state, "a mapping of names to tensors")
        if not steps and not state:
            return {}
        size = 1 if self._scales else self._layout.size
        like = self._parameters[0].new_zeros(size, dtype=self._dtype)
        form = self.clipping.init(self._layout, like)
        if form.keys() != state.keys():
            raise ValueError(
                f"`state` of the checkpoint must have {quoted(sorted(form))}, "
                f"but has {quoted(sorted(state, key=str))}"
            )
        found = {}
        for name, wanted in form.items():
            value = state[name]
            same = isinstance(value, Tensor) and value.shape == wanted.shape
            if not same or value.is_floating_point() != wanted.is_floating_point():
                raise ValueError(
                    f"{name!r} of the checkpoint must be a tensor of the shape "
                    f"{tuple(wanted.shape)} and the type {wanted.dtype}, but is {quoted(value)}"
                )
            if not wanted.is_floating_point() and bool((value < 0).any()):
                raise ValueError(
                    f"{name!r} of the checkpoint must not be negative, but is {quoted(value)}"
                )
            found[name] = value.detach().clone().to(like.device, wanted.dtype)
        return found

    def detach(self) -> None:
        """Take the clipping off; the log stays."""
        for handle in self._handles:
            handle.remove()

    @property
    def _scales(self) -> bool:
        """Whether the rule is shown a gradient of one number."""
        return self.clipping.scales and self.clipping.stage != AFTER

    @property
    def _dtype(self) -> torch.dtype:
        # norms of half-precision gradients overflow in half precision
        kinds = {p.dtype for p in self._parameters}
        return torch.float64 if torch.float64 in kinds else torch.float32

    def _before_step(
        self, optimizer: Optimizer, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        closure = named.get("closure") or (arguments[1] if len(arguments) > 1 else None)
        if closure is None:
            self._act()
            return None

        def clipped_closure() -> Any:
            loss = closure()
            if isinstance(loss, Tensor | float):
                self.observe(loss)
            self._act()
            return loss

        return (arguments[0], clipped_closure), {k: v for k, v in named.items() if k != "closure"}

    @torch.no_grad()
    def _act(self) -> None:
        """What is done between the gradient and the update."""
        held = [p for p in self._parameters if p.grad is not None]
        if not held:
            return
        self._unscale()
        if self._scales:
            self._scale(held)
            return
        gradient = self._flat([p.grad for p in self._parameters])
        norm = torch.linalg.vector_norm(gradient)
        if self.clipping.stage == AFTER:
            self._before = [p.detach().clone() for p in self._parameters]
            self._norm = norm
            return
        changed, clipped = self._clip(gradient, norm, self._parameters)
        after = torch.linalg.vector_norm(changed)
        if self.clipping.stage == SKIPPING:
            self._skip(held, norm, after, clipped)
            return
        self._record(norm, after, clipped)
        self._write(changed)

    def _scale(self, held: Sequence[Tensor]) -> None:
        """What a rule does that scales: it is shown a gradient of one number, of the same norm."""
        gradients = [_whole(p.grad) for p in held if p.grad is not None]
        norms = torch._foreach_norm(gradients, 2, dtype=self._dtype)
        norm = torch.linalg.vector_norm(torch.stack(norms))
        changed, clipped = self._clip(norm.view(1), norm, self._parameters)
        after = changed[0]
        if self.clipping.stage == SKIPPING:
            self._skip(held, norm, after, clipped)
            return
        self._record(norm, after, clipped)
        if self.clipping.clip is not keep:
            some = torch.isfinite(norm) & (norm > 0)
            torch._foreach_mul_(gradients, torch.where(some, after / norm, torch.ones_like(norm)))

    def _skip(self, held: Sequence[Tensor], norm: Tensor, after: Tensor, clipped: Tensor) -> None:
        """Leave the step out where it was flagged."""
        self._record(norm, torch.where(clipped, torch.zeros_like(after), after), clipped)
        # an optimizer passes over parameters that have no gradient, and over their state
        if bool(clipped):
            self._withheld = [(p, p.grad) for p in held if p.grad is not None]
            for p in held:
                p.grad = None

    def _write(self, gradient: Tensor) -> None:
        """Put the pieces of ``gradient`` (D,) in the places of the parameters' gradients."""
        pieces = zip(self._parameters, self._layout.split(gradient).values(), strict=True)
        places = [(p.grad, piece) for p, piece in pieces if p.grad is not None]
        torch._foreach_copy_([place for place, _ in places], [piece for _, piece in places])

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, arguments: Any, named: Any) -> None:
        if self._before:
            self._clip_update()
        for parameter, gradient in self._withheld:
            parameter.grad = gradient
        self._before, self._withheld, self._loss = [], [], None

    def _clip_update(self) -> None:
        """Take back what the rule takes off the update, (before - after) / rate."""
        each = list(zip(self._before, self._parameters, self._rates(), strict=True))
        update = self._flat(
            [
                (old - new.detach()) / rate if rate else torch.zeros_like(old)
                for old, new, rate in each
            ]
        )
        changed, clipped = self._clip(update, self._norm, self._before)
        self._record(self._norm, self._norm, clipped)
        pieces = self._layout.split(changed).values()
        for (old, new, rate), piece in zip(each, pieces, strict=True):
            if rate:
                new.copy_(old - rate * piece.to(old.dtype))

    def _rates(self) -> list[float]:
        return [
            float(group["lr"])
            for group in self._optimizer.param_groups
            for p in group["params"]
            if p.requires_grad
        ]

    def _clip(
        self, vector: Tensor, norm: Tensor, parameters: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        if not self._state:
            state = self.clipping.init(self._layout, vector)
            self._state = check_initial(f"clipping {self.clipping.name!r}", state)
        context = cast(Context, _Context(self, parameters, norm))
        threshold = torch.as_tensor(self.threshold, dtype=norm.dtype, device=norm.device)
        returned = self.clipping.clip(vector, self._state, threshold, context)
        if not self.steps:
            check_clipped(self.clipping, returned, vector, self._state)
        changed, self._state, clipped = returned
        return changed, clipped

    def _record(self, norm: Tensor, after: Tensor, clipped: Tensor) -> None:
        self.steps += 1
        loss = torch.full_like(norm, float("nan")) if self._loss is None else self._loss
        self._unread.append(torch.stack([loss, norm, after, clipped.to(norm.dtype)]))
        if len(self._unread) == READ_EVERY:
            self._read()

    def _read(self) -> None:
        if self._unread:
            self._rows += torch.stack(self._unread).tolist()
            self._unread = []

    def _flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """The vector (D,) of the parameters' ``tensors``; a missing one is zero."""
        pieces = [
            torch.zeros_like(p) if tensor is None else _whole(tensor).detach()
            for tensor, p in zip(tensors, self._parameters, strict=True)
        ]
        return torch.cat([piece.reshape(-1).to(self._dtype) for piece in pieces])

    def _unscale(self) -> None:
        """Unscale gradients where a `GradScaler` leaves it to a fused optimizer."""
        scale = getattr(self._optimizer, "grad_scale", None)
        if scale is None:
            return
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        torch._foreach_mul_(gradients, scale.double().reciprocal().float())
        self._optimizer.grad_scale = None  # type: ignore[attr-defined]


class _Context:
    """What a rule may look at, as `benchmark.strategies.clipping.Context`.

    The parameters are put together only for a rule that asks for them.
    """

    def __init__(self, guard: Guard, parameters: Sequence[Tensor], norm: Tensor) -> None:
        self.norm = norm
        self.layout = guard._layout
        # a loss that nobody told stands still, which no rule takes for an outlier
        self.loss = torch.zeros_like(norm) if guard._loss is None else guard._loss
        self._guard, self._separate = guard, parameters

    @cached_property
    def parameters(self) -> Tensor:
        """The vector (D,) before the update."""
        return self._guard._flat(self._separate)


def _single(loss: Any) -> Tensor | float:
    """``loss``, which must be one real number; not finite ones count as such."""
    if isinstance(loss, Tensor) and loss.numel() == 1 and not loss.is_complex():
        if loss.dtype != torch.bool:
            return loss
    elif getattr(loss, "ndim", 0):
        shape = tuple(loss.shape)
        raise ValueError(
            f"`loss` must be a single number, but got one of the shape {shape}: mean or sum it"
        )
    return OF_ANY_SIZE("loss", loss)


OF_ANY_SIZE = Number("a single number", measured=True)


def _whole(gradient: Tensor) -> Tensor:
    """``gradient``, which must be dense and all of it here."""
    if gradient.layout is not torch.strided:
        raise ValueError("sparse gradients cannot be clipped; make them dense (sparse=False)")
    if type(gradient).__name__ == "DTensor":
        raise ValueError(
            "gradients that are sharded over processes cannot be clipped: each sees only "
            "its own part of the norm; allowed: gradients that are whole on every process"
        )
    return gradient


def _parameters(optimizer: Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _layout(parameters: Sequence[Tensor], model: nn.Module | None, clipping: Clipping) -> Layout:
    """Where each parameter lies in the flat vector, in the order of the parameter groups."""
    if not parameters:
        raise ValueError("the optimizer has no parameter that requires a gradient")
    devices = sorted({str(p.device) for p in parameters})
    if len(devices) > 1:
        raise ValueError(
            f"all parameters must lie on one device, but got {', '.join(devices)}; a norm of all "
            "of them would wait for every device in every step"
        )
    shapes = tuple(tuple(p.shape) for p in parameters)
    if model is None:
        if clipping.exempts_head:
            raise ValueError(
                f"{clipping.name!r} leaves the classifier's own tensors as they are, so that it "
                "needs to know which these are; pass model=..."
            )
        return Layout(tuple(f"parameter{i}" for i in range(len(shapes))), shapes)
    known = {id(p): name for name, p in model.named_parameters()}
    missing = sum(id(p) not in known for p in parameters)
    if missing:
        raise ValueError(f"{missing} of the optimizer's parameters are not the model's")
    whole = Layout.of(model)
    names = tuple(known[id(p)] for p in parameters)
    return Layout(names, shapes, whole.head, whole.layers)

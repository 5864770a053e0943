"""A clipping that acts in an optimizer's steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Self, cast
from weakref import WeakKeyDictionary, WeakSet

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmark.clip.checkpoint import checked_checkpoint, checked_state
from benchmark.clip.log import MEASURED, Log
from benchmark.clip.parameters import dtype_of, layout_of, rates_of, same, taken_by, whole
from benchmark.clip.snapshots import Snapshots
from benchmark.names import find, quoted
from benchmark.norms import LARGEST_SQUARED, norm_of_all
from benchmark.records.declarations import Number
from benchmark.records.fields import Whole
from benchmark.strategies.clipping import CLIPPINGS, Clipping, Context, State, in_double, keep
from benchmark.strategies.clipping.rule import REWIND, threshold_of
from benchmark.strategies.returned import check_clipped, check_initial, checked_once

SKIPPING = "step"
AFTER = "update"
"""Stages of a clipping: it leaves whole steps out, or acts on the optimizer's update."""
IN_TURN = (REWIND, SKIPPING, "gradient", AFTER)
"""Stages in the order in which guards of one optimizer act."""

_ATTACHED: WeakKeyDictionary[Optimizer, WeakSet[Guard]] = WeakKeyDictionary()


def attach(
    optimizer: Optimizer,
    clipping: str | Clipping,
    threshold: float | None = None,
    *,
    model: nn.Module | None = None,
    log: int | None = None,
) -> Guard:
    """Clip with ``clipping`` in every step that ``optimizer`` takes from now on.

    It acts inside ``optimizer.step()``, hence after gradients were accumulated and after a
    `torch.amp.GradScaler` has unscaled them, and in whatever trainer calls the optimizer
    (Lightning, Accelerate, Transformers). All parameter groups are clipped together, those that
    are added or unfrozen later too. A parameter without a gradient counts as a gradient of zero
    and stays without one.

    An optimizer takes one guard of each kind, in this order: one that goes back to an earlier state
    (``rewind``), one that leaves steps out (``skip_step``), one that clips the gradient, one that
    clips the update (``update_rms``). Several of one kind are made one by `benchmark.chain`.

    ``rewind`` keeps two copies of the parameters and of the optimizer's state, a hundred steps
    apart, and puts the older one back in place; it begins after 200 steps. Where a loss or norm is
    not finite it does so from the first step on, if need be to the start. What else a loop keeps
    goes on: data, the schedule of the rate, random numbers, an average of the weights, and what an
    optimizer has in its parameter groups.

    Parameters
    ----------
    clipping
        The name of a registered clipping (``python -m benchmark list clipping``), or a
        `benchmark.Clipping`.
    threshold
        Its one tunable number; its published default unless given.
    model
        The module that the parameters belong to. Only a clipping that treats the classifier
        differently (``adaptive``) needs it; ``rewind`` then puts its buffers back too, such as the
        running statistics of batch normalization.
    log
        How many steps, the latest, `Guard.log` has; all unless given, at 32 bytes a step.

    Returns
    -------
    A `Guard`: what it measured, its state for a checkpoint, and how to take it off. In a ``with``
    statement it is taken off at the end.

    Raises
    ------
    UnknownName
        If no clipping has that name.
    ValueError
        If an argument is not of its kind, the threshold is outside its range, the optimizer
        evaluates its closure several times (L-BFGS) or has a guard of that kind or of a later one,
        or parameters lie on several devices. In a later step: if parameters were added, frozen or
        unfrozen under a rule that remembers something of each (``adagc``).
    """
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"`optimizer` must be one of torch's, but got {quoted(optimizer)}")
    if model is not None and not isinstance(model, nn.Module):
        raise ValueError(f"`model` must be a torch module, but got {quoted(model)}")
    rule = find(clipping, CLIPPINGS, "clipping")
    most = Whole(0, optional=True)("log", log)
    return Guard(optimizer, rule, threshold_of(rule, threshold), model, most)


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
        log: int | None = None,
    ) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError(
                "LBFGS evaluates its closure several times a step, which no clipping is defined "
                "for; allowed: optimizers that take one gradient a step"
            )
        _check_order(optimizer, clipping)
        self.clipping = clipping
        self.threshold = threshold
        self.steps = 0
        self._optimizer, self._model = optimizer, model
        self._parameters = taken_by(optimizer)
        self._dtype = dtype_of(self._parameters)
        self._layout = layout_of(self._parameters, model, clipping)
        self._rule = checked_once(
            clipping.clip, lambda found, *given: check_clipped(clipping, found, *given[:2])
        )
        self._state: State = {}
        self._loss: Tensor | None = None
        self._norm: Tensor = torch.zeros(())
        self._before: list[tuple[Tensor, Tensor, float]] = []
        self._withheld: list[tuple[Tensor, Tensor]] = []
        self._past: Snapshots | None = None
        self._log = Log(log)
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        _ATTACHED.setdefault(optimizer, WeakSet()).add(self)

    def __repr__(self) -> str:
        """What it clips with, and how often it did.

        >>> weight = nn.Parameter(torch.ones(1))
        >>> attach(torch.optim.SGD([weight]), "zclip")
        Guard('zclip', threshold=2.5, steps=0)
        """
        return f"Guard({self.clipping.name!r}, threshold={self.threshold:g}, steps={self.steps})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.detach()

    def observe(self, loss: Tensor | float) -> None:
        """Tell the loss of the batch whose gradient the next step takes.

        For ``skip_step`` and ``rewind``, which then watch the loss as well as the norm, and for the
        log. Where the step is given a closure its value is taken.

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
        (zero where ``skip_step`` left the step out, or ``rewind`` went back), and whether the
        gradient or the update was clipped, or the step left out. The loss is NaN unless it was
        told: by `observe`, or by the closure of the step. Reading it waits for the device.
        """
        frame = pd.DataFrame(self._log.rows(), columns=list(MEASURED))
        frame.insert(0, "step", range(self.steps - len(frame) + 1, self.steps + 1))
        return frame.assign(clipped=frame["clipped"] > 0, threshold=self.threshold)

    def state_dict(self) -> dict[str, Any]:
        """What the strategy remembers, for a checkpoint; the log is not in it.

        Of ``rewind`` both snapshots as well, so that what is trained on goes back to the same
        states: twice the parameters and the optimizer's state.
        """
        told = {
            "clipping": self.clipping.name,
            "threshold": self.threshold,
            "steps": self.steps,
            "state": {name: value.clone() for name, value in self._state.items()},
        }
        if self.clipping.stage == REWIND:
            past = self._past or Snapshots(self._optimizer, self._model)
            told["snapshots"] = past.state_dict()
        return told

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was taken.

        Raises
        ------
        ValueError
            If it is not what `state_dict` gives, or of another clipping, threshold or parameters.
            Nothing is changed then.
        """
        steps, remembered = checked_checkpoint(state, self.clipping.name, self.threshold)
        size = 1 if self._scales else self._layout.size
        like = self._parameters[0].new_zeros(size, dtype=self._dtype)
        form = self.clipping.init(self._layout, like)
        checked = checked_state(remembered, steps, form, like)
        if self.clipping.stage == REWIND:
            past = Snapshots(self._optimizer, self._model)
            past.load_state_dict(state.get("snapshots"), form, like)
            self._past = past
        self._state, self.steps = checked, steps
        self._log.clear()

    def detach(self) -> None:
        """Take the clipping off; the log stays."""
        for handle in self._handles:
            handle.remove()
        _ATTACHED.get(self._optimizer, WeakSet()).discard(self)

    @property
    def _scales(self) -> bool:
        """Whether the rule is shown a gradient of one number."""
        return self.clipping.scales and self.clipping.stage != AFTER

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
        parameters = taken_by(self._optimizer)
        held = [p for p in parameters if p.grad is not None]
        if not held:
            return
        if not same(parameters, self._parameters):
            self._take(parameters)
        if self.clipping.stage == REWIND and self._past is None:
            self._past = Snapshots(self._optimizer, self._model)
        self._dtype = dtype_of(parameters)
        self._unscale()
        if self._scales:
            self._scale(held)
            return
        gradient = self._flat([p.grad for p in self._parameters])
        norm = norm_of_all([gradient], self._dtype)
        if self.clipping.stage == AFTER:
            rates = rates_of(self._optimizer)
            self._before = [(p, p.detach().clone(), rates[id(p)]) for p in self._parameters]
            self._norm = norm
            return
        changed, clipped = self._clip(gradient, norm, norm, self._parameters)
        after = norm_of_all([changed], self._dtype)
        if self.clipping.stage in (REWIND, SKIPPING):
            self._skip(held, norm, after, clipped)
            return
        self._record(norm, after, clipped)
        self._write(changed)

    def _take(self, parameters: list[Tensor]) -> None:
        """Clip ``parameters`` from now on: some were added, frozen or unfrozen."""
        if self._state and not self.clipping.scales:
            raise ValueError(
                f"the optimizer's parameters must stay what they were when {self.clipping.name!r} "
                f"was attached, because it remembers something of each, but {len(self._parameters)}"
                f" became {len(parameters)}, or others: `detach` it and attach it anew"
            )
        self._layout = layout_of(parameters, self._model, self.clipping)
        self._parameters = parameters
        if self._past is not None:
            self._past.include()

    def _scale(self, held: Sequence[Tensor]) -> None:
        """What a rule does that scales: it is shown a gradient of one number, of the same norm."""
        gradients = [whole(p.grad) for p in held if p.grad is not None]
        norm = norm_of_all(gradients, self._dtype)
        wide = self._overflows(norm)
        shown = norm if wide else norm.to(self._dtype)
        changed, clipped = self._clip(shown.view(1), norm, norm, self._parameters)
        after = changed[0]
        if self.clipping.stage in (REWIND, SKIPPING):
            self._skip(held, norm, after, clipped)
            return
        self._record(norm, after, clipped)
        if self.clipping.clip is keep:
            return
        some = torch.isfinite(shown) & (shown > 0)
        factor = torch.where(some, after / shown, torch.ones_like(shown))
        if wide:
            # so large a norm may want a factor that is too small for single precision
            torch._foreach_copy_(gradients, [g.double() * factor for g in gradients])
        else:
            torch._foreach_mul_(gradients, factor)

    def _skip(self, held: Sequence[Tensor], norm: Tensor, after: Tensor, clipped: Tensor) -> None:
        """Leave the step out where it was flagged, or go back where this is due."""
        if self._past is not None:
            earlier = self._past.go_back(clipped, norm, self._loss)
            self._state = self._state if earlier is None else earlier
            clipped = torch.full_like(clipped, earlier is not None)
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
        if self._past is not None:
            self._past.after_step(self._state)
        for parameter, gradient in self._withheld:
            parameter.grad = gradient
        self._before, self._withheld, self._loss = [], [], None

    def _clip_update(self) -> None:
        """Take back what the rule takes off the update, (before - after) / rate.

        What it leaves as it is stays where the optimizer has put it, to the last bit.
        """
        dtype = self._dtype
        update = self._flat(
            [
                torch.sub(old.to(dtype), new.detach().to(dtype)).div_(rate)
                if rate
                else torch.zeros_like(old)
                for new, old, rate in self._before
            ]
        )
        size = norm_of_all([update], dtype) if update.device.type == "cpu" else self._norm
        changed, clipped = self._clip(update, self._norm, size, [old for _, old, _ in self._before])
        self._record(self._norm, self._norm, clipped)
        pieces = zip(*(self._layout.split(v).values() for v in (update, changed)), strict=True)
        for (new, old, rate), (made, piece) in zip(self._before, pieces, strict=True):
            # seen on a CPU at once, for which a GPU would have to be waited for
            if not rate or (piece.device.type == "cpu" and torch.equal(piece, made)):
                continue
            moved = torch.sub(old.to(dtype), piece, alpha=rate).to(new.dtype)
            new.copy_(torch.where(piece == made, new, moved))

    def _clip(
        self, vector: Tensor, norm: Tensor, size: Tensor, parameters: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """``vector``, whose norm is ``size``, as the rule changes it, and whether it clipped."""
        if not self._state:
            state = self.clipping.init(self._layout, vector.to(self._dtype))
            self._state = check_initial(f"clipping {self.clipping.name!r}", state)
        threshold = torch.as_tensor(self.threshold, dtype=self._dtype, device=norm.device)
        rule, context = self._rule, cast(Context, _Context(self, parameters, norm))
        if self._overflows(size):
            rule, context = (
                in_double(self._rule),
                Context(context.parameters, context.loss, norm, self._layout),
            )
        changed, self._state, clipped = rule(vector, self._state, threshold, context)
        return changed, clipped

    def _overflows(self, norm: Tensor) -> bool:
        """Whether a rule may meet finite numbers whose squares are not, on a CPU.

        The engine does the same: elsewhere a rule's `norm_of` adds squares in double.
        """
        # most often all fit, and `norm_of_all` has left the norm in its type
        if norm.dtype == self._dtype or norm.device.type != "cpu":
            return False
        return LARGEST_SQUARED <= norm.item() < math.inf

    def _record(self, norm: Tensor, after: Tensor, clipped: Tensor) -> None:
        self.steps += 1
        self._log.add(self._loss, norm, after, clipped)

    def _flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """The vector (D,) of the parameters' ``tensors``; a missing one is zero."""
        pieces = [
            torch.zeros_like(p) if tensor is None else whole(tensor).detach()
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
        self.norm = norm.to(guard._dtype)
        self.layout = guard._layout
        # a loss that nobody told stands still, which no rule takes for an outlier
        self.loss = torch.zeros_like(self.norm) if guard._loss is None else guard._loss
        self._guard, self._separate = guard, parameters

    @cached_property
    def parameters(self) -> Tensor:
        """The vector (D,) before the update."""
        return self._guard._flat(self._separate)


def _check_order(optimizer: Optimizer, clipping: Clipping) -> None:
    """A guard must not see what a guard that acts after it has left."""
    place = IN_TURN.index(clipping.stage)
    for other in (guard.clipping for guard in _ATTACHED.get(optimizer, ())):
        if other.stage == clipping.stage:
            raise ValueError(
                f"the optimizer has {other.name!r} attached, which acts on the {other.stage} as "
                f"{clipping.name!r} does: `detach` it, or make one clipping of both by "
                "`benchmark.chain`"
            )
        if IN_TURN.index(other.stage) > place:
            raise ValueError(
                f"{clipping.name!r} must be attached before {other.name!r}, which acts after it: "
                f"it would see what {other.name!r} left of the gradient"
            )


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

"""Networks that only plain PyTorch can run: each trial by itself, in the module as it is.

What `torch.func` lifts over trials may not branch on a number, draw one, or change a tensor that it
was not given; and it goes past hooks on parameters and what is computed again in the backward pass.
So a network that does any of this keeps its own way: the module is given one trial's numbers, goes
forward and back as in any training loop, and hands them back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmark.layout import Layout
from benchmark.strategies.precision import Precision

Tensors = Mapping[str, Tensor]

RANDOM_STATE = "random state"
"""Name of the buffer with the state of a trial's random numbers; no module's, having a space."""


def random_state(device: torch.device) -> Tensor:
    """State of torch's global generators that a network on ``device`` draws from."""
    state = torch.get_rng_state()
    return state if device.type == "cpu" else torch.cat([state, torch.cuda.get_rng_state(device)])


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Undo of `random_state`."""
    own = len(torch.get_rng_state())
    # copies, because torch reads whole words and takes the memory of a view as it lies
    torch.set_rng_state(state[:own].to("cpu", copy=True))
    if device.type != "cpu":
        torch.cuda.set_rng_state(state[own:].to("cpu", copy=True), device)


def seed_random_numbers(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of ``device``.

    `torch.manual_seed` would also seed those of GPUs that nothing puts back as they were.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


@contextmanager
def own_random_numbers(device: torch.device) -> Iterator[None]:
    """Within, torch's global generators may be used; afterwards they are as they were."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        yield


class OneByOne:
    """Passes of K trials, one after another, through the module itself.

    Parameters
    ----------
    loss
        ``(logits (N, classes), labels (N,)) -> (N,)``.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: Layout,
        loss: Callable[[Tensor, Tensor], Tensor],
        precision: Precision,
        device: torch.device,
    ):
        self.model, self.layout, self.loss = model, layout, loss
        self.precision, self.device = precision, device

    @contextmanager
    def carrying(
        self, parameters: Tensor, buffers: Tensors, k: int, keep: bool
    ) -> Iterator[dict[str, nn.Parameter]]:
        """Within, the module has the numbers of trial ``k``; gives the parameters that it trains.

        Buffers (K, ...), and the state of its random numbers, go on from where they were only
        where they are to be kept: an evaluation or a measurement leaves no trace.
        """
        whole = dict(self.model.named_parameters())
        trained = {name: whole[name] for name in self.layout.names}
        own = {**self.layout.split(parameters[k])}
        own |= {name: b[k] if keep else b[k].clone() for name, b in buffers.items()}
        places = {
            name: (self.model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])
            for name, _ in self.model.named_buffers()
        }
        registered = {name: owner._buffers[leaf] for name, (owner, leaf) in places.items()}
        tensors: dict[str, Tensor] = {
            **whole,
            **{k: v for k, v in registered.items() if v is not None},
        }
        before = {name: tensor.data for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            tensor.data = own[name]
        try:
            with own_random_numbers(self.device):
                if RANDOM_STATE in own:
                    set_random_state(own[RANDOM_STATE], self.device)
                yield trained
                if RANDOM_STATE in own and keep:
                    own[RANDOM_STATE].copy_(random_state(self.device))
            for name, (owner, leaf) in places.items():
                # a module may put another tensor in a buffer's place
                now = owner._buffers[leaf]
                if keep and now is not None and now is not registered[name]:
                    own[name].copy_(now)
        finally:
            for name, (owner, leaf) in places.items():
                owner._buffers[leaf] = registered[name]
            for name, tensor in tensors.items():
                tensor.data = before[name]
                tensor.grad = None

    def apply(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W) by the numbers that the module has."""
        # the network may change what it is given
        images = images.clone()
        return self.precision.logits(self.device, functools.partial(self.model, images))

    def gradient(
        self,
        parameters: Tensor,
        buffers: Tensors,
        images: Tensor,
        labels: Tensor,
        scale: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mean loss (K,) and its gradient (K, D) on images (K, B, C, H, W), in training mode.

        The gradient is that of the loss times ``scale`` (K,), where there is one.
        """
        losses, gradient = [], torch.zeros_like(parameters)
        for k in range(len(parameters)):
            with self.carrying(parameters, buffers, k, keep=True) as trained:
                loss = self.loss(self.apply(images[k]), labels[k]).mean()
                # and not `torch.autograd.grad`, which goes past hooks that follow accumulation
                loss.backward(None if scale is None else scale[k])
                losses.append(loss.detach())
                for name, piece in self.layout.split(gradient[k]).items():
                    if (found := trained[name].grad) is not None:
                        piece.copy_(found)
        return torch.stack(losses), gradient

    @torch.no_grad()
    def logits(self, parameters: Tensor, buffers: Tensors, images: Tensor) -> Tensor:
        """Logits (K, B, classes) of images (K, B, C, H, W); nothing is kept."""
        found = []
        for k in range(len(parameters)):
            with self.carrying(parameters, buffers, k, keep=False):
                found.append(self.apply(images[k]))
        return torch.stack(found)

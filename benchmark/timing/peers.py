"""What a user might pick instead: the same trials in JAX, compiled, several at once by `vmap`.

Each trial's whole training between two evaluations is one compiled loop (`lax.scan`), the way in
which JAX is fastest on small networks. Initial weights, batch size, number of steps, evaluations
and the classes predicted are the engine's; the examples come in an order drawn in advance. JAX is
an optional peer (the extra ``peers``), imported when an arm runs.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.data import load
from benchmark.engine.settings import CHECKED_EXAMPLES
from benchmark.records import Trial
from benchmark.timing.ordinary import network

Network = tuple[tuple[str, int], ...]
"""The layers of a chain in order: what each is, and its padding where it is a convolution."""


def jax_is_installed() -> bool:
    """Whether the peer can be timed here."""
    return importlib.util.find_spec("jax") is not None


def with_jax(trial: Trial, seeds: Sequence[int], together: int, checkpoints: int) -> list[float]:
    """Validation accuracy of each seed, ``together`` of them trained at once.

    Parameters
    ----------
    checkpoints
        Evaluations of up to 1,000 examples in the course of the training, as the engine makes
        them; the one at initialization and the final ones of both splits come on top.

    Raises
    ------
    ValueError
        If the network is no chain of dense layers, convolutions, ReLU and pooling.
    """
    found: list[float] = []
    for first in range(0, len(seeds), together):
        found += _train(trial, seeds[first : first + together], checkpoints)
    return found


def _train(trial: Trial, seeds: Sequence[int], checkpoints: int) -> list[float]:
    import jax.numpy as jnp

    images, labels, (*held_out, checked) = _data(trial)
    modules = [network(trial, seed) for seed in seeds]
    train, measure = _compiled(_layers(modules[0]))
    each = [[p.detach().numpy() for p in module.parameters()] for module in modules]
    weights = [jnp.stack(tensors) for tensors in zip(*each, strict=True)]
    rng = np.random.default_rng(seeds[0])
    assert trial.epochs is not None
    steps = int(trial.epochs * len(labels)) // trial.batch_size
    passes = -(-steps * trial.batch_size // len(labels))
    shape = len(seeds), steps, trial.batch_size
    order = np.stack(
        [np.concatenate([rng.permutation(len(labels)) for _ in range(passes)]) for _ in seeds]
    )
    order = order[:, : steps * trial.batch_size].astype(np.int32).reshape(shape)
    rate = np.full(len(seeds), trial.learning_rate, np.float32)
    measure(weights, *checked)[0].block_until_ready()
    for i in range(checkpoints):
        part = order[:, i * steps // checkpoints : (i + 1) * steps // checkpoints]
        weights, losses, _norms = train(weights, images, labels, part, rate)
        losses.block_until_ready()
        np.asarray(measure(weights, *checked)[0])
    accuracies = [np.asarray(measure(weights, *split)[1]) for split in held_out]
    return [float(a) for a in accuracies[0]]


@functools.lru_cache(maxsize=4)
def _data(trial: Trial) -> tuple[Any, Any, list[tuple[Any, Any]]]:
    """Training images and labels; then those of validation, of test and of a checkpoint."""
    import jax.numpy as jnp

    splits = load(trial.dataset)

    def placed(images: torch.Tensor) -> Any:
        return jnp.asarray(((images.float() - splits.mean) / splits.std).numpy())

    train, validation, test = (
        (
            placed(getattr(splits, f"{n}_images")),
            jnp.asarray(getattr(splits, f"{n}_labels").numpy()),
        )
        for n in ("train", "validation", "test")
    )
    checked = validation[0][:CHECKED_EXAMPLES], validation[1][:CHECKED_EXAMPLES]
    return *train, [validation, test, checked]


def _layers(module: nn.Module) -> Network:
    layers = []
    for part in module.modules():
        match part:
            case nn.Linear():
                layers.append(("linear", 0))
            case nn.Conv2d(padding=(int(padding), _)):
                layers.append(("convolution", padding))
            case nn.ReLU():
                layers.append(("relu", 0))
            case nn.MaxPool2d():
                layers.append(("pool", 0))
            case nn.Flatten():
                layers.append(("flatten", 0))
            case nn.Identity() | nn.Sequential():
                pass
            case _:
                raise ValueError(f"the JAX peer has no layer {part}")
    return tuple(layers)


@functools.lru_cache(maxsize=8)
def _compiled(layers: Network) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Training over (K, steps, B) indices, and evaluation, both of K trials' weights."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    def logits(weights: list[Any], x: Any) -> Any:
        left = iter(weights)
        for kind, padding in layers:
            if kind == "linear":
                x = x @ next(left).T + next(left)
            elif kind == "convolution":
                around = [(padding, padding)] * 2
                x = lax.conv_general_dilated(x, next(left), (1, 1), around)
                x = x + next(left)[:, None, None]
            elif kind == "pool":
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            elif kind == "relu":
                x = jax.nn.relu(x)
            else:
                x = x.reshape(len(x), -1)
        return x

    def losses(weights: list[Any], x: Any, y: Any) -> tuple[Any, Any]:
        scores = logits(weights, x)
        each = jax.nn.logsumexp(scores, axis=1) - jnp.take_along_axis(scores, y[:, None], 1)[:, 0]
        return each.mean(), (scores.argmax(axis=1) == y).mean()

    gradient = jax.value_and_grad(lambda *arguments: losses(*arguments)[0])

    def train(weights: list[Any], images: Any, labels: Any, order: Any, rate: Any) -> Any:
        def step(weights: list[Any], index: Any) -> Any:
            loss, found = gradient(weights, images[index], labels[index])
            norm = jnp.sqrt(sum((g**2).sum() for g in found))
            moved = [w - rate * g for w, g in zip(weights, found, strict=True)]
            return moved, (loss, norm)

        weights, (loss, norm) = lax.scan(step, weights, order)
        return weights, loss, norm

    return (
        jax.jit(jax.vmap(train, in_axes=(0, None, None, 0, 0))),
        jax.jit(jax.vmap(losses, in_axes=(0, None, None))),
    )

"""What a user might pick instead: the same trials in JAX, compiled, several at once by `vmap`.

Each trial's whole training between two evaluations is one compiled loop (`lax.scan`), the way in
which JAX is fastest on small networks. Initial weights, batch size, number of steps, evaluations
and the classes predicted are the engine's; the examples come in an order drawn in advance. JAX is
an optional peer (the extra ``peers``), imported when an arm runs, and has one thread, as every arm
that is compared.

Convolutions are sums of products of shifted images, channels last: XLA's own convolution takes
nine times as long inside a compiled loop on a CPU, and twice as long outside one (a step of the
small CNN, batch 128: 217, 61 and 24 ms).
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.data import load
from benchmark.engine.settings import CHECKED_EXAMPLES
from benchmark.engine.trials.budget import examples_in
from benchmark.records import Trial
from benchmark.timing.baseline import network

Network = tuple[tuple[str, int], ...]
"""The layers of a chain in order: what each is, and its padding where it is a convolution."""


NO_JAX = "JAX is not installed and not timed: pip install 'gradient-stability-benchmark[peers]'"


def jax_is_installed() -> bool:
    """Whether the peer can be timed here."""
    return importlib.util.find_spec("jax") is not None


def _prepare() -> None:
    """Import JAX with one thread, which its first import in a process decides."""
    os.environ.setdefault("PJRT_NPROC", "1")
    import jax

    # a GPU has other peers; where JAX sees one, it would take most of its memory
    jax.config.update("jax_platforms", "cpu")


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
    _prepare()
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
    steps = examples_in(trial.epochs, len(labels)) // trial.batch_size
    passes = -(-steps * trial.batch_size // len(labels))
    shape = len(seeds), steps, trial.batch_size
    order = np.stack(
        [np.concatenate([rng.permutation(len(labels)) for _ in range(passes)]) for _ in seeds]
    )
    order = order[:, : steps * trial.batch_size].astype(np.int32).reshape(shape)
    rate = np.full(len(seeds), trial.learning_rate, np.float32)
    np.asarray(measure(weights, *checked)[0])
    for i in range(checkpoints):
        part = order[:, i * steps // checkpoints : (i + 1) * steps // checkpoints]
        weights, losses, _norms = train(weights, images, labels, part, rate)
        np.asarray(losses)
        reached = np.asarray(measure(weights, *checked)[1])
    # the last checkpoint's evaluation is the final one where it takes the whole split, as there
    whole = len(checked[1]) == len(held_out[0][1])
    accuracies = reached if whole else np.asarray(measure(weights, *held_out[0])[1])
    np.asarray(measure(weights, *held_out[1])[1])
    return accuracies.tolist()


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

    has_maps = any(kind == "convolution" for kind, _ in layers)

    def convolution(x: Any, weight: Any, padding: int) -> Any:
        """Of images (B, H, W, C) by weights (features, C, size, size)."""
        size = weight.shape[2]
        around = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        height, width = (n + 1 - size for n in around.shape[1:3])
        flat = [
            around[:, i : i + height, j : j + width].reshape(-1, x.shape[3]) @ weight[:, :, i, j].T
            for i in range(size)
            for j in range(size)
        ]
        return sum(flat).reshape(len(x), height, width, -1)

    def logits(weights: list[Any], x: Any) -> Any:
        left = iter(weights)
        x = jnp.moveaxis(x, 1, -1) if has_maps else x
        for kind, padding in layers:
            if kind == "linear":
                x = x @ next(left).T + next(left)
            elif kind == "convolution":
                x = convolution(x, next(left), padding) + next(left)
            elif kind == "pool":
                examples, height, width, channels = x.shape
                x = x[:, : height // 2 * 2, : width // 2 * 2]
                x = x.reshape(examples, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
            elif kind == "relu":
                x = jax.nn.relu(x)
            else:
                # the weights that follow are for features that come channel by channel
                x = (jnp.moveaxis(x, -1, 1) if has_maps else x).reshape(len(x), -1)
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

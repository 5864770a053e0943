"""The batched program: K trials of one shape take their steps together.

The K networks go forward at once (`benchmark.engine.networks.batched`); the gradient of the summed
losses with respect to each trial's own leaves is then each trial's own gradient, in one plain
backward pass. What a strategy does to one trial's gradient is lifted over the trials with
`torch.func.vmap`; with K = 1 the same function is called directly.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from benchmark.engine.machine.fitting import Limit, limit
from benchmark.engine.networks.batched import forward
from benchmark.engine.networks.dense import DenseChain
from benchmark.engine.networks.layers import LayerByLayer, WatchedChain
from benchmark.engine.networks.one_by_one import (
    RANDOM_STATE,
    OneByOne,
    own_random_numbers,
    random_state,
    seed_random_numbers,
)
from benchmark.engine.networks.probing import has_global_hooks, note, why_one_by_one
from benchmark.engine.steps.population import Population, lift
from benchmark.engine.steps.rewinding import at_the_start, rewound
from benchmark.engine.steps.updates import at_once
from benchmark.engine.trials.packing import largest_map
from benchmark.engine.trials.resolve import Parts, build_model, shape_of, smallest_batch
from benchmark.gpus import is_gpu
from benchmark.layout import Layout
from benchmark.measurements import Arrays, Pass, measure_layers, measure_module
from benchmark.models import MODELS, initialize
from benchmark.models.transformer import Attention
from benchmark.norms import LARGEST_SQUARED, norm_in_double, row_norms
from benchmark.records import Trial
from benchmark.strategies.batch_policies import MICRO_BATCHES
from benchmark.strategies.clipping import Context, State, in_double
from benchmark.strategies.clipping.rule import REWIND
from benchmark.strategies.normalization import NORMALIZATIONS
from benchmark.strategies.optimizers import UpdateContext
from benchmark.strategies.returned import (
    check_clipped,
    check_direction,
    check_evaluated,
    check_initial,
    check_losses,
    checked_once,
)

Tensors = dict[str, Tensor]

PER_EXAMPLE_NUMBERS = 2**25
"""Most numbers that the gradients of single examples may take at once: 128 MiB in float32."""
POWER_ITERATIONS = 30
SIDE_BY_SIDE = 1_000_000
"""Most parameters of all pieces whose gradients are sampled at once, which shares the overhead of
a pass; beyond, copies of the weights cost more than that (1 and 16 MLPs of 64-256-10: 0.74 to 0.41
and 4.3 to 4.5 ms a sample; 1 and 4 of 784-256-10: 1.8 to 1.5 and 7.0 to 7.7)."""
SPREAD_PIXELS = 300_000
"""Most pixels, of all trials together, that a CPU evaluates networks with convolutions or attention
on at once: their maps or tokens no longer fit in its caches beyond (256 images of 28x28 each, 1,000
examples: 9 small CNNs 93 ms a trial, 49 one after another; 8 transformers 92 and 60)."""


def custom_networks(parts: Parts) -> str:
    """The custom parts that modules come from, as notes name them; empty where there is none."""
    model, normalization = parts.model, parts.normalization
    found = [f"model {model.name!r}"] if MODELS.get(model.name) is not model else []
    if NORMALIZATIONS.get(normalization.name) is not normalization:
        found.append(f"normalization {normalization.name!r}")
    return " with ".join(found)


class Program:
    """What the trials of a unit have in common: the network, the strategies, the device."""

    def __init__(self, parts: Parts, trial: Trial, device: torch.device):
        self.parts = parts
        self.device = device
        self.dtype = parts.precision.dtype
        # what a module draws for itself, and is not drawn for a trial, shall be the same each time
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.model: nn.Module = build_model(parts, trial).to(self.dtype).train()
        self.layout = Layout.of(self.model)
        check_losses(parts.loss, parts.dataset.classes, self.dtype)
        clipping, optimizer = parts.clipping, parts.optimizer
        self._clip = checked_once(
            clipping.clip, lambda found, *given: check_clipped(clipping, found, *given[:2])
        )
        self._direction = checked_once(
            optimizer.direction, lambda found, *given: check_direction(optimizer, found, *given[:2])
        )
        self.chain: DenseChain | None = None
        self.one_by_one: OneByOne | None = None
        custom = custom_networks(parts)
        if custom or has_global_hooks():
            self._choose(custom or f"model {parts.model.name!r}")
        if self.one_by_one is None:
            self.chain = DenseChain.of(self.model, self.layout, parts.loss, parts.precision, device)
        self.change_at_once = at_once(parts.clipping, parts.optimizer, self.layout)
        parts_within = list(self.model.modules())
        self.convolves = any(isinstance(m, nn.Conv2d) for m in parts_within)
        self.spreads = self.convolves or any(isinstance(m, Attention) for m in parts_within)
        self.micro_batches = parts.batch_policy.pieces(trial.batch_policy_parameter or 0)
        self.smallest_batch = smallest_batch(parts, trial)
        # of a custom part it is not known whether examples meet in it
        self.cuts_examples = is_gpu(device) and (self.smallest_batch == 1 and not custom)
        self._shape = shape_of(trial)
        self._largest_map = largest_map(trial)

    def limit(self, kind: str) -> Limit:
        """How much of a kind of pass goes through this network at once, see `fitting.limit`."""
        bits = torch.finfo(self.dtype).bits
        cuts = kind == "evaluation" or (kind == "step" and self.cuts_examples)
        return limit(
            kind,
            self._shape,
            self.device,
            pixels=math.prod(self.parts.dataset.image_shape),
            largest_map=self._largest_map,
            bits=bits,
            cuts=cuts,
        )

    def _choose(self, network: str) -> None:
        """Whether trials of a custom ``network`` go together, which a first pass of it tells."""
        parts = self.parts
        alone = OneByOne(self.model, self.layout, parts.loss.value, parts.precision, self.device)
        self.model.to(self.device)

        def logits(parameters: Tensor, buffers: Tensors, images: Tensor) -> Tensor:
            with torch.no_grad():
                return self._logits(self.layout.split(parameters), buffers, images)

        reason = why_one_by_one(alone, network, parts.dataset, self._lifted_gradient, logits)
        if reason is not None:
            self.one_by_one = alone
            note(network, reason)

    def start(self, trials: Sequence[Trial]) -> Population:
        """Initial state; a trial's weights depend on its seed and gain alone."""
        vectors, kept = [], []
        # a builder may give the same module each time: its weights stay what they are
        before = [p.detach().clone() for p in self.model.parameters()]
        for trial in trials:
            module, drawn = self._initialized(trial)
            tensors = dict(module.named_parameters()) | dict(module.named_buffers())
            vectors.append(self.layout.join(tensors).detach())
            # buffers, and parameters that are not trained
            left = {k: v.detach() for k, v in tensors.items() if k not in self.layout.names}
            if self.one_by_one is not None:
                left[RANDOM_STATE] = drawn
            kept.append({k: v.to(self.device, copy=True) for k, v in left.items()})
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), before, strict=True):
                parameter.copy_(value)
        self.model.to(self.device)
        parameters = torch.stack(vectors).to(self.device)
        width, scaling = len(trials), self.parts.precision.loss_scaling
        clipping, optimizer = self.parts.clipping, self.parts.optimizer
        remembered = clipping.init(self.layout, parameters[0])
        memory = optimizer.init(self.layout, parameters[0])

        def numbers(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=self.dtype, device=self.device)

        def spread(state: State) -> State:
            return {k: torch.stack([v] * width) for k, v in state.items()}

        started = Population(
            parameters=parameters,
            buffers={k: torch.stack([state[k] for state in kept]) for k in kept[0]},
            clipping=spread(check_initial(f"clipping {clipping.name!r}", remembered)),
            optimizer=spread(check_initial(f"optimizer {optimizer.name!r}", memory)),
            loss_scale=spread(scaling.init(parameters) if scaling is not None else {}),
            learning_rate=numbers([t.learning_rate for t in trials]),
            threshold=numbers([t.clipping_threshold or 0.0 for t in trials]),
            momentum=numbers([t.momentum or 0.0 for t in trials]),
        )
        if clipping.stage != REWIND:
            return started
        return dataclasses.replace(started, snapshots=at_the_start(started))

    def _initialized(self, trial: Trial) -> tuple[nn.Module, Tensor]:
        """A module with the trial's first numbers, and the state of what it may draw later."""
        initialization = self.parts.initialization
        with own_random_numbers(self.device):
            seed_random_numbers(trial.seed, self.device)
            if initialization.draw is None:
                # the module draws its own weights, from torch's global generator
                module = build_model(self.parts, trial).to(self.dtype)
                return module, random_state(self.device)
            drawn = random_state(self.device)
        generator = torch.Generator().manual_seed(trial.seed)
        initialize(self.model.cpu(), initialization, trial.init_gain, generator)
        return self.model, drawn

    def step(
        self, population: Population, images: Tensor, labels: Tensor, factor: Tensor
    ) -> tuple[Population, Tensor, Tensor, Tensor]:
        """One update of every trial.

        Parameters
        ----------
        images, labels
            (K, B, C, H, W) and (K, B): each trial's own batch.
        factor
            () or (K,): what the schedule and the policy multiply the learning rate by.

        Returns
        -------
        The new state, and three tensors (K,) of the step: training loss before the update, norm
        of the gradient before clipping, in double precision where it needs to be, and whether it
        was clipped. Where the precision scales the loss, a trial whose norm is not finite skipped
        the step. A trial that goes back to a snapshot counts as clipped. Nothing waits for the
        device.
        """
        trials = population.parameters.shape[0]
        loss, gradient = self._gradient(population, images, labels)
        norm = row_norms(gradient)
        clipping, directed = self.parts.clipping, self._direction
        wide = self._overflows(norm, population.optimizer)
        clip = in_double(self._clip) if wide else self._clip

        def change(
            gradient: Tensor, clip_state: State, memory: State, values: dict[str, Tensor]
        ) -> tuple[Tensor, State, State, Tensor]:
            parameters, threshold = values["parameters"], values["threshold"]
            context = Context(parameters, values["loss"], values["norm"], self.layout)
            update = UpdateContext(parameters, values["rate"], values["momentum"], self.layout)
            direction = gradient
            if clipping.stage != "update":
                direction, clip_state, clipped = clip(direction, clip_state, threshold, context)
            direction, remembered = directed(direction, memory, update)
            if clipping.stage == "update":
                direction, clip_state, clipped = clip(direction, clip_state, threshold, context)
            moved = torch.addcmul(parameters, direction, values["rate"], value=-1)
            if clipping.stage == "step":
                moved = torch.where(clipped, parameters, moved)
                remembered = {k: torch.where(clipped, memory[k], v) for k, v in remembered.items()}
            return moved, clip_state, remembered, clipped

        values = {
            "parameters": population.parameters,
            "threshold": population.threshold,
            "momentum": population.momentum,
            "loss": loss,
            "norm": norm if wide else norm.to(self.dtype),
            "rate": population.learning_rate * factor,
        }
        together = None if wide else self.change_at_once
        if together is None:
            together = lift(change, trials)
        parameters, clip_state, memory, clipped = together(
            gradient, population.clipping, population.optimizer, values
        )
        moved = dataclasses.replace(
            population, parameters=parameters, clipping=clip_state, optimizer=memory
        )
        if population.snapshots:
            finite = torch.isfinite(norm)
            # an overflow is no reason to go back, where the scale of the loss follows it
            flagged = clipped & finite if population.loss_scale else clipped
            moved, clipped = rewound(moved, flagged, finite & torch.isfinite(loss))
        if population.loss_scale:
            moved = self._unless_overflowed(torch.isfinite(norm), moved, population)
            clipped = clipped & torch.isfinite(norm)
        return moved, loss, norm, clipped

    def _unless_overflowed(
        self, finite: Tensor, moved: Population, before: Population
    ) -> Population:
        """``moved`` where the gradient was ``finite`` (K,), else ``before``; scales follow either.

        Running statistics are those of the forward pass, as in a training loop with a scaler.
        """

        def either(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(finite.view(-1, *[1] * (new.dim() - 1)), new, old)

        def each(new: State, old: State) -> State:
            return {name: either(value, old[name]) for name, value in new.items()}

        scaling = self.parts.precision.loss_scaling
        assert scaling is not None
        return dataclasses.replace(
            moved,
            parameters=either(moved.parameters, before.parameters),
            clipping=each(moved.clipping, before.clipping),
            optimizer=each(moved.optimizer, before.optimizer),
            snapshots=each(moved.snapshots, before.snapshots),
            loss_scale=scaling.update(before.loss_scale, ~finite),
        )

    def _overflows(self, norms: Tensor, memory: State) -> bool:
        """Whether a rule may meet finite numbers whose squares are not, on a CPU.

        ``norms`` (K,) are those of the gradients; an update also follows ``memory``.
        """
        if self.device.type != "cpu" or self.dtype == torch.float64:
            return False
        # most often all fit, and `row_norms` has left them in their type
        if norms.dtype != self.dtype and any(
            LARGEST_SQUARED <= norm < math.inf for norm in norms.tolist()
        ):
            return True
        if self.parts.clipping.stage != "update":
            return False
        sizes = [torch.linalg.vector_norm(v, dim=1) for v in memory.values() if v.dim() == 2]
        return any(not norm < LARGEST_SQUARED for size in sizes for norm in size.tolist())

    def _gradient(
        self, population: Population, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        self._set_mode(training=True)
        scale = population.loss_scale.get("scale")
        arguments = population.parameters, population.buffers, images, labels, scale
        return self._gradient_in_passes(*arguments, least=self.micro_batches)

    def _passes(self, labels: Tensor) -> int:
        """How many passes the examples of ``labels`` (K, B) take, where they can be cut."""
        bound = self.limit("step")
        if not bound.cuts or bound.most is None:
            return 1
        return math.ceil(labels.numel() / bound.most)

    def _gradient_in_passes(
        self,
        parameters: Tensor,
        buffers: Tensors,
        images: Tensor,
        labels: Tensor,
        scale: Tensor | None,
        least: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """What `_gradient_at_once` gives, in at least so many passes, or as many as it takes."""
        count = max(least, self._passes(labels))
        if count == 1:
            return self._gradient_at_once(parameters, buffers, images, labels, scale)
        loss = torch.zeros((), dtype=self.dtype, device=self.device)
        gradient = torch.zeros((), dtype=self.dtype, device=self.device)
        pieces = zip(
            images.tensor_split(count, dim=1),
            labels.tensor_split(count, dim=1),
            strict=True,
        )
        for some_images, some_labels in pieces:
            share = some_labels.shape[1] / labels.shape[1]
            some_loss, some_gradient = self._gradient_at_once(
                parameters, buffers, some_images, some_labels, scale
            )
            loss = loss + share * some_loss
            gradient = gradient + share * some_gradient
        return loss, gradient

    def _set_mode(self, training: bool) -> None:
        # `train` walks through all modules, each time: a thirtieth of a small network's step
        if self.model.training != training:
            self.model.train(training)

    def _logits(self, weights: Tensors, buffers: Tensors, images: Tensor) -> Tensor:
        """Logits (K, B, classes) of images (K, B, C, H, W)."""
        tensors = {**weights, **buffers}
        network = functools.partial(forward, self.model, tensors, images)
        return self.parts.precision.logits(self.device, network)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of every example (K, B)."""
        each = self.parts.loss.value(logits.flatten(0, 1), labels.flatten())
        return each.view(labels.shape)

    def _leaves(self, parameters: Tensor) -> Tensors:
        """Every trial's parameters (K, ...) by name, to differentiate by."""
        return {
            name: tensor.detach().requires_grad_(True)
            for name, tensor in self.layout.split(parameters).items()
        }

    def _gradient_at_once(
        self,
        parameters: Tensor,
        buffers: Tensors,
        images: Tensor,
        labels: Tensor,
        scale: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mean loss (K,) and its gradient (K, D), which is not finite where a scaled one is not."""
        if self.chain is not None:
            return self.chain.gradient(parameters, buffers, images, labels)
        alone = self.one_by_one
        passes = self._lifted_gradient if alone is None else alone.gradient
        loss, gradient = passes(parameters, buffers, images, labels, scale)
        return loss, gradient if scale is None else gradient / scale.unsqueeze(1)

    def _lifted_gradient(
        self,
        parameters: Tensor,
        buffers: Tensors,
        images: Tensor,
        labels: Tensor,
        scale: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        leaves = self._leaves(parameters)
        # batch normalization updates the trials' running statistics in place
        logits = self._logits(leaves, buffers, images)
        losses = self._losses(logits, labels).mean(dim=1)
        total = (losses if scale is None else losses * scale).sum()
        gradients = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        named = dict(zip(leaves, gradients, strict=True))
        return losses.detach(), self.layout.join(named, batch_dims=1)

    @torch.no_grad()
    def evaluate(
        self, population: Population, images: Tensor, labels: Tensor, at_once: int
    ) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy (K,) in evaluation mode on examples (N, C, H, W), (N,).

        ``at_once`` examples of each trial go through the network together. Of parameters that the
        optimizer names, where it does not evaluate those that it takes gradients at.
        """
        if (evaluated := self.parts.optimizer.evaluated) is not None:
            optimizer = self.parts.optimizer
            checked = checked_once(
                evaluated, lambda found, given, _: check_evaluated(optimizer, found, given)
            )
            lifted = lift(checked, len(population.parameters))
            where = lifted(population.parameters, population.optimizer)
            population = dataclasses.replace(population, parameters=where)
        return self._evaluate(population, images, labels, at_once)

    def _evaluate(
        self, population: Population, images: Tensor, labels: Tensor, at_once: int
    ) -> tuple[Tensor, Tensor]:
        self._set_mode(training=False)
        trials = population.parameters.shape[0]
        pixels = trials * min(at_once, len(images)) * images.shape[-2:].numel()
        if trials > 1 and self.device.type == "cpu" and self.spreads and pixels > SPREAD_PIXELS:
            each = [
                self._evaluate(population.part(k), images, labels, at_once) for k in range(trials)
            ]
            loss, accuracy = (torch.cat(parts) for parts in zip(*each, strict=True))
            return loss, accuracy
        if self.chain is not None and self.chain.plain is not None:
            found = self.chain.plain.evaluate(population.parameters, images, labels)
            if found is not None:
                return found
        weights = self.layout.split(population.parameters)
        loss = torch.zeros(trials, dtype=self.dtype, device=self.device)
        correct = torch.zeros(trials, dtype=torch.long, device=self.device)
        sizes = _cut(len(labels), at_once)
        for x, y in zip(images.split(sizes), labels.split(sizes), strict=True):
            examples = x.expand(trials, *x.shape)
            passes = self.chain or self.one_by_one
            if passes is not None:
                logits = passes.logits(population.parameters, population.buffers, examples)
            else:
                logits = self._logits(weights, population.buffers, examples)
            targets = y.expand(trials, *y.shape)
            loss = loss + self._losses(logits, targets).sum(dim=1)
            # the same class as argmax, which takes six times as long where examples come last
            correct = correct + (logits.max(dim=2).indices == targets).sum(dim=1)
        return loss / len(labels), correct.to(self.dtype) / len(labels)

    def pieces(self, batch_size: int) -> int:
        """Into how many pieces a batch is cut to see how its gradients scatter; 1 is none."""
        if self.parts.batch_policy.per_example:
            return batch_size
        return min(MICRO_BATCHES, batch_size // self.smallest_batch)

    def sample_gradients(
        self, population: Population, images: Tensor, labels: Tensor
    ) -> tuple[int, int, Tensor]:
        """How gradients scatter over the examples of one batch; nothing is changed.

        Parameters
        ----------
        images, labels
            (K, B, C, H, W) and (K, B).

        Returns
        -------
        The sizes b of a piece and B of what was cut into pieces, and a tensor (3, K) in double
        precision: norm(G_b)^2 averaged over the pieces, norm(G_B)^2, and the loss.
        """
        self._set_mode(training=True)
        pieces = self.pieces(labels.shape[1])
        if self.parts.batch_policy.per_example and self.one_by_one is None:
            return 1, labels.shape[1], self._sample_examples(population, images, labels)
        size = labels.shape[1] // pieces
        plain = self.chain.plain if self.chain is not None else None
        if plain is not None and plain.trained:
            found = plain.scatter(population.parameters, images, labels, pieces)
            return size, pieces * size, found
        kept = {k: v.clone() for k, v in population.buffers.items()}
        beside = pieces * population.parameters.numel() <= SIDE_BY_SIDE
        beside = beside and not self.convolves and self.one_by_one is None
        beside = beside and self._passes(labels) == 1
        sample = self._sample_side_by_side if beside else self._sample_in_turn
        copy = dataclasses.replace(population, buffers=kept)
        return size, pieces * size, sample(copy, images, labels, pieces)

    def _sample_in_turn(
        self, population: Population, images: Tensor, labels: Tensor, pieces: int
    ) -> Tensor:
        parameters, buffers = population.parameters, population.buffers
        scale = population.loss_scale.get("scale")
        size = labels.shape[1] // pieces
        small = torch.zeros(labels.shape[0], dtype=torch.float64, device=self.device)
        loss = torch.zeros_like(small)
        total = torch.zeros_like(parameters)
        for i in range(pieces):
            some = slice(i * size, (i + 1) * size)
            arguments = parameters, buffers, images[:, some], labels[:, some]
            losses, gradient = self._gradient_in_passes(*arguments, scale)
            small += row_norms(gradient).double().square()
            loss += losses
            total += gradient
        big = row_norms(total).double().square() / pieces**2
        return torch.stack([small / pieces, big, loss / pieces])

    def _sample_side_by_side(
        self, population: Population, images: Tensor, labels: Tensor, pieces: int
    ) -> Tensor:
        """Every piece as a trial of its own, with its trial's weights."""

        def beside(tensor: Tensor) -> Tensor:
            return tensor.repeat_interleave(pieces, dim=0)

        trials, size = labels.shape[0], labels.shape[1] // pieces
        cut = [
            t[:, : pieces * size].unflatten(1, (pieces, size)).flatten(0, 1)
            for t in (images, labels)
        ]
        scale = population.loss_scale.get("scale")
        losses, gradient = self._gradient_at_once(
            beside(population.parameters),
            {name: beside(buffer) for name, buffer in population.buffers.items()},
            cut[0],
            cut[1],
            None if scale is None else beside(scale),
        )
        small = row_norms(gradient).double().square().view(trials, pieces).mean(dim=1)
        mean = gradient.view(trials, pieces, -1).mean(dim=1)
        big = row_norms(mean).double().square()
        return torch.stack([small, big, losses.view(trials, pieces).mean(dim=1)])

    def _sample_examples(self, population: Population, images: Tensor, labels: Tensor) -> Tensor:
        trials, count = labels.shape

        def loss_of(weights: Tensors, buffers: Tensors, x: Tensor, y: Tensor) -> Tensor:
            logits = functional_call(self.model, {**weights, **buffers}, (x.unsqueeze(0),))
            return self.parts.loss.value(logits, y.unsqueeze(0)).squeeze(0)

        each = vmap(grad_and_value(loss_of), in_dims=(None, None, 0, 0))
        weights = self.layout.split(population.parameters)
        small = torch.zeros(trials, dtype=torch.float64, device=self.device)
        total = torch.zeros_like(population.parameters)
        loss = torch.zeros_like(small)
        at_once = max(1, PER_EXAMPLE_NUMBERS // (trials * self.layout.size))
        at_once = min(at_once, math.ceil(count / self._passes(labels)))
        for x, y in zip(images.split(at_once, 1), labels.split(at_once, 1), strict=True):
            gradients, losses = lift(each, trials)(weights, population.buffers, x, y)
            flat = self.layout.join(gradients, batch_dims=2)
            small = small + norm_in_double(flat.flatten(1), dim=1).square()
            total = total + flat.sum(dim=1)
            loss = loss + losses.sum(dim=1)
        big = norm_in_double(total / count, dim=1).square()
        return torch.stack([small / count, big, loss / count])

    def layers(self, population: Population, images: Tensor, labels: Tensor) -> Arrays:
        """What `measure_layers` gives, on examples (N, C, H, W), (N,), the same for every trial."""
        self._set_mode(training=True)
        parameters, buffers, loss = population.parameters, population.buffers, self.parts.loss.value
        if self.one_by_one is None:
            where = self.model, self.layout, parameters, buffers, images, labels, loss
            return measure_layers(*where, quicker=self._watched)
        each = []
        for k in range(len(parameters)):
            with self.one_by_one.carrying(parameters, buffers, k, keep=False) as trained:
                each.append(measure_module(self.model, self.layout, trained, images, labels, loss))
        return {name: np.concatenate([some[name] for some in each]) for name in each[0]}

    @functools.cached_property
    def _watched(self) -> Pass | None:
        """A pass that sees every layer; on a GPU none is known to be quicker than lifting."""
        if self.device.type != "cpu":
            return None
        parts = self.parts
        chain = WatchedChain.of(self.model, self.layout, parts.loss, parts.precision, self.device)
        if isinstance(chain, WatchedChain):
            return chain.see
        return LayerByLayer(self.model, self.layout, parts.loss.value).see

    def sharpness(self, population: Population, images: Tensor, labels: Tensor) -> Tensor:
        """The Hessian's eigenvalue of largest magnitude (K,), by power iteration.

        Of the mean loss on examples (N, C, H, W), (N,), the same for every trial, in training
        mode; running statistics are not changed (Cohen et al. 2021, 2103.00065).
        """
        self._set_mode(training=True)
        parameters, buffers = population.parameters, population.buffers
        if self.one_by_one is not None:
            each = []
            for k in range(len(parameters)):
                with self.one_by_one.carrying(parameters, buffers, k, keep=False) as trained:
                    loss = self.parts.loss.value(self.one_by_one.apply(images), labels).mean()
                    own = {name: p.unsqueeze(0) for name, p in trained.items()}
                    each.append(self._curvature(loss, list(trained.values()), own))
            return torch.cat(each)
        leaves = self._leaves(parameters)
        kept = {k: v.clone() for k, v in buffers.items()}
        logits = self._logits(leaves, kept, images.expand(len(parameters), *images.shape))
        losses = self._losses(logits, labels.expand(len(parameters), -1)).mean(dim=1)
        return self._curvature(losses.sum(), list(leaves.values()), leaves)

    def _curvature(self, loss: Tensor, leaves: list[Tensor], shaped: Tensors) -> Tensor:
        """Eigenvalues (K,) of the Hessian of ``loss`` () by ``leaves``, which are independent.

        ``shaped`` are the same with the trial as their first axis.
        """
        trials = len(next(iter(shaped.values())))
        found = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
        # a parameter that is not used has a gradient of zero, and that depends on nothing
        used = [g.requires_grad for g in found]
        gradients = [g for g, follows in zip(found, used, strict=True) if follows]
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(self.layout.size, generator=generator).to(self.dtype)
        vector = start.to(self.device).expand(trials, -1)
        value = torch.zeros(trials, dtype=self.dtype, device=self.device)
        for _ in range(POWER_ITERATIONS if gradients else 0):
            length = norm_in_double(vector, dim=1).unsqueeze(1)
            vector = (vector / torch.where(length > 0, length, 1.0)).to(self.dtype)
            pieces = [
                piece.view_as(g)
                for piece, g, follows in zip(
                    self.layout.split(vector).values(), found, used, strict=True
                )
                if follows
            ]
            product = torch.autograd.grad(
                gradients, leaves, pieces, retain_graph=True, materialize_grads=True
            )
            parts = {
                name: p.view_as(t) for (name, t), p in zip(shaped.items(), product, strict=True)
            }
            image = self.layout.join(parts, batch_dims=1)
            value = (vector * image).sum(dim=1)
            vector = image
        return value.detach()


def _cut(examples: int, size: int) -> list[int]:
    """Sizes of pieces of ``size`` and what is left, but for a single one, which joins the last.

    Batch normalization without running statistics takes no single example in an evaluation either.
    """
    whole, left = divmod(examples, size)
    sizes = [size] * whole
    if left == 1 and whole:
        sizes[-1] += 1
    elif left:
        sizes.append(left)
    return sizes

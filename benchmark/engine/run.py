"""A few trials of one shape on their way from initialization to the end of the budget."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.data import Splits
from benchmark.engine.budget import Budget
from benchmark.engine.disturbing import disturbed_batch, disturbed_factors
from benchmark.engine.log import Log, Scale
from benchmark.engine.order import data_order
from benchmark.engine.program import Population, Program
from benchmark.engine.resolve import examples_used
from benchmark.engine.settings import CHECKED_EXAMPLES, Settings
from benchmark.layout import linear_maps
from benchmark.measurements import layer_kind, norms_by_layer
from benchmark.norms import norm_in_double
from benchmark.records import Trial
from benchmark.strategies.batch_policies import GradientSample, Observation, stay

PROBED_EXAMPLES = 128
"""Training examples on which layers are measured: a step's worth, at every checkpoint."""
SHARPNESS_EXAMPLES = 128
"""Training examples on which sharpness is measured, at initialization and at each quarter of the
checkpoints: a power iteration costs as much as dozens of steps."""
SAMPLED_EXAMPLES = 128
"""Most examples of which single gradients are taken for a policy that asks for them."""
NOISE_EXAMPLES = 128
"""Least examples on which the noise scale is measured where no policy asks: smaller batches are
taken together, because a few examples hardly tell the mean gradient from its noise."""
STEPS_PER_SAMPLE = 40
"""Steps after which gradients are sampled for the noise scale, where no policy asks: a sample
costs about as much as four steps, so a tenth of them at most."""


class Run:
    """A few trials of one shape on their way from initialization to the end of the budget."""

    def __init__(self, program: Program, trials: list[Trial], splits: Splits, settings: Settings):
        self.program = program
        self.splits = splits
        self.settings = settings
        examples = examples_used(trials[0], len(splits.train_labels))
        checked = min(CHECKED_EXAMPLES, len(splits.validation_labels))
        self.scale = Scale(
            budget=Budget.of(trials[0], examples),
            examples=examples,
            classes=program.parts.dataset.classes,
            checked=checked,
            validation=len(splits.validation_labels),
            target_accuracy=program.parts.dataset.target_accuracy,
            warm_up=program.parts.clipping.warm_up,
            disturbance=program.parts.disturbance,
        )
        self.checked = (
            self._images(splits.validation_images[:checked]),
            splits.validation_labels[:checked],
        )
        probed = min(PROBED_EXAMPLES, examples)
        self.probed = self._images(splits.train_images[:probed]), splits.train_labels[:probed]
        self.sharpness_on = tuple(tensor[:SHARPNESS_EXAMPLES] for tensor in self.probed)
        first = program.parts.batch_policy.first
        self.logs = [Log(t, self.scale, first(t.batch_size, examples)) for t in trials]
        self.trials = trials
        # position in the population -> position in the logs; trials that ended are taken out
        self.alive = list(range(len(trials)))
        self.population = program.start(trials)

    def _images(self, images: Tensor) -> Tensor:
        return (images.to(self.program.dtype) - self.splits.mean) / self.splits.std

    def _batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Training images, normalized, and labels at ``index`` (K, B)."""
        # copies whole images, where `images[index]` goes number by number: a tenth of the time
        images = self.splits.train_images.index_select(0, index.flatten()).to(self.program.dtype)
        images.sub_(self.splits.mean).div_(self.splits.std)
        return images.unflatten(0, index.shape), self.splits.train_labels[index]

    def to_the_end(self) -> tuple[list[dict[str, Any]], list[Log]]:
        """Train until every trial's budget is used or the trial is broken; rows and logs."""
        began = time.perf_counter()
        count = self.settings.checkpoints
        self._record_start()
        finals: dict[int, dict[str, float]] = {}
        for checkpoint in range(1, count + 1):
            self._advance(checkpoint)
            if checkpoint < count:
                self._decide(checkpoint)
            finals |= self._retire(last=checkpoint == count)
            if not self.alive:
                break
        share = (time.perf_counter() - began) / len(self.trials)
        shared = {
            "parameters": self.program.layout.size,
            "seconds": share,
            "trials_together": len(self.trials),
        }
        return [
            log.row(**finals.get(k, {}), **shared) for k, log in enumerate(self.logs)
        ], self.logs

    def _record_start(self) -> None:
        loss, accuracy = self._evaluate(*self.checked)
        norms = norm_in_double(self.population.parameters, dim=1).tolist()
        for k, log in enumerate(self.logs):
            log.add_start(
                validation_loss=loss[k], validation_accuracy=accuracy[k], parameter_norm=norms[k]
            )
        everyone = list(range(len(self.logs)))
        self._record_sharpness(everyone)
        self._record_layers(everyone, None)

    def _evaluate(self, images: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
        at_once = self.settings.evaluated_at_once(len(self.population.parameters))
        loss, accuracy = self.program.evaluate(self.population, images, labels, at_once)
        return loss.tolist(), accuracy.tolist()

    def _advance(self, checkpoint: int) -> None:
        """Steps up to ``checkpoint``, trials of equal batch size and position together."""
        count = self.settings.checkpoints
        target = self.scale.budget.share(checkpoint, count)
        groups: dict[tuple[int | None, ...], list[int]] = {}
        for place, k in enumerate(self.alive):
            log = self.logs[k]
            if log.steps_until(target):
                groups.setdefault(log.position, []).append(place)
            else:
                groups.setdefault((0,), []).append(place)
        moved = []
        before = self.population.parameters
        for (batch_size, *_), places in groups.items():
            whole = len(places) == len(self.alive)
            part = self.population if whole else self.population.take(places)
            if batch_size:
                logs = [self.logs[self.alive[p]] for p in places]
                # after the last no decision follows, and so no gradients are sampled for one
                part, previous = self._segment(part, logs, target, sample=checkpoint < count)
                if whole:
                    before = previous
                else:
                    before = before.clone() if before is self.population.parameters else before
                    before[places] = previous
            moved.append(part)
        if len(moved) == 1:
            self.population = moved[0]
        else:
            self.population = Population.join(moved, list(groups.values()))
        stepped = sorted(p for (size, *_), places in groups.items() if size for p in places)
        if not stepped:
            return
        delta = self.population.parameters - before
        norms = norm_in_double(self.population.parameters, dim=1).tolist()
        ratio = (norm_in_double(delta, dim=1) / norm_in_double(before, dim=1)).tolist()
        loss, accuracy = self._evaluate(*self.checked)
        for place in stepped:
            log = self.logs[self.alive[place]]
            finite = log.nonfinite_step is None
            nan = float("nan")
            log.add_checkpoint(
                update_ratio=ratio[place],
                parameter_norm=norms[place],
                validation_loss=loss[place] if finite else nan,
                validation_accuracy=accuracy[place] if finite else nan,
            )
        if checkpoint % (count // 4) == 0:
            self._record_sharpness(stepped)
        self._record_layers(stepped, delta)

    def _segment(
        self, part: Population, logs: list[Log], target: int, sample: bool
    ) -> tuple[Population, Tensor]:
        """Take the steps of trials in lockstep; also returns the parameters before the last."""
        device, first = self.settings.device, logs[0]
        steps, size = first.steps_until(target), first.batch_size
        start, stop = first.samples_seen, first.samples_seen + steps * size
        examples = self.scale.examples
        order = torch.stack([data_order(log.trial.seed, examples, start, stop) for log in logs])
        order = order.view(len(logs), steps, size).to(device)
        program, dtype = self.program, self.program.dtype
        schedule = program.parts.schedule
        factors = np.array([schedule.factor(first.progress(i)) for i in range(steps)])
        own = np.array([self._rate_factor(log) for log in logs])
        multiplied = np.outer(factors, own)
        disturbed, disturbance = first.disturbed(steps), program.parts.disturbance
        seeds = [log.trial.seed for log in logs]
        for i in disturbed:
            multiplied[i] = disturbed_factors(
                disturbance, [log.trial.learning_rate for log in logs], multiplied[i]
            )
        rates = torch.tensor(multiplied, dtype=dtype, device=device)
        sampled = self._sampled(first, order) if sample else None
        measured: list[tuple[Tensor, ...]] = []
        scatter = None
        before = part.parameters
        for i in range(steps):
            before = part.parameters
            if sampled is not None and i == sampled[0]:
                scatter = program.sample_gradients(part, *self._batch(sampled[1]))
            batch = self._batch(order[:, i])
            if i in disturbed:
                batch = disturbed_batch(disturbance, seeds, first.disturbed_before(i), *batch)
            part, *step = program.step(part, *batch, rates[i])
            measured.append(tuple(step))
        # the one moment when the host waits for the device
        losses, norms, clipped = (_columns(series) for series in zip(*measured, strict=True))
        for j, log in enumerate(logs):
            rate = log.trial.learning_rate * own[j] * factors[-1]
            if steps - 1 in disturbed:
                rate = disturbance.rate(rate)
            log.add_steps(losses[:, j], norms[:, j], clipped[:, j], float(rate))
        if scatter is not None:
            _add_samples(logs, *scatter)
        return part, before

    def _sampled(self, log: Log, order: Tensor) -> tuple[int, Tensor] | None:
        """Before which step of a segment gradients are sampled, and on which of its examples.

        Of the examples (K, steps, B) those (K, n) of the last steps, and before the first of
        these: on a batch that the parameters have just followed, its own mean gradient has shrunk
        and its noise has not (a noise scale of 207 where it is 120). None while no sample is due.
        """
        policy, (steps, size) = self.program.parts.batch_policy, order.shape[1:]
        # a policy asks about the batch that it decides on
        first = max(0, steps - (1 if policy.samples else math.ceil(NOISE_EXAMPLES / size)))
        index = order[:, first:].flatten(1)[:, : SAMPLED_EXAMPLES if policy.per_example else None]
        due = policy.samples or log.steps + steps - log.sampled_step >= STEPS_PER_SAMPLE
        return (first, index) if due and self.program.pieces(index.shape[1]) > 1 else None

    def _rate_factor(self, log: Log) -> float:
        """What a trial's own past multiplies its learning rate by."""
        parts = self.program.parts
        scaling = parts.learning_rate_scaling.factor(log.batch_size / log.first_batch_size)
        return log.rate_factor * scaling * parts.schedule.feedback(log.validation_losses)

    def _record_sharpness(self, places: list[int]) -> None:
        if not self.settings.sharpness:
            return
        values = self.program.sharpness(self.population, *self.sharpness_on).tolist()
        for place in places:
            self.logs[self.alive[place]].add_checkpoint(sharpness=values[place])

    def _record_layers(self, places: list[int], delta: Tensor | None) -> None:
        if not self.settings.layers:
            return
        program, population = self.program, self.population
        measured = program.layers(population, *self.probed)
        maps = linear_maps(program.model)
        if delta is not None:
            moved = norms_by_layer(program.layout, program.layout.split(delta))
            with np.errstate(all="ignore"):
                measured["update_ratio"] = moved / measured["parameter_norm"]
        for place in places:
            log = self.logs[self.alive[place]]
            log.layers += [
                {
                    "trial": log.trial.key,
                    "step": log.steps,
                    "layer": name,
                    "layer_index": i + 1,
                    "layer_kind": layer_kind(module),
                    **{k: float(v[place, i]) for k, v in measured.items()},
                }
                for i, (name, module) in enumerate(maps.items())
            ]

    def _decide(self, checkpoint: int) -> None:
        """Let the batch-size policy look at every trial that goes on."""
        policy, count = self.program.parts.batch_policy, self.settings.checkpoints
        if policy.decide is stay:
            return
        for k in self.alive:
            log = self.logs[k]
            # where nothing could be measured there is nothing to decide on
            if log.nonfinite_step is not None or (policy.samples and not log.samples):
                continue
            row = log.history[-1]
            decision = policy.decide(
                Observation(
                    batch_size=log.batch_size,
                    first_batch_size=log.first_batch_size,
                    examples=self.scale.examples,
                    progress=checkpoint / count,
                    previous_progress=(checkpoint - 1) / count,
                    learning_rate=row["learning_rate"],
                    train_loss=row.get("train_loss", float("nan")),
                    gradient_norm=row.get("gradient_norm_median", float("nan")),
                    samples=tuple(log.samples),
                ),
                log.trial.batch_policy_parameter or 0.0,
            )
            # never more than what is left of the budget, or the rest of it would go unused
            left = self.scale.budget.largest_batch(log.used)
            smallest = self.program.micro_batches * self.program.smallest_batch
            size = int(min(decision.batch_size, self.scale.examples, left))
            log.batch_size = max(1, smallest, size)
            log.rate_factor *= decision.learning_rate_factor

    def _retire(self, last: bool) -> dict[int, dict[str, float]]:
        """Take out the trials that ended, and give those that kept finite their final figures."""
        out = [p for p, k in enumerate(self.alive) if last or self.logs[k].ended]
        if not out:
            return {}
        finals: dict[int, dict[str, float]] = {}
        logs = {p: self.logs[self.alive[p]] for p in out}
        # a network that takes no step is measured, not evaluated
        whole = [p for p, log in logs.items() if log.steps and log.nonfinite_step is None]
        going = [p for p in range(len(self.alive)) if p not in out]
        population = self.population
        if whole:
            names = ["validation", "test"]
            if self.scale.validation == self.scale.checked:
                # its last checkpoint, no step after which it has taken, looked at all of them
                names.remove("validation")
                for p in whole:
                    row = self.logs[self.alive[p]].history[-1]
                    finals[self.alive[p]] = {
                        f"validation_{kind}": row[f"validation_{kind}"]
                        for kind in ("loss", "accuracy")
                    }
            self.population = population.take(whole)
            for name in names:
                images = self._images(getattr(self.splits, f"{name}_images"))
                loss, accuracy = self._evaluate(images, getattr(self.splits, f"{name}_labels"))
                for j, p in enumerate(whole):
                    final = finals.setdefault(self.alive[p], {})
                    final |= {f"{name}_loss": loss[j], f"{name}_accuracy": accuracy[j]}
        self.population = population.take(going) if going else population
        self.alive = [self.alive[p] for p in going]
        return finals


def _columns(series: Sequence[Tensor]) -> np.ndarray:
    """What every step measured (K,), as doubles (steps, K) on the host."""
    # norms alone may change their type from step to step
    if len({tensor.dtype for tensor in series}) > 1:
        series = [tensor.double() for tensor in series]
    return torch.stack(list(series)).double().cpu().numpy()


def _add_samples(logs: list[Log], small: int, big: int, measured: Tensor) -> None:
    """Record what `Program.sample_gradients` gave, where it is finite."""
    values = measured.cpu().numpy().T.tolist()
    for log, (small_norm, big_norm, loss) in zip(logs, values, strict=True):
        if math.isfinite(small_norm) and math.isfinite(loss):
            log.add_sample(GradientSample(small, big, small_norm, big_norm, loss))

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
from benchmark.engine.machine.fitting import in_parts, is_too_much
from benchmark.engine.runs.log import Log, Scale
from benchmark.engine.runs.segment import Segment
from benchmark.engine.settings import CHECKED_EXAMPLES, Settings
from benchmark.engine.steps.batches import Batches
from benchmark.engine.steps.graphs import Graphs
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.stepping import Moved
from benchmark.engine.trials.budget import Budget
from benchmark.engine.trials.resolve import examples_used
from benchmark.layout import linear_maps
from benchmark.measurements import Arrays, layer_kind, norms_by_layer
from benchmark.norms import norm_in_double
from benchmark.records import Trial
from benchmark.strategies.batch_policies import Observation, stay

PROBED_EXAMPLES = 128
"""Training examples on which layers are measured: a step's worth, at every checkpoint."""
SHARPNESS_EXAMPLES = 128
"""Training examples on which sharpness is measured, at initialization and at each quarter of the
checkpoints: a power iteration costs as much as dozens of steps."""


class Run:
    """A few trials of one shape on their way from initialization to the end of the budget."""

    def __init__(self, program: Program, trials: list[Trial], splits: Splits, settings: Settings):
        self.program = program
        self.splits = splits
        self.batches = Batches(splits, program.dtype)
        self.settings = settings
        examples = examples_used(trials[0], len(splits.train_labels))
        checked = min(CHECKED_EXAMPLES, len(splits.validation_labels))
        budget, policy = Budget.of(trials[0], examples), program.parts.batch_policy
        decided = policy.first_decision(settings.checkpoints) or 0
        self.scale = Scale(
            budget=budget,
            examples=examples,
            classes=program.parts.dataset.classes,
            checked=checked,
            validation=len(splits.validation_labels),
            target_accuracy=program.parts.dataset.target_accuracy,
            warm_up=program.parts.clipping.warm_up,
            undecided=budget.share(decided, settings.checkpoints),
            skips_overflow=program.parts.precision.loss_scaling is not None,
            disturbance=program.parts.disturbance,
        )
        self.checked = (
            self._images(splits.validation_images[:checked]),
            splits.validation_labels[:checked],
        )
        probed = min(PROBED_EXAMPLES, examples)
        self.probed = self._images(splits.train_images[:probed]), splits.train_labels[:probed]
        self.sharpness_on = tuple(tensor[:SHARPNESS_EXAMPLES] for tensor in self.probed)
        self.logs = [Log(t, self.scale, policy.first_size(t.batch_size, examples)) for t in trials]
        self.trials = trials
        # position in the population -> position in the logs; trials that ended are taken out
        self.alive = list(range(len(trials)))
        self.population = program.start(trials)
        self.graphs = Graphs(program, settings.graphs)

    def _images(self, images: Tensor) -> Tensor:
        copied = images.to(self.program.dtype, copy=True)
        return copied.sub_(self.splits.mean).div_(self.splits.std)

    def to_the_end(self) -> tuple[list[dict[str, Any]], list[Log]]:
        """Train until every trial's budget is used or the trial is broken; rows and logs."""
        try:
            return self._to_the_end()
        finally:
            # they refer back to this run, so that their memory would wait for the collector
            self.graphs.clear()

    def _to_the_end(self) -> tuple[list[dict[str, Any]], list[Log]]:
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
        scales = self._loss_scales()
        for k, log in enumerate(self.logs):
            log.add_start(
                validation_loss=loss[k],
                validation_accuracy=accuracy[k],
                parameter_norm=norms[k],
                loss_scale=scales[k],
            )
        everyone = list(range(len(self.logs)))
        self._record_sharpness(everyone)
        self._record_layers(everyone, None)

    def _loss_scales(self) -> list[float]:
        """Each trial's scale of the loss, NaN where it has none."""
        scale = self.population.loss_scale.get("scale")
        return [math.nan] * len(self.alive) if scale is None else scale.tolist()

    def _evaluate(self, images: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
        limit = self.program.limit("evaluation")

        def at_once(trials: int) -> int:
            return min(len(labels), self.settings.evaluated_at_once(trials))

        def some(places: Sequence[int]) -> list[Tensor]:
            examples = at_once(len(places))
            if limit.most is not None:
                examples = max(1, min(examples, limit.most // len(places)))
            return list(self.program.evaluate(self._part(places), images, labels, examples))

        trials = len(self.alive)
        loss, accuracy = _joined(in_parts(limit, trials, at_once(trials), some, cut_first=True))
        return loss.tolist(), accuracy.tolist()

    def _part(self, places: Sequence[int]) -> Population:
        return self.population if len(places) == len(self.alive) else self.population.take(places)

    def _advance(self, checkpoint: int) -> None:
        """Steps up to ``checkpoint``, trials of equal batch size together."""
        count = self.settings.checkpoints
        target = self.scale.budget.share(checkpoint, count)
        groups: dict[int, list[int]] = {}
        for place, k in enumerate(self.alive):
            log = self.logs[k]
            groups.setdefault(log.batch_size if log.steps_until(target) else 0, []).append(place)
        after: list[tuple[Sequence[int], Population]] = []
        moved: list[tuple[Sequence[int], Moved]] = []
        for batch_size, places in groups.items():
            if not batch_size:
                after.append((places, self._part(places)))
                continue

            def steps(some: Sequence[int], places: Sequence[int] = places) -> Any:
                chosen = [places[i] for i in some]
                segment = Segment(
                    program=self.program,
                    logs=[self.logs[self.alive[p]] for p in chosen],
                    target=target,
                    examples=self.scale.examples,
                    get_batch=self.batches,
                    # after the last no decision follows, for which gradients would be sampled
                    sample=checkpoint < count,
                    keep=self.settings.layers,
                    graphs=self.graphs,
                )
                try:
                    return chosen, *segment.run(self._part(chosen))
                except RuntimeError as error:
                    if is_too_much(error):
                        self.graphs.clear()
                    raise

            limit = self.program.limit("step")
            for _, (chosen, part, last) in in_parts(limit, len(places), batch_size, steps):
                after.append((chosen, part))
                moved.append((chosen, last))
        if len(after) == 1:
            ((_, self.population),) = after
        else:
            self.population = Population.join(
                [part for _, part in after], [places for places, _ in after]
            )
        if not moved:
            return
        stepped = [p for places, _ in moved for p in places]
        last = Moved.join([some for _, some in moved])
        norms, ratio = last.norm.tolist(), last.ratio.tolist()
        loss, accuracy = self._evaluate(*self.checked)
        scales = self._loss_scales()
        for i, place in enumerate(stepped):
            log = self.logs[self.alive[place]]
            finite = log.nonfinite_step is None
            nan = float("nan")
            log.add_checkpoint(
                update_ratio=ratio[i],
                parameter_norm=norms[i],
                validation_loss=loss[place] if finite else nan,
                validation_accuracy=accuracy[place] if finite else nan,
                loss_scale=scales[place] if finite else nan,
            )
        if checkpoint % (count // 4) == 0:
            self._record_sharpness(stepped)
        self._record_layers(stepped, last.change)

    def _record_sharpness(self, places: list[int]) -> None:
        if not self.settings.sharpness:
            return
        limit = self.program.limit("sharpness")

        def some(places: Sequence[int]) -> list[Tensor]:
            return [self.program.sharpness(self._part(places), *self.sharpness_on)]

        (found,) = _joined(in_parts(limit, len(self.alive), len(self.sharpness_on[1]), some))
        values = found.tolist()
        for place in places:
            self.logs[self.alive[place]].add_checkpoint(sharpness=values[place])

    def _record_layers(self, places: list[int], change: Tensor | None) -> None:
        """What every layer came to, and what of it the last step's ``change`` was at ``places``."""
        if not self.settings.layers:
            return
        program = self.program

        def some(places: Sequence[int]) -> Arrays:
            return program.layers(self._part(places), *self.probed)

        limit = program.limit("layers")
        each = [a for _, a in in_parts(limit, len(self.alive), len(self.probed[1]), some)]
        measured = {name: np.concatenate([arrays[name] for arrays in each]) for name in each[0]}
        maps = linear_maps(program.model)
        measured = {name: values[places] for name, values in measured.items()}
        if change is not None:
            moved = norms_by_layer(program.layout, program.layout.split(change))
            with np.errstate(all="ignore"):
                measured["update_ratio"] = moved / measured["parameter_norm"]
        for k, place in enumerate(places):
            log = self.logs[self.alive[place]]
            log.layers += [
                {
                    "trial": log.trial.key,
                    "step": log.steps,
                    "layer": layer,
                    "layer_index": i + 1,
                    "layer_kind": layer_kind(module),
                    **{name: float(v[k, i]) for name, v in measured.items()},
                }
                for i, (layer, module) in enumerate(maps.items())
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
            # nor after steps that were all skipped; between checkpoints there may be none at all
            if math.isnan(row.get("gradient_norm_median", 0.0)):
                continue
            decision = policy.decided(
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
            alive, self.population = self.alive, self._part(whole)
            self.alive = [alive[p] for p in whole]
            for name in names:
                images = self._images(getattr(self.splits, f"{name}_images"))
                loss, accuracy = self._evaluate(images, getattr(self.splits, f"{name}_labels"))
                for j, p in enumerate(whole):
                    final = finals.setdefault(alive[p], {})
                    final |= {f"{name}_loss": loss[j], f"{name}_accuracy": accuracy[j]}
            self.alive = alive
        self.population = population.take(going) if going else population
        self.alive = [self.alive[p] for p in going]
        return finals


def _joined(parts: list[tuple[Sequence[int], list[Tensor]]]) -> list[Tensor]:
    """Tensors (K, ...) of all trials, of which some were measured at once."""
    return [torch.cat(tensors) for tensors in zip(*(found for _, found in parts), strict=True)]

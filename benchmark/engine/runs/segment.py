"""The steps between two checkpoints, which trials of one batch size take together."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.engine.runs.disturbing import disturbed_batch, disturbed_factor
from benchmark.engine.runs.log import Log
from benchmark.engine.runs.order import data_order
from benchmark.engine.steps.dense_steps import DenseSteps
from benchmark.engine.steps.graphs import Graphs
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.stepping import GetBatch, Moved, Stepping
from benchmark.strategies.batch_policies import GradientSample, stay
from benchmark.strategies.returned import check_factors

SAMPLED_EXAMPLES = 128
"""Most examples of which single gradients are taken for a policy that asks for them."""
NOISE_EXAMPLES = 128
"""Least examples on which the noise scale is measured where no policy asks: smaller batches are
taken together, because a few examples hardly tell the mean gradient from its noise."""
STEPS_PER_SAMPLE = 40
"""Steps after which gradients are sampled for the noise scale, where no policy asks: a sample
costs about as much as four steps, so a tenth of them at most."""


@dataclass(frozen=True)
class Segment:
    """The next steps of some trials, up to ``target`` of their budget.

    They have the batch size in common, and nothing else: each has its own place in the stream of
    examples, its own rates, and its own number of steps. Those who have taken theirs stand aside,
    and the others go on together.

    Parameters
    ----------
    get_batch
        Images (K, B, C, H, W) and labels (K, B) of examples (K, B).
    sample
        Whether a decision follows for which gradients may be sampled.
    keep
        Whether to give each trial's last change.
    graphs
        The run's, by which steps of a GPU are launched.
    """

    program: Program
    logs: Sequence[Log]
    target: int
    examples: int
    get_batch: GetBatch
    sample: bool
    keep: bool
    graphs: Graphs

    def run(self, population: Population) -> tuple[Population, Moved]:
        """Take the steps, and record them; also returns what each trial's last one did.

        The host waits for the device once all are taken. Nothing is recorded, and ``population``
        is as it was, where an error ends it.
        """
        program, logs = self.program, self.logs
        steps = [log.steps_until(self.target) for log in logs]
        rates = self._rates(steps)
        order = self._order(steps)
        device = population.parameters.device
        factors = torch.tensor(rates, dtype=program.dtype, device=device)
        disturbed = [log.disturbed(count) for log, count in zip(logs, steps, strict=True)]
        sampled = self._sampled(steps) if self.sample else {}
        # running statistics are updated in place
        kept = {name: buffer.clone() for name, buffer in population.buffers.items()}
        part = dataclasses.replace(population, buffers=kept)
        going = list(range(len(logs)))
        rounds: list[tuple[list[int], tuple[Tensor, ...]]] = []
        samples: list[tuple[Sequence[int], int, int, Tensor]] = []
        ended: list[tuple[list[int], Population, Moved]] = []
        done = 0
        for end in sorted(set(steps)):
            everyone = len(going) == len(logs)
            own_order = order if everyone else order.index_select(0, _index(going, order))
            own_factors = factors if everyone else factors.index_select(1, _index(going, order))
            taking: Stepping | None = DenseSteps.of(program, self.get_batch, part)
            if taking is None:
                first = own_order[:, done], own_factors[done]
                further = self._further(going, end)
                taking = self.graphs.stepping(part, self.get_batch, first, end - done, further)
            alone = {i for p in going for i in disturbed[p]}
            for begin, stop in _stretches(done, end, {*sampled, *alone, end - 1}, alone):
                for places, examples in sampled.get(begin, ()):
                    numbers = own_order[:, begin:].flatten(1)[:, :examples]
                    among = None
                    if places != going:
                        among = [going.index(p) for p in places]
                        numbers = numbers.index_select(0, _index(among, order))
                    samples.append((places, *taking.sample(numbers, among)))
                if begin == end - 1:
                    taking.last(keep=self.keep)
                if begin in alone:
                    batch = self.get_batch(own_order[:, begin])
                    batch = self._disturbed(begin, going, disturbed, *batch)
                    taking.step_on(*batch, own_factors[begin])
                else:
                    taking.steps(own_order[:, begin:stop], own_factors[begin:stop])
            part, series = taking.end()
            moved = taking.moved()
            rounds.append((going, series))
            done = end
            out = [j for j, p in enumerate(going) if steps[p] == end]
            if len(out) == len(going):
                ended.append((going, part, moved))
                break
            ended.append(([going[j] for j in out], part.take(out), moved.take(out)))
            stay = [j for j, p in enumerate(going) if steps[p] > end]
            part, going = part.take(stay), [going[j] for j in stay]
        self._record(rounds, samples, rates)
        if len(ended) == 1:
            return part, moved
        whole = Population.join([piece for _, piece, _ in ended], [places for places, *_ in ended])
        back = np.argsort([p for places, *_ in ended for p in places]).tolist()
        return whole, Moved.join([piece for *_, piece in ended]).take(back)

    def _further(self, going: Sequence[int], end: int) -> int:
        """Steps after the one before ``end`` that are sure to have the batch size of these."""
        if self.program.parts.batch_policy.decide is not stay:
            return 0
        # of these a trial may break, whose neighbours then go on without it
        return min(log.steps_until(log.scale.budget.amount) for log in self._of(going)) - end

    def _of(self, going: Sequence[int]) -> list[Log]:
        return [self.logs[p] for p in going]

    def _order(self, steps: Sequence[int]) -> Tensor:
        """Numbers of the examples (K, steps, B); zeros after a trial's last step."""
        size = self.logs[0].batch_size
        order = torch.zeros(len(self.logs), max(steps), size, dtype=torch.long)
        for log, count, row in zip(self.logs, steps, order, strict=True):
            start, stop = log.samples_seen, log.samples_seen + count * size
            row[:count] = data_order(log.trial.seed, self.examples, start, stop).view(count, size)
        return order.to(self.program.device)

    def _rates(self, steps: Sequence[int]) -> np.ndarray:
        """What the learning rates are multiplied by (steps, K); ones after a trial's last step."""
        parts = self.program.parts
        rates = np.ones((max(steps), len(self.logs)))
        known: dict[tuple[int, int], np.ndarray] = {}
        for j, (log, count) in enumerate(zip(self.logs, steps, strict=True)):
            place = log.used, count
            if place not in known:
                factors = [parts.schedule.factor(log.progress(i)) for i in range(count)]
                known[place] = check_factors(f"schedule {parts.schedule.name!r}", factors)
            scaling = parts.learning_rate_scaling.factor(log.batch_size / log.first_batch_size)
            feedback = parts.schedule.feedback(log.validation_losses)
            check_factors(f"scaling {parts.learning_rate_scaling.name!r}", [scaling])
            check_factors(f"feedback of schedule {parts.schedule.name!r}", [feedback])
            rates[:count, j] = known[place] * (log.rate_factor * scaling * feedback)
            for i in log.disturbed(count):
                rate = log.trial.learning_rate
                rates[i, j] = disturbed_factor(parts.disturbance, rate, rates[i, j])
        return rates

    def _sampled(self, steps: Sequence[int]) -> dict[int, list[tuple[list[int], int]]]:
        """Of which trials gradients are sampled before a step, and on how many examples from there.

        On those of a trial's last steps, and before the first of these: on a batch that the
        parameters have just followed, its own mean gradient has shrunk and its noise has not (a
        noise scale of 207 where it is 120).
        """
        program, policy = self.program, self.program.parts.batch_policy
        size = self.logs[0].batch_size
        # a policy asks about the batch that it decides on
        last = 1 if policy.samples else math.ceil(NOISE_EXAMPLES / size)
        due: dict[tuple[int, int], list[int]] = {}
        for j, (log, count) in enumerate(zip(self.logs, steps, strict=True)):
            first = max(0, count - last)
            examples = (count - first) * size
            if policy.per_example:
                examples = min(examples, SAMPLED_EXAMPLES)
            wanted = policy.samples or log.steps + count - log.sampled_step >= STEPS_PER_SAMPLE
            if wanted and program.pieces(examples) > 1:
                due.setdefault((first, examples), []).append(j)
        before: dict[int, list[tuple[list[int], int]]] = {}
        for (first, examples), places in due.items():
            before.setdefault(first, []).append((places, examples))
        return before

    def _disturbed(
        self, i: int, going: list[int], disturbed: list[range], images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        logs = self._of(going)
        numbers = [
            log.disturbed_before(i) if i in disturbed[p] else None
            for log, p in zip(logs, going, strict=True)
        ]
        seeds = [log.trial.seed for log in logs]
        return disturbed_batch(self.program.parts.disturbance, seeds, numbers, images, labels)

    def _record(
        self,
        rounds: list[tuple[list[int], tuple[Tensor, ...]]],
        samples: list[tuple[Sequence[int], int, int, Tensor]],
        rates: np.ndarray,
    ) -> None:
        # the one moment when the host waits for the device
        read = [(going, [t.cpu().numpy().T.copy() for t in series]) for going, series in rounds]
        scattered = [(places, small, big, values.cpu()) for places, small, big, values in samples]
        own: list[list[tuple[np.ndarray, ...]]] = [[] for _ in self.logs]
        for going, series in read:
            for j, rows in zip(going, zip(*series, strict=True), strict=True):
                own[j].append(rows)
        for j, (log, pieces) in enumerate(zip(self.logs, own, strict=True)):
            first = pieces[0]
            if len(pieces) > 1:
                first = tuple(np.concatenate(column) for column in zip(*pieces, strict=True))
            losses, norms, clipped = first
            rate = log.trial.learning_rate * rates[len(losses) - 1, j]
            log.add_steps(losses, norms, clipped, float(rate))
        for places, small, big, values in scattered:
            _add_samples([self.logs[p] for p in places], small, big, values)


def _stretches(begin: int, end: int, marks: set[int], alone: set[int]) -> Iterator[tuple[int, int]]:
    """Steps from ``begin`` to ``end`` in pieces: one begins at each mark, and after each ``alone``.

    >>> list(_stretches(2, 9, {4, 5, 8, 20}, {4}))
    [(2, 4), (4, 5), (5, 8), (8, 9)]
    """
    cuts = {begin, *(i for i in marks | {i + 1 for i in alone} if begin < i < end), end}
    return itertools.pairwise(sorted(cuts))


def _index(places: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(places, device=like.device)


def _add_samples(logs: Sequence[Log], small: int, big: int, measured: Tensor) -> None:
    """Record what `Program.sample_gradients` gave, where it is finite."""
    values = measured.numpy().T.tolist()
    for log, (small_norm, big_norm, loss) in zip(logs, values, strict=True):
        if all(map(math.isfinite, (small_norm, big_norm, loss))):
            log.add_sample(GradientSample(small, big, small_norm, big_norm, loss))

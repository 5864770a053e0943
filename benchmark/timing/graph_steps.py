"""Steps of a GPU by CUDA graphs and without: the same bits, and in how much less time?"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch

from benchmark.data import Splits, load
from benchmark.engine import resolve, train
from benchmark.engine.machine.devices import choose_device, reproducible
from benchmark.engine.steps.graphs import CAPTURED, Graphs
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.stepping import GetBatch
from benchmark.engine.trials.resolve import parts_of
from benchmark.records import Trial
from benchmark.timing.on_gpu import Row, differences, graphs_asked, seconds_of, uncaptured

WIDTHS = (1, 4, 16, 33, 64, 128, 256)
SECONDS = 50.0
"""After which no further unit is begun."""
TRIAL_STEPS = 5_000
"""Steps of all trials of a unit together, of which a hundred of each at most."""


def graphs(dataset: Any, device: str, seconds: float = SECONDS) -> Iterator[Row]:
    """Units by CUDA graphs and without: are their numbers equal, and how long does a step take?

    ``equal`` is of every bit of all tables, ``ratio`` the time without graphs over that with them.
    """
    end = time.monotonic() + seconds
    took: dict[str, float] = {}
    for count, model in itertools.product(WIDTHS, ("mlp", "cnn")):
        began = time.monotonic()
        # wider ones take about in proportion
        if began + 2 * took.get(model, 0.0) > end:
            continue
        updates = max(20, min(100, TRIAL_STEPS // count))
        common: Row = {"dataset": dataset, "model": model, "batch_size": 128, "updates": updates}
        common |= {"clipping": "global_norm", "optimizer": "momentum"}
        trials = [
            resolve(Trial(**common, learning_rate=1e-3 * (1 + i // 3), seed=i % 3))
            for i in range(count)
        ]
        records, milliseconds, outcomes = [], [], Counter[str]()
        for choice in ("0", "always"):
            with graphs_asked(choice) as found:
                records.append(train(trials, device=device, checkpoints=4))
                milliseconds.append(1e3 * _seconds_of_a_step(trials[0], count, device, choice))
            outcomes.update(found)
        differ = differences(records[0], records[1], tolerance=0.0)
        took[model] = time.monotonic() - began
        yield {
            "model": model,
            "together": count,
            "equal": not differ,
            "differ": "; ".join(differ),
            "graphs": outcomes[CAPTURED],
            "uncaptured": uncaptured(outcomes),
            "updates": updates,
            "milliseconds": milliseconds[0],
            "milliseconds_graphs": milliseconds[1],
            "ratio": milliseconds[0] / milliseconds[1],
            "seconds": took[model],
        }


def _seconds_of_a_step(trial: Trial, count: int, device: str, choice: str) -> float:
    """As a run takes it, with its batch."""
    where = choose_device(device)
    with reproducible(where):
        program = Program(parts_of(trial), trial, where)
        population = program.start([trial]).take([0] * count)
        splits = load(trial.dataset).to(where)
        numbers = torch.arange(trial.batch_size, device=where) % len(splits.train_labels)
        rates = torch.ones(count, device=where, dtype=program.dtype)
        first = numbers.expand(count, -1), rates
        get_batch = _batches(splits, program.dtype)
        taking = Graphs(program, choice).stepping(population, get_batch, first, 1, 0)
        return seconds_of(lambda: taking.step(*first), where)


def _batches(splits: Splits, dtype: torch.dtype) -> GetBatch:
    def get_batch(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        images = splits.train_images.index_select(0, index.flatten()).to(dtype)
        images.sub_(splits.mean).div_(splits.std)
        return images.unflatten(0, index.shape), splits.train_labels[index]

    return get_batch

"""How long trials would take on this machine, from timing a few steps of each kind.

A trial's seconds are those of its updates, of its evaluations and of what it does once. Trials are
of one kind where they share everything that a step's time depends on. Kinds are timed for a given
time, those first that say most about the others; of the rest, the logarithm of a step's time is
predicted as a sum over what they have in common with those that were timed.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmark.data import load, tensor_dataset
from benchmark.driver.planning import planned_updates
from benchmark.engine import group_by_shape, impossible, train
from benchmark.engine.machine.devices import choose_device, describe_device
from benchmark.engine.settings import CHECKED_EXAMPLES
from benchmark.engine.trials.packing import expected_examples, trained_together
from benchmark.engine.trials.resolve import examples_used, parts_of
from benchmark.records import Trial

SECONDS = 30.0
"""How long kinds of trials are timed."""
HELD_OUT = (64, 1088)
"""Validation and test examples of the data that is timed on: their difference tells what the
evaluation of one costs."""
CHECKPOINTS = QUARTERS = 4
MOST_UPDATES = 44
"""Updates of a timed run, among them a sample of the noise scale."""
LONG = 1.0
"""Seconds beyond which a run is timed with fewer updates."""
RIDGE = 1e-2
LEAST = 1e-7
"""Seconds below which nothing was measured."""

EVALUATION = ("dataset", "model", "depth", "width")
STEP = ("normalization", "batch_size", "clipping", "optimizer", "batch_policy", "loss", "precision")
Kind = tuple[Any, ...]


@dataclass(frozen=True)
class Cost:
    """Processor seconds of one trial: an update, an example evaluated, a moment at which layers or
    sharpness are measured, and its setup."""

    update: float
    evaluation: float
    moment: float
    setup: float


@dataclass(frozen=True)
class Group:
    """Trials of one kind: one that stands for them, how many train together, and their updates."""

    trial: Trial
    together: int
    updates: int

    @property
    def features(self) -> list[Kind]:
        """What a step's time is predicted from: the network, alone and with each other factor."""
        row = self.trial.row()
        network = network_of(self.trial)
        return [network, *((*network, name, row[name]) for name in STEP)]


def network_of(trial: Trial) -> Kind:
    """What the time of an evaluation depends on most."""
    row = trial.row()
    return tuple(row[name] for name in EVALUATION)


def kind_of(trial: Trial) -> Kind:
    """What the time of a step depends on."""
    row = trial.row()
    return tuple(row[name] for name in (*EVALUATION, *STEP))


def groups_of(trials: Iterable[Trial], device: str = "cpu") -> dict[Kind, Group]:
    """Resolved ``trials`` by kind, those that cannot be trained left out."""
    shapes: dict[Kind, list[list[Trial]]] = {}
    for shape in group_by_shape(trials):
        if impossible(shape[0], len(load(shape[0].dataset).train_labels)) is None:
            shapes.setdefault(kind_of(shape[0]), []).append(shape)
    return {
        kind: Group(
            found[0][0],
            min(max(map(len, found)), trained_together(found[0][0], choose_device(device))),
            sum(planned_updates(shape[0]) * len(shape) for shape in found),
        )
        for kind, found in shapes.items()
    }


def evaluated(trial: Trial, checkpoints: int) -> int:
    """Examples that a resolved trial evaluates in all: at each checkpoint, and in the end."""
    splits = load(trial.dataset)
    held_out = len(splits.validation_labels)
    checked = min(CHECKED_EXAMPLES, held_out)
    if not planned_updates(trial):
        return checked
    rest = held_out if held_out > checked else 0
    return (checkpoints + 1) * checked + rest + len(splits.test_labels)


def moments(checkpoints: int, layers: bool, trained: bool = True) -> int:
    """How often a trial is measured: its layers, or if not these, its sharpness.

    Layers at initialization and at every checkpoint, sharpness at every quarter of these.

    >>> moments(20, layers=True), moments(20, layers=False), moments(20, True, trained=False)
    (21, 5, 1)
    """
    if not trained:
        return 1
    return 1 + (checkpoints if layers else QUARTERS)


class Estimate:
    """Core-seconds of trials on this machine, whose device ``where`` names.

    Parameters
    ----------
    trials
        Those of the study, resolved.
    checkpoints, device, layers, sharpness
        As of the study.
    seconds
        For how long kinds of trials are timed; the first is timed whatever it takes.
    """

    def __init__(
        self,
        trials: Iterable[Trial],
        *,
        checkpoints: int,
        device: str = "cpu",
        layers: bool = False,
        sharpness: bool = False,
        seconds: float = SECONDS,
    ) -> None:
        self._checkpoints, self._device = checkpoints, device
        self._layers, self._sharpness = layers, sharpness
        self.where = describe_device(choose_device(device))
        groups = groups_of(trials, device)
        kinds, members = list(groups), list(groups.values())
        self.kinds = len(kinds)
        timed: dict[int, Cost] = {}
        clock = self._clock()
        end = clock() + seconds
        for number in telling_order([(group.features, group.updates) for group in members]):
            if timed and clock() > end:
                break
            timed[number] = self._time(members[number])
        self.timed = len(timed)
        networks = [[network_of(group.trial)] for group in members]
        columns = (
            predicted([group.features for group in members], _column(timed, "update")),
            predicted(networks, _column(timed, "evaluation")),
            predicted(networks, _column(timed, "moment")),
            predicted(networks, _column(timed, "setup")),
        )
        self._members = groups
        self._costs = {kinds[i]: Cost(*costs) for i, costs in enumerate(zip(*columns, strict=True))}

    def seconds(self, trial: Trial) -> float:
        """Core-seconds of one trial; 0 where it is skipped, or of no kind of the study.

        It may be one that was read from a file, where a custom data set is no more than its name.
        """
        kind = kind_of(trial)
        if kind not in self._costs:
            return 0.0
        cost = self._costs[kind]
        budget = {name: getattr(trial, name) for name in ("epochs", "updates", "train_fraction")}
        trial = dataclasses.replace(self._members[kind].trial, **budget)
        updates = self._updates(trial)
        measured = moments(self._checkpoints, self._layers, trained=updates > 0)
        return (
            updates * cost.update
            + evaluated(trial, self._checkpoints) * cost.evaluation
            + (measured * cost.moment if self._measures else 0.0)
            + cost.setup
        )

    def _updates(self, trial: Trial) -> float:
        """Updates on the first batch that cost as much as those of a trial whose batch may grow."""
        updates = planned_updates(trial)
        if not updates or trial.updates is None:
            return updates
        examples = examples_used(trial, len(load(trial.dataset).train_labels))
        first = parts_of(trial).batch_policy.first_size(trial.batch_size, examples)
        return expected_examples(trial, examples, self._checkpoints) / first

    def _time(self, group: Group) -> Cost:
        """Time a few updates of a group's kind, on random images of the same shape."""
        small, large = (_random_data(group.trial, held_out) for held_out in HELD_OUT)
        # nothing that would end it early, or that takes more updates than are timed
        calm = dataclasses.replace(
            group.trial, learning_rate=1e-3, init_gain=1.0, schedule="constant", disturbance="none"
        )
        alone = dataclasses.replace(calm, dataset=small, train_fraction=1.0, epochs=None)
        trials = [dataclasses.replace(alone, seed=seed) for seed in range(group.together)]

        def run(updates: int, data: Any = small, *, measuring: bool = False) -> float:
            chosen = [dataclasses.replace(t, updates=updates, dataset=data) for t in trials]
            return self._seconds(chosen, measuring=measuring) / len(chosen)

        # measurements take as long as dozens of updates, more or less: timed apart from these
        if not planned_updates(group.trial):
            start = run(0)
            measured = run(0, measuring=True) - start if self._measures else 0.0
            return Cost(0.0, 0.0, max(measured, LEAST), start)
        few = min(run(CHECKPOINTS), run(CHECKPOINTS))
        updates = 3 * CHECKPOINTS
        update = max(run(updates) - few, LEAST) / (updates - CHECKPOINTS)
        most = int(min(MOST_UPDATES, LONG / (update * len(trials))))
        if most > updates:
            update = max(run(most) - few, LEAST) / (most - CHECKPOINTS)
        moment = LEAST
        if self._measures:
            extra = run(CHECKPOINTS, measuring=True) - few
            moment = max(extra / moments(CHECKPOINTS, self._layers), LEAST)
        timed = dataclasses.replace(alone, updates=CHECKPOINTS)
        less, more = (
            evaluated(dataclasses.replace(timed, dataset=data), CHECKPOINTS)
            for data in (small, large)
        )
        evaluation = max(run(CHECKPOINTS, large) - few, LEAST) / (more - less)
        setup = few - CHECKPOINTS * update - less * evaluation
        return Cost(update, evaluation, moment, max(setup, LEAST))

    @property
    def _measures(self) -> bool:
        return self._layers or self._sharpness

    def _clock(self) -> Callable[[], float]:
        # of the process, which others that share the machine do not slow down; a GPU's is another
        on_gpu = choose_device(self._device).type == "cuda"
        return time.perf_counter if on_gpu else time.process_time

    def _seconds(self, trials: list[Trial], *, measuring: bool = False) -> float:
        clock = self._clock()
        began = clock()
        train(
            trials,
            device=self._device,
            checkpoints=CHECKPOINTS,
            layers=measuring and self._layers,
            sharpness=measuring and self._sharpness,
        )
        return clock() - began


def _random_data(trial: Trial, held_out: int) -> Any:
    known = load(trial.dataset)
    _, *shape = known.train_images.shape
    classes = max(2, int(known.train_labels.max()) + 1)
    examples = examples_used(trial, len(known.train_labels))
    first = parts_of(trial).batch_policy.first_size(trial.batch_size, examples)
    # the full batch is all there is
    needed = first if first == examples else max(256, first)
    generator = torch.Generator().manual_seed(0)

    def split(examples: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.rand(examples, *shape, generator=generator)
        return images, torch.arange(examples) % classes

    return tensor_dataset(
        f"random_images_{held_out}",
        train=split(needed),
        validation=split(held_out),
        test=split(held_out),
        classes=classes,
    )


def telling_order(groups: Sequence[tuple[Sequence[Kind], int]]) -> list[int]:
    """Positions of ``groups`` (features, updates) in the order in which to time them.

    Next comes the one with most updates among the features that were not seen yet, so that what
    was timed says most about the rest, however early it ends.

    >>> telling_order([(["a", "x"], 5), (["a", "y"], 1), (["b", "y"], 2)])
    [0, 2, 1]
    """
    weight: Counter[Kind] = Counter()
    for features, updates in groups:
        weight.update(dict.fromkeys(features, updates + 1))
    left = dict.fromkeys(range(len(groups)))
    seen: set[Kind] = set()

    def gain(number: int) -> tuple[int, int]:
        features, updates = groups[number]
        return sum(weight[f] for f in features if f not in seen), updates

    order = []
    while left:
        best = max(left, key=gain)
        del left[best]
        seen.update(groups[best][0])
        order.append(best)
    return order


def predicted(features: Sequence[Sequence[Kind]], known: Mapping[int, float]) -> list[float]:
    """A positive number for each row: the known one, else that which its features predict.

    Ridge regression of the logarithm on indicators of the features; what was never seen counts
    as the mean of what was.

    >>> predicted([[("a",)], [("a",)], [("b",)]], {0: 2.0, 2: 8.0})[:2]
    [2.0, 2.0...]
    """
    columns = {f: i for i, f in enumerate(dict.fromkeys(itertools.chain.from_iterable(features)))}
    table = np.zeros((len(features), len(columns)))
    for row, own in enumerate(features):
        table[row, [columns[f] for f in own]] = 1
    rows = list(known)
    positive = np.array([max(known[row], LEAST) for row in rows])
    logs = np.log(positive)
    mean = logs.mean()
    seen = table[rows]
    square = seen.T @ seen + RIDGE * np.eye(len(columns))
    weights = np.linalg.solve(square, seen.T @ (logs - mean))
    values = np.exp(mean + table @ weights)
    values[rows] = [known[row] for row in rows]
    return values.tolist()


def minutes(seconds: float) -> str:
    """Seconds as text.

    >>> minutes(70), minutes(7200)
    ('1 minute', '120 minutes')
    """
    whole = f"{seconds / 60:,.0f}"
    return f"{whole} minute{'' if whole == '1' else 's'}"


def core_hours(seconds: float) -> str:
    """Core-seconds as text.

    >>> core_hours(5400)
    '1.50 core-hours (5,400 core-seconds)'
    """
    return f"{seconds / 3600:.2f} core-hours ({seconds:,.0f} core-seconds)"


def _column(timed: Mapping[int, Cost], name: str) -> dict[int, float]:
    return {number: getattr(cost, name) for number, cost in timed.items()}

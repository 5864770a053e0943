"""What a GPU is asked before results from it are believed: numbers, bits, limits and widths."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmark.data import load
from benchmark.driver.units import Unit, train_unit
from benchmark.engine import REGISTRIES, Record, impossible, resolve, train
from benchmark.engine.machine.devices import reproducible
from benchmark.engine.settings import VARIABLE
from benchmark.engine.steps.graphs import CAPTURED, OUTCOMES
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of
from benchmark.records import Trial

Row = dict[str, Any]

NETWORKS = ("mlp", "cnn")
"""In which every strategy is trained; every other model is trained by itself."""
LEFT_OUT = frozenset({"dataset"})
"""Registries whose members are no cases: of a data set a device has a copy and computes nothing."""
CHECKED_FIELDS = tuple(field for field in REGISTRIES if field not in LEFT_OUT | {"model"})
"""Registries of strategies, of which every member is a case in each of `NETWORKS`."""
TOLERANCE = 1e-5
"""Relative difference of a GPU's numbers in double precision from a CPU's, over a few steps.
The largest that was seen (H200) is 4e-6, where normalizing two features leaves next to no gradient.
"""
ROUNDED = 0.1
"""The same in lower precisions, in which a few of some hundred examples change sides."""
SMALL, SMALL_ROUNDED = 1e-2, 1.0
"""Of a column's largest number: differences of smaller ones are taken relative to this, in double
and in lower precision."""
UNTIMED = ("seconds", "trials_together")
WIDTHS = (1, 4, 16, 64, 256, 1024)
MODEL_RATE = 0.01
"""Learning rate of models by themselves. Ten times as much is too much for some of the deep ones,
and what explodes makes a difference of rounding as large as one likes."""
STEP_SECONDS = 0.4
"""How long the steps of one width are timed."""


@dataclass(frozen=True)
class Case:
    """Trials that are trained on a GPU, and again there (``again``) or on a CPU.

    On a GPU by CUDA graphs, unless ``graphs`` is False, and again without them. The ``sharpness``
    is measured where it says so.
    """

    name: str
    trials: tuple[Trial, ...]
    again: bool = False
    graphs: bool = True
    sharpness: bool = False

    @property
    def tolerance(self) -> float:
        """Largest relative difference that is laid to rounding."""
        if self.again:
            return 0.0
        return TOLERANCE if self.trials[0].precision == "float64" else ROUNDED


def cases(dataset: Any = "digits", width: int = 16) -> Iterator[Case]:
    """Every model, every strategy in both `NETWORKS`, and what has to repeat itself.

    Whatever is registered is a case, alone and beside others: none can be forgotten. A strategy is
    left out where a network cannot have it, because what is skipped on both devices always agrees.
    ``width`` is of the models that have a choice.
    """
    available = len(load(dataset).train_labels)
    made = itertools.chain(
        _models(dataset, width), _strategies(dataset, width), _repeated(dataset, width)
    )
    return (case for case in made if impossible(resolve(case.trials[0]), available) is None)


def _strategies(dataset: Any, width: int) -> Iterator[Case]:
    for model, field, count in itertools.product(NETWORKS, CHECKED_FIELDS, (1, 3)):
        for name in REGISTRIES[field]:
            trials = _trials(dataset, width, count, model=model, **{field: name})
            yield Case(f"{model} {field}={name} K={count}", trials)


def _models(dataset: Any, width: int) -> Iterator[Case]:
    """Every model by itself, and its sharpness, which takes second derivatives."""
    # few updates, as the CPU takes seconds over one of the large ones, and more over a sharpness
    fields: Row = {"learning_rate": MODEL_RATE, "epochs": None}
    for model in REGISTRIES["model"]:
        for count in (1, 3):
            trials = _trials(dataset, width, count, model=model, updates=4, **fields)
            yield Case(f"{model} model={model} K={count}", trials)
        trials = _trials(dataset, width, 2, model=model, updates=1, **fields)
        yield Case(f"{model} measurement=sharpness K=2", trials, sharpness=True)


def _repeated(dataset: Any, width: int) -> Iterator[Case]:
    """Every normalization in both `NETWORKS`, and the other models without: the same bits twice."""
    pairs = list(itertools.product(NETWORKS, REGISTRIES["normalization"]))
    pairs += [(model, "none") for model in REGISTRIES["model"] if model not in NETWORKS]
    fields: Row = {"precision": "float32", "clipping": "autoclip"}
    for model, name in pairs:
        trials = _trials(dataset, width, 33, model=model, normalization=name, **fields)
        yield Case(f"{model} {name} K=33, twice", trials, again=True)
        yield Case(f"{model} {name} K=33, twice without graphs", trials, again=True, graphs=False)


def _trials(dataset: Any, width: int, count: int, **fields: Any) -> tuple[Trial, ...]:
    """A few updates of ``count`` seeds."""
    common: Row = {"dataset": dataset, "batch_size": 40, "epochs": 1, "learning_rate": 0.1}
    common |= {"precision": "float64", "train_fraction": 0.5}
    if REGISTRIES["model"][fields["model"]].widths:
        common["width"] = width
    return tuple(Trial(**common | fields, seed=seed) for seed in range(count))


@contextmanager
def graphs_asked(choice: str) -> Iterator[Counter[str]]:
    """Within, a GPU's steps are captured as ``choice`` says, a key of `settings.GRAPHS`.

    What became of captures is in the counter afterwards, as `OUTCOMES` has it.
    """
    before, earlier = os.environ.get(VARIABLE), OUTCOMES.copy()
    outcomes: Counter[str] = Counter()
    os.environ[VARIABLE] = choice
    try:
        yield outcomes
    finally:
        outcomes.update(OUTCOMES - earlier)
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def uncaptured(outcomes: Counter[str]) -> str:
    """Why captures failed."""
    return "; ".join(sorted(set(outcomes) - {CAPTURED}))


def compare(case: Case, device: str, trained: Callable[..., Record] = train) -> Row:
    """Train ``case`` twice, and say in which columns the two differ by more than rounding."""
    began = time.perf_counter()
    outcomes: Counter[str] = Counter()
    how: Row = {"checkpoints": 4, "layers": not case.again, "sharpness": case.sharpness}
    try:
        with graphs_asked("always" if case.graphs else "0") as outcomes:
            there = trained(case.trials, device=device, **how)
        with graphs_asked("0"):
            back = trained(case.trials, device=device if case.again else "cpu", **how)
        found = differences(there, back, case.tolerance)
    except Exception as error:
        # of whatever kind: that it fails is what is to be found out
        found = [f"{type(error).__name__}: {error}".splitlines()[0][:200]]
    seconds = time.perf_counter() - began
    return {
        "case": case.name,
        "agrees": not found,
        "differ": "; ".join(found),
        "graphs": outcomes[CAPTURED],
        "uncaptured": uncaptured(outcomes),
        "seconds": seconds,
    }


def differences(there: Record, back: Record, tolerance: float) -> list[str]:
    """``table.column: largest relative difference`` where that is above ``tolerance``."""
    found = []
    for table in ("trials", "history", "layers"):
        a, b = getattr(there, table), getattr(back, table)
        if len(a) != len(b):
            found.append(f"{table}: {len(a)} rows and {len(b)}")
            continue
        for column in [c for c in a.select_dtypes("number") if c not in UNTIMED]:
            u, v = (t[column].to_numpy(float, na_value=np.nan) for t in (a, b))
            differ = (u != v) & ~(np.isnan(u) & np.isnan(v))
            share = SMALL if tolerance <= TOLERANCE else SMALL_ROUNDED
            least = max(share * np.max(np.abs(v), where=np.isfinite(v), initial=0.0), 1e-9)
            gap = np.abs(u - v)[differ] / np.maximum(np.abs(v[differ]), least)
            if len(gap) and not gap.max() <= tolerance:
                found.append(f"{table}.{column}: {gap.max():.2g}")
    if there.trials["status"].tolist() != back.trials["status"].tolist():
        found.append("trials.status")
    return found


LIMITS: tuple[tuple[str, int, Row], ...] = (
    ("cnn of width 64: an evaluation of more than 2^31 numbers", 33, {"model": "cnn", "width": 64}),
    ("cnn, batch 4096: a step of more than 2^31 numbers", 80, {"model": "cnn", "batch_size": 4096}),
    ("mlp", 1024, {"model": "mlp"}),
    ("mlp with batch normalization", 1024, {"model": "mlp", "normalization": "batch"}),
    ("cnn", 1024, {"model": "cnn"}),
    ("cnn with group normalization", 1024, {"model": "cnn", "normalization": "group"}),
    ("cnn_2c2d", 128, {"model": "cnn_2c2d"}),
)
"""Name, trials and fields of units that are large in one way or another."""


def limits(dataset: str, device: str, most: int = 1024) -> Iterator[Row]:
    """A few steps of units of up to ``most`` trials: no row may fail, whatever does not fit."""
    for name, count, fields in LIMITS:
        width = min(count, most)
        _forget_peak(device)
        common: Row = {"dataset": dataset, "batch_size": 128, "updates": 4} | fields
        trials = tuple(
            resolve(Trial(**common, learning_rate=1e-3 * (1 + i // 3), seed=i % 3))
            for i in range(width)
        )
        began = time.perf_counter()
        rows = train_unit(Unit("limits", trials, 4, False, False, device)).record().trials
        failed = rows[rows["status"] == "failed"]
        yield {
            "unit": name,
            "trials": width,
            "failed": len(failed),
            "reason": failed["status_reason"].iloc[0] if len(failed) else "",
            "seconds": time.perf_counter() - began,
            "peak_gib": _peak_gib(device),
        }


def widths(dataset: str, device: torch.device, most: int = 1024) -> Iterator[Row]:
    """Milliseconds of a step of K trials at batch 128, and microseconds a trial of it."""
    for model, count in itertools.product(("mlp", "cnn"), [k for k in WIDTHS if k <= most]):
        trial = resolve(Trial(dataset=dataset, model=model, clipping="global_norm"))
        with reproducible(device):
            program = Program(parts_of(trial), trial, device)
            population = program.start([trial]).take([0] * count)
            splits = load(trial.dataset).to(device)
            index = torch.arange(128, device=device).expand(count, -1)
            images = splits.train_images[index.flatten()].to(program.dtype)
            batch = images.unflatten(0, index.shape) / 255, splits.train_labels[index]
            rates = torch.ones(count, device=device, dtype=program.dtype)

            def step() -> None:
                program.step(population, *batch, rates)  # noqa: B023

            seconds = seconds_of(step, device)
        yield {
            "model": model,
            "together": count,
            "milliseconds": 1e3 * seconds,
            "microseconds_a_trial": 1e6 * seconds / count,
        }


def best_width(rows: pd.DataFrame) -> dict[str, int]:
    """The fewest trials together that come within a tenth of the least time a trial."""
    best = {}
    for model, group in rows.groupby("model"):
        least = group["microseconds_a_trial"].min()
        near = group[group["microseconds_a_trial"] <= 1.1 * least]
        best[str(model)] = int(near["together"].min())
    return best


def seconds_of(call: Callable[[], None], device: torch.device) -> float:
    """Of one call, the mean over `STEP_SECONDS`; three come before."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(3):
        call()
    wait()
    began = time.perf_counter()
    call()
    wait()
    times = max(2, min(200, math.ceil(STEP_SECONDS / max(time.perf_counter() - began, 1e-6))))
    began = time.perf_counter()
    for _ in range(times):
        call()
    wait()
    return (time.perf_counter() - began) / times


def _forget_peak(device: str) -> None:
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak_gib(device: str) -> float:
    return 0.0 if device == "cpu" else torch.cuda.max_memory_allocated() / 2**30

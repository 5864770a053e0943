"""Time a step of a loop in torch with each clipping attached, beside ``clip_grad_norm_``.

The loop is the one that a user has: forward, backward, clip, step. Both take turns, so that
whatever else the machine does hits both alike.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import torch
from torch import nn

from benchmark import clip
from benchmark.data import load
from benchmark.engine import resolve
from benchmark.engine.trials.resolve import build_model, parts_of
from benchmark.records import Trial
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.timing.plans import Plan
from benchmark.timing.stopwatch import Job, Lab, Row
from benchmark.timing.strategies import RATE, Run, against

WORKLOADS = ("mlp_digits", "mlp_fashion")
"""A network whose step is short, where a guard weighs most, and a usual one."""
MAX_NORM = 1.0


def guard_jobs(plan: Plan, lab: Lab) -> Iterator[Job]:
    """Every clipping as a guard, and no clipping, beside torch's own."""
    for name in WORKLOADS:
        workload = plan.workload(name)
        mark = {"what": "guards", "workload": name, "factor": "clipping", "device": lab.device}
        yield functools.partial(_beside, lab, mark, workload.trial, plan)


def _beside(lab: Lab, mark: Row, trial: Trial, plan: Plan) -> list[Row]:
    rows = lab.alone(time_guards, trial, lab.device, plan.pairs, plan.pair_seconds)
    return [mark | row for row in rows]


def time_guards(trial: Trial, device: str, pairs: int, pair_seconds: float) -> list[Row]:
    """Every registered clipping, attached, against ``clip_grad_norm_``, ``pairs`` times in turns.

    The arm of a loop that does not clip at all is called ``bare``.
    """
    arms = {"bare": loop(trial, device)}
    arms |= {name: loop(trial, device, guard=name) for name in CLIPPINGS}
    return against(loop(trial, device, torchs=True), arms, 1, pairs, pair_seconds)


def loop(trial: Trial, device: str, *, torchs: bool = False, guard: str | None = None) -> Run:
    """Steps of the trial's network on one batch, with torch's clipping, a guard, or neither."""
    resolved = resolve(dataclasses.replace(trial, learning_rate=RATE))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trial.seed)
        model = build_model(parts_of(resolved), resolved).to(device)
    splits = load(trial.dataset).to(torch.device(device))
    some = slice(0, trial.batch_size)
    images = (splits.train_images[some].float() - splits.mean) / splits.std
    labels = splits.train_labels[some]
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    if guard is not None:
        clip.attach(optimizer, guard, model=model)

    def run(steps: int) -> int:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            if torchs:
                nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
        return steps

    return run

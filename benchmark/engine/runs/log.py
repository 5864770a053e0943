"""The log of one trial: from what the device measured to rows of the result tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmark.engine.trials.budget import Budget
from benchmark.measurements import summarize_steps
from benchmark.records import Trial
from benchmark.spikes import spike_score
from benchmark.status import chance_level, classify, learned_level, spike_level
from benchmark.strategies.batch_policies import GradientSample, simple_noise_scale
from benchmark.strategies.disturbances import DISTURBANCES, Disturbance

Row = dict[str, Any]

OVER_ALL_STEPS = (
    *("gradient_norm_median", "gradient_norm_p90", "gradient_norm_max"),
    "clipped_fraction",
)
"""Columns of a trial that summarize its steps as a row of history does those of a segment."""


@dataclass(frozen=True)
class Scale:
    """What the numbers of a trial are measured against.

    ``examples`` is the size of the training set; ``checked`` the number of validation examples
    looked at in a checkpoint, ``validation`` that of the final evaluation; ``warm_up`` the steps in
    which the clipping cannot act yet, ``undecided`` what of the budget is used before the batch
    policy may first change anything, 0 if it never does; ``skips_overflow`` whether steps whose
    gradient is not finite are skipped, because the loss is scaled.

    The loss of a batch that a disturbance changed is that of other data, and no spike: what it did
    to the network shows in the steps after it.
    """

    budget: Budget
    examples: int
    classes: int
    checked: int
    validation: int
    target_accuracy: float
    warm_up: int = 0
    undecided: int = 0
    skips_overflow: bool = False
    disturbance: Disturbance = DISTURBANCES["none"]


@dataclass
class Log:
    """Everything the host knows about one trial while it trains."""

    trial: Trial
    scale: Scale
    batch_size: int
    rate_factor: float = 1.0
    last_batch_size: int | None = None
    steps: int = 0
    samples_seen: int = 0
    sampled_step: int = 0
    initial_loss: float = math.nan
    spike_step: int | None = None
    nonfinite_step: int | None = None
    disturbed_step: int | None = None
    reason: str | None = None
    history: list[Row] = field(default_factory=list)
    layers: list[Row] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)
    norms: list[np.ndarray] = field(default_factory=list)
    clipped: list[np.ndarray] = field(default_factory=list)
    skipped: list[np.ndarray] = field(default_factory=list)
    samples: list[GradientSample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first_batch_size = self.batch_size

    @property
    def validation_losses(self) -> list[float]:
        """Validation loss at every checkpoint after the first step."""
        return [row.get("validation_loss", math.nan) for row in self.history[1:]]

    @property
    def used(self) -> int:
        """How much of the budget is used, in its unit."""
        return self.scale.budget.used(self.steps, self.samples_seen)

    @property
    def ended(self) -> bool:
        """Whether the trial takes no more steps: it broke, or its budget holds no full batch."""
        return self.nonfinite_step is not None or not self.steps_until(self.scale.budget.amount)

    def steps_until(self, target: int) -> int:
        """Steps until ``target`` of the budget is used, within the budget."""
        return self.scale.budget.updates_until(target, used=self.used, batch_size=self.batch_size)

    def progress(self, step: int) -> float:
        """Share of the budget used at the middle of the step after ``step`` more from here."""
        return self.scale.budget.progress(step, used=self.used, batch_size=self.batch_size)

    def disturbed(self, steps: int) -> range:
        """Which of the next ``steps`` steps are disturbed, counted from 0."""
        disturbance = self.scale.disturbance
        if not disturbance.updates:
            return range(0)
        begin = self._until_disturbed()
        return range(max(0, begin), min(steps, begin + disturbance.updates))

    def disturbed_before(self, step: int) -> int:
        """How many steps were disturbed before the one after ``step`` more from here."""
        return step - self._until_disturbed()

    def _until_disturbed(self) -> int:
        """Steps from here to the first that is disturbed; negative where that is past."""
        if self.disturbed_step is not None:
            return self.disturbed_step - 1 - self.steps
        return self.scale.budget.updates_before(
            self.scale.disturbance.at, used=self.used, batch_size=self.batch_size
        )

    def add_steps(
        self, losses: np.ndarray, norms: np.ndarray, clipped: np.ndarray, learning_rate: float
    ) -> None:
        """Record a segment of steps; everything after its first non-finite number is dropped.

        Arrays have the shape (steps,); ``learning_rate`` is that of the last step.
        """
        # and not what is chosen once the budget is used up, for a batch that never comes
        self.last_batch_size = self.batch_size
        if not self.steps:
            self.initial_loss = float(losses[0])
        disturbed = self.disturbed(len(losses))
        finite = np.isfinite(losses), np.isfinite(norms)
        skipped = np.zeros(len(losses), dtype=bool)
        if not (finite[0].all() and finite[1].all()):
            # where the loss itself is not finite, no scale brings the network back
            skipped = finite[0] & ~finite[1] & self.scale.skips_overflow
            broken = np.flatnonzero(~(finite[0] & (finite[1] | skipped)))
            norms = np.where(skipped, np.nan, norms)
            if len(broken):
                end = int(broken[0]) + 1
                losses, norms, clipped = losses[:end], norms[:end], clipped[:end]
                skipped = skipped[:end]
                self._break(
                    self.steps + end, "loss" if not np.isfinite(losses[-1]) else "gradient norm"
                )
        if self.spike_step is None:
            self._look_for_spike(losses, disturbed)
        if disturbed and disturbed.start < len(losses) and self.disturbed_step is None:
            self.disturbed_step = self.steps + disturbed.start + 1
        self.steps += len(losses)
        self.samples_seen += len(losses) * self.batch_size
        self.losses.append(losses)
        self.norms.append(norms)
        self.clipped.append(clipped)
        self.skipped.append(skipped)
        self.history.append(
            {
                "trial": self.trial.key,
                "step": self.steps,
                "samples": self.samples_seen,
                "learning_rate": learning_rate,
                "batch_size": self.batch_size,
                **summarize_steps(losses, norms, clipped),
                "skipped_fraction": self._share(skipped),
            }
        )

    def _look_for_spike(self, losses: np.ndarray, disturbed: range) -> None:
        level = spike_level(self.initial_loss)
        spikes = losses > level
        if self.scale.disturbance.changes_batch:
            spikes[disturbed.start : disturbed.stop] = False
        if spikes.any():
            first = int(spikes.argmax())
            self.spike_step = self.steps + first + 1
            self.reason = self.reason or (
                f"loss {losses[first]:.4g} above {level:.4g} at step {self.spike_step}"
            )

    def _share(self, skipped: np.ndarray) -> float | None:
        """Share of steps that were skipped; None where none can be."""
        return float(skipped.mean()) if self.scale.skips_overflow and len(skipped) else None

    def step_series(self) -> list[np.ndarray]:
        """Losses, norms, whether clipped and whether skipped, (steps,) each, of all steps taken."""
        series = (self.losses, self.norms, self.clipped, self.skipped)
        return [np.concatenate(pieces) if pieces else np.array([]) for pieces in series]

    def _break(self, step: int, what: str) -> None:
        self.nonfinite_step = step
        self.reason = f"{what} not finite at step {step}"

    def add_checkpoint(self, **measured: float) -> None:
        """Complete the last row of history with what is measured once a checkpoint."""
        row = self.history[-1]
        row.update(measured)
        if self.nonfinite_step is None and not math.isfinite(measured.get("parameter_norm", 0.0)):
            self._break(self.steps, "a parameter")

    def add_sample(self, sample: GradientSample) -> None:
        """Record how gradients scattered, and complete the last row with the noise scale."""
        self.sampled_step = self.steps
        self.samples.append(sample)
        self.history[-1] |= {
            "noise_scale": simple_noise_scale(self.samples),
            "gradient_variance": sample.variance,
            "gradient_squared": sample.mean_squared,
        }

    def add_start(self, **measured: float) -> None:
        """The row of history for step 0, the network as it was initialized."""
        start: Row = {"trial": self.trial.key, "step": 0, "samples": 0}
        start |= {"learning_rate": self.trial.learning_rate, "batch_size": self.batch_size}
        self.history.append(start | measured)
        if not self.scale.budget.amount and not math.isfinite(measured["validation_loss"]):
            self.nonfinite_step = 0
            self.reason = "loss not finite at initialization"

    def _fall(self) -> int:
        """Step of the first checkpoint of the last stay at chance.

        The last one where only the full evaluation is at chance.
        """
        rows = self.history[1:]
        chance = chance_level(self.scale.classes, self.scale.checked)
        good = [i for i, r in enumerate(rows) if r.get("validation_accuracy", math.nan) > chance]
        return int(rows[min(good[-1] + 1, len(rows) - 1)]["step"])

    def row(self, **final: float) -> Row:
        """The trial's row; ``final`` holds what the run adds.

        That is the full evaluations, unless the trial broke, and what is shared by the unit.
        """
        s = self.scale
        accuracies = [r.get("validation_accuracy", math.nan) for r in self.history]
        after_start = list(zip(self.history, accuracies, strict=True))[1:]
        status = classify(
            accuracies[1:],
            final.get("validation_accuracy", 0.0),
            chance=chance_level(s.classes, s.validation),
            learned=learned_level(s.classes, s.target_accuracy),
            spiked=self.spike_step is not None,
            finite=self.nonfinite_step is None,
        )
        bad = [b for b in (self.spike_step, self.nonfinite_step) if b is not None]
        first_bad = min(bad) if bad else None
        if status == "collapsed" and first_bad is None:
            first_bad = self._fall()
            self.reason = f"accuracy fell to chance by step {first_bad}"
        if status == "stalled":
            unit = "updates" if s.budget.in_updates else "epochs"
            self.reason = "never learned" if s.budget.amount else f"0 {unit}: not trained"
            if self.skipped and all(part.all() for part in self.skipped):
                self.reason = "every step was skipped, because its scaled gradient overflowed"
        undecided = s.budget.updates_until(s.undecided, used=0, batch_size=self.first_batch_size)
        for factor, warm_up in (("clipping", s.warm_up), ("batch_policy", undecided)):
            if 0 < self.steps <= warm_up:
                early = f"ended within the {warm_up} steps of {self.trial.row()[factor]}'s warm-up"
                self.reason = f"{self.reason}; {early}" if self.reason else early
        reached = [r for r, a in after_start if a >= s.target_accuracy]
        losses, norms, clipped, skipped = self.step_series()
        over_all = summarize_steps(losses, norms, clipped)
        return {
            "trial": self.trial.key,
            "cell": self.trial.cell,
            **self.trial.row(),
            "status": status,
            "status_reason": self.reason,
            "first_bad_step": first_bad,
            "first_spike_step": self.spike_step,
            "disturbed_step": self.disturbed_step,
            "warm_up_steps": s.warm_up,
            "policy_warm_up_steps": undecided,
            "target_accuracy": s.target_accuracy,
            "steps": self.steps,
            "samples": self.samples_seen,
            "final_batch_size": self.last_batch_size or self.batch_size,
            "initial_loss": self.initial_loss,
            "train_loss": self.history[-1].get("train_loss"),
            "best_validation_accuracy": max(
                (a for a in accuracies if not math.isnan(a)), default=math.nan
            ),
            **{name: over_all[name] for name in OVER_ALL_STEPS},
            "spike_score": spike_score(losses),
            "steps_to_target": reached[0]["step"] if reached else None,
            "samples_to_target": reached[0]["samples"] if reached else None,
            "classes": s.classes,
            "examples": s.examples,
            "skipped_fraction": self._share(skipped),
            "loss_scale": self.history[-1].get("loss_scale"),
            **final,
        }

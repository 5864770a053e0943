"""How long a trial trains: so many examples, or so many updates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.records import Trial


def examples_in(epochs: float, examples: int) -> int:
    """Whole examples in so many passes over ``examples``, none of them lost to rounding.

    >>> int(0.29 * 100), examples_in(0.29, 100)
    (28, 29)
    """
    return math.floor(round(epochs * examples, 6))


@dataclass(frozen=True)
class Budget:
    """``amount`` of training examples, or of updates; what is used of it is in the same unit.

    A trial's progress, its checkpoints and its end are shares of the budget in this unit,
    whatever the batch size does meanwhile.

    >>> examples, updates = Budget(1000), Budget(100, in_updates=True)
    >>> examples.updates_until(500, used=0, batch_size=64)
    8
    >>> updates.updates_until(50, used=0, batch_size=64)
    50
    """

    amount: int
    in_updates: bool = False

    @classmethod
    def of(cls, trial: Trial, examples: int) -> Budget:
        """The budget of a resolved trial that uses ``examples`` of its training set."""
        if trial.updates is not None:
            return cls(trial.updates, in_updates=True)
        assert trial.epochs is not None
        return cls(examples_in(trial.epochs, examples))

    def used(self, updates: int, samples: int) -> int:
        """What so many updates, on so many examples in all, use of the budget."""
        return updates if self.in_updates else samples

    def cost(self, batch_size: int) -> int:
        """What one update uses."""
        return 1 if self.in_updates else batch_size

    def share(self, part: int, parts: int) -> int:
        """``part`` of ``parts`` equal shares, rounded down."""
        return self.amount * part // parts

    def updates_until(self, target: int, *, used: int, batch_size: int) -> int:
        """Updates until ``target`` is used, as far as the budget reaches."""
        cost = self.cost(batch_size)
        wanted = math.ceil((target - used) / cost)
        return max(0, min(wanted, (self.amount - used) // cost))

    def updates_before(self, share: float, *, used: int, batch_size: int) -> int:
        """Updates from here to the first before which ``share`` of the budget is used."""
        return max(0, math.ceil((share * self.amount - used) / self.cost(batch_size)))

    def largest_batch(self, used: int) -> float:
        """Most examples for which an update is left."""
        return math.inf if self.in_updates else self.amount - used

    def progress(self, step: int, *, used: int, batch_size: int) -> float:
        """Share of the budget used at the middle of the update after ``step`` more from here."""
        return (used + (step + 0.5) * self.cost(batch_size)) / self.amount

    def __str__(self) -> str:
        return f"{self.amount:,} {'updates' if self.in_updates else 'examples'}"

"""When training goes back to an earlier state, and to which.

After a spike of the loss PaLM was restarted from a checkpoint "roughly 100 steps before the spike",
and went on behind "roughly 200-500 data batches, which cover the batches that were seen before and
during the spike" (Chowdhery et al. 2022, 2204.02311, section 5.1). Here a rule flags the step, and
the numbers are those: a snapshot is taken every 100 steps and the last two are kept, so that the
older one, to which training returns, is 100 to 199 steps old and was not taken in the midst of what
the rule has just seen. The data are not rewound: those that the lost steps have seen are skipped.

- After a return both snapshots are the one returned to, and what was taken since is forgotten.
- While what follows is flagged as well, it is skipped from there; but no snapshot is returned to
  more than 100 times. A loss that moves up for good is then taken for what it is, 300 batches at
  most after the last step that was kept, and nothing is undone before there are two new snapshots.
- The start is no such snapshot: nothing is undone in the first 200 steps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.strategies.clipping.rule import FIRST_RETURN, SNAPSHOT_EVERY, State

MOST_RETURNS = 100
"""How often a snapshot is returned to at most."""
COUNTS = ("steps", "returns")


class Course(NamedTuple):
    """What becomes of a step: whether training ``returns`` to the older snapshot, else whether a
    snapshot is ``kept`` of what the step has come to; and the ``counts`` after it."""

    returns: Tensor
    kept: Tensor
    counts: State


def no_steps_since(like: Tensor) -> State:
    """Counts () at the start, on the device of ``like``.

    ``steps`` since there was one state alone, that of the start or of the last return; ``returns``
    to the older snapshot, of which the start has had as many as it may.
    """
    zero = torch.zeros((), dtype=torch.long, device=like.device)
    return {"steps": zero, "returns": zero + MOST_RETURNS}


def course(flagged: Tensor, finite: Tensor, counts: State) -> Course:
    """What becomes of a step that a rule ``flagged`` or not; all are () or (K,).

    A flagged step that is not ``finite`` is undone in any case: there is nothing to be taken.

    >>> counts = {"steps": torch.tensor(199), "returns": torch.tensor(MOST_RETURNS)}
    >>> yes, no = torch.tensor(True), torch.tensor(False)
    >>> after = course(no, yes, counts)
    >>> after.kept, after.counts["returns"]
    (tensor(True), tensor(0))
    >>> course(yes, yes, counts).returns, course(yes, yes, after.counts).returns
    (tensor(False), tensor(True))
    """
    returns = flagged & ((counts["returns"] < MOST_RETURNS) | ~finite)
    steps = torch.where(returns, 0, counts["steps"] + 1)
    kept = ~returns & (steps % SNAPSHOT_EVERY == 0)
    # then the older snapshot is one that was not returned to yet
    renewed = kept & (steps >= FIRST_RETURN)
    again = torch.where(renewed, 0, counts["returns"] + returns)
    return Course(returns, kept, {"steps": steps, "returns": again})

"""Which columns of a log are its step, loss, gradient norm and clipping, and what is in them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmark.diagnosis.reading import LogError, Row, Rows
from benchmark.names import quoted, unknown
from benchmark.records.fields import LARGEST

NAMES: dict[str, tuple[str, ...]] = {
    "step": (
        *("step", "global_step", "trainer_global_step", "train_global_step", "iteration", "iter"),
        *("iterations", "update", "updates", "num_updates", "train_step", "training_step", "batch"),
        "batch_idx",
    ),
    "loss": (
        *("loss", "train_loss", "training_loss", "train_loss_step", "loss_train", "loss_step"),
        *("batch_loss", "train_batch_loss", "lm_loss", "train_lm_loss", "total_loss", "nll"),
        *("train_total_loss", "train_nll"),
    ),
    "norm": (
        *("grad_norm", "gradient_norm", "norm", "gnorm", "train_grad_norm", "train_gradient_norm"),
        *("train_gnorm", "grad_norm_total", "grad_2_0_norm_total", "global_grad_norm"),
        *("total_grad_norm", "gradient_norm_total", "global_norm", "total_norm", "optim_grad_norm"),
    ),
    "clipped": ("clipped", "is_clipped", "was_clipped", "grad_clipped", "clipped_fraction", "clip"),
    "rate": (
        *("lr", "learning_rate", "train_lr", "train_learning_rate", "base_lr", "optim_lr", "lr_0"),
        *("learning_rate_0", "lr_group_0"),
    ),
}
"""What loggers call each, in lower case with other signs as underscores; the first that is there
counts."""
PATTERNS = {
    "loss": re.compile(r"(?!.*(val|eval|test|dev|epoch|best|min|max|scale|smooth)).*loss.*"),
    "norm": re.compile(r"(?!.*(after|clipped|weight|bias|layer|param)).*(grad.*norm|norm.*grad).*"),
    "rate": re.compile(r"(.*_)?(lr|learning_rate)(_.*)?"),
}
"""What else may be one, where only one column looks so."""
PHASES = ("split", "phase", "mode", "stage", "subset")
TRAINING = ("train", "training", "fit")
MISSING = ("", "none", "null", "n/a", "na", "-")
NAMED = 8
"""Columns that a message names at most."""
SOME_RESTARTS = 3
"""How often steps may go back, though none comes twice, because a run went on from there."""
NONE = "none"
"""What an option says where there is no such column."""


@dataclass(frozen=True)
class Series:
    """One column: ``values`` (rows,) at ``steps`` (rows,), which increase."""

    name: str
    steps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class RunLog:
    """What a log says of its run; a column that it has not is None."""

    loss: Series
    norm: Series | None = None
    clipped: Series | None = None
    rate: Series | None = None
    notes: list[str] = field(default_factory=list)


def understand(
    rows: Rows,
    *,
    step: str | None = None,
    loss: str | None = None,
    norm: str | None = None,
    clipped: str | None = None,
    rate: str | None = None,
) -> RunLog:
    """The columns of ``rows``, found by their names or told by name.

    Rows without a loss (evaluations, say) are passed over. Where steps go back, the run was started
    again from there: what came after that step before counts no more.

    Raises
    ------
    LogError
        If a column is not there or has something else in it, or the run is too short.
    """
    notes = list(rows.notes)
    kept = _training(rows.rows, notes)
    names = list(dict.fromkeys(name for row in kept for name in row))
    given = {"step": step, "loss": loss, "norm": norm, "clipped": clipped, "rate": rate}
    found = {role: _find(role, names, given[role], notes) for role in NAMES}
    if found["loss"] is None:
        raise LogError(f"no column is called a loss; name it with --loss: {_listed(names)}")
    if tail := _emptied(kept, name := found["loss"]):
        kept = [*kept[:-tail], *({**row, name: math.nan} for row in kept[-tail:])]
        notes.append(f"the last {tail} rows have an empty {quoted(name)}: taken as NaN")
    counter = _Counter(kept, found["step"], notes)
    series = {
        role: counter.series(name, notes if role == "loss" else [], flags=role == "clipped")
        for role, name in found.items()
        if name is not None and role != "step"
    }
    if len(series["loss"].values) < 2:
        raise LogError(f"{quoted(found['loss'])} has fewer than two values")
    without = len(kept) - sum(_present(row, found["loss"]) for row in kept)
    if without and rows.kind != "TensorBoard events":
        notes.append(f"{without} of {len(kept)} rows have no loss, and are passed over")
    measured = series.get("norm")
    if measured is not None and (measured.values < 0).any():
        low = measured.values[measured.values < 0][0]
        raise LogError(
            f"{quoted(measured.name)} must be a norm, hence >= 0, but got {low:g}; is it a "
            "logarithm? Leave it out with --norm none"
        )
    share = series.get("clipped")
    if share is not None and len(share.values) and np.nanmax(share.values) > 1:
        series["clipped"] = Series(share.name, share.steps, share.values / 100)
        notes.append(f"{quoted(share.name)} goes up to {np.nanmax(share.values):g}: taken as %")
    norms, clips, rates = (_nonempty(series.get(role)) for role in ("norm", "clipped", "rate"))
    return RunLog(series["loss"], norms, clips, rates, notes)


def _nonempty(series: Series | None) -> Series | None:
    return series if series is not None and len(series.values) else None


def plain(name: str) -> str:
    """A column's name in lower case, with other signs as underscores.

    >>> plain("Loss/train"), plain("grad_2.0_norm_total")
    ('loss_train', 'grad_2_0_norm_total')
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _training(rows: Sequence[Row], notes: list[str]) -> list[Row]:
    """The rows that a column of phases says are of training; all of them where there is none."""
    for name in dict.fromkeys(name for row in rows for name in row):
        if plain(name) in PHASES:
            kept = [row for row in rows if str(row.get(name)).strip().lower() in TRAINING]
            if kept and len(kept) < len(rows):
                notes.append(
                    f"{len(rows) - len(kept)} rows of another {quoted(name)} than training"
                )
                return kept
    return list(rows)


def _emptied(rows: Sequence[Row], name: str) -> int:
    """How many rows at the end have an empty ``name`` because it was NaN.

    What writes NaN as nothing (pandas does) empties all cells from some row on, and fills none that
    was empty before: an evaluation has columns of its own.
    """
    full = [_present(row, name) for row in rows]
    end = len(full) - full[::-1].index(True) if any(full) else 0
    if not end or not all(full[:end]) or not all(name in row for row in rows[end:]):
        return 0
    filled = [{column for column in row if _present(row, column)} for row in rows]
    before = set().union(*filled[:end])
    return len(rows) - end if all(columns <= before for columns in filled[end:]) else 0


def _find(role: str, names: Sequence[str], given: str | None, notes: list[str]) -> str | None:
    if given == NONE and role != "loss":
        return None
    if given is not None:
        if given not in names:
            raise LogError(unknown("column", given, names))
        return given
    called: dict[str, str] = {}
    for name in names:
        called.setdefault(plain(name), name)
    for known in NAMES[role]:
        if known in called:
            return called[known]
    if role not in PATTERNS:
        return None
    like = [name for word, name in called.items() if PATTERNS[role].fullmatch(word)]
    if len(like) == 1:
        return like[0]
    if like and role == "loss":
        raise LogError(f"several columns may be the loss; name it with --loss: {_listed(like)}")
    if like:
        what = "gradient norm" if role == "norm" else "learning rate"
        notes.append(f"{len(like)} columns look like a {what}; name one with --{role}")
    return None


def _listed(names: Sequence[str]) -> str:
    left = len(names) - NAMED
    more = f" and {left} more" if left > 0 else ""
    return ", ".join(quoted(name) for name in names[:NAMED]) + more


class _Counter:
    """The steps of rows: as logged, or their numbers."""

    def __init__(self, rows: Sequence[Row], name: str | None, notes: list[str]) -> None:
        self.rows = rows
        self.name = name
        if name is None:
            notes.append("no column of steps was found: rows are numbered from 1")
        elif self._starts_again_each_epoch():
            notes.append(f"{quoted(name)} starts again each epoch: rows are numbered from 1")
            self.name = None
        elif self._all_alike():
            raise LogError(f"{quoted(name)} must count steps, but is the same in all rows")
        elif self._in_no_order():
            notes.append(f"{quoted(name)} is in no order: rows are sorted by it")
            self.rows = [row for _, row in sorted(self._logged(), key=lambda found: found[0])]

    def _logged(self) -> list[tuple[int, Row]]:
        return [
            (_step(row[self.name], self.name, i), row)
            for i, row in enumerate(self.rows, 1)
            if self.name is not None and _present(row, self.name)
        ]

    def _all_alike(self) -> bool:
        steps = {step for step, _ in self._logged()}
        return len(steps) == 1 and len(self.rows) > 2

    def _in_no_order(self) -> bool:
        """Whether steps go back as no restarted run does, which repeats some of them."""
        steps = [step for step, _ in self._logged()]
        back = sum(after < before for before, after in itertools.pairwise(steps))
        return back > SOME_RESTARTS and len(set(steps)) == len(steps)

    def _starts_again_each_epoch(self) -> bool:
        epochs = [name for row in self.rows[:1] for name in row if plain(name) == "epoch"]
        if not epochs:
            return False
        (epoch, *_), logged = epochs, self._logged()
        back = [(a, b) for (i, a), (j, b) in itertools.pairwise(logged) if j < i]
        known = [(_number(a.get(epoch)), _number(b.get(epoch))) for a, b in back]
        return bool(back) and all(
            before is not None and after is not None and after > before for before, after in known
        )

    def series(self, name: str, notes: list[str], *, flags: bool) -> Series:
        """The values of a column at increasing steps; of a step that comes again the last.

        Only where there may be ``flags`` is true a number.
        """
        steps: list[int] = []
        values: list[float] = []
        again, back = 0, []
        for i, row in enumerate(self.rows, 1):
            if not _present(row, name):
                continue
            value = _number(row[name], flags=flags)
            if value is None:
                kind = "numbers with a decimal point" if "," in str(row[name]) else "numbers"
                raise LogError(f"{quoted(name)} must hold {kind}, but got {quoted(row[name])}")
            if self.name is None:
                step = i
            elif not _present(row, self.name):
                # a logger that writes the step only where it changes
                continue
            else:
                step = _step(row[self.name], self.name, i)
            if steps and step == steps[-1]:
                again += 1
            elif steps and step < steps[-1]:
                back.append(f"from {steps[-1]:,} (where it was {values[-1]:.4g}) to {step:,}")
            while steps and steps[-1] >= step:
                steps.pop()
                values.pop()
            steps.append(step)
            values.append(value)
        if again:
            notes.append(f"{again} rows have the step of the row before: the last counts")
        if back:
            notes.append(
                f"steps go back {len(back)} times, first {back[0]}: the run that went on counts"
                if len(back) > 1
                else f"steps go back {back[0]}: the run that went on counts"
            )
        return Series(name, np.array(steps, dtype=int), np.array(values, dtype=float))


def _present(row: Row, name: str | None) -> bool:
    value = row.get(name) if name is not None else None
    if isinstance(value, str):
        return value.strip().lower() not in MISSING
    return value is not None


def _number(value: Any, *, flags: bool = False) -> float | None:
    """The number that a cell holds, ``flags`` among them or not; None where it holds none."""
    if isinstance(value, bool):
        return float(value) if flags else None
    if isinstance(value, str) and flags:
        value = {"true": 1.0, "false": 0.0}.get(value.strip().lower(), value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return math.inf


def _step(value: Any, name: str | None, row: int) -> int:
    grouped = isinstance(value, str) and re.fullmatch(r"\s*\d{1,3}(,\d{3})+\s*", value)
    number = _number(value.replace(",", "") if grouped else value)
    if number is None or not 0 <= number <= LARGEST or number % 1:
        raise LogError(
            f"{quoted(name)} must hold whole steps from 0 to {LARGEST:,}, but got {quoted(value)} "
            f"in row {row}; name "
            "another column with --step, or number the rows with --step none"
        )
    return int(number)

"""What is checked, and what is said where a rule is broken."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.names import find
from benchmark.records import Range


class BrokenContract(AssertionError):
    """A rule that a strategy does not keep; the message names the strategy and the rule."""


@dataclass(frozen=True)
class Subject:
    """The strategy under test: what kind it is, and its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"

    def demand(self, holds: object, rule: str) -> None:
        """Raise a `BrokenContract` unless ``holds``.

        ``rule`` goes on after the strategy's name: "must ..., but ...".
        """
        if not holds:
            raise BrokenContract(f"{self} {rule}")

    @contextmanager
    def attempt(self, rule: str, but: type[Exception] = BrokenContract) -> Iterator[None]:
        """Turn any error of the strategy inside, ``but`` one, into the `BrokenContract` of
        ``rule``."""
        try:
            yield
        except (BrokenContract, but):
            raise
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise BrokenContract(f"{self} {rule}, but {type(error).__name__}: {reason}") from error

    def same(self, found: Any, expected: Any, rule: str, rtol: float = 1e-9) -> None:
        """Demand that two trees of tensors agree; NaN equals NaN."""
        try:
            torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-12, equal_nan=True)
        except AssertionError as error:
            raise BrokenContract(f"{self} {rule}, but {_gist(str(error))}") from error


def _gist(message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip()]
    return " ".join(lines[:3])


def check_description(subject: Subject, strategy: Any, registry: dict[str, Any]) -> None:
    """Rules of everything that has a name."""
    for field in ("reference", "summary"):
        value = getattr(strategy, field)
        subject.demand(isinstance(value, str) and value.strip(), f"must have a {field}")
    with subject.attempt("must have a name of its own"):
        find(strategy, registry, subject.kind)
    with subject.attempt("must be hashable"):
        hash(strategy)
    try:
        copy = pickle.loads(pickle.dumps(strategy))
    except Exception as error:
        raise BrokenContract(
            f"{subject} must reach worker processes: define its functions at the top level of a "
            f"module ({error})"
        ) from error
    subject.demand(
        copy == strategy,
        "must equal its copy in another process: compare by value (a frozen dataclass does)",
    )


def values_of(allowed: Range | None) -> list[float]:
    """The ends of a range and its default; a strategy without a number gets 0."""
    return [0.0] if allowed is None else [allowed.low, float(allowed.default), allowed.high]


def check_state(subject: Subject, before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    """A state that comes out has the tensors of the one that went in."""
    form = {k: (v.dtype, tuple(v.shape)) for k, v in before.items()}
    found = {k: (v.dtype, tuple(v.shape)) for k, v in after.items()}
    subject.demand(
        found == form,
        f"must return a state of the form that it was given, {form}, but gave {found}",
    )


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A custom state."""
    return {k: v.clone() for k, v in state.items()}

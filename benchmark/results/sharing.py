"""Which studies may share a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAY_DIFFER = {
    "study": frozenset({"question", "factors", "seeds"}),
    "search": frozenset({"question", "each", "samplers", "trials", "confirm_seeds"}),
}
"""What two definitions may differ in and share a folder: it only adds trials to those that are
there. Whatever else differs changes what a row of the same trial means, or how trials are drawn."""


def earlier_studies(found: Mapping[str, Any], now: Mapping[str, Any]) -> list[Any]:
    """Definitions that filled a folder before ``now``, by the metadata ``found`` in it.

    Raises
    ------
    ValueError
        If the last of them and ``now`` cannot share a folder.
    """
    before, earlier = found.get("study"), found.get("earlier_studies", [])
    if before in (None, now):
        return list(earlier)
    if reason := clash(before, now):
        raise ValueError(reason)
    return [*(s for s in earlier if s not in (before, now)), before]


def clash(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Why two definitions cannot share a folder; None where they can."""
    kind = str(now.get("kind"))
    if str(before.get("kind")) != kind:
        return f"a {before.get('kind')}, and this is a {kind}"
    for name in [n for n in now if n in before and n not in MAY_DIFFER.get(kind, ())]:
        if before[name] != now[name]:
            return f"with {name}={before[name]}, and this has {name}={now[name]}"
    if kind == "search" and list(before["each"]) != list(now["each"]):
        return f"for each of {list(before['each'])}, and this is for each of {list(now['each'])}"
    return None

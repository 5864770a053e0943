"""A study's rows from many files: which of them count, in which order, and what made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmark.provenance import MAKER, maker, maker_id
from benchmark.schema import KEYS, TABLES


@dataclass(frozen=True)
class Results:
    """The tables of one study and the metadata of its trials file.

    ``plan`` has every trial that is expected or has a row: the first ``planned`` as the plan's own
    files have them, then those that only their rows tell of.
    """

    trials: pd.DataFrame
    history: pd.DataFrame
    layers: pd.DataFrame
    plan: pd.DataFrame
    planned: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    plan_metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def makers(self) -> list[dict[str, Any]]:
        """What made the rows: the latest run first, then those that it went on from."""
        return [self.metadata, *reversed(self.metadata.get("earlier_makers", []))]

    def makers_of(self, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """What made these ``rows`` of the trials: all that it may have been where they do not say.

        Rows do not say that were written before they did, or whose metadata was changed since.
        """
        known = {maker_id(made): made for made in self.makers}
        named = list(dict.fromkeys(rows["maker"]))
        return [known[n] for n in named] if all(n in known for n in named) else self.makers


MOST_PIECES = 256


class Pile:
    """Rows of one table from several files, and which file each row is from.

    Of history and layers it may be enough to know which trials have any (``trials_only``).
    """

    def __init__(self, table: str, *, trials_only: bool = False) -> None:
        self.table = table
        self._columns = {"trial": TABLES[table]["trial"]} if trials_only else TABLES[table]
        self._trials_only = trials_only
        self._pieces: list[pa.Table] = []
        self._counts: list[int] = []
        self._sources: list[str] = []
        self.metadata: list[dict[str, Any]] = []

    def add(self, source: str, rows: pa.Table, metadata: dict[str, Any]) -> None:
        """Put the rows of one file on the pile."""
        if self._trials_only:
            rows = pa.table({"trial": rows["trial"].unique()})
        self._pieces.append(rows)
        self._counts.append(len(rows))
        if len(self._pieces) == MOST_PIECES:
            # a few rows of sixty columns take more room by themselves than together
            self._pieces = [pa.concat_tables(self._pieces).combine_chunks()]
        self._sources.append(source)
        self.metadata.append(metadata)

    def study(self) -> dict[str, Any] | None:
        """Definition of the study that wrote the first file; None where there is none."""
        return self.metadata[0].get("study") if self.metadata else None

    def merged(self) -> dict[str, Any]:
        """Metadata of the merged file, whose source is the empty text."""
        found = (m for source, m in zip(self._sources, self.metadata, strict=True) if not source)
        return next(found, {})

    def rows(self) -> pd.DataFrame:
        """All rows, in the order of the files."""
        empty = pa.schema(list(self._columns.items())).empty_table()
        return pa.concat_tables([empty, *self._pieces]).to_pandas()

    def sources(self) -> np.ndarray:
        """Of each row, which file it is from."""
        names = np.array(self._sources, dtype=object)
        return np.repeat(names, np.array(self._counts, dtype=int))


def latest(piles: Mapping[str, Pile]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Each trial's last row, a failure only where there is nothing else, and what goes with it.

    Also which file each trial's row is from.
    """
    trials, sources = piles["trials"].rows(), piles["trials"].sources()
    failed_first = trials["status"].ne("failed").sort_values(kind="stable").index
    kept = trials.loc[failed_first, "trial"].drop_duplicates(keep="last").index.sort_values()
    source = dict(zip(trials.loc[kept, "trial"], sources[kept], strict=True))
    tables = {"trials": trials.loc[kept].reset_index(drop=True)}
    for table in ("history", "layers"):
        rows = piles[table].rows()
        same = rows["trial"].map(source).to_numpy() == piles[table].sources()
        tables[table] = rows[same].reset_index(drop=True)
    return tables, source


def with_every_row(plan: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """``plan``, and after it what the rows of other trials say was planned."""
    others = trials.loc[~trials["trial"].isin(plan["trial"]), list(plan.columns)]
    return pd.concat([plan, others], ignore_index=True) if len(others) else plan


def in_order(table: str, rows: pd.DataFrame, order: Mapping[str, int]) -> pd.DataFrame:
    """``rows`` in the order of the plan, each trial's by step and layer."""
    rank = rows["trial"].map(lambda trial: order.get(trial, len(order)))
    place = "layer_index" if table == "layers" else KEYS[table][-1]
    by = rows.assign(_rank=rank).sort_values(
        ["_rank", *KEYS[table][:-1], place], kind="stable", ignore_index=True
    )
    return by.drop(columns="_rank")


def merged_metadata(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Metadata of the latest file, with every other maker of rows under ``earlier_makers``."""
    if not files:
        return {}
    newest = max(files, key=lambda metadata: str(metadata.get("created")))
    makers = [m for f in files for m in (*f.get("earlier_makers", ()), maker(f))]
    return {**newest, "earlier_makers": _distinct(makers, maker(newest))}


def with_earlier_makers(found: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """``now``, and every other maker of the rows ``found`` under ``earlier_makers``."""
    made = [*found.get("earlier_makers", ()), maker(found)]
    return {**now, "earlier_makers": _distinct(made, maker(now))}


def metadata_of_rows(found: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of the rows ``found`` in a file that is written ``now``.

    Where none of them was made by what writes them, as on a cluster, what made the latest stands
    in its place.
    """
    if maker(now) not in [maker(found), *found.get("earlier_makers", ())]:
        kept = {name: value for name, value in now.items() if name not in MAKER}
        now = kept | {name: found[name] for name in MAKER if name in found}
    return with_earlier_makers(found, now)


def _distinct(makers: list[dict[str, Any]], but: dict[str, Any]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for made in makers:
        if made != but and made not in out:
            out.append(made)
    return out

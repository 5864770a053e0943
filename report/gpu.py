"""What studies/gpu_check.py found on a GPU: numbers, limits, widths, processes, speed."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from benchmark.statistics.gpu_check import CONTROL, disagreements, kernels_compared
from benchmark.statistics.selection import where
from report import evidence
from report.evidence import Evidence
from report.prose import count, listing, name, setting

FOLDER = "gpu"
STAGES = ("correctness", "graphs", "limits", "widths", "processes", "grid", "studies")
NETWORKS = {"mlp_fashion": "MLP", "cnn_fashion": "CNN"}
"""Of the workloads that are timed on a GPU."""
UNFOLDED, CUDNN, NEITHER = "products", "cuDNN", "neither"
"""Which kernels are faster."""
WAYS = {"yes": "with MPS", "no": "without MPS"}
TARGETS = {
    "baseline": "what the engine is worth beside a plain loop on the same GPU",
    "processes": "how many processes should share it",
    "grid": "how long the whole grid takes",
    "kernels": "which kernels should compute convolutions",
}
"""What is asked of a GPU first, by the stage of the check that answers it."""
CASE = re.compile(r"(\w+) (?:(\w+)=)?(\S+) K=(\d+)(, twice(?: without graphs)?)?")
"""As `benchmark.timing.on_gpu.cases` names them."""
PHRASED = ("clipping", "normalization", "batch_policy", "schedule")
"""Factors whose levels say what they are levels of."""


def found() -> dict[str, pd.DataFrame]:
    """The rows of each stage of the check that was run, by its name."""
    paths = {name: evidence.default_folder() / FOLDER / f"{name}.csv" for name in STAGES}
    read = {n: pd.read_csv(p, keep_default_na=False) for n, p in paths.items() if p.exists()}
    return {name: rows for name, rows in read.items() if len(rows)}


def ghost_trials() -> pd.DataFrame:
    """The trials with ghost batch normalization of all studies that were run."""
    rows = [where(study.outcomes, normalization="ghost_batch") for study in evidence.all_studies()]
    return pd.concat([pd.DataFrame(), *rows], ignore_index=True)


def causes(rows: pd.DataFrame) -> pd.DataFrame:
    """`disagreements` in words: the ``cause``, how many ``cases`` and ``which``."""
    found = disagreements(rows)
    said = [listing(map(name, columns)) for columns in found["columns"]]
    which = ["; ".join(map(case_in_words, cases)) for cases in found["cases"]]
    return found.assign(cause=said, which=which, cases=found["cases"].map(len))


def case_in_words(case: str) -> str:
    """What a case of the check trained.

    >>> case_in_words("mlp normalization=group K=3"), case_in_words("cnn precision=tf32 K=1")
    ('MLP with group normalization, 3 together', 'CNN with precision TF32')
    >>> case_in_words("cnn ghost_batch K=33, twice")
    'CNN with ghost batch normalization, 33 together, twice'
    >>> case_in_words("rnn model=rnn K=1"), case_in_words("rnn measurement=sharpness K=3")
    ('RNN', 'RNN with its sharpness, 3 together')
    """
    found = CASE.fullmatch(case)
    if found is None:
        return name(case)
    model, factor, level, count, twice = found.groups()
    # what has to repeat itself is a normalization, which the name leaves out
    factor = factor or "normalization"
    together = f", {count} together" if count != "1" else ""
    if factor == "model":
        return f"{name(model)}{together}"
    if factor in PHRASED:
        what = setting(factor, level)
    else:
        what = f"{'its' if factor == 'measurement' else name(factor)} {name(level)}"
    return f"{name(model)} with {what}{together}{twice or ''}"


def unit_in_words(unit: str) -> str:
    """A unit of `benchmark.timing.on_gpu.LIMITS`.

    >>> unit_in_words("cnn, batch 4096: a step of more than 2^31 numbers")
    'CNN, batches of 4,096: a step of more than 2³¹ numbers'
    """
    model, rest = re.fullmatch(r"(\w+)(.*)", unit).groups()  # type: ignore[union-attr]
    rest = re.sub(r"batch (\d+)", lambda found: f"batches of {int(found[1]):,}", rest)
    return f"{name(model)}{rest}".replace("2^31", "2³¹")


def unmeasured(stages: Iterable[str], **timings: object) -> list[str]:
    """Which of `TARGETS` the results lack: neither among ``stages`` nor a timing that is there."""
    there = {*stages, *(stage for stage, found in timings.items() if found is not None)}
    return [words for stage, words in TARGETS.items() if stage not in there]


def kernels_timed() -> tuple[Evidence, pd.DataFrame] | None:
    """Where the timings of the stage ``kernels`` come from, and these; None without."""
    return evidence.load_table("kernels", "measurements", FOLDER)


def convolutions(timings: pd.DataFrame) -> pd.DataFrame:
    """`kernels_compared` of networks that have convolutions, in words.

    ``network`` is the model with its normalization, ``place`` how many train together and where,
    ``faster`` which of the two kernels is so in every repeat, of which there have to be two.
    """
    found = kernels_compared(timings)
    return _decided(found[found["workload"] != CONTROL])


def without_convolutions(timings: pd.DataFrame) -> pd.DataFrame:
    """The same of `CONTROL`, of which both ways are one."""
    found = kernels_compared(timings)
    return _decided(found[found["workload"] == CONTROL])


def _decided(rows: pd.DataFrame) -> pd.DataFrame:
    several = rows["repeats"] > 1
    faster = pd.Series(NEITHER, index=rows.index)
    faster = faster.mask(several & (rows["times_low"] > 1), UNFOLDED)
    faster = faster.mask(several & (rows["times_high"] < 1), CUDNN)
    pairs = zip(rows["workload"], rows["factor"], strict=True)
    networks = [
        name(model) + (f" with {setting('normalization', kind)}" if kind != "none" else "")
        for model, kind in pairs
    ]
    ways = zip(rows["trials_together"], rows["processes"], strict=True)
    places = [f"{k} together in {count(n, 'worker')}" for k, n in ways]
    return rows.assign(network=networks, place=places, faster=faster)


def device_of(stages: dict[str, pd.DataFrame]) -> str:
    """The GPU of all stages; nothing where they do not say, or were run on several."""
    found = {str(d) for rows in stages.values() for d in rows.get("device", [""])}
    return found.pop() if len(found) == 1 else ""


def with_ways(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``processes.csv`` in the order of a table, with the ``way`` of sharing in words."""
    order = ["model", "processes", "mps"]
    ways = rows["mps"].map(WAYS)
    return rows.assign(way=ways).sort_values(order, ascending=[False, True, False])


def most_trained(rows: pd.DataFrame) -> pd.DataFrame:
    """By network the row of `with_ways` with most trials an hour.

    ``times`` is that over the trials an hour of one process, with MPS or without alike.
    """
    best = rows.loc[rows.groupby("model", sort=False)["trials_an_hour"].idxmax()]
    alone = rows[rows["processes"] == 1].set_index(["model", "mps"])["trials_an_hour"]
    pairs = pd.MultiIndex.from_frame(best[["model", "mps"]])
    times = best["trials_an_hour"].to_numpy() / alone.reindex(pairs).to_numpy()
    return best.assign(times=times)

"""What timings come to: medians over repeats, and ratios of what was timed side by side.

Frames in, frames out; a frame of timings is the table ``measurements`` of `benchmark.schema`.
Ratios pair the timings of one repeat, because these were taken one after another under the same
load. Wall time is what a user waits for; processor time is what the work itself took, and hardly
depends on who else uses the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.seeds import CONFIDENCE

WORKLOADS = {
    "mlp_fashion": "MLP on 28x28 images",
    "cnn_fashion": "CNN on 28x28 images",
    "mlp_digits": "MLP on 8x8 digits",
    "cnn_digits": "CNN on 8x8 digits",
    "mlp_base": "MLP on 28x28 images, batch 32",
    "cnn_base": "CNN on 28x28 images, batch 32",
}
"""A reader's words for the workloads."""
ARMS = {
    "engine": "this engine",
    "torch_kernels": "this engine without compiled kernels",
    "jax": "JAX (jit, vmap, scan)",
    "tensors": "plain loop over tensors",
    "baseline": "baseline loop, DataLoader",
}
"""A reader's words for the ways of training, in the order of tables."""
PEERS = ("jax", "tensors", "baseline")
"""Those that one could use instead of the engine."""
TIMES_BASELINE = {"mlp_fashion": 2.25, "cnn_fashion": 4.0, "mlp_digits": 7.5}
"""How many times the trials an hour of the baseline loop, in as many processes, the engine is to
train on a CPU."""
OF_JAX = 1.0
"""Most of JAX's processor time that a trial of the same three workloads is to take."""
TIMES_TENSORS = {"mlp_fashion": 25.0, "cnn_fashion": 8.0}
"""The same on a GPU, against a plain loop with its tensors on that GPU."""
SHARE, SHARE_OF = 0.70, "mlp_fashion"
"""Share of the machine's own product rate to reach, and on which workload."""
DIAGNOSTICS = 0.10
"""Most of a unit's time that its measurements may take."""
DRIVER_MILLISECONDS, DRIVER_GROWTH = 2.0, 1.25
"""Most of the driver's time a trial on the largest grid, and over that on the smallest."""
START_UP_SECONDS = 10.0
TORCH = "clip_grad_norm_"
"""What torch itself offers against a norm that is too large."""
AGREEMENT = 4.0
"""Standard errors that the mean accuracies of two arms may differ by: beyond it their work is not
the same. Wide, because dozens of pairs are looked at."""

WAY = ["workload", "arm", "trials_together", "processes", "threads"]
"""What tells one way of training from another."""
COMPARED = ["what", "workload", "factor", "arm", "trials_together"]


def median_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """The median, and two order statistics that hold the true one with at least 95% confidence.

    Whatever the distribution; with fewer than six values they are the least and the greatest, and
    hold it with confidence 1 - 2 / 2^n. NaN without values.

    >>> median_interval([3.0, 1.0, 2.0])
    (2.0, 1.0, 3.0)
    >>> median_interval(range(1, 10))
    (5.0, 2.0, 8.0)
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    ordered = ordered[~np.isnan(ordered)]
    n = len(ordered)
    if not n:
        return math.nan, math.nan, math.nan
    # the k-th from either end fails where fewer than k values lie on one side of the median
    tail, k = 0.5**n, 1
    while 2 * (tail + math.comb(n, k) * 0.5**n) <= 1 - CONFIDENCE:
        tail += math.comb(n, k) * 0.5**n
        k += 1
    return float(np.median(ordered)), float(ordered[k - 1]), float(ordered[n - k])


def _summary(groups: pd.api.typing.DataFrameGroupBy, value: str, name: str) -> pd.DataFrame:
    """Columns ``name``, ``name_low`` and ``name_high`` of each group's ``value``."""
    columns = [name, f"{name}_low", f"{name}_high"]
    ends = [median_interval(some.to_numpy()) for _, some in groups[value]]
    found = pd.DataFrame(ends, columns=columns)
    # the groups' own index, as names of groups may be missing
    found.index = groups.size().index
    return found


def throughput(timings: pd.DataFrame) -> pd.DataFrame:
    """Trials an hour of each way of training, and how it compares with the baseline loop.

    Columns: `WAY`, ``data``, ``an_hour``; ``seconds`` and ``cpu_seconds`` a trial; ``times``, the
    baseline loop's seconds a trial over these; ``times_alike``, the same against the baseline loop
    in as many processes; ``times_tensors``, against the loop with tensors; ``cpu_times``, of
    processor seconds; ``share``, of the machine's rate of square products in as many processes;
    ``own_share``, of the rate of the network's own products; ``cpu_share`` and ``cpu_own_share``,
    of the rates a processor second; ``accuracy``; ``peak_bytes``. All but the last two and the
    first are medians with ``_low`` and ``_high``. The baseline is one trial at a time, in one
    thread or in several, whichever is faster.
    """
    rows = _trained(timings)
    rows["rate"] = rows["operations"] / rows["trials"] / rows["seconds"]
    rows["cpu_rate"] = rows["operations"] / rows["trials"] / rows["cpu_seconds"]
    rows = _with_machine(_with_times(rows), timings)
    groups = rows.groupby(WAY, sort=False)
    values = ["seconds", "cpu_seconds", "times", "times_alike", "times_tensors", "cpu_times"]
    values += ["share", "own_share", "cpu_share", "cpu_own_share"]
    found = pd.concat([_summary(groups, v, v) for v in values], axis=1)
    found["an_hour"] = 3600 / found["seconds"]
    found["data"] = groups["data"].first()
    found["peak_bytes"] = groups["peak_bytes"].max()
    weighted = rows.assign(total=rows["accuracy"] * rows["trials"]).groupby(WAY, sort=False)
    found["accuracy"] = weighted["total"].sum() / weighted["trials"].sum()
    return found.reset_index()


def _trained(timings: pd.DataFrame) -> pd.DataFrame:
    """The timings of trials, with ``seconds`` and ``cpu_seconds`` of one."""
    rows = timings[timings["what"] == "trials"].copy()
    for column in ("seconds", "cpu_seconds"):
        rows[column] /= rows["trials"]
    return rows


def relative(timings: pd.DataFrame) -> pd.DataFrame:
    """Every arm beside the engine, in as many processes of one thread, each at its best width.

    The best width is that of the least median processor time. Columns: ``workload``, ``arm``,
    ``trials_together``; ``cpu``, the arm's processor time a trial over the engine's, below 1 where
    the arm is ahead; ``hourly``, its trials an hour over the engine's; both medians over the
    ``repeats`` with ``_low`` and ``_high``. Workloads and arms in the order of `WORKLOADS`, `ARMS`.
    """
    rows = _trained(timings)
    rows = rows[(rows["threads"] == 1) & (rows["processes"] == rows["processes"].max())]
    each = ["workload", "arm", "trials_together"]
    medians = rows.groupby(each)["cpu_seconds"].median()
    best = medians.loc[medians.groupby(["workload", "arm"]).idxmin()].reset_index()[each]
    rows = rows.merge(best, on=each)
    paired = ["workload", "repeat"]
    engine = rows.loc[rows["arm"] == "engine", [*paired, "seconds", "cpu_seconds"]]
    rows = rows.merge(engine, on=paired, suffixes=("", "_engine"))
    rows["cpu"] = rows["cpu_seconds"] / rows["cpu_seconds_engine"]
    rows["hourly"] = rows["seconds_engine"] / rows["seconds"]
    groups = rows.groupby(each)
    found = pd.concat([_summary(groups, v, v) for v in ("cpu", "hourly")], axis=1)
    found["repeats"] = groups.size()
    order = {name: i for i, name in enumerate((*WORKLOADS, *ARMS))}
    by = ["workload", "arm"]
    return (
        found.reset_index()
        .sort_values(by, key=lambda names: names.map(order))
        .reset_index(drop=True)
    )


def ahead(compared: pd.DataFrame) -> pd.DataFrame:
    """Of `relative`'s rows, the peers whose interval of processor time lies below the engine's."""
    return compared[compared["arm"].isin(PEERS) & (compared["cpu_high"] < 1)]


def _with_times(rows: pd.DataFrame) -> pd.DataFrame:
    """With the ratios to the seconds of other ways in the same workload and repeat."""
    plain = rows[rows["threads"] == 1]
    baseline, tensors = (plain[plain["arm"] == arm] for arm in ("baseline", "tensors"))
    single = rows[(rows["arm"] == "baseline") & (rows["processes"] == 1)]
    medians = single.groupby(["workload", "threads"])["seconds"].median().reset_index()
    fastest = medians.loc[medians.groupby("workload")["seconds"].idxmin(), ["workload", "threads"]]
    alone, shared = ["workload", "repeat"], ["workload", "repeat", "processes"]
    references = {
        "times": (single.merge(fastest, on=["workload", "threads"]), "seconds", alone),
        "times_alike": (baseline, "seconds", shared),
        "times_tensors": (tensors[tensors["processes"] == 1], "seconds", alone),
        "cpu_times": (baseline[baseline["processes"] == 1], "cpu_seconds", alone),
    }
    for name, (reference, value, by) in references.items():
        slower = reference[[*by, value]].rename(columns={value: "reference"})
        rows = rows.merge(slower, on=by, how="left")
        rows[name] = rows.pop("reference") / rows[value]
    return rows


def _with_machine(rows: pd.DataFrame, timings: pd.DataFrame) -> pd.DataFrame:
    """With the shares of the machine's rates in the same repeat and as many processes."""
    machine = timings[timings["what"] == "machine"].copy()
    machine["machine_rate"] = machine["operations"] / machine["seconds"]
    machine["machine_cpu_rate"] = machine["operations"] / machine["cpu_seconds"]
    by = ["workload", "processes", "repeat"]
    for arm, name in {"square": "share", "products": "own_share"}.items():
        rates = machine.loc[machine["arm"] == arm, [*by, "machine_rate", "machine_cpu_rate"]]
        rows = rows.merge(rates, on=by, how="left")
        rows[name] = rows["rate"] / rows["machine_rate"]
        rows[f"cpu_{name}"] = rows["cpu_rate"] / rows["machine_cpu_rate"]
        rows = rows.drop(columns=["machine_rate", "machine_cpu_rate"])
    return rows


def best_ways(summary: pd.DataFrame) -> pd.DataFrame:
    """Of `throughput`'s rows, the engine's fastest of each workload over all processes."""
    engine = summary[summary["arm"] == "engine"]
    most = engine[engine["processes"] == engine["processes"].max()]
    return most.loc[most.groupby("workload", sort=False)["seconds"].idxmin()]


def against_loop(timings: pd.DataFrame) -> pd.DataFrame:
    """The engine's fastest way on a GPU beside a plain loop that has its tensors there.

    One row a workload: ``trials_together``, ``processes``, ``an_hour`` and ``loop_an_hour``, trials
    an hour of the engine and of the loop, which trains one after another in one process;
    ``times``, their ratio, a median over ``repeats`` with ``times_low`` and ``times_high``;
    ``wanted``, the ratio that is aimed at (`TIMES_TENSORS`). Workloads of which one or the other
    was not timed are left out.
    """
    summary = throughput(timings)
    engine = summary[(summary["arm"] == "engine") & summary["times_tensors"].notna()]
    best = engine.loc[engine.groupby("workload", sort=False)["seconds"].idxmin()]
    loops = summary[(summary["arm"] == "tensors") & (summary["processes"] == 1)]
    hourly = loops.set_index("workload")["an_hour"]
    repeats = timings[timings["what"] == "trials"].groupby("workload")["repeat"].nunique()
    names = ["workload", "trials_together", "processes", "an_hour"]
    ends = {f"times{end}": best[f"times_tensors{end}"] for end in ("", "_low", "_high")}
    return best[names].assign(
        loop_an_hour=best["workload"].map(hourly),
        **ends,
        repeats=best["workload"].map(repeats),
        wanted=best["workload"].map(TIMES_TENSORS),
    )


def ways_of_note(summary: pd.DataFrame) -> pd.DataFrame:
    """Of `throughput`'s rows, every program: of the engine one trial alone, and the best width."""
    engine = summary[summary["arm"] == "engine"]
    best = engine.loc[engine.groupby(["workload", "processes"])["seconds"].idxmin()]
    parts = [summary[summary["arm"] != "engine"], engine[engine["trials_together"] == 1], best]
    return pd.concat(parts).drop_duplicates(WAY).sort_index(kind="stable")


def with_machine_rates(best: pd.DataFrame, timings: pd.DataFrame) -> pd.DataFrame:
    """`best_ways` with the machine's own ``square`` and the network's ``products`` (Gflop/s)."""
    rows = timings[timings["what"].eq("machine") & timings["processes"].eq(best["processes"].max())]
    rate = rows["operations"] / rows["seconds"] / 1e9
    rates = rate.groupby([rows["workload"], rows["arm"]]).median().unstack().reset_index()
    return best.merge(rates, on="workload")


def agreement(timings: pd.DataFrame) -> pd.DataFrame:
    """Whether every way of training comes to the accuracy of the baseline loop, within noise.

    Columns: `WAY` but threads, ``accuracy``, ``difference`` from the baseline loop, ``error`` (its
    standard error, from the spread over trials within the ways), ``agrees``: at most `AGREEMENT`
    such errors and one evaluated example.
    """
    rows = timings[(timings["what"] == "trials") & (timings["threads"] == 1)]
    by = ["arm", "trials_together", "processes"]
    found = []
    for workload, group in rows.groupby("workload", sort=False):
        ways = {way: _moments(some) for way, some in group.groupby(by, sort=False)}
        freedom = sum(count - 1 for count, _, _ in ways.values())
        spread = sum(squares for _, _, squares in ways.values()) / max(freedom, 1)
        first_count, first_mean, _ = ways["baseline", 1, 1]
        example = 1 / group["evaluated"].iloc[0]
        for way, (count, average, _) in ways.items():
            error = math.sqrt(spread * (1 / count + 1 / first_count))
            found.append(
                {
                    "workload": workload,
                    **dict(zip(by, way, strict=True)),
                    "accuracy": average,
                    "difference": average - first_mean,
                    "error": error,
                    "agrees": abs(average - first_mean) <= AGREEMENT * error + example,
                }
            )
    return pd.DataFrame(found)


def _moments(rows: pd.DataFrame) -> tuple[int, float, float]:
    """Number of trials, mean accuracy, and sum of squared deviations from it."""
    count, average = rows["trials"], rows["accuracy"]
    mean = float((count * average).sum() / count.sum())
    within = ((count - 1) * rows["accuracy_deviation"].fillna(0.0) ** 2).sum()
    between = (count * (average - mean) ** 2).sum()
    return int(count.sum()), mean, float(within + between)


def overheads(timings: pd.DataFrame, what: str) -> pd.DataFrame:
    """How much more time than without: of a step, and of the same number of examples.

    Columns: `COMPARED`, and ``step`` and ``examples``, the ratios less 1, with ``_low`` and
    ``_high``; from processor time, as only that is the work's own.
    """
    rows = timings[timings["what"] == what].copy()
    rows["examples"] = rows["cpu_seconds"] / rows["baseline_cpu_seconds"] - 1
    fewer = rows["baseline_steps"] / rows["steps"]
    rows["step"] = (rows["examples"] + 1) * fewer - 1
    groups = rows.groupby(COMPARED, sort=False, dropna=False)
    found = pd.concat([_summary(groups, v, v) for v in ("step", "examples")], axis=1)
    return found.reset_index()


def loop_steps(timings: pd.DataFrame) -> pd.Series:
    """Median processor seconds of a step of a loop in torch with its own clipping, by workload."""
    rows = timings[timings["what"] == "guards"]
    return (
        (rows["baseline_cpu_seconds"] / rows["baseline_steps"]).groupby(rows["workload"]).median()
    )


def attached(timings: pd.DataFrame) -> pd.DataFrame:
    """What each clipping adds to an unclipped step of a loop in torch, `TORCH` its own function.

    Of the network whose step takes longest, the dearest last: the columns of `overheads`, the
    interval of ``step`` as ``low`` and ``high``, and ``milliseconds``, of a step of ``base``, in
    milliseconds. All were timed beside ``clip_grad_norm_``, so that an interval has the spread of
    two ratios, as if these were independent. Where no step was ``unclipped`` they are against that
    function's.
    """
    base = 1e3 * loop_steps(timings)
    if base.empty:
        return pd.DataFrame()
    found = overheads(timings, "guards")
    # attached, and letting everything through, tells what attaching costs: not a user's question
    found = found[(found["workload"] == base.idxmax()) & (found["arm"] != "none")]
    found = found.rename(columns={"step_low": "low", "step_high": "high"})
    ends, length = ["step", "low", "high"], float(base.max())
    bare = found[found["arm"] == "bare"]
    if len(bare):
        usual = bare.assign(arm=TORCH, **dict.fromkeys(ends, 0.0))
        found = pd.concat([usual, found[found["arm"] != "bare"]])
        logs, (of, low, high) = np.log1p(found[ends]), np.log1p(bare[ends].iloc[0])
        step = logs["step"] - of
        found["low"] = np.expm1(step - np.hypot(logs["step"] - logs["low"], high - of))
        found["high"] = np.expm1(step + np.hypot(logs["high"] - logs["step"], of - low))
        found["step"] = np.expm1(step)
        length *= float(np.exp(of))
    found = found.assign(
        milliseconds=found["step"] * length, base=length, unclipped=bool(len(bare))
    )
    return found.sort_values("step", kind="stable")


def diagnostics_share(timings: pd.DataFrame) -> pd.DataFrame:
    """Share of the time that all measurements add, evaluation apart, by workload and width.

    Columns ``share`` and ``share_with_layers``, where a study asks for every layer at every
    checkpoint.
    """
    parts = overheads(timings, "diagnostics")
    by = ["workload", "trials_together"]
    found = parts.pivot_table("examples", by, "arm", sort=False)
    # compiled steps have no norms apart
    always = found.get("norms", pd.Series(0.0, found.index)).fillna(0.0) + found["noise scale"]
    return pd.DataFrame(
        {
            "share": always + found["checkpoints"],
            "share_with_layers": always + found["all that can be turned off"],
        }
    ).reset_index()


def driver_cost(timings: pd.DataFrame) -> pd.DataFrame:
    """The driver's ``seconds`` and ``cpu_seconds`` a trial against the number of ``cells``."""
    rows = timings[timings["what"] == "driver"].copy()
    for column in ("seconds", "cpu_seconds"):
        rows[column] /= rows["trials"]
    groups = rows.groupby("trials", sort=True)
    found = pd.concat([_summary(groups, v, v) for v in ("seconds", "cpu_seconds")], axis=1)
    return found.reset_index().rename(columns={"trials": "cells"})


def targets(timings: pd.DataFrame) -> pd.DataFrame:
    """Every target beside what was measured.

    Columns ``target``, ``wanted``, ``measured``, ``low``, ``high`` and ``met``. A GPU has others
    than a CPU.
    """
    rows: list[tuple[str, float, float, float, float, bool]] = []

    def add(name: str, wanted: float, found: Sequence[float], at_least: bool) -> None:
        measured, low, high = found
        met = measured >= wanted if at_least else measured <= wanted
        rows.append((name, wanted, measured, low, high, bool(met)))

    best = best_ways(throughput(timings)).set_index("workload")
    on_cpu = timings.loc[timings["what"] == "trials", "device"].eq("cpu").all()
    times, against = (
        ("times_alike", "the baseline loop in as many processes")
        if on_cpu
        else ("times_tensors", "a plain loop")
    )
    for workload, wanted in (TIMES_BASELINE if on_cpu else TIMES_TENSORS).items():
        label = f"{workload}: times the trials an hour of {against}"
        add(label, wanted, _span(best, workload, times), True)
    if on_cpu:
        compared = relative(timings).set_index(["workload", "arm"])
        for workload in (w for w in TIMES_BASELINE if (w, "jax") in compared.index):
            middle, low, high = _span(compared, (workload, "jax"), "cpu")
            label = f"{workload}: processor time of a trial over that of JAX"
            add(label, OF_JAX, (1 / middle, 1 / high, 1 / low), False)
        for name, of in (("share", "square products"), ("own_share", "its own products")):
            label = f"{SHARE_OF}: share of the machine's rate of {of}"
            add(label, SHARE, _span(best, SHARE_OF, name), True)
    shares = diagnostics_share(timings)
    for row in shares[shares["trials_together"] > 1].to_dict("records"):
        label = f"{row['workload']}: diagnostics over a unit's time"
        add(label, DIAGNOSTICS, (row["share"], math.nan, math.nan), False)
        every = (row["share_with_layers"], math.nan, math.nan)
        add(f"{label}, every layer too", DIAGNOSTICS, every, False)
    cost = driver_cost(timings).set_index("cells")
    few, many = int(cost.index.min()), int(cost.index.max())
    label = f"driver: milliseconds a trial at {many:,} cells"
    of_many = [1e3 * seconds for seconds in _span(cost, many, "seconds")]
    add(label, DRIVER_MILLISECONDS, of_many, False)
    label = f"driver: that over its milliseconds a trial at {few:,} cells"
    growth = cost["seconds"][many] / cost["seconds"][few]
    add(label, DRIVER_GROWTH, (growth, math.nan, math.nan), False)
    started = timings.loc[timings["what"] == "start-up", "seconds"]
    if len(started):
        start = median_interval(started.to_numpy())
        add("start-up: seconds to the first finished unit", START_UP_SECONDS, start, False)
    return pd.DataFrame(rows, columns=["target", "wanted", "measured", "low", "high", "met"])


def _span(summary: pd.DataFrame, row: object, name: str) -> tuple[float, float, float]:
    found = summary.loc[[row], [name, f"{name}_low", f"{name}_high"]].to_numpy(dtype=float)
    middle, low, high = found[0].tolist()
    return middle, low, high

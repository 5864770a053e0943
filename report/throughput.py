"""How fast the engine is: the page of throughput."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable

import pandas as pd
from IPython.display import Markdown

from benchmark import results
from benchmark.figures.comparisons import comparison_forest
from benchmark.figures.throughput import throughput_by_width
from benchmark.statistics import speed
from report import evidence, prose
from report.display import figure
from report.evidence import Evidence
from report.prose import name, number, percent

STUDY, TABLE = "throughput", "measurements"
ARMS = {"ordinary": "(a) DataLoader", "tensors": "(b) tensors"}
FACTORS = {
    "clipping": "clippings over none",
    "normalization": "normalizations over none",
    "optimizer": "optimizers over SGD",
    "batch_policy": "batch policies over a fixed size, for as many examples",
}
PART = {
    "norms": "losses and gradient norms of every step",
    "noise scale": "noise scale, every 40 steps",
    "checkpoints": "20 checkpoints over 4",
    "layers": "every layer at each of 20 checkpoints",
    "all that can be turned off": "20 checkpoints with layers over 4 without",
    "evaluation": "validation and test, 4 checkpoints and the end",
}


@functools.cache
def load() -> tuple[Evidence, pd.DataFrame] | None:
    """Where the timings come from, and the timings; None where they were not taken."""
    folder = evidence.default_folder() / STUDY
    path = folder / f"{TABLE}.parquet"
    if not path.exists():
        return None
    timings, metadata = results.read(TABLE, path)
    empty = pd.DataFrame()
    return Evidence(STUDY, folder, results.Results(empty, empty, empty, empty, metadata)), timings


def timed(make: Callable[..., str]) -> Callable[..., Markdown]:
    """Make a function of the timings into a page's block; the first one says where they lack."""

    @functools.wraps(make)
    def block(*arguments: object) -> Markdown:
        found = load()
        if found is None:
            return Markdown(prose.not_run(STUDY) if make.__name__ == "answer" else "")
        return Markdown(make(*found, *arguments))

    return block


@timed
def answer(source: Evidence, timings: pd.DataFrame) -> str:
    """What it comes to."""
    best = speed.best_ways(speed.throughput(timings))
    parts = [
        f"{number(r['times'])} for the {_workload(r)} (K = {int(r['trials_together'])}, "
        f"{number(r['an_hour'])} an hour)"
        for r in best.to_dict("records")
    ]
    processes = int(best["processes"].max())
    alike = prose.listing(number(v) for v in best["times_alike"])
    device = source.metadata.get("device", "unknown")
    return (
        f"On `{device}`, trials an hour of the engine in {_processes(processes)} over those of one "
        f"Optuna objective with a `DataLoader`: {prose.listing(parts)}. That compares all cores "
        "with one trial at a time, as each is used. Over those of as many such objectives as "
        f"there are processes: {alike}. {_agreement(timings)}"
    )


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _workload(row: prose.Row) -> str:
    return speed.WORKLOADS[row["workload"]]


def _agreement(timings: pd.DataFrame) -> str:
    rows = speed.agreement(timings)
    largest = prose.points(rows["difference"].abs().max()).removeprefix("+")
    if rows["agrees"].all():
        return f"All arms reach the same accuracy within noise (largest difference {largest})."
    differing = rows[~rows["agrees"]]
    return (
        f"**Accuracies differ by more than noise in {prose.count(len(differing), 'way')} of "
        f"training (largest difference {largest}): the arms do not do the same work.**"
    )


@timed
def by_width(source: Evidence, timings: pd.DataFrame) -> str:
    """Times the ordinary way against how many train together."""
    summary = speed.throughput(timings)
    on_cpu = timings["device"].dropna().eq("cpu").all()
    drawing = throughput_by_width(summary, speed.TIMES_ORDINARY if on_cpu else {})
    engine = summary[summary["arm"] == "engine"]
    largest = engine.loc[engine.groupby("workload", sort=False)["times"].idxmax()]
    alt = "Trials an hour over the ordinary way's. Largest: " + prose.listing(
        f"{_workload(r)} {number(r['times'])} at {int(r['trials_together'])} together"
        for r in largest.to_dict("records")
    )
    caption = (
        "Trials an hour of the engine over those of one Optuna objective with a `DataLoader`, "
        "against how many trials train together in a process. Medians over repeats in which the "
        "arms took turns; bars are 95% intervals of the median, or the range of fewer than six "
        "repeats. Dashed: the same objective with its data as tensors. Dotted: what was aimed at."
    )
    return figure(source, "throughput", drawing, caption, f"{alt}.", (TABLE,))


@timed
def arms(source: Evidence, timings: pd.DataFrame) -> str:
    """Every arm, a table a workload: the engine's alone, and at its best width."""
    rows = speed.throughput(timings)
    rows = rows[rows["threads"] == 1]
    engine = rows[rows["arm"] == "engine"]
    by = ["workload", "processes"]
    best = engine.loc[engine.groupby(by)["seconds"].idxmin()]
    single = engine[engine["trials_together"] == 1]
    others = rows[rows["arm"] != "engine"]
    shown = pd.concat([others, single, best]).drop_duplicates(speed.WAY)
    shown = shown.sort_index(kind="stable")
    tables = [
        f"**{speed.WORKLOADS[str(workload)]}** ({name(some['data'].iloc[0])})\n\n{_arms_of(some)}"
        for workload, some in shown.groupby("workload", sort=False)
    ]
    return "\n\n".join(tables)


def _arms_of(rows: pd.DataFrame) -> str:
    labels = [
        ARMS.get(
            r["arm"],
            f"({'c' if r['trials_together'] == 1 else 'd'}) K = {int(r['trials_together'])}",
        )
        for r in rows.to_dict("records")
    ]
    return prose.table(
        pd.DataFrame(
            {
                "arm": labels,
                "processes": rows["processes"].astype(int),
                "trials an hour": [f"{v:,.0f}" for v in rows["an_hour"]],
                "processor seconds": [f"{v:.3f}" for v in rows["cpu_seconds"]],
                "times (a)": [f"{v:.2f}" for v in rows["times"]],
                "in as many processes": [f"{v:.2f}" for v in rows["times_alike"]],
                "accuracy (%)": [f"{100 * v:.1f}" for v in rows["accuracy"]],
                "memory (MiB)": [f"{v / 2**20:,.0f}" for v in rows["peak_bytes"]],
            }
        )
    )


@timed
def machine(source: Evidence, timings: pd.DataFrame) -> str:
    """The engine's best beside the machine's own products."""
    best = speed.best_ways(speed.throughput(timings))
    rows = timings[
        (timings["what"] == "machine") & timings["processes"].eq(best["processes"].max())
    ]
    rates = (rows["operations"] / rows["seconds"] / 1e9).groupby([rows["workload"], rows["arm"]])
    gigaflops = rates.median()
    shown = pd.DataFrame(
        {
            "workload": best["workload"].map(speed.WORKLOADS),
            "square products (Gflop/s)": [number(gigaflops[w, "square"]) for w in best["workload"]],
            "its own products (Gflop/s)": [
                number(gigaflops[w, "products"]) for w in best["workload"]
            ],
            "engine, of square": best["share"].map(percent),
            "of its own": best["own_share"].map(percent),
            "of square, a processor second": best["cpu_share"].map(percent),
        }
    )
    return prose.table(shown)


@timed
def overhead(source: Evidence, timings: pd.DataFrame, factor: str) -> str:
    """Time a step of one factor's levels over doing without."""
    rows = speed.overheads(timings, "strategies")
    rows = rows[rows["factor"] == factor].copy()
    # batch sizes differ, so that a step is not the same thing
    value = "examples" if factor == "batch_policy" else "step"
    shown = pd.DataFrame(
        {
            # all are of 8x8 digits, as the caption says
            "panel": [unit.replace(" on 8x8 digits:", ",") for unit in _units(rows)],
            "level": rows["arm"],
            "effect": rows[value],
            "low": rows[f"{value}_low"],
            "high": rows[f"{value}_high"],
        }
    )
    drawing = comparison_forest(shown, "added time (%)")
    dearest = shown.loc[shown.groupby("panel", sort=False)["effect"].idxmax()]
    alt = f"Added time of {FACTORS[factor]}. Largest: " + prose.listing(
        [
            f"{r['panel']}, {name(r['level'])} {percent(r['effect'], 0)}"
            for r in dearest.to_dict("records")
        ],
        ";",
    )
    caption = (
        f"Added processor time of {FACTORS[factor]}, for 8x8 digits, where a step itself is "
        "short. Each takes turns with its baseline; medians with 95% intervals (fewer than six "
        "turns: the range)."
    )
    return figure(source, f"overhead-{factor}", drawing, caption, f"{alt}.", (TABLE,))


def _units(rows: pd.DataFrame) -> list[str]:
    """Workload and width of each row."""
    pairs = zip(rows["workload"], rows["trials_together"], strict=True)
    return [f"{speed.WORKLOADS[w]}: {f'K = {k:.0f}' if k > 1 else 'alone'}" for w, k in pairs]


@timed
def diagnostics(source: Evidence, timings: pd.DataFrame) -> str:
    """What the measurements cost."""
    rows = speed.overheads(timings, "diagnostics")
    cells = rows.assign(unit=_units(rows)).pivot_table("examples", "arm", "unit", sort=False)
    shown = pd.DataFrame({"added time": [PART[arm] for arm in cells.index]})
    for way in cells.columns:
        shown[way] = [percent(v) for v in cells[way]]
    shares = speed.diagnostics_share(timings)
    batched = shares[shares["trials_together"] > 1]
    parts = [
        f"{percent(r['share'])} of a step for the {_workload(r)} "
        f"({percent(r['share_with_layers'])} with every layer)"
        for r in batched.to_dict("records")
    ]
    return (
        f"{prose.table(shown)}\n\nTogether, evaluation apart, they add {prose.listing(parts)} in a "
        "unit. A training here is short, so that its checkpoints follow each other closely: in one "
        "ten times as long, what is done at checkpoints weighs a tenth."
    )


@timed
def driver(source: Evidence, timings: pd.DataFrame) -> str:
    """The driver's time and the start-up."""
    rows = speed.driver_cost(timings)
    parts = [
        f"{number(1e3 * r['seconds'])} ms at {int(r['cells']):,} cells"
        for r in rows.to_dict("records")
    ]
    text = (
        f"The driver itself (asking, telling, files; nothing is trained) takes a trial "
        f"{prose.listing(parts)}."
    )
    started = timings.loc[timings["what"] == "start-up", "seconds"]
    if len(started):
        text += (
            f" From its start to its first finished unit, the script of the quick grid takes "
            f"{number(started.median())} s."
        )
    return text


@timed
def targets(source: Evidence, timings: pd.DataFrame) -> str:
    """Every target, met or not."""
    rows = speed.targets(timings)
    missed = rows[~rows["met"]]
    said = (
        "All were met." if missed.empty else f"{len(rows) - len(missed)} of {len(rows)} were met."
    )
    shown = pd.DataFrame(
        {
            "what": [_readable(text) for text in rows["target"]],
            "aimed at": rows["wanted"].map(number),
            "measured": rows["measured"].map(number),
            "interval": [
                "" if low != low else f"{number(low)} to {number(high)}"
                for low, high in zip(rows["low"], rows["high"], strict=True)
            ],
            "met": rows["met"].map({True: "yes", False: "no"}),
        }
    )
    return f"{said}\n\n{prose.table(shown)}"


def _readable(target: str) -> str:
    head, colon, rest = target.partition(":")
    return f"{speed.WORKLOADS.get(head, head)}{colon}{rest}"


@timed
def origin(source: Evidence, timings: pd.DataFrame) -> str:
    """The file behind the page, with its hash."""
    path = source.folder / f"{TABLE}.parquet"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return (
        f"From `{source.file(TABLE)}` ({prose.count(len(timings), 'timing')}), commit "
        f"{source.commit}, made by `{source.command}`.\n\n"
        f"```{{code-block}} text\n:class: hashes\n\n{digest}  {source.file(TABLE)}\n```"
    )

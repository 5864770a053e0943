"""Does this machine's GPU give the CPU's numbers, how wide should it train, and what is it worth?

Stages, in this order, what is least known first: `baseline` (what the engine is worth beside a loop
of plain PyTorch on the same GPU), `processes` (how many share it best, with NVIDIA's MPS and
without), `grid` (the whole grid at its scale: how long does it take?), `kernels` (convolutions
unfolded, or by cuDNN: the switch BENCHMARK_KERNELS), `ghost_batch` (ghost batches in CNNs, several
trials together), `correctness` (every model and strategy against the CPU, and again for the same
bits, by CUDA graphs and without), `graphs` (steps as CUDA graphs: the same bits, and how much
faster?), `limits` (units larger than memory, or than 2^31 numbers), `widths` (time a step by how
many trials train together), then `studies` at their scale, several at once. The same command goes
on with the grid and the studies.

Each writes its table to RESULTS/gpu as it goes: what is cut off has lost a row. With `--minutes`
all ends in that time. A stage that fails does not stop the next. What differs or fails ends with
status 1; without a GPU nothing is done, and the status is 2. `--rehearse` takes every stage through
a CPU, on next to nothing: its numbers mean nothing, but what would break on the day breaks before.
"""

from __future__ import annotations

import argparse
import functools
import gc
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pandas as pd
import torch

from benchmark.driver.executors import PROCESSES_A_GPU, at_most, open_pool
from benchmark.driver.progress import shown
from benchmark.driver.sharing_gpu import mps, serves
from benchmark.driver.together import launcher
from benchmark.driver.workers import Workers
from benchmark.engine.machine.devices import choose_device, describe_device, gpus, libraries
from benchmark.parquet import write
from benchmark.project import SCALES
from benchmark.provenance import provenance
from benchmark.records.fields import POSITIVE
from benchmark.schema import frame
from benchmark.statistics import kernels_compared, speed
from benchmark.statistics.gpu_check import kinds
from benchmark.terminal import Parser, folder_path, one_of, option, refuse
from benchmark.timing import Lab, arm_jobs, by_kernels, plan_on_gpu, unprepared
from benchmark.timing.for_a_time import STOPPED, Progress, run_for
from benchmark.timing.graph_steps import graphs
from benchmark.timing.on_gpu import Case, Row, best_width, cases, compare, limits, widths
from benchmark.timing.sharing import by_processes, variables_set

QUESTION = (__doc__ or "").splitlines()[0]
BEGAN = time.monotonic()
DATASET = "fashion-mnist"
STUDIES = (
    *("headline", "headroom", "explosion", "deep", "disturbances", "clipping", "batch_updates"),
    *("critical_batch", "full_batch", "learning_rate", "initialization", "normalization"),
    *("optimizers", "scaling", "article", "architectures"),
    *("precision", "published", "edge_of_stability", "grid", "search"),
)
"""In the order of the Makefile: what is most worth knowing first."""
AT_ONCE = 4
"""Studies at once on each GPU: one at a time leaves it idle while the host works."""
GRID_CHECKPOINTS = 20
RESERVE = 30.0
"""Seconds that are left of `--minutes` when the last stage is told to end."""
GRACE = 15.0
"""Seconds that a process has to end once its time is over."""
REHEARSED = 4.0
"""Seconds after which a rehearsal begins no further units by graphs: there are none on a CPU."""
SHORTEST = 15.0
"""Seconds below which no stage begins."""


def baseline(options: argparse.Namespace, end: float) -> bool:
    """The engine against a loop of plain PyTorch, on this GPU."""
    with sharing(options) as mps_runs:
        count = at_most(options.processes)
        pool = open_pool("processes", count, options.gpus)
        plain = Workers(count, unprepared)
        try:
            lab = Lab(pool.executor, plain, plain, count, options.device)
            jobs = shown(list(arm_jobs(plan_on_gpu(options.scale), lab)), "baseline", "runs")
            found = map(told_arms, (job() for job in jobs))
            timings = measured(options, "throughput", mps_runs, found, end)
        finally:
            pool.stop()
            plain.kill()
    if not (timings["what"] == "trials").any():
        return False
    show(speed.against_loop(timings))
    return bool(speed.agreement(timings)["agrees"].all())


def told_arms(rows: list[Row]) -> list[Row]:
    """``rows``, of which those of trials are printed: what an arm came to, at once."""
    for row in rows:
        if row["what"] != "machine":
            hourly = 3600 * row["trials"] / row["seconds"]
            print(
                f"{row['workload']} {row['arm']}, {row['trials_together']} together in "
                f"{row['processes']} processes: {hourly:,.0f} trials an hour",
                flush=True,
            )
    return rows


def measured(
    options: argparse.Namespace, name: str, mps_runs: str, found: Iterable[list[Row]], end: float
) -> pd.DataFrame:
    """The timings of a stage, written after each: a call that is cut off loses one.

    None is begun after ``end``.
    """
    path = options.results / "gpu" / name / "measurements.parquet"
    about = provenance(device=options.about["device"], mps=mps_runs, **options.libraries)
    made: list[Row] = []
    for rows in found:
        made += rows
        if rows:
            write("measurements", frame("measurements", made), path, about)
        if time.monotonic() > end:
            print("out of time")
            break
    return frame("measurements", made)


def kernels(options: argparse.Namespace, end: float) -> bool:
    """The same trials by the engine's convolutions and by cuDNN's."""
    with sharing(options) as mps_runs:
        count = at_most(options.processes)
        pool = open_pool("processes", count, options.gpus)
        try:
            lab = Lab(pool.executor, pool.executor, pool.executor, count, options.device)
            found = map(told_arms, by_kernels(options.scale, lab))
            timings = measured(options, "kernels", mps_runs, found, end)
        finally:
            pool.stop()
    show(kernels_compared(timings))
    return bool(len(timings))


def processes(options: argparse.Namespace, end: float) -> bool:
    """The same units by each number of processes, with MPS and without."""

    def timed() -> Iterator[Row]:
        ways = [True, False] if options.mps() else [False]
        for number, way in enumerate(ways):
            left = end - time.monotonic()
            mine = time.monotonic() + left / (len(ways) - number)
            with sharing(options, way) as mps_runs:
                found = by_processes(options.scale, options.gpus, options.device, until=mine)
                yield from ({"mps": mps_runs, **row} for row in found)

    # each way ends in its own time
    rows = keep(options, "processes", map(told, timed()))
    show(rows)
    return True


def grid(options: argparse.Namespace, end: float) -> bool:
    """The whole grid, or as much as there is time for: the same command goes on."""
    count = best_count(options)
    command = [*launcher(), "grid", "--workers", str(count), *of_studies(options)]
    progress = Progress(options.results, "grid", GRID_CHECKPOINTS)
    path = options.results / "gpu" / "grid.csv"
    rows = [row for row in read(path) if row["seconds"] > 0]

    def look(taken: float) -> None:
        more = {"scale": options.scale, "processes": count, "mps": options.mps_word()}
        rows.append(progress.row(taken) | more | options.about)
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)

    status, _ = run_for(command, end - time.monotonic(), look)
    show(pd.DataFrame(rows).groupby("began", sort=False).tail(1))
    return status in (0, *STOPPED)


def best_count(options: argparse.Namespace) -> int:
    """The number of processes that trained most in the stage `processes`, if that was run here."""
    found = pd.DataFrame(read(options.results / "gpu" / "processes.csv"))
    if len(found):
        found = found[found["mps"] == options.mps_word()]
    if not len(found):
        return int(at_most(options.processes))
    # of both networks alike, as the grid has as many of either
    hours = (1 / found["trials_an_hour"]).groupby(found["processes"]).agg(["sum", "size"])
    return int(hours.loc[hours["size"] == hours["size"].max(), "sum"].idxmin())


def ghost_batch(options: argparse.Namespace, end: float) -> bool:
    """Ghost batch normalization in CNNs, of which several train together."""
    return compared(options, "ghost_batch", [c for c in cases() if is_ghost_batch(c)], end)


def is_ghost_batch(case: Case) -> bool:
    """Whether several CNNs with ghost batches train together in ``case``."""
    first = case.trials[0]
    kind = (first.model, first.normalization)
    return kind == ("cnn", "ghost_batch") and len(case.trials) > 1


def correctness(options: argparse.Namespace, end: float) -> bool:
    """Every model and strategy on the GPU and on the CPU, and what has to repeat itself."""
    chosen = [c for c in cases() if options.case in c.name]
    return compared(options, "correctness", chosen, end)


def one_of_each(chosen: Sequence[Case]) -> list[Case]:
    """The first case of each kind."""
    names = pd.Series([case.name for case in chosen])
    return [chosen[i] for i in names.index[~kinds(names).duplicated()]]


def compared(options: argparse.Namespace, stage: str, chosen: Sequence[Case], end: float) -> bool:
    """The cases of a stage on the GPU and on the CPU; whether all agree."""
    if options.rehearse and not options.case:
        chosen = one_of_each(chosen)
    found = (compare(case, options.device) for case in shown(chosen, stage, "cases"))
    rows = keep(options, stage, found, end)
    wrong = rows[~rows["agrees"]]
    show(wrong)
    print(f"{len(rows) - len(wrong)} of {len(rows)} cases agree; {rows['graphs'].sum()} graphs")
    show(rows.loc[rows["uncaptured"] != "", ["case", "uncaptured"]])
    return wrong.empty


def step_graphs(options: argparse.Namespace, end: float) -> bool:
    """The same units by CUDA graphs and without."""
    seconds = {"seconds": REHEARSED} if options.rehearse else {}
    found = graphs(options.dataset, options.device, **seconds)
    rows = keep(options, "graphs", map(told, found), end)
    show(rows)
    return bool(rows["equal"].all() and (options.rehearse or rows["graphs"].all()))


def told(row: Row) -> Row:
    """``row``, which is printed: a call that is cut off has said what it found."""
    print(row, flush=True)
    return row


def large_units(options: argparse.Namespace, end: float) -> bool:
    """Units that do not fit at once."""
    most = {"most": 2} if options.rehearse else {}
    rows = keep(options, "limits", limits(options.dataset, options.device, **most), end)
    show(rows)
    return not rows["failed"].any()


def step_times(options: argparse.Namespace, end: float) -> bool:
    """How many trials together are enough."""
    most = {"most": 4} if options.rehearse else {}
    found = widths(options.dataset, choose_device(options.device), **most)
    rows = keep(options, "widths", found, end)
    show(rows)
    print("best trials together:", best_width(rows))
    return True


def studies(options: argparse.Namespace, end: float) -> bool:
    """The studies, several at once; the same command goes on with what is missing."""
    names = STUDIES[:2] if options.rehearse else STUDIES
    before = {name: trials_of(name, options.results) for name in names}
    lanes = AT_ONCE * max(len(gpus()), 1)
    command = [*launcher(), *names, "--at-once", str(lanes), *of_studies(options)]
    status, took = run_for(command, end - time.monotonic())
    trained = {name: trials_of(name, options.results) - before[name] for name in names}
    trained["all"] = sum(trained.values())
    show(keep(options, "studies", [row_of(n, status, t, took) for n, t in trained.items()]))
    return status in (0, *STOPPED)


STAGES: dict[str, Callable[[argparse.Namespace, float], bool]] = {
    "baseline": baseline,
    "processes": processes,
    "grid": grid,
    "kernels": kernels,
    "ghost_batch": ghost_batch,
    "correctness": correctness,
    "graphs": step_graphs,
    "limits": large_units,
    "widths": step_times,
    "studies": studies,
}
"""In their order: what no GPU has been asked yet comes first."""
SECONDS = {"baseline": 240.0, "processes": 160.0, "graphs": 60.0, "ghost_batch": 60.0}
SECONDS |= {"kernels": 90.0, "correctness": 240.0, "limits": 120.0, "widths": 90.0}
"""Of a stage, where `--minutes` bounds all; the grid and the studies take what is left."""


def of_studies(options: argparse.Namespace) -> list[str]:
    """The options that studies are run with."""
    chosen = ["--scale", options.scale, "--results", str(options.results)]
    return [*chosen, "--device", options.device, *["--mps"] * options.mps()]


@contextmanager
def sharing(options: argparse.Namespace, wanted: bool = True) -> Iterator[str]:
    """Within, MPS runs where it is wanted and there, for processes that are started; yes or no."""
    use = wanted and options.mps()
    around: AbstractContextManager[dict[str, str]] = mps() if use else nullcontext({})
    with around as variables, variables_set(variables):
        yield "yes" if use else "no"


def trials_of(name: str, results: Path) -> int:
    """How many trials of a study have a row."""
    path = results / name / "trials.parquet"
    parts = [path, *(results / name / "parts").glob("*.trials.parquet")]
    found = [pd.read_parquet(p, columns=["trial"]) for p in parts if p.exists()]
    return int(pd.concat(found or [NONE])["trial"].nunique())


def row_of(name: str, status: int, trials: int, took: float) -> Row:
    """What became of a study."""
    return {
        "study": name,
        "status": status,
        "trials": trials,
        "seconds": took,
        "trials_an_hour": 3600 * trials / took,
    }


NONE = pd.DataFrame({"trial": pd.Series(dtype=str)})


def read(path: Path) -> list[Row]:
    """The rows of a table that an earlier call has written."""
    if not path.exists():
        return []
    rows = pd.read_csv(path, keep_default_na=False).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def keep(
    options: argparse.Namespace, stage: str, rows: Iterable[Row], end: float = math.inf
) -> pd.DataFrame:
    """The rows of a stage as a table, written after each row: a call that is cut off loses one.

    None is begun after ``end``.
    """
    path = options.results / "gpu" / f"{stage}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    made: list[Row] = []
    for row in rows:
        made.append(row | options.about)
        pd.DataFrame(made).to_csv(path, index=False)
        if time.monotonic() > end:
            print("out of time")
            break
    return pd.DataFrame(made)


def show(rows: pd.DataFrame) -> None:
    """Print a table, if it has rows."""
    if len(rows):
        shown = rows.drop(columns=["device", "commit", "torch"], errors="ignore")
        print(shown.to_string(index=False, float_format=lambda x: f"{x:.4g}"), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages that are asked for."""
    options = read_options(arguments)
    options.device = "cpu" if options.rehearse else "cuda"
    try:
        device = choose_device(options.device)
    except ValueError:
        # there is no option for another device
        return refuse("torch sees no GPU; --rehearse runs every stage on a CPU, tiny")
    options.scale = options.scale or ("smoke" if options.rehearse else "full")
    options.results = options.results or Path("results") / options.scale
    options.dataset = "digits" if options.rehearse else DATASET
    # one GPU, which the loop has to itself, too
    options.gpus = [] if options.rehearse else gpus()[:1]
    options.processes = 2 if options.rehearse else PROCESSES_A_GPU
    options.libraries = libraries(device)
    commit = str(provenance()["commit"])[:7]
    options.about = {"device": describe_device(device), "torch": torch.__version__}
    options.about |= {"commit": commit}
    # asked once, and only where a stage wants to know
    options.mps = functools.cache(lambda: bool(options.gpus) and serves())
    options.mps_word = lambda: "yes" if options.mps() else "no"
    print(QUESTION, options.about, options.libraries, sep="\n", flush=True)
    last = math.inf if options.minutes is None else BEGAN + 60 * options.minutes - RESERVE
    if options.minutes is not None:
        ends_in_time(last + RESERVE)
    # whoever ends this process ends what it has begun: workers, studies and MPS
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wrong = [name for name in options.stages or STAGES if not ends_well(name, options, last)]
    except KeyboardInterrupt:
        print("\nstopped: what was found is written", flush=True)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    if wrong:
        print("look at:", ", ".join(wrong))
    return 1 if wrong else 0


def ends_well(name: str, options: argparse.Namespace, last: float) -> bool:
    """Run a stage, whatever became of others; False where something differs or fails."""
    print(f"\n{name}, at {time.monotonic() - BEGAN:.0f} s", flush=True)
    now = time.monotonic()
    given = options.seconds if name in ("grid", "studies") else math.inf
    end = min(now + given, last)
    if options.minutes is not None:
        end = min(end, now + SECONDS.get(name, math.inf))
    if end - now < SHORTEST:
        print("no time left: run it by itself")
        return True
    try:
        return STAGES[name](options, end)
    except Exception as error:
        # of whatever kind: the next stage may tell something
        traceback.print_exc()
        print(f"error: {name}: {' '.join(str(error).split())[:300]}", flush=True)
        return False
    finally:
        # what this process keeps is lacking to the processes of a later stage
        gc.collect()
        torch.cuda.empty_cache()


def ends_in_time(end: float) -> None:
    """End this process at ``end``, also where it waits for a device that does not answer.

    As Ctrl-C does, so that workers and MPS end with it; at once where that takes too long.
    """

    def stop() -> None:
        print("\nout of time", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(GRACE)
        os._exit(1)

    timer = threading.Timer(end - time.monotonic(), stop)
    timer.daemon = True
    timer.start()


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=QUESTION)
    parser.add_argument(
        "stages",
        nargs="*",
        type=one_of("stage", STAGES),
        metavar="STAGE",
        help=f"{', '.join(STAGES)}; all unless given",
    )
    parser.add_argument(
        "--scale", type=one_of("scale", SCALES), metavar="SCALE", help="full unless given"
    )
    parser.add_argument(
        "--results", type=folder_path, metavar="DIR", help="results/SCALE unless given"
    )
    parser.add_argument(
        "--case", default="", metavar="TEXT", help="only cases of correctness with it"
    )
    parser.add_argument(
        "--seconds",
        type=option(POSITIVE, float),
        default=1500.0,
        metavar="N",
        help="for the grid, and for the studies (1500)",
    )
    parser.add_argument(
        "--minutes",
        type=option(POSITIVE, float),
        metavar="N",
        help="for all of it: stages that do not fit end early or are left out",
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="on a CPU and next to nothing (at the scale smoke): does it run?",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

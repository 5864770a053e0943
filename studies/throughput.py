"""How many trials an hour does the engine train, against the baseline loop, and what does it cost?

All arms train the same trials in one run, taking turns, so that whatever else the machine does hits
all alike: (a) the baseline loop, an Optuna objective with a `DataLoader`, as one writes it first;
(b) the same loop with its data as tensors on the device; (c) the engine, one trial at a time; (d)
the engine in units of several; on a CPU also (e) JAX, where it is installed (the extra `peers`),
and (f) the engine without its compiled kernels, where a network has any. They are compared in equal
numbers of processes of one thread. The machine's own rate of matrix products is measured between
them. Then follow the time of each strategy over doing without it, of each clipping in a plain loop
beside torch's own, the measurements' share, the driver's time a trial and the start-up of a study
script, all beside what was aimed at.

It times a CPU: most of what it tells is from processor time. On a GPU the arms are timed by
`python -m benchmark run gpu_check baseline`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmark.driver.executors import at_most, open_pool
from benchmark.driver.progress import shown
from benchmark.driver.workers import Workers
from benchmark.engine.machine.devices import choose_device, describe_device
from benchmark.machine import cores
from benchmark.parquet import write
from benchmark.project import SCALES
from benchmark.provenance import provenance
from benchmark.records.fields import DEVICE
from benchmark.schema import frame
from benchmark.statistics import speed
from benchmark.terminal import COUNT, Parser, folder_path, one_of, option, refuse
from benchmark.timing import (
    NO_JAX,
    Lab,
    Plan,
    Row,
    arm_jobs,
    diagnostic_jobs,
    driver_jobs,
    guard_jobs,
    jax_is_installed,
    plan_of,
    strategy_jobs,
    unprepared,
)

QUESTION = (__doc__ or "").splitlines()[0]
PATH = Path("throughput") / "measurements.parquet"
ON_GPU = (
    "device {!r} is a GPU, whose time processor time does not tell; there "
    "`python -m benchmark run gpu_check baseline` times the arms; use --device cpu"
)


def measure(chosen: Plan, lab: Lab) -> list[Row]:
    """All of it: the arms, the strategies, the guards, the diagnostics, the driver."""
    jobs = [
        *arm_jobs(chosen, lab),
        *strategy_jobs(chosen, lab),
        *guard_jobs(chosen, lab),
        *diagnostic_jobs(chosen, lab),
        *driver_jobs(chosen, lab),
    ]
    return [row for job in shown(jobs, "throughput", "timings") for row in job()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and print; the exit status is 1 where the arms' accuracies differ."""
    options = read_options(arguments)
    try:
        device = choose_device(options.device)
        if device.type != "cpu":
            raise ValueError(ON_GPU.format(options.device))
        processes = at_most(options.workers or cores())
        chosen = plan_of(options.scale)
        print(QUESTION, flush=True)
        pool = open_pool("processes", processes)
        if not jax_is_installed():
            print(NO_JAX, flush=True)
        plain, peers = (Workers(processes, unprepared) for _ in range(2))
        try:
            rows = measure(chosen, Lab(pool.executor, plain, peers, processes, device.type))
        finally:
            pool.stop()
            plain.kill()
            peers.kill()
        timings = frame("measurements", rows)
        path = (options.results or Path("results") / options.scale) / PATH
        write("measurements", timings, path, provenance(device=describe_device(device)))
    except ValueError as error:
        return refuse(error)
    print(report(timings))
    print(path)
    return 0 if speed.agreement(timings)["agrees"].all() else 1


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=QUESTION)
    parser.add_argument("--scale", type=one_of("scale", SCALES), default="quick", metavar="SCALE")
    parser.add_argument(
        "--results", type=folder_path, metavar="DIR", help="results/SCALE unless given"
    )
    parser.add_argument("--device", type=option(DEVICE), default="auto")
    parser.add_argument("--workers", type=COUNT, metavar="N", help="processes; one a core")
    return parser.parse_args(arguments)


def report(timings: pd.DataFrame) -> str:
    """What was measured, as text."""
    return "\n\n".join(
        [
            "Beside the engine, in as many processes (below 1: ahead of it)\n"
            + peers_table(timings),
            "Trials an hour, by arm\n" + arms_table(timings) + NOTES,
            accuracy_line(timings),
            machine_line(timings),
            "Time a step over doing without, processor time (%)\n" + strategies_table(timings),
            "A loop in torch with a guard over one with clip_grad_norm_, processor time (%)\n"
            + guards_table(timings),
            "Diagnostics, processor time over a training without (%)\n" + shares_table(timings),
            "Driver, ms a trial\n" + driver_table(timings),
            "Targets\n" + targets_table(timings),
        ]
    )


ARMS = {"baseline": "(a) DataLoader", "tensors": "(b) tensors", "engine": "(c) engine"}
ARMS |= {"jax": "(e) JAX", "torch_kernels": "(f) engine, torch's kernels"}


NOTES = """
times (a): against (a) in one process, one trial at a time, as a user runs it, in one thread or in
  all, whichever is faster; the engine's rows with more processes use that many cores
a process: against (a) in as many processes of one thread; cpu: (a)'s processor time a trial over
  this one's, the ratio of one core
peak %, own %: counted operations over the machine's rate of square products, and of the network's
  own, in as many processes; peak cpu %: the same a processor second
medians over repeats (a 95% interval of the median, or lowest to highest of fewer than six)"""


def peers_table(timings: pd.DataFrame) -> str:
    """Every arm's processor time and trials an hour over the engine's, both at their best width."""
    rows = speed.relative(timings)
    return text(
        pd.DataFrame(
            {
                "workload": rows["workload"],
                "arm": rows["arm"].map(speed.ARMS),
                "K": rows["trials_together"],
                "cpu time a trial": spans(rows, "cpu"),
                "trials an hour": spans(rows, "hourly"),
                "repeats": rows["repeats"],
            }
        )
    )


def arms_table(timings: pd.DataFrame) -> str:
    """One line for each way of training."""
    rows = speed.throughput(timings)
    names = [
        ARMS[arm]
        if arm in ("baseline", "tensors")
        else f"{'(d) engine' if arm == 'engine' and k > 1 else ARMS[arm]}, K = {k:.0f}"
        for arm, k in zip(rows["arm"], rows["trials_together"], strict=True)
    ]
    return text(
        pd.DataFrame(
            {
                "workload": rows["workload"],
                "data": rows["data"],
                "arm": names,
                "processes": rows["processes"],
                "threads": rows["threads"],
                "trials/h": rows["an_hour"].map("{:,.0f}".format),
                "s/trial": rows["seconds"].map("{:.3f}".format),
                "cpu s": rows["cpu_seconds"].map("{:.3f}".format),
                "times (a)": spans(rows, "times"),
                "a process": spans(rows, "times_alike"),
                "cpu": spans(rows, "cpu_times"),
                "peak %": spans(rows, "share", 100, 0),
                "own %": spans(rows, "own_share", 100, 0),
                "peak cpu %": spans(rows, "cpu_share", 100, 0),
                "accuracy": rows["accuracy"].map("{:.3f}".format),
                "MiB": (rows["peak_bytes"] / 2**20).map("{:.0f}".format),
            }
        )
    )


def accuracy_line(timings: pd.DataFrame) -> str:
    """Whether all arms did the same work as well."""
    rows = speed.agreement(timings)
    if rows["agrees"].all():
        worst = rows["difference"].abs().max()
        return f"All arms agree in accuracy within noise (largest difference {worst:.3f})."
    differing = rows[~rows["agrees"]].drop(columns="agrees")
    return "ACCURACIES DIFFER: the arms do not do the same work\n" + text(differing.round(4))


def machine_line(timings: pd.DataFrame) -> str:
    """The machine's own rates."""
    rows = timings[timings["what"] == "machine"]
    rates = rows["operations"] / rows["seconds"] / 1e9
    cpu_rates = rows["operations"] / rows["cpu_seconds"] / 1e9
    by = ["workload", "arm", "processes"]
    table = rows.assign(rate=rates, cpu_rate=cpu_rates).groupby(by, sort=False)
    medians = table[["rate", "cpu_rate"]].median().round(1).reset_index()
    medians.columns = pd.Index([*by, "Gflop/s", "a cpu second"])
    return "This machine's float32 products\n" + text(medians)


def strategies_table(timings: pd.DataFrame) -> str:
    """Each strategy's time a step over its baseline's, alone and in a unit."""
    rows = speed.overheads(timings, "strategies")
    return text(
        rows[["workload", "factor", "arm"]].assign(
            K=rows["trials_together"],
            step=spans(rows, "step", 100, 0),
            examples=spans(rows, "examples", 100, 0),
        )
    )


def guards_table(timings: pd.DataFrame) -> str:
    """Each clipping's time a step in a loop over that of ``clip_grad_norm_``."""
    rows = speed.overheads(timings, "guards")
    return text(rows[["workload", "arm"]].assign(step=spans(rows, "step", 100, 0)))


def shares_table(timings: pd.DataFrame) -> str:
    """Each measurement's share."""
    rows = speed.overheads(timings, "diagnostics")
    shown = rows[["workload", "arm"]].assign(
        K=rows["trials_together"], share=spans(rows, "examples", 100, 1)
    )
    return text(shown)


def driver_table(timings: pd.DataFrame) -> str:
    """The driver's time against the number of cells."""
    rows = speed.driver_cost(timings)
    columns = {"wall": spans(rows, "seconds", 1e3), "cpu": spans(rows, "cpu_seconds", 1e3)}
    return text(rows[["cells"]].assign(**columns))


def targets_table(timings: pd.DataFrame) -> str:
    """What was aimed at, and what was measured."""
    rows = speed.targets(timings)
    measured = spans(rows.rename(columns={"low": "measured_low", "high": "measured_high"}))
    met = rows["met"].map({True: "yes", False: "no"})
    return text(rows[["target", "wanted"]].assign(measured=measured, met=met))


def spans(
    rows: pd.DataFrame, name: str = "measured", scale: float = 1.0, digits: int = 2
) -> list[str]:
    """Medians with their intervals: ``1.50 (1.41-1.62)``; without an interval where there is none.

    >>> spans(pd.DataFrame({"x": [2.0], "x_low": [1.0], "x_high": [3.0]}), "x")
    ['2.00 (1.00-3.00)']
    """
    out = []
    for middle, low, high in rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(dtype=float):
        shown = f"{scale * middle:.{digits}f}"
        if low < high:
            shown += f" ({scale * low:.{digits}f}-{scale * high:.{digits}f})"
        out.append("-" if shown == "nan" else shown)
    return out


def text(rows: pd.DataFrame) -> str:
    """A frame as aligned columns; whole numbers as such, though a column with gaps holds reals."""
    return rows.convert_dtypes().to_string(index=False)


if __name__ == "__main__":
    sys.exit(main())

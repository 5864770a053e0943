"""Does this machine's GPU give the CPU's numbers, how wide should it train, and what is it worth?

Stages, in this order, what is least known first: `baseline` (studies/throughput.py: what it is
worth beside a loop of plain PyTorch on the same GPU), `processes` (how many share a GPU best),
`ghost_batch` (ghost batches in CNNs, several trials together), `correctness` (every strategy
against the CPU, and again for the same bits), `graphs` (steps as CUDA graphs: the same bits, and
how much faster?), `limits` (units larger than memory, or than 2^31 numbers), `widths` (time a step
by how many trials train together), then `studies` at their scale, several at once, for as long as
they are given. Each writes its table as soon as it is done. What differs or fails ends with status
1; without a GPU nothing is done, and the status is 2.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from benchmark.driver.commandline import SCALES, USER_ERRORS
from benchmark.driver.sharing_gpu import CONTROL
from benchmark.driver.together import launcher
from benchmark.engine.devices import choose_device, describe_device, gpus, libraries
from benchmark.terminal import Parser, folder_path, one_of, refuse
from benchmark.timing.graph_steps import graphs
from benchmark.timing.on_gpu import Case, Row, best_width, cases, compare, limits, widths

QUESTION = (__doc__ or "").splitlines()[0]
HERE = Path(__file__).resolve().parent
DATASET = "fashion-mnist"
PROCESSES = (1, 2, 4, 8)
PIECE = ("clipping=none,global_norm", "normalization=none,batch", "batch_policy=fixed,noise_scale")
"""Of the grid, what is trained to see how many processes share a GPU best."""
STUDIES = (
    *("headline", "headroom", "explosion", "deep", "disturbances", "clipping", "batch_updates"),
    *("critical_batch", "learning_rate", "initialization", "normalization", "optimizers"),
    *("scaling", "article", "architectures"),
    *("precision", "published", "edge_of_stability", "grid", "search"),
)
"""In the order of the Makefile: what is most worth knowing first."""
AT_ONCE = 4
"""Studies at once on each GPU: one at a time leaves it idle while the host works."""
PATIENCE = 130.0
"""Seconds that a study has to land what is in flight: more than it gives its own units."""


def correctness(options: argparse.Namespace) -> bool:
    """Every strategy on the GPU and on the CPU."""
    return compared(options, "correctness", [c for c in cases() if options.case in c.name])


def ghost_batch(options: argparse.Namespace) -> bool:
    """Ghost batch normalization in CNNs, of which several train together."""
    return compared(options, "ghost_batch", [c for c in cases() if is_ghost_batch(c)])


def is_ghost_batch(case: Case) -> bool:
    """Whether several CNNs with ghost batches train together in ``case``."""
    first = case.trials[0]
    kind = (first.model, first.normalization)
    return kind == ("cnn", "ghost_batch") and len(case.trials) > 1


def compared(options: argparse.Namespace, stage: str, chosen: Sequence[Case]) -> bool:
    """The cases of a stage on the GPU and on the CPU; whether all agree."""
    bar = tqdm(chosen, desc=stage, unit="case", dynamic_ncols=True)
    rows = keep(options, stage, (compare(case, "cuda") for case in bar))
    wrong = rows[~rows["agrees"]]
    show(wrong)
    print(f"{len(rows) - len(wrong)} of {len(rows)} cases agree; {rows['graphs'].sum()} graphs")
    show(rows.loc[rows["uncaptured"] != "", ["case", "uncaptured"]])
    return wrong.empty


def step_graphs(options: argparse.Namespace) -> bool:
    """The same units by CUDA graphs and without."""
    rows = keep(options, "graphs", (told(row) for row in graphs(DATASET, "cuda")))
    show(rows)
    return bool(rows["equal"].all() and rows["graphs"].all())


def told(row: Row) -> Row:
    """``row``, which is printed: a call that is cut off has said what it found."""
    print(row, flush=True)
    return row


def large_units(options: argparse.Namespace) -> bool:
    """Units that do not fit at once."""
    rows = keep(options, "limits", limits(DATASET, "cuda"))
    show(rows)
    return not rows["failed"].any()


def step_times(options: argparse.Namespace) -> bool:
    """How many trials together are enough."""
    rows = keep(options, "widths", widths(DATASET, choose_device("cuda")))
    show(rows)
    print("best trials together:", best_width(rows))
    return True


def processes(options: argparse.Namespace) -> bool:
    """The same piece of the grid by each number of processes a GPU."""

    seconds = options.seconds / (2 * len(PROCESSES))

    def timed() -> Iterable[Row]:
        only = [word for part in PIECE for word in ("--only", part)]
        for count in PROCESSES:
            with tempfile.TemporaryDirectory() as folder:
                arguments = [
                    *("--scale", options.scale, "--workers", str(count * len(gpus()))),
                    *only,
                ]
                yield {"a_gpu": count, **study("grid", Path(folder), seconds, arguments)}

    rows = keep(options, "processes", timed())
    show(rows)
    return bool(rows["status"].isin([0, STOPPED]).all())


def baseline(options: argparse.Namespace) -> bool:
    """The engine against a loop of plain PyTorch, on this GPU."""
    folder = options.results / "gpu"
    command = [sys.executable, str(HERE / "throughput.py"), "--scale", options.scale]
    run = subprocess.run([*command, "--device", "cuda", "--results", str(folder)], check=False)
    return run.returncode == 0


def studies(options: argparse.Namespace) -> bool:
    """The studies, several at once; the same command goes on with what is missing."""
    before = {name: trials_of(name, options.results) for name in STUDIES}
    command = [*launcher(), *STUDIES, "--at-once", str(AT_ONCE * len(gpus()))]
    command += ["--mps"] if shutil.which(CONTROL) else []
    command += ["--scale", options.scale, "--results", str(options.results), "--device", "cuda"]
    status, took = run_for(command, options.seconds)

    trained = {name: trials_of(name, options.results) - before[name] for name in STUDIES}
    trained["all"] = sum(trained.values())
    show(keep(options, "studies", [row_of(n, status, t, took) for n, t in trained.items()]))
    return status in (0, STOPPED)


STAGES: dict[str, Callable[[argparse.Namespace], bool]] = {
    "baseline": baseline,
    "processes": processes,
    "ghost_batch": ghost_batch,
    "correctness": correctness,
    "graphs": step_graphs,
    "limits": large_units,
    "widths": step_times,
    "studies": studies,
}
"""In their order: what no GPU has been asked yet comes first."""
STOPPED = 128 + signal.SIGINT


def study(name: str, results: Path, seconds: float, arguments: Sequence[str]) -> Row:
    """Run a study's script for so long; then what is in flight lands, and the rest is left."""
    command = [sys.executable, str(HERE / f"{name}.py"), "--results", str(results), *arguments]
    status, took = run_for([*command, "--device", "cuda"], seconds)
    return row_of(name, status, trials_of(name, results), took)


def run_for(command: Sequence[str], seconds: float) -> tuple[int, float]:
    """Run ``command`` for so long, then ask it to stop; its exit status and the seconds taken."""
    began = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE)
    return process.returncode, time.monotonic() - began


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


def keep(options: argparse.Namespace, stage: str, rows: Iterable[Row]) -> pd.DataFrame:
    """The rows of a stage as a table, written after each row: a call that is cut off loses one."""
    path = options.results / "gpu" / f"{stage}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    made: list[Row] = []
    for row in rows:
        made.append(row)
        pd.DataFrame(made).to_csv(path, index=False)
    return pd.DataFrame(made)


def show(rows: pd.DataFrame) -> None:
    """Print a table, if it has rows."""
    if len(rows):
        print(rows.to_string(index=False, float_format=lambda x: f"{x:.4g}"), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages that are asked for."""
    options = read_options(arguments)
    try:
        device = choose_device("cuda")
    except ValueError as error:
        return refuse(error)
    options.results = options.results or Path("results") / options.scale
    print(QUESTION, describe_device(device), libraries(device), sep="\n", flush=True)
    held = True
    try:
        for name in options.stages or STAGES:
            print(f"\n{name}", flush=True)
            held &= STAGES[name](options)
    except USER_ERRORS as error:
        return refuse(error)
    return 0 if held else 1


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
    parser.add_argument("--scale", type=one_of("scale", SCALES), default="full", metavar="SCALE")
    parser.add_argument(
        "--results", type=folder_path, metavar="DIR", help="results/SCALE unless given"
    )
    parser.add_argument(
        "--case", default="", metavar="TEXT", help="only cases of correctness with it"
    )
    parser.add_argument(
        "--seconds", type=float, default=1500.0, metavar="N", help="for the studies (1500)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

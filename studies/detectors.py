"""Which rule tells a run that is lost from one that heals, from loss and gradient norm alone?

Trains labelled trials with the loss and the norm of every step (dense networks on two data sets,
and networks of other kinds that no rule was chosen on), writes them as one file that any detector
can be scored on, and scores the detectors of `benchmark.diagnosis`: what share of fatal, healing
and stable trials each raises an alarm at, and how many steps before the first bad one. The two
numbers of the rule that ``python -m benchmark diagnose`` goes by are chosen on half of the trials
of dense networks and reported on the other half.

smoke        42 trials      25,200 updates   0.003 core-hours   digits
quick       158 trials      94,800 updates   0.02 core-hours    digits
standard    500 trials     300,000 updates   0.06 core-hours    digits, Fashion-MNIST

paper and full are as standard.
"""

from __future__ import annotations

import argparse
import itertools
import runpy
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.diagnosis.detectors import DETECTORS, SHARE, WAIT, Detector, unhealed
from benchmark.engine import Record, train
from benchmark.engine.machine.devices import choose_device, describe_device
from benchmark.parquet import read, write
from benchmark.project import SCALES
from benchmark.provenance import provenance
from benchmark.records import Trial
from benchmark.records.fields import DEVICE
from benchmark.schema import TABLES
from benchmark.statistics.detection import (
    OUTCOMES,
    alarms,
    best,
    diagnosed_right,
    outcome,
    scores,
)
from benchmark.terminal import Parser, folder_path, one_of, option, refuse

QUESTION = (__doc__ or "").splitlines()[0]
STEPS, ALARMS = "labelled_steps", "alarms"
UPDATES, BATCH_SIZE, CHECKPOINTS = 600, 32, 12
GENERATOR = 20261126
WAITS, SHARES = (20, 40, 60, 80, 100, 120, 160), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Numbers of the rule that are tried."""
DIGITS = 4
"""Significant digits of losses and norms in the file."""

Stratum = tuple[dict[str, Any], float, float]
"""What the trials of a stratum have in common, and the ends of their rates."""
DISTURBED = ("bad_batch", "rate_bump", "corrupt_example")

DENSE: list[Stratum] = [
    ({"model": "mlp"}, 0.03, 3.0),
    ({"model": "mlp", "clipping": "global_norm"}, 0.1, 10.0),
    ({"model": "mlp", "clipping": "adaptive"}, 0.3, 30.0),
    ({"model": "mlp", "normalization": "batch"}, 0.1, 30.0),
    ({"model": "mlp", "optimizer": "momentum"}, 0.01, 1.0),
    ({"model": "mlp", "optimizer": "adam"}, 0.001, 0.3),
    ({"model": "mlp_deep", "depth": 5}, 0.01, 1.0),
    ({"model": "mlp_deep", "depth": 10, "clipping": "global_norm"}, 0.03, 3.0),
    ({"model": "mlp_deep", "depth": 5, "optimizer": "adam"}, 0.001, 0.1),
    # rates that rise late: trouble comes in the midst of training
    ({"model": "mlp", "schedule": "one_cycle"}, 0.3, 10.0),
    ({"model": "mlp", "schedule": "one_cycle", "optimizer": "momentum"}, 0.03, 3.0),
    ({"model": "mlp_deep", "depth": 5, "schedule": "one_cycle"}, 0.1, 3.0),
    ({"model": "mlp_deep", "depth": 5, "schedule": "one_cycle", "optimizer": "adam"}, 0.003, 0.3),
    *(({"model": "mlp", "disturbance": name}, 0.03, 0.5) for name in DISTURBED),
    *(
        ({"model": "mlp", "normalization": "batch", "disturbance": name}, 0.03, 3.0)
        for name in DISTURBED[1:]
    ),
    ({"model": "mlp", "optimizer": "momentum", "disturbance": "rate_bump"}, 0.003, 0.1),
    ({"model": "mlp_deep", "depth": 5, "disturbance": "rate_bump"}, 0.01, 0.2),
    ({"model": "mlp_deep", "depth": 5, "disturbance": "corrupt_example"}, 0.01, 0.2),
]
UNSEEN: list[Stratum] = [
    ({"model": "cnn"}, 0.03, 3.0),
    ({"model": "cnn", "optimizer": "adam"}, 0.001, 0.1),
    ({"model": "cnn", "schedule": "one_cycle"}, 0.1, 3.0),
    ({"model": "cnn", "disturbance": "rate_bump"}, 0.03, 0.3),
    ({"model": "rnn", "clipping": "global_norm"}, 0.1, 10.0),
    ({"model": "rnn", "schedule": "one_cycle"}, 0.1, 10.0),
    ({"model": "transformer"}, 0.003, 0.3),
    ({"model": "transformer", "optimizer": "adam"}, 0.001, 0.1),
]
"""On digits alone; the rule was chosen on networks without convolution, recurrence or attention."""

SIZES: dict[str, tuple[Sequence[str], int, int]] = {
    "smoke": (("digits",), 2, 0),
    "quick": (("digits",), 6, 4),
    **dict.fromkeys(("standard", "paper", "full"), (("digits", "fashion-mnist"), 10, 10)),
}
"""Data sets, and trials in each stratum of dense networks and of the others."""


def groups(scale: str) -> Iterator[tuple[str, Trial]]:
    """Every trial with its group; rates and seeds are drawn, and no two trials share a seed."""
    datasets, dense, unseen = SIZES[scale]
    draw = np.random.default_rng(GENERATOR)
    seeds = itertools.count(1000)
    halves = ["choosing", "reporting"]
    strata = [(stratum, name, dense, halves) for name in datasets for stratum in DENSE]
    strata += [(stratum, "digits", unseen, ["unseen"]) for stratum in UNSEEN]
    for (common, low, high), dataset, count, names in strata:
        for i in range(count):
            rate = float(f"{low * (high / low) ** draw.random():.3g}")
            yield (
                names[i % len(names)],
                Trial(
                    dataset=dataset,
                    learning_rate=rate,
                    updates=UPDATES,
                    batch_size=BATCH_SIZE,
                    seed=next(seeds),
                    **common,
                ),
            )


def labelled(record: Record, group_of: dict[int, str]) -> pd.DataFrame:
    """Rows of `LABELLED_STEPS` from trials whose seeds say their group."""
    losses = {t: run.to_numpy() for t, run in record.steps.groupby("trial")["loss"]}
    trials = record.trials
    ends = zip(trials["status"], trials["trial"], strict=True)
    labels = trials.assign(
        group=trials["seed"].map(group_of),
        outcome=[outcome(status, losses[trial]) for status, trial in ends],
    )
    names = [name for name in TABLES[STEPS] if name == "trial" or name not in record.steps]
    rows = record.steps.drop(columns="study").merge(labels[names], on="trial")
    for name in ("loss", "gradient_norm"):
        rows[name] = rounded(rows[name].to_numpy())
    return rows


def rounded(values: np.ndarray) -> np.ndarray:
    """``values`` (n,) to four significant digits, which make the file a third as large.

    >>> rounded(np.array([1.23456, 12345.6, 0.0, np.inf])).tolist()
    [1.235, 12350.0, 0.0, inf]
    """
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])


def tried() -> list[Detector]:
    """The rule with every pair of numbers that is tried."""
    return [
        Detector(f"unhealed {wait} {share:g}", partial(unhealed, wait, share), "")
        for wait, share in itertools.product(WAITS, SHARES)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and score what is not there yet, and print the scores; returns the exit status."""
    options = read_options(arguments)
    folder = (options.results or Path("results") / options.scale) / "detectors"
    try:
        custom = [detector_of(text) for text in options.detector]
        path = folder / f"{STEPS}.parquet"
        if not path.exists():
            make(options.scale, options.device, path)
        steps, metadata = read(STEPS, path)
        found = scored(steps, metadata, folder / f"{ALARMS}.parquet")
        if custom:
            found = pd.concat([found, alarms(steps, custom)], ignore_index=True)
        print(report(found))
    except ValueError as error:
        return refuse(error)
    print(path)
    return 0


def scored(steps: pd.DataFrame, metadata: dict[str, Any], path: Path) -> pd.DataFrame:
    """The alarms of all registered detectors, from ``path`` where they are of these steps."""
    detectors = [*DETECTORS.values(), *tried()]
    made_of = {"steps": metadata["checksum"], "detectors": {d.name: d.summary for d in detectors}}
    if path.exists():
        found, known = read(ALARMS, path)
        if {name: known.get(name) for name in made_of} == made_of:
            return found
    more = {name: metadata.get(name) for name in ("device", "study")}
    write(ALARMS, alarms(steps, detectors), path, provenance(**more, **made_of))
    return read(ALARMS, path)[0]


def make(scale: str, device: str, path: Path) -> None:
    """Train the trials of ``scale`` and write their steps to ``path``."""
    chosen = choose_device(device)
    asked = list(groups(scale))
    print(f"training {len(asked)} trials of {UPDATES} updates", flush=True)
    trials = [trial for _, trial in asked]
    record = train(trials, device=device, checkpoints=CHECKPOINTS, steps=True)
    steps = labelled(record, {trial.seed: group for group, trial in asked})
    definition = {"name": "detectors", "question": QUESTION, "scale": scale}
    made = provenance(device=describe_device(chosen), study=definition)
    write(STEPS, steps[list(TABLES[STEPS])], path, made)


def detector_of(text: str) -> Detector:
    """The detector that ``FILE:NAME`` names: a function without arguments that gives a `Watch`.

    Raises
    ------
    ValueError
        If there is no such file or function.
    """
    file, _, name = text.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"--detector must be FILE:NAME, and no file is called {file!r}")
    made = runpy.run_path(str(path)).get(name)
    if not callable(made):
        raise ValueError(f"{file} has no function {name!r}, which would start a detector")
    return Detector(name, made, "")


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=QUESTION)
    parser.add_argument("--scale", type=one_of("scale", SCALES), default="quick", metavar="SCALE")
    parser.add_argument(
        "--results", type=folder_path, metavar="DIR", help="results/SCALE unless given"
    )
    parser.add_argument("--device", type=option(DEVICE), default="auto")
    parser.add_argument(
        "--detector",
        action="append",
        default=[],
        metavar="FILE:NAME",
        help="score a detector besides: a function without arguments that returns "
        "(loss, norm) -> alarm, which is called once a step; may be repeated",
    )
    return parser.parse_args(arguments)


def report(found: pd.DataFrame) -> str:
    """What was chosen, and how every detector does where nothing was chosen."""
    trials = found.drop_duplicates("trial")
    counts = trials.groupby(["group", "outcome"]).size().unstack(fill_value=0)
    varied = found["detector"].str.startswith("unhealed ")
    chosen = best(found[varied & (found["group"] == "choosing")])
    right, total = diagnosed_right(found)
    lines = [
        f"Trials\n{counts.to_string()}",
        f"chosen: {chosen} (in use: {WAIT} {SHARE:g})",
        f"diagnose calls {right} of {total} trials fatal or not as they are",
    ]
    for group in ("reporting", "unseen"):
        if len(part := found[~varied & (found["group"] == group)]):
            title = f"Share with an alarm, %, on group {group}"
            lines.append(f"{title}\n{table(scores(part))}")
    return "\n\n".join(lines)


def table(rows: pd.DataFrame) -> str:
    """`scores` as aligned columns: shares with their intervals, and the lead in steps."""
    shown = pd.DataFrame({"detector": rows["detector"]})
    for name in ("fatal", "late", *OUTCOMES[1:]):
        ends = 100 * rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(dtype=float)
        shown[name] = [f"{middle:.0f} ({low:.0f}-{high:.0f})" for middle, low, high in ends]
    shown["separation"] = rows["separation"].map("{:.2f}".format)
    shown["lead"] = [
        f"{row['lead']:.0f} ({row['lead_low']:.0f} to {row['lead_high']:.0f})"
        for row in rows.to_dict("records")
    ]
    return shown.to_string(index=False)


if __name__ == "__main__":
    sys.exit(main())

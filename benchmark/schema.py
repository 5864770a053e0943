"""Columns of the result files: the contract between the engine and everyone who reads them."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmark.records import CONFIGURATION, EARLIER_MOMENTUM
from benchmark.status import STATUSES

SCHEMA_VERSION = 2
"""Raised when a column changes its meaning; results of different versions are not mixed."""

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()

_CONFIGURATION = {
    "dataset": TEXT,
    "model": TEXT,
    "depth": WHOLE,
    "init_gain": REAL,
    "normalization": TEXT,
    "optimizer": TEXT,
    "learning_rate": REAL,
    "schedule": TEXT,
    "clipping": TEXT,
    "clipping_threshold": REAL,
    "batch_policy": TEXT,
    "batch_policy_parameter": REAL,
    "batch_size": WHOLE,
    "epochs": REAL,
    "seed": WHOLE,
}
# added to the contract's columns
_ADDED = {
    "train_fraction": REAL,
    "width": WHOLE,
    "initialization": TEXT,
    "loss": TEXT,
    "learning_rate_scaling": TEXT,
    "precision": TEXT,
    "arm": TEXT,
    "updates": WHOLE,
    "disturbance": TEXT,
    "momentum": REAL,
}

PLAN = {"study": TEXT, "trial": TEXT, "cell": TEXT, "unit": TEXT, **_CONFIGURATION, **_ADDED}
"""One row an expected trial."""

TRIALS = {
    "study": TEXT,
    "trial": TEXT,
    "cell": TEXT,
    "unit": TEXT,
    **_CONFIGURATION,
    "status": TEXT,
    "status_reason": TEXT,
    "first_bad_step": WHOLE,
    "steps": WHOLE,
    "samples": WHOLE,
    "final_batch_size": WHOLE,
    "initial_loss": REAL,
    "train_loss": REAL,
    "validation_loss": REAL,
    "validation_accuracy": REAL,
    "test_loss": REAL,
    "test_accuracy": REAL,
    "best_validation_accuracy": REAL,
    "gradient_norm_median": REAL,
    "gradient_norm_max": REAL,
    "clipped_fraction": REAL,
    "steps_to_target": WHOLE,
    "samples_to_target": WHOLE,
    "seconds": REAL,
    "device": TEXT,
    **_ADDED,
    "classes": WHOLE,
    "parameters": WHOLE,
    "examples": WHOLE,
    "gradient_norm_p90": REAL,
    "spike_score": REAL,
    "trials_together": WHOLE,
    "custom": TEXT,
    "first_spike_step": WHOLE,
    "disturbed_step": WHOLE,
    "warm_up_steps": WHOLE,
    "policy_warm_up_steps": WHOLE,
    "target_accuracy": REAL,
    "skipped_fraction": REAL,
    "loss_scale": REAL,
    "maker": TEXT,
    "worker": TEXT,
}
"""One row a trial. Losses in nats, accuracies in 0..1, first_bad_step counted from 1.

``examples`` is the size of the training set; ``gradient_norm_p90`` the 90th percentile of the
norms before clipping; ``spike_score`` the share of steps that are a loss spike;
``trials_together`` how many trials shared the time of which ``seconds`` is this one's part;
``custom`` the digests of custom strategies, models and data sets (``factor:digest``), missing where
all are built in. ``first_spike_step`` is the first step with a spike, ``disturbed_step`` the first
whose batch or rate was disturbed; ``warm_up_steps`` those in which the clipping cannot act yet, and
``policy_warm_up_steps`` those before the batch policy may first change anything;
``target_accuracy`` is the data set's. ``skipped_fraction`` is the share of steps that were skipped,
because the scaled gradient overflowed, which is no explosion; ``loss_scale`` the scale after the
last; both are missing where the precision does not scale the loss. ``maker`` says which of the
makers in the file's metadata the row is of (`benchmark.provenance.maker_id`), and ``worker`` the
address of the cluster's worker that trained it, missing where it was this machine. One of
``epochs`` and ``updates`` is missing: the budget is stated in the other."""

HISTORY = {
    "study": TEXT,
    "trial": TEXT,
    "step": WHOLE,
    "samples": WHOLE,
    "learning_rate": REAL,
    "batch_size": WHOLE,
    "train_loss": REAL,
    "train_loss_max": REAL,
    "gradient_norm_median": REAL,
    "gradient_norm_p90": REAL,
    "gradient_norm_max": REAL,
    "clipped_fraction": REAL,
    "update_ratio": REAL,
    "parameter_norm": REAL,
    "noise_scale": REAL,
    "validation_loss": REAL,
    "validation_accuracy": REAL,
    # added: the largest eigenvalue of the Hessian, where the study asks for it
    "sharpness": REAL,
    # added: as in the trials
    "skipped_fraction": REAL,
    "loss_scale": REAL,
    # added: what one sample of gradients gave, of which noise_scale is the ratio of moving averages
    "gradient_variance": REAL,
    "gradient_squared": REAL,
}
"""One row a trial and checkpoint; over the steps since the row before. Step 0 is initialization.

``gradient_variance`` is the trace of the covariance of one example's gradient, ``gradient_squared``
the squared norm of the mean gradient: unbiased, noisy, and either may be negative. Average them
before dividing."""

LAYERS = {
    "study": TEXT,
    "trial": TEXT,
    "step": WHOLE,
    "layer": TEXT,
    "layer_kind": TEXT,
    "gradient_norm": REAL,
    "backprop_norm": REAL,
    "activation_rms": REAL,
    "parameter_norm": REAL,
    "update_ratio": REAL,
    # added: the layer's place from the input, counted from 1, and the mean of its pre-activations
    "layer_index": WHOLE,
    "activation_mean": REAL,
}
"""One row a trial, checkpoint and layer; backprop_norm is norm(dL/dh) at the pre-activation."""

STEPS = {
    "study": TEXT,
    "trial": TEXT,
    "step": WHOLE,
    "loss": REAL,
    "gradient_norm": REAL,
    "clipped": REAL,
    "skipped": REAL,
}
"""One row a trial and step, counted from 1: the loss of its batch, the norm of its gradient before
clipping, whether that was clipped (1) or not (0), and whether the step was skipped because the
scaled gradient overflowed, of which there is no norm; made by ``train(..., steps=True)``. The last
row of a trial that did not stay finite is the step at which it broke."""

LABELLED_STEPS = {
    "trial": TEXT,
    "group": TEXT,
    "outcome": TEXT,
    "status": TEXT,
    "first_bad_step": WHOLE,
    "disturbed_step": WHOLE,
    "seed": WHOLE,
    **{
        name: (_CONFIGURATION | _ADDED)[name]
        for name in (
            *("dataset", "model", "depth", "init_gain", "normalization", "optimizer"),
            *("learning_rate", "schedule", "clipping", "clipping_threshold", "batch_size"),
            "disturbance",
        )
    },
    **{name: STEPS[name] for name in ("step", "loss", "gradient_norm", "clipped")},
}
"""One row a step of a labelled trial: `studies/detectors.py`, for whoever scores a detector.

Loss and norm are rounded to four significant digits. ``group`` says what a trial is for:
``choosing`` a detector's numbers, ``reporting`` on them, or ``unseen``, a network that is not among
those to choose on. ``outcome`` is ``fatal`` (exploded and did not recover, or collapsed),
``healing`` (ended well, with a loss above the spike level on the way), ``stable`` (ended well
without) or ``stalled`` (never learned, and never spiked)."""

ALARMS = {
    "detector": TEXT,
    "alarm": WHOLE,
    "diagnosed": TEXT,
    **{name: kind for name, kind in LABELLED_STEPS.items() if name not in STEPS or name == "trial"},
}
"""One row a detector and labelled trial: the step of its first ``alarm``, missing where it raised
none, and the status that `benchmark.diagnosis` gives the trial by its whole log (``diagnosed``)."""

MEASUREMENTS = {
    "what": TEXT,
    "workload": TEXT,
    "data": TEXT,
    "factor": TEXT,
    "arm": TEXT,
    "trials_together": WHOLE,
    "processes": WHOLE,
    "threads": WHOLE,
    "repeat": WHOLE,
    "trials": WHOLE,
    "steps": WHOLE,
    "operations": REAL,
    "seconds": REAL,
    "cpu_seconds": REAL,
    "baseline_steps": WHOLE,
    "baseline_seconds": REAL,
    "baseline_cpu_seconds": REAL,
    "accuracy": REAL,
    "accuracy_deviation": REAL,
    "evaluated": WHOLE,
    "peak_bytes": WHOLE,
    "device": TEXT,
}
"""One row a timing of `studies/throughput.py`; it belongs to no study of trials.

``what`` says what was timed: ``trials`` (an arm of a workload), ``machine`` (matrix products),
``strategies``, ``guards``, ``diagnostics``, ``driver``, ``start-up``, or ``kernels`` (an arm with
the engine's kernels and with torch's on a GPU). ``trials`` counts those of all
``processes`` together, ``steps`` those of one trial, ``operations`` the floating-point operations
of all in products and convolutions; ``seconds`` is wall time, ``cpu_seconds`` that of all
processors. The baseline's numbers are of what was timed in turns with it. ``accuracy`` is the mean
over the trials of the accuracy on ``evaluated`` validation examples, ``peak_bytes`` the most memory
of a process."""

TABLES: dict[str, dict[str, pa.DataType]] = {
    "plan": PLAN,
    "trials": TRIALS,
    "history": HISTORY,
    "layers": LAYERS,
    "steps": STEPS,
    "labelled_steps": LABELLED_STEPS,
    "alarms": ALARMS,
    "measurements": MEASUREMENTS,
}

LATER: dict[str, frozenset[str]] = {name: frozenset() for name in TABLES}
LATER |= {
    "plan": frozenset({"momentum"}),
    "trials": frozenset(
        {
            *("momentum", "policy_warm_up_steps", "skipped_fraction", "loss_scale"),
            *("maker", "worker"),
        },
    ),
    "history": frozenset(
        {"skipped_fraction", "loss_scale", "gradient_variance", "gradient_squared"}
    ),
}
"""Columns that were added since the schema version began: files that were written before lack
them. One that lacks another column is damaged."""


def earlier(column: str, kind: pa.DataType, rows: pa.Table) -> pa.Array:
    """What a column was for ``rows`` of a file that lacks it: its default then, or missing."""
    if column != "momentum":
        return pa.nulls(rows.num_rows, kind)
    return pa.array([EARLIER_MOMENTUM.get(name) for name in rows["optimizer"].to_pylist()], kind)


KEYS = {"plan": ["trial"], "trials": ["trial"]}
KEYS |= {"history": ["trial", "step"], "steps": ["trial", "step"]}
KEYS |= {"labelled_steps": ["trial", "step"], "alarms": ["detector", "trial"]}
KEYS |= {"layers": ["trial", "step", "layer"]}
KEYS["measurements"] = [
    *("what", "workload", "factor", "arm", "trials_together", "processes", "threads", "repeat"),
    "trials",
]

assert set(_CONFIGURATION) | set(_ADDED) == set(CONFIGURATION)


class SchemaError(ValueError):
    """Rows that do not keep the contract."""


def frame(table: str, rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as a data frame with exactly the table's columns; what a row lacks is missing."""
    if not rows:
        return _empty(table).copy()
    schema = _schema(table)
    try:
        # without pandas on the way, which takes ten times as long for a few rows of many columns
        arrays = [
            pa.array([row.get(name) for row in rows], kind, from_pandas=True)
            for name, kind in TABLES[table].items()
        ]
    except pa.ArrowException:
        # pandas takes more for a number, such as True, and else says which column is wrong
        return _typed(table, pd.DataFrame(rows, columns=schema.names)).to_pandas()
    return _checked(table, pa.table(arrays, schema=schema)).to_pandas()


@functools.cache
def _empty(table: str) -> pd.DataFrame:
    return _checked(table, _schema(table).empty_table()).to_pandas()


def _schema(table: str) -> pa.Schema:
    return pa.schema(list(TABLES[table].items()))


ROUNDED = ("history", "layers")
"""Tables whose numbers are kept to more than four decimal digits: they are measurements; pages show
two to four, and the other bits, which no compression makes smaller, would take two thirds of
the room."""
UNROUNDED = ("validation_accuracy",)
"""Columns of these that are counts over counts, and compared with a target."""
SIGNIFICANT = 14
"""Binary digits, so that a number is kept to within 61 millionths of itself."""


def rounded(numbers: np.ndarray) -> np.ndarray:
    """``numbers`` to `SIGNIFICANT` binary digits; those that are not finite stay what they are.

    >>> rounded(np.array([1 / 3, 1e300, np.inf])).tolist()
    [0.333343505859375, 9.999613405687273e+299, inf]
    """
    share, exponent = np.frexp(numbers)
    with np.errstate(over="ignore"):
        found = np.ldexp(np.rint(np.ldexp(share, SIGNIFICANT)), exponent - SIGNIFICANT)
    # the largest numbers may not become larger
    return np.where(np.isinf(found), numbers, found)


def last_digit(numbers: np.ndarray) -> np.ndarray:
    """What one in the last digit that `rounded` keeps is worth for each of ``numbers``.

    >>> last_digit(np.array([1.0, 1000.0])).tolist() == [2.0**-13, 2.0**-4]
    True
    """
    return np.ldexp(1.0, np.frexp(numbers)[1] - SIGNIFICANT)


def to_arrow(table: str, data: pd.DataFrame) -> pa.Table:
    """``data`` as a typed arrow table, as it is kept: numbers of `ROUNDED` tables are rounded.

    Raises
    ------
    SchemaError
        On missing or unknown columns, a value of the wrong type, a duplicate key, or a status
        outside the vocabulary.
    """
    rows = _typed(table, data)
    return _rounded(rows) if table in ROUNDED else rows


def kept(table: str, rows: pa.Table) -> pa.Table:
    """Rows of the right columns and types as they are kept; raises what `to_arrow` does."""
    checked = _checked(table, rows)
    return _rounded(checked) if table in ROUNDED else checked


def _typed(table: str, data: pd.DataFrame) -> pa.Table:
    columns = TABLES[table]
    if missing := [c for c in columns if c not in data]:
        raise SchemaError(f"{table} lacks the columns {', '.join(missing)}")
    if extra := [c for c in data if c not in columns]:
        raise SchemaError(f"{table} has the unknown columns {', '.join(map(str, extra))}")
    arrays = []
    for name, kind in columns.items():
        try:
            arrays.append(pa.array(data[name], kind, from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"{table} has a value of the wrong type: {name}: {error}") from error
    return _checked(table, pa.table(arrays, schema=_schema(table)))


def _checked(table: str, rows: pa.Table) -> pa.Table:
    """``rows``, of which no two have the same key, and whose statuses are known."""
    by = KEYS[table]
    if rows.group_by(by, use_threads=False).aggregate([]).num_rows < rows.num_rows:
        keys = rows.select(by).to_pandas()
        twice = keys[keys.duplicated()].iloc[0]
        raise SchemaError(f"{table} has two rows for {twice.to_dict()}")
    if table == "trials" and (bad := set(rows["status"].unique().to_pylist()) - set(STATUSES)):
        raise SchemaError(f"unknown status {sorted(map(str, bad))}; allowed: {', '.join(STATUSES)}")
    return rows


def _rounded(rows: pa.Table) -> pa.Table:
    for i, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type) and field.name not in UNROUNDED:
            # a missing number is NaN
            numbers = rounded(rows.column(i).to_numpy())
            rows = rows.set_column(i, field, pa.array(numbers, field.type, from_pandas=True))
    return rows

"""The contract of the result files: columns by name and type, statuses, keys."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.records import CONFIGURATION, Trial
from benchmark.results import read, write
from benchmark.schema import (
    REAL,
    TABLES,
    TEXT,
    WHOLE,
    SchemaError,
    frame,
    rounded,
    to_arrow,
)
from benchmark.status import FINISHED, STATUSES

CONTRACT = {
    "trials": "study, trial, cell, unit, dataset, model, depth, init_gain, normalization, "
    "optimizer, learning_rate, schedule, clipping, clipping_threshold, batch_policy, "
    "batch_policy_parameter, batch_size, epochs, seed, status, status_reason, first_bad_step, "
    "steps, samples, final_batch_size, initial_loss, train_loss, validation_loss, "
    "validation_accuracy, test_loss, test_accuracy, best_validation_accuracy, "
    "gradient_norm_median, gradient_norm_max, clipped_fraction, steps_to_target, "
    "samples_to_target, seconds, device",
    "history": "study, trial, step, samples, learning_rate, batch_size, train_loss, "
    "train_loss_max, gradient_norm_median, gradient_norm_p90, gradient_norm_max, "
    "clipped_fraction, update_ratio, parameter_norm, noise_scale, validation_loss, "
    "validation_accuracy",
    "layers": "study, trial, step, layer, layer_kind, gradient_norm, backprop_norm, "
    "activation_rms, parameter_norm, update_ratio",
}
"""The columns that readers rely on, in their order; more may follow, none may go."""

TEXTS = {"study", "trial", "cell", "unit", "status", "status_reason", "device", "layer"}
TEXTS |= {"layer_kind", "dataset", "model", "normalization", "optimizer", "schedule", "clipping"}
TEXTS |= {"batch_policy"}
WHOLES = {"depth", "batch_size", "seed", "first_bad_step", "steps", "samples", "step"}
WHOLES |= {"final_batch_size", "steps_to_target", "samples_to_target"}


def trial_row(key: str = "a", **values: object) -> dict[str, object]:
    plain: dict[str, object] = {"study": "s", "trial": key, "cell": "c", "unit": "u"}
    return plain | {"status": "stable"} | Trial().row() | values


@pytest.mark.parametrize("table", CONTRACT)
def test_every_column_of_the_contract_is_there_in_its_order(table: str) -> None:
    contract = CONTRACT[table].split(", ")

    assert [name for name in TABLES[table] if name in contract] == contract


@pytest.mark.parametrize(
    ("table", "column"), [(t, c) for t, columns in CONTRACT.items() for c in columns.split(", ")]
)
def test_a_column_of_the_contract_has_its_type(table: str, column: str) -> None:
    kind = TEXT if column in TEXTS else WHOLE if column in WHOLES else REAL

    assert TABLES[table][column] == kind


@pytest.mark.parametrize("table", ["plan", "trials"])
def test_the_configuration_is_recorded_whole(table: str) -> None:
    assert set(CONFIGURATION) <= set(TABLES[table])


def test_the_statuses_are_those_of_the_contract() -> None:
    names = "stable recovered damaged collapsed dead stalled nonfinite skipped failed"

    assert list(STATUSES) == names.split()
    assert set(FINISHED) == set(STATUSES) - {"skipped", "failed"}


@pytest.mark.parametrize("table", TABLES)
def test_a_file_holds_typed_columns_and_nothing_pickled(table: str, tmp_path: Path) -> None:
    path = tmp_path / f"{table}.parquet"
    write(table, frame(table, [trial_row()] if table == "trials" else []), path, {"a": 1})
    schema = pq.read_schema(path)

    assert set(schema.types) <= {pa.string(), pa.int64(), pa.float64()}
    assert {name: schema.field(name).type for name in schema.names} == TABLES[table]
    # pandas' own metadata would name object columns
    assert list(schema.metadata) == [b"benchmark"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"status": "exploded"}, r"unknown status \['exploded'\]; allowed: stable, recovered"),
        ({"status": None}, "unknown status"),
        ({"learning_rate": "fast"}, "trials has a value of the wrong type"),
        ({"steps": 1.5}, "trials has a value of the wrong type"),
        ({"clipping": object()}, "trials has a value of the wrong type"),
    ],
)
def test_a_value_outside_the_contract_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        to_arrow("trials", pd.DataFrame([trial_row(**values)]).reindex(columns=TABLES["trials"]))


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match="trials lacks the columns seconds"):
        to_arrow("trials", frame("trials", [trial_row()]).drop(columns="seconds"))


def test_an_unknown_column_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match="trials has the unknown columns mood"):
        to_arrow("trials", frame("trials", [trial_row()]).assign(mood="good"))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("plan", {"trial": "a"}),
        ("trials", trial_row()),
        ("history", {"trial": "a", "step": 3}),
        ("layers", {"trial": "a", "step": 3, "layer": "0"}),
    ],
)
def test_two_rows_of_one_key_are_refused(table: str, row: dict[str, object]) -> None:
    with pytest.raises(SchemaError, match=f"{table} has two rows for .*'a'"):
        frame(table, [row, row])


def test_what_a_row_lacks_is_missing_and_not_zero() -> None:
    row = frame("trials", [trial_row()]).iloc[0]

    assert row[["first_bad_step", "validation_loss", "status_reason"]].isna().all()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schema") / "trials.parquet"


@settings(max_examples=40)
@given(
    real=st.floats(allow_nan=False),
    whole=st.none() | st.integers(-(2**53), 2**53),
    text=st.none() | st.text(max_size=9),
)
def test_values_come_back_from_a_file_as_they_went_in(
    real: float, whole: int | None, text: str | None, path: Path
) -> None:
    row = trial_row(validation_loss=real, steps=whole, status_reason=text)
    write("trials", frame("trials", [row]), path, {})
    back = read("trials", path)[0].iloc[0]

    assert back["validation_loss"] == real
    assert (None if pd.isna(back["steps"]) else back["steps"]) == whole
    assert (None if pd.isna(back["status_reason"]) else back["status_reason"]) == text


def test_nan_is_a_missing_value_in_the_files(path: Path) -> None:
    row = trial_row(validation_loss=math.nan)
    write("trials", frame("trials", [row]), path, {})

    assert pq.read_table(path)["validation_loss"].null_count == 1


COMMITTED = sorted((Path(__file__).parents[1] / "results" / "reference").glob("*/trials.parquet"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_the_committed_results_read(path: Path) -> None:
    # which a new column forgets that is not in LATER
    rows, _ = read("trials", path)

    assert len(rows)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(NUMBERS)
def test_rounding_keeps_four_digits_of_every_finite_number(number: float) -> None:
    (found,) = rounded(np.array([number]))
    assert rounded(np.array([found])).tobytes() == np.array([found]).tobytes()
    if math.isfinite(number):
        assert found == pytest.approx(number, rel=2**-14, abs=1e-322)
    else:
        assert math.isnan(found) if math.isnan(number) else found == number


def test_only_histories_and_layers_are_rounded() -> None:
    row = {"study": "s", "trial": "a", "step": 0, "train_loss": 1 / 3}
    row |= {"validation_accuracy": 1 / 3}
    history = to_arrow("history", frame("history", [row]))
    assert history["train_loss"].to_pylist() == [round(2**15 / 3) / 2**15]
    # a count over a count, which is compared with a target
    assert history["validation_accuracy"].to_pylist() == [1 / 3]
    trial = to_arrow("trials", frame("trials", [trial_row(train_loss=1 / 3)]))
    assert trial["train_loss"].to_pylist() == [1 / 3]

"""What users write: taken as what it plainly means, or refused in one line, before any file."""

import dataclasses
import fractions
import math
import pickle
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TOY
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from benchmark import Range, Search, Study, Trial, module_model, tensor_dataset, train
from benchmark.contracts import check
from benchmark.data import DataError
from benchmark.data.splits import make_splits
from benchmark.engine import training
from benchmark.layout import Layout
from benchmark.norms import norm_in_double, row_norms
from benchmark.records import CONFIGURATION, RelativeRates, rates_between, read_selection
from benchmark.records.fields import LARGEST, TRIAL
from benchmark.results import ResultsError, StudyFolder, load_study, studies_in
from benchmark.strategies.clipping import CLIPPINGS, scale_to

SIGN = dataclasses.replace(CLIPPINGS["value"], name="sign")


class Named:
    def __init__(self, name: Any) -> None:
        self.name = name


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.integers(0, 100), st.floats(), st.text()),
    *(st.integers(10**15, 10**25), st.floats(1e-6, 1.0), st.complex_numbers(), st.binary()),
    *(st.fractions(), st.decimals(), st.sampled_from(["mlp", "none", "value", "float32"])),
    arrays.from_dtype(np.dtype(np.float32)),
    arrays.from_dtype(np.dtype(np.float16)),
    arrays.from_dtype(np.dtype(np.int32)),
    arrays.from_dtype(np.dtype(np.uint64)),
    arrays.from_dtype(np.dtype(bool)),
    st.sampled_from([np.str_("mlp"), np.longdouble(0.5), torch.tensor(0.1), torch.tensor(3)]),
    st.sampled_from([SIGN, TOY, Trial, object(), print, Path("mnist"), math]),
    st.sampled_from([Named(3), Named("x"), SimpleNamespace(name="x"), np.array(0.5)]),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.tuples(SCALARS, SCALARS),
    st.sets(st.integers(), max_size=3),
    st.dictionaries(st.one_of(st.sampled_from(CONFIGURATION), st.text()), SCALARS, max_size=3),
    st.sampled_from([np.arange(2), np.eye(2), range(3), torch.ones(3), {"depth": {1: 2}}]),
    st.builds(lambda items: (item for item in items), st.lists(SCALARS, max_size=2)),
)
"""Values of every type that somebody might write into a field."""


def one_line(error: ValueError) -> str:
    text = str(error)
    assert text.isprintable()
    assert len(text) < 600
    return text


def same(meant: Any, written: Any) -> bool:
    """Whether a plain value is what was written, to the precision in which it was."""
    if meant is written:
        return True
    if isinstance(written, np.floating | torch.Tensor | np.ndarray):
        return type(meant) in (int, float) and bool(
            np.asarray(written).dtype.type(meant) == written
        )
    return bool(meant == type(meant)(written))


STUDY = Study(
    name="x", question="?", factors={"learning_rate": [0.1, 1.0], "clipping": ["none", "value"]}
)
SEARCH = Search(name="x", question="?", space={"learning_rate": Range(0.1, 1, default=0.5)})
RATES = RelativeRates(low=0.1, high=1.0, baseline=("clipping", "none"))
PAIR = np.zeros((4, 2, 2)), [0, 1, 0, 1]
SPLITS = make_splits(PAIR, PAIR, PAIR)


def tensors(**changed: Any) -> Any:
    whole = {"train": PAIR, "validation": PAIR, "test": PAIR}
    return tensor_dataset(**{"name": "x", **whole, **changed})


TAKEN: dict[str, Callable[[Any], Any]] = {
    "Study.only": STUDY.only,
    "Study.only: number": lambda value: STUDY.only({"learning_rate": value}),
    "Study.only: name": lambda value: STUDY.only({"clipping": value}),
    "Search.only": SEARCH.only,
    "Search.only: arm": lambda value: SEARCH.only({"arm": value}),
    "rates_between: low": lambda value: rates_between(value, 1.0),
    "rates_between: high": lambda value: rates_between(0.1, value),
    "rates_between: per_decade": lambda value: rates_between(0.1, 1.0, per_decade=value),
    "wanted": RATES.wanted,
    "best": RATES.best,
    "beside": RATES.beside,
    "multiplied": RATES.multiplied,
    "shared": RATES.shared,
    "read_selection": read_selection,
    "Layout.of": Layout.of,
    "norm_in_double": norm_in_double,
    "row_norms": row_norms,
    "scale_to": lambda value: scale_to(value, value),
    "load_study": lambda value: load_study(value, "x"),
    "studies_in": studies_in,
    "StudyFolder": StudyFolder,
    "tensor_dataset: name": lambda value: tensors(name=value),
    "tensor_dataset: train": lambda value: tensors(train=value),
    "tensor_dataset: images": lambda value: tensors(train=(value, [0, 1, 0, 1])),
    "tensor_dataset: labels": lambda value: tensors(train=(np.zeros((4, 2, 2)), value)),
    "tensor_dataset: classes": lambda value: tensors(classes=value),
    "tensor_dataset: standardize": lambda value: tensors(standardize=value),
    "tensor_dataset: target_accuracy": lambda value: tensors(target_accuracy=value),
    "module_model: build": lambda value: module_model("x", value),
    "module_model: name": lambda value: module_model(value, lambda shape, classes: None),
    "module_model: width": lambda value: module_model("x", lambda s, c: None, width=value),
    "Splits.to": SPLITS.to,
    "check": check,
}
"""What users call, of one value."""
WRONG = [
    *("", "a\nb", b"x", None, True, math.nan, math.inf, -1, 0, [], [1, 2], {}, {1: 2}, object()),
    *(10**400, int, np.arange(3), torch.ones(2), pd.DataFrame({"a": [1]})),
]


def refusal(take: Callable[[Any], Any], value: Any) -> str | None:
    try:
        take(value)
    except (ValueError, DataError, ResultsError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN.keys())
def test_what_users_call_takes_a_value_or_refuses_it_in_one_line(take: Callable[[Any], Any]):
    said = [text for value in WRONG if (text := refusal(take, value)) is not None]
    assert len(said) >= 9
    assert [text for text in said if "\n" in text or len(text) > 420] == []


@pytest.mark.parametrize(
    ("train", "rule"),
    [
        (DataLoader(TensorDataset(torch.zeros(4, 2, 2), torch.zeros(4))), "; stack what it gives"),
        (TensorDataset(torch.zeros(4, 2, 2), torch.zeros(4)), "; a TensorDataset has it in .tens"),
        ((np.zeros((4, 3)), [0, 1, 0, 1]), r"a table \(n, d\) is .reshape\(-1, 1, 1, d\)"),
        ((np.zeros((4, 2, 2)), [None] * 4), "labels of train must not be missing"),
        (None, r"`train` must be a pair \(images, labels\), but got None"),
    ],
    ids=["loader", "data set", "table", "missing", "none"],
)
def test_what_torch_and_pandas_have_is_told_how_to_become_a_data_set(train, rule):
    with pytest.raises(DataError, match=rule):
        tensors(train=train)


def test_one_class_is_no_data_set():
    one = np.zeros((4, 2, 2)), [0] * 4
    with pytest.raises(DataError, match="labels of 'x' must be of two classes or more, but all"):
        tensors(train=one, validation=one, test=one)


def test_a_single_value_narrows_too():
    assert [t.learning_rate for t in STUDY.only({"learning_rate": 0.1}).trials()] == [0.1] * 2
    assert {t.clipping for t in STUDY.only({"clipping": "value"}).trials()} == {"value"}


@pytest.mark.parametrize(
    ("selection", "rule"),
    [
        ({"epochs": ["-1"]}, r"`epochs` must be a number in 0\.\.1e9, but got -1\.0"),
        ({"depth": ["-1"]}, "`depth` must be a whole number >= 0, but got -1"),
        ({"clipping": []}, r"`clipping` must have at least one value, but got \[\]"),
        ({"clipping": [1]}, "`clipping` must be a name, but got 1"),
        ({"colour": "red"}, "unknown factor 'colour'"),
    ],
)
def test_nobody_is_told_to_write_none_on_a_command_line(selection, rule):
    with pytest.raises(ValueError, match=rule + "$" if "unknown" not in rule else rule):
        STUDY.only(selection)


@pytest.mark.parametrize("field", CONFIGURATION)
@given(value=SCALARS)
@settings(max_examples=60)
def test_a_value_of_a_trial_is_what_was_written_or_refused_in_one_line(
    field: str, value: Any
) -> None:
    try:
        trial = Trial(**{field: value})
    except ValueError as error:
        said = one_line(error)
        assert f"`{field}` must be " in said
        return
    meant = getattr(trial, field)
    assert type(meant) in (int, float, str, type(None)) or meant is value
    assert same(meant, value)
    again = Trial(**{field: meant})
    assert (trial, hash(trial), trial.key) == (again, hash(again), again.key)


def test_every_field_of_a_trial_has_a_rule() -> None:
    assert tuple(TRIAL) == CONFIGURATION


@pytest.mark.parametrize(
    ("field", "written", "meant"),
    [
        ("seed", np.int64(0), 0),
        ("seed", np.uint8(7), 7),
        ("seed", 3.0, 3),
        ("batch_size", 32.0, 32),
        ("batch_size", np.float32(16), 16),
        ("batch_size", torch.tensor(8), 8),
        ("depth", fractions.Fraction(4, 2), 2),
        ("learning_rate", np.float32(0.1), 0.1),
        ("learning_rate", np.float16(0.1), 0.1),
        ("learning_rate", torch.tensor(0.1), 0.1),
        ("learning_rate", np.array(0.1), 0.1),
        ("learning_rate", np.longdouble("0.1"), 0.1),
        ("learning_rate", Decimal("0.1"), 0.1),
        ("learning_rate", 1, 1.0),
        ("epochs", -0.0, 0.0),
        ("clipping_threshold", np.float64(2), 2.0),
        ("model", np.str_("mlp"), "mlp"),
        ("dataset", TOY, TOY),
    ],
)
def test_numbers_of_numpy_and_of_python_are_alike(field: str, written: Any, meant: Any) -> None:
    trial, plain = Trial(**{field: written}), Trial(**{field: meant})
    assert type(getattr(trial, field)) is type(meant)
    assert trial == plain
    assert (trial.key, trial.cell) == (plain.key, plain.cell)
    assert pickle.dumps(trial.row()) == pickle.dumps(plain.row())


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("seed", True, "a whole number >= 0, but got True"),
        ("seed", -1, "a whole number >= 0, but got -1"),
        ("seed", 2**64, f"a whole number <= {LARGEST}, but got {2**64}"),
        ("seed", "0", "a whole number >= 0, but got '0'"),
        ("seed", None, "a whole number >= 0, but got None"),
        ("batch_size", 10**20, f"a whole number <= {LARGEST}, but got {10**20}"),
        ("updates", 10**12, "a whole number in 0..1000000000 or None, but got 1000000000000"),
        ("batch_size", fractions.Fraction(10**20 + 1, 10**5), "a whole number >= 1, but got Fr"),
        ("batch_size", 2.5, "a whole number >= 1, but got 2.5"),
        ("batch_size", math.inf, f"a whole number <= {LARGEST}, but got inf"),
        ("batch_size", np.array([32]), "a whole number >= 1, but got array([32])"),
        ("depth", np.bool_(True), "a whole number >= 0 or None, but got"),
        ("learning_rate", math.nan, "a positive number, but got nan"),
        ("learning_rate", math.inf, "a positive number, but got inf"),
        ("learning_rate", 10**400, "a positive number, but got 1000"),
        ("learning_rate", 0, "a positive number, but got 0"),
        ("learning_rate", 1j, "a positive number, but got 1j"),
        ("init_gain", False, "a positive number, but got False"),
        ("clipping_threshold", math.nan, "a finite number or None, but got nan"),
        ("epochs", math.inf, "a number in 0..1e9 or None, but got inf"),
        ("epochs", 1e300, "a number in 0..1e9 or None, but got 1e+300"),
        ("train_fraction", 1.5, "a number in (0, 1], but got 1.5"),
        ("clipping", None, "a name, or an object that has one, but got None"),
        ("clipping", type(SIGN), "a name, or an object that has one, but got <class"),
        ("dataset", None, "a name, or an object that has one, but got None"),
        ("dataset", 7, "a name, or an object that has one, but got 7"),
        ("arm", 1, "text without control characters, but got 1"),
        ("arm", "\ud800", "text without control characters, but got '\\ud800'"),
    ],
)
def test_what_a_field_of_a_trial_cannot_be(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        Trial(**{field: value})
    assert one_line(caught.value).startswith(f"`{field}` must be {words}")


@pytest.mark.parametrize("choice", [Path("x"), SIGN, Named("x")])
def test_an_object_of_another_kind_is_no_data_set(choice: Any) -> None:
    with pytest.raises(ValueError, match="`dataset` must be a name or a Dataset, but got"):
        train(Trial(dataset=choice), device="cpu")


# studies


def study(**fields: Any) -> Study:
    return Study(**{"name": "s", "question": "?", "factors": {"clipping": "none"}} | fields)


def search(**fields: Any) -> Search:
    return Search(**{"name": "s", "question": "?", "space": {"seed": (0, 1)}} | fields)


def test_factors_and_seeds_from_numpy_are_plain() -> None:
    found = study(
        factors={
            "batch_size": 2 ** np.arange(4, 6),
            "learning_rate": np.logspace(-3, 0, 4, dtype=np.float32),
            "clipping": np.array(["none", "value"]),
            "epochs": np.array(2),
        },
        seeds=np.arange(2),
        checkpoints=np.int64(8),
        layers=np.bool_(True),
    )
    plain = study(
        factors={
            "batch_size": (16, 32),
            "learning_rate": (0.001, 0.01, 0.1, 1.0),
            "clipping": ("none", "value"),
            "epochs": 2.0,
        },
        seeds=(0, 1),
        checkpoints=8,
        layers=True,
    )
    assert found == plain
    assert [t.key for t in found.trials()] == [t.key for t in plain.trials()]
    assert repr(found.definition()) == repr(plain.definition())


def test_levels_that_can_be_read_once_are_kept() -> None:
    found = study(factors={"learning_rate": (10.0**k for k in (-2, -1))}, seeds=iter([3]))
    assert [(t.learning_rate, t.seed) for t in found.trials()] == [(0.01, 3), (0.1, 3)]
    assert len(list(found.trials())) == 2


@pytest.mark.parametrize("make", [study, search])
@pytest.mark.parametrize(
    "name", ["grid", "a", "my-study_2.1", "-x", "a" * 64, np.str_("grid"), "1e3"]
)
def test_names_of_studies(make: Any, name: str) -> None:
    assert make(name=name).name == name


@pytest.mark.parametrize("make", [study, search])
@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../x", "/somewhere/x", "a/b", "a\\b", ".x", "a b", "a\n", "é"]
)
def test_names_that_are_no_folder_of_the_results(make: Any, name: str) -> None:
    with pytest.raises(ValueError, match="`name` must be 1 to 64 letters, digits") as caught:
        make(name=name)
    assert ascii(name)[1:-1] in one_line(caught.value) or name == "é"


@pytest.mark.parametrize("make", [study, search])
@pytest.mark.parametrize("name", ["a" * 65, None, 3, b"grid", Path("grid")])
def test_names_that_are_no_text_or_too_long(make: Any, name: Any) -> None:
    with pytest.raises(ValueError, match="`name` must be 1 to 64 letters, digits"):
        make(name=name)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seeds": 3}, "`seeds` must be a sequence of whole numbers >= 0, but got 3"),
        ({"seeds": ("0",)}, "`seeds[0]` must be a whole number >= 0, but got '0'"),
        ({"seeds": "01"}, "`seeds` must be a sequence of whole numbers >= 0, but got '01'"),
        ({"seeds": ()}, "`seeds` must be a sequence of whole numbers >= 0, but got ()"),
        ({"seeds": {0, 1}}, "`seeds` must be a sequence of whole numbers >= 0, but got {0, 1}"),
        ({"seeds": (1, 2**64)}, "`seeds[1]` must be a whole number <="),
        ({"checkpoints": 6}, "`checkpoints` must be a multiple of 4 in 4..1000000, but got 6"),
        ({"checkpoints": 0}, "`checkpoints` must be a multiple of 4 in 4..1000000, but got 0"),
        ({"checkpoints": "20"}, "`checkpoints` must be a multiple of 4 in 4..1000000"),
        ({"layers": 1}, "`layers` must be True or False, but got 1"),
        ({"sharpness": None}, "`sharpness` must be True or False, but got None"),
        ({"question": None}, "`question` must be a sentence, but got None"),
        ({"factors": []}, "`factors` must be a mapping of factors to levels"),
        ({"factors": 3}, "`factors` must be a mapping of factors to levels"),
        ({"factors": ["clipping"]}, "`factors[0]` must be a mapping of factors to levels"),
        ({"factors": {}}, "`factors` must have at least one factor, but got {}"),
        (
            {"factors": [{"clipping": "none"}, {}]},
            "`factors[1]` must have at least one factor, but got {}",
        ),
        ({"question": ""}, "`question` must be a sentence, but got ''"),
        ({"question": " \n"}, "`question` must be a sentence, but got ' \\n'"),
        ({"factors": {"clippng": "none"}}, "unknown factor 'clippng'. Did you mean 'clipping'?"),
        ({"factors": {3: "none"}}, "unknown factor '3'"),
        ({"factors": {"seed": ("0",)}}, "`seed` must be a whole number >= 0, but got '0'"),
        ({"factors": {"depth": ()}}, "`depth` must have at least one level, but got ()"),
        ({"factors": {"depth": {1, 2}}}, "`depth` must be a whole number >= 0 or None, but got"),
        ({"factors": {"depth": (1, "2")}}, "`depth` must be a whole number >= 0 or None, but got"),
        ({"factors": {"clipping": ("value", None)}}, "`clipping` must be a name"),
        ({"factors": {"learning_rate": Range(0.1, 1, default=1)}}, "`learning_rate` must be"),
        (
            {"factors": [{"epochs": b"12"}]},
            "`epochs` must be a number in 0..1e9 or None, but got b'12'",
        ),
    ],
    ids=str,
)
def test_what_a_study_cannot_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        study(**fields)
    assert one_line(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"space": ["clipping"]}, "`space` must be a mapping of factors to levels"),
        ({"space": {"clippng": "none"}}, "unknown factor 'clippng'"),
        ({"space": {"arm": ("a", "b")}}, "`arm` is no factor of a search"),
        ({"space": {"clipping": Range(1, 2, default=1)}}, "`clipping` must be levels to choose"),
        ({"space": {"batch_size": Range(8, 64, default=8)}}, "`batch_size` must be a Range with"),
        (
            {"space": {"learning_rate": Range(-1, 1, default=0, log=False)}},
            "`learning_rate` must be a positive number, but got -1.0",
        ),
        ({"each": {"learning_rate": Range(0.1, 1, default=1)}}, "`learning_rate` must be"),
        ({"each": {"learning_rate": RelativeRates(low=0.1, high=1)}}, "`learning_rate` must be"),
        (
            {"fixed": {"epochs": (1, 2)}},
            "`epochs` must be a number in 0..1e9 or None, but got (1, 2)",
        ),
        ({"fixed": {"seed": 1}}, "`seed` stands in two of `space`, `each` and `fixed`"),
        ({"samplers": ()}, "`samplers` must be a sequence of names of samplers, but got ()"),
        ({"samplers": (1,)}, "`samplers[0]` must be text"),
        ({"samplers": "tp"}, "unknown sampler 'tp'. Did you mean 'tpe'? Allowed: tpe, random"),
        ({"space": {}}, "`space` must have at least one factor, but got {}"),
        ({"question": ""}, "`question` must be a sentence, but got ''"),
        ({"trials": 0}, "`trials` must be a whole number >= 1, but got 0"),
        ({"generation": "8"}, "`generation` must be a whole number >= 1, but got '8'"),
        ({"seed": True}, "`seed` must be a whole number >= 0, but got True"),
        ({"confirm_seeds": 3}, "`confirm_seeds` must be a sequence of whole numbers >= 0"),
        ({"checkpoints": 10}, "`checkpoints` must be a multiple of 4"),
    ],
    ids=str,
)
def test_what_a_search_cannot_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        search(**fields)
    assert one_line(caught.value).startswith(words)


def test_a_single_sampler_need_not_be_a_sequence() -> None:
    assert search(samplers="tpe").samplers == ("tpe",)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"low": "1"}, "`low` must be a finite number, but got '1'"),
        ({"high": math.inf}, "`high` must be a finite number, but got inf"),
        ({"default": math.nan}, "`default` must be a finite number, but got nan"),
        ({"default": None}, "`default` must be a finite number, but got None"),
        ({"log": 1}, "`log` must be True or False, but got 1"),
        ({"low": 1.5, "integer": True}, "`low` must be a whole number"),
        ({"low": 5}, "`low <= default <= high` must hold"),
        ({"low": 0}, "`low > 0` must hold with log=True"),
    ],
    ids=str,
)
def test_what_a_range_cannot_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        Range(**{"low": 1, "high": 4, "default": 2} | fields)
    assert one_line(caught.value).startswith(words)


RECORDS: list[tuple[Any, str]] = [
    *((study, field.name) for field in dataclasses.fields(Study)),
    *((search, field.name) for field in dataclasses.fields(Search)),
    *((Range, field.name) for field in dataclasses.fields(Range)),
    *((RelativeRates, field.name) for field in dataclasses.fields(RelativeRates)),
]


@pytest.mark.parametrize(("make", "field"), RECORDS)
@given(value=VALUES)
@settings(max_examples=30)
def test_a_field_of_any_record_is_plain_or_refused_in_one_line(
    make: Any, field: str, value: Any
) -> None:
    others = {Range: {"low": 1, "high": 4, "default": 2}, RelativeRates: {"low": 0.1, "high": 1}}
    try:
        record = make(**others.get(make, {}) | {field: value})
    except ValueError as error:
        one_line(error)
        return
    meant = getattr(record, field)
    again = make(**others.get(make, {}) | {field: meant})
    assert again == record
    if hasattr(record, "definition"):
        assert record.definition() == again.definition()


# train


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"together": -1}, "`together` must be a whole number >= 1 or None, but got -1"),
        ({"together": 0}, "`together` must be a whole number >= 1 or None, but got 0"),
        ({"checkpoints": 5}, "`checkpoints` must be a multiple of 4"),
        ({"layers": "yes"}, "`layers` must be True or False, but got 'yes'"),
        ({"sharpness": 1}, "`sharpness` must be True or False, but got 1"),
        ({"device": None}, "`device` must be auto, cpu, cuda or cuda:N, but got None"),
        (
            {"device": np.array(["cpu", "cpu"])},
            "`device` must be auto, cpu, cuda or cuda:N, but got array(",
        ),
        ({"study": 3}, "`study` must be text"),
        ({"unit": None}, "`unit` must be text"),
        ({"trials": 3}, "`trials` must be a Trial or a sequence of them, but got 3"),
        ({"trials": {"seed": 0}}, "`trials` must be a Trial or a sequence of them, but got {"),
        ({"trials": [Trial(), None]}, "`trials` must be a Trial or a sequence of them, but got"),
    ],
    ids=str,
)
def test_what_the_arguments_of_train_cannot_be(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        train(**{"trials": [], "device": "cpu"} | arguments)
    assert one_line(caught.value).startswith(words)


@pytest.mark.parametrize(
    "argument", ["checkpoints", "layers", "sharpness", "together", "study", "unit", "device"]
)
@given(value=VALUES)
@settings(max_examples=30)
def test_an_argument_of_train_is_taken_or_refused_in_one_line(argument: str, value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "group_by_shape", lambda trials: [])
        try:
            record = train(Trial(), **{argument: value})
        except ValueError as error:
            one_line(error)
            return
    assert record.trials.empty


def test_trials_of_numpy_numbers_are_the_same_trials() -> None:
    written = train(
        Trial(dataset=TOY, seed=np.int64(1), batch_size=16.0, epochs=np.float32(1)),
        device="cpu",
        checkpoints=np.int64(4),
        together=1.0,
        layers=np.bool_(False),
    )
    plain = train(
        Trial(dataset=TOY, seed=1, batch_size=16, epochs=1.0), device="cpu", checkpoints=4
    )
    found = written.trials.drop(columns="seconds")
    assert found.equals(plain.trials.drop(columns="seconds"))

"""The page about a GPU says what the tables of studies/gpu_check.py say."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pages import page, words

from benchmark.parquet import write
from benchmark.provenance import provenance
from benchmark.schema import frame
from benchmark.timing.on_gpu import LIMITS, ROUNDED, SMALL, SMALL_ROUNDED, TOLERANCE, cases
from report import evidence, gpu

CORRECT = [
    ("mlp clipping=value K=1", True, ""),
    ("mlp clipping=value K=3", True, ""),
    ("cnn batch K=33, twice", True, ""),
    ("cnn batch K=33, twice without graphs", True, ""),
]
WIDTHS = [("mlp", 1, 0.7, 700.0), ("mlp", 16, 1.6, 100.0), ("mlp", 64, 6.1, 95.0)]
Says = Callable[..., str]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """What the page says of the rows of some stages."""
    monkeypatch.setenv(evidence.VARIABLE, str(tmp_path))
    monkeypatch.setattr(evidence, "all_studies", list)

    def said(**stages: pd.DataFrame) -> str:
        (tmp_path / "gpu").mkdir(exist_ok=True)
        for name, rows in stages.items():
            rows.to_csv(tmp_path / "gpu" / f"{name}.csv", index=False)
        return words(page("gpu", tmp_path))

    return said


def correctness(*rows: tuple[str, bool, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["case", "agrees", "differ"])


def test_without_a_check_the_page_says_nothing(says: Says) -> None:
    assert says() == "# On a GPU"


def test_cases_that_agree_are_counted_by_what_they_check(says: Says) -> None:
    text = says(correctness=correctness(*CORRECT))
    assert "**They are**: all 4 cases agree." in text
    assert "its sharpness" not in text
    assert "| clipping | 2 | 2 |" in text
    assert "| the same bits when repeated | 1 | 1 |" in text
    assert "| the same bits when repeated, without graphs | 1 | 1 |" in text


def test_models_by_themselves_are_said_to_be_checked(says: Says) -> None:
    more = [("rnn model=rnn K=1", True, ""), ("rnn measurement=sharpness K=3", False, "x.loss: 1")]
    text = says(correctness=correctness(*CORRECT, *more))
    assert "So is every other model, also while its sharpness is measured." in text
    assert "| model | 1 | 1 |" in text
    assert "| loss | 1 | RNN with its sharpness, 3 together |" in text


def test_a_case_that_differs_is_shown_with_what_differs(says: Says) -> None:
    text = says(correctness=correctness(*CORRECT, ("cnn loss=x K=1", False, "trials.loss: 0.2")))
    assert "**1 of 5 cases differ**" in text
    assert "| loss | 1 | CNN with loss x |" in text


def test_a_case_that_broke_is_shown_without_the_program_s_message(says: Says) -> None:
    broken = ("cnn normalization=x K=3", False, "RuntimeError: NYI: something of torch's")
    text = says(correctness=correctness(*CORRECT, broken))
    assert "| stopped with an error | 1 | CNN with x normalization, 3 together |" in text
    assert "NYI" not in text


def test_a_graph_that_slows_a_step_is_said_to(says: Says) -> None:
    columns = ["model", "together", "equal", "differ", "graphs"]
    columns += ["milliseconds", "milliseconds_graphs", "ratio"]
    rows = [("mlp", 4, True, "", 2, 2.0, 0.2, 10.0), ("mlp", 256, True, "", 2, 2.2, 2.4, 0.92)]
    text = says(graphs=pd.DataFrame(rows, columns=columns))
    assert "up to 10.0 times as fast with them (MLP, 4 together)" in text
    assert "with 256 MLPs together it makes a step slower (2.40 against 2.20 ms)" in text


def timings(*rows: tuple[str, str, int, int, float, int]) -> pd.DataFrame:
    columns = ["workload", "arm", "trials_together", "processes", "seconds", "repeat"]
    common = {"what": "trials", "data": "made-up images", "threads": 1, "trials": 10}
    common |= {"cpu_seconds": 1.0, "operations": 1.0, "peak_bytes": 1, "accuracy": 0.8}
    common |= {"evaluated": 100, "device": "cuda"}
    made = [common | dict(zip(columns, row, strict=True)) for row in rows]
    return frame("measurements", made)


def test_the_engine_stands_beside_a_plain_loop(says: Says, tmp_path: Path) -> None:
    rows = [
        (workload, arm, together, processes, seconds / (1 + repeat), repeat)
        for workload, slower in (("mlp_fashion", 1), ("cnn_fashion", 4))
        for arm, together, processes, seconds in (
            ("baseline", 1, 1, 20.0 * slower),
            ("tensors", 1, 1, 10.0 * slower),
            ("tensors", 1, 8, 1.0),
            ("engine", 64, 1, 0.8),
            ("engine", 16, 8, 0.4),
        )
        for repeat in range(2)
    ]
    path = tmp_path / "gpu" / "throughput" / "measurements.parquet"
    write("measurements", timings(*rows), path, provenance(device="NVIDIA X", mps="yes"))
    text = says()
    # ten trials in ten seconds and in five, beside 0.4 and 0.2
    assert "**25.0 times as many MLPs** (120,000 against 4,800 an hour; 25 times" in text
    assert "**100.0 times as many CNNs** (120,000 against 1,200 an hour; 8 times" in text
    assert "16 MLPs together in each of 8 processes" in text
    assert "Medians over 2 repeats" in text
    assert "On `NVIDIA X` the engine" in text
    assert "shared the GPU by NVIDIA's multi-process service" in text
    assert "mlp_fashion" not in text


def test_timings_that_were_cut_off_are_shown_as_far_as_they_go(says: Says, tmp_path: Path) -> None:
    rows = [("mlp_fashion", "baseline", 1, 1, 20.0, 0), ("mlp_fashion", "tensors", 1, 1, 5.0, 0)]
    rows += [("mlp_fashion", "engine", 1, 1, 1.0, 0), ("cnn_fashion", "baseline", 1, 1, 9.0, 0)]
    path = tmp_path / "gpu" / "throughput" / "measurements.parquet"
    write("measurements", timings(*rows), path, provenance(device="NVIDIA X", mps="no"))
    text = says()
    assert "**5.0 times as many MLPs**" in text
    assert "CNNs" not in text.partition("Medians over 1 repeat")[0]
    assert "shared the GPU" not in text


def kernels(**times: tuple[float, ...]) -> pd.DataFrame:
    """Two repeats of each network, in which torch's kernels take so many times as long."""
    common = {"what": "kernels", "factor": "none", "trials_together": 16, "processes": 8}
    common |= {"threads": 1, "trials": 128, "steps": 100, "accuracy": 0.5, "cpu_seconds": 1.0}
    return frame(
        "measurements",
        [
            common | {"workload": model, "arm": arm, "repeat": repeat, "seconds": took * longer}
            for took, (model, ratios) in zip((1.28, 2.56, 1.28), times.items(), strict=True)
            for repeat, ratio in enumerate(ratios)
            for arm, longer in (("engine", 1.0), ("torch_kernels", ratio))
        ],
    )


@pytest.mark.parametrize(
    ("cnn", "resnet", "said"),
    [
        ((1.5, 1.7), (1.1, 1.3), "**Products are faster**, up to 1.6 times, in 2 of 2 rows of"),
        ((1.5, 1.7), (0.9, 1.3), "in 1 of 2 rows of the table; in the others neither way is"),
        ((0.9, 1.1), (0.9, 1.3), "**Neither way is faster in every repeat.**"),
        ((1.5,), (0.5,), "**Neither way is faster in every repeat.**"),
        (
            (1.5, 1.7),
            (0.7, 0.9),
            "**cuDNN is faster for ResNet, 16 together in 8 workers (0.80 of the time of",
        ),
    ],
)
def test_kernels_are_told_by_which_is_faster(
    cnn: tuple[float, ...], resnet: tuple[float, ...], said: str, says: Says, tmp_path: Path
) -> None:
    path = tmp_path / "gpu" / "kernels" / "measurements.parquet"
    rows = kernels(cnn=cnn, resnet=resnet, mlp=(0.99, 0.99))
    write("measurements", rows, path, provenance(device="NVIDIA X", mps="yes"))
    text = says()
    assert said in text
    assert "processes, on `NVIDIA X`." in text
    assert "(0.99 to 0.99) are what timing twice makes of no difference" in text
    assert "which kernels should compute" not in text
    # 1.28 s of 128 trials of 100 updates
    assert "| CNN | 16 | 8 | 0.10 |" in text
    assert "| ResNet | 16 | 8 | 0.20 |" in text


def processes() -> pd.DataFrame:
    hourly = {("mlp", "yes", 1): 100, ("mlp", "yes", 8): 450, ("mlp", "no", 1): 110}
    hourly |= {("mlp", "no", 8): 300, ("cnn", "no", 1): 30, ("cnn", "no", 8): 60}
    rows = [(*way, trials, "NVIDIA X") for way, trials in hourly.items()]
    columns = ["model", "mps", "processes", "trials_an_hour", "device"]
    return pd.DataFrame(rows, columns=columns).assign(together=16)


def test_numbers_of_processes_stand_with_mps_and_without(says: Says) -> None:
    text = says(processes=processes())
    assert "**MLPs, 16 together:** 8 workers with MPS trained most, 450 an hour, 4.5 times" in text
    assert (
        "**CNNs, 16 together:** 8 workers without MPS trained most, 60 an hour, 2.0 times" in text
    )
    assert "| network | workers | trials an hour, with MPS | trials an hour, without" in text
    assert "| MLP | 8 | 450 | 300 |" in text
    assert "The same in every row: together 16" in text
    assert "Measured on one `NVIDIA X` by" in text


@pytest.mark.parametrize(
    ("trials", "work", "said"),
    [
        (8, 1.0, "**All 8 trials of the grid took 15.0 minutes** (25 were aimed at)"),
        (2, 0.5, "In 15.0 minutes 2 of the 8 trials of the grid were trained"),
        (2, 0.5, "stand for 50% of all multiply-adds: at that pace **all would take 30 minutes**"),
        (0, 0.0, "stand for 0% of all multiply-adds. The units"),
    ],
)
def test_the_time_of_the_grid_is_that_of_all_calls(
    trials: int, work: float, said: str, says: Says
) -> None:
    columns = ["began", "seconds", "trials", "work"]
    rows = [("a", 10.0, 0, 0.0), ("a", 300.0, 1, 0.1), ("b", 600.0, trials, work)]
    more = {"of": 8, "scale": "full", "processes": 8, "device": "NVIDIA X"}
    assert said in says(grid=pd.DataFrame(rows, columns=columns).assign(**more))


def test_what_was_measured_on_several_gpus_has_no_device(says: Says) -> None:
    cases = correctness(*CORRECT).assign(device="NVIDIA Y")
    assert "Measured on" not in says(processes=processes(), correctness=cases)


def test_what_was_not_measured_is_said(says: Says) -> None:
    text = says(processes=processes())
    assert (
        "Not measured yet: what the engine is worth beside a plain loop on the same GPU, how "
        "long the whole grid takes and which kernels should compute convolutions."
    ) in text


def test_every_case_of_the_check_has_words() -> None:
    names = [case.name for case in cases("digits")]
    said = list(map(gpu.case_in_words, names))
    assert len(set(said)) == len(names)
    assert not [words for words in said if re.search(r"[=_]|\bK\b|\b(mlp|cnn)\b", words)]


def test_every_large_unit_has_words() -> None:
    said = [gpu.unit_in_words(name) for name, *_ in LIMITS]
    assert not [words for words in said if re.search(r"_|\^|\b(mlp|cnn)\b", words)]


def test_the_page_has_the_tolerances_of_the_check(says: Says) -> None:
    text = says(correctness=correctness(*CORRECT))
    exponent = f"{TOLERANCE:.0e}".partition("e-0")[2]
    assert f"$10^{{-{exponent}}}$" in text
    assert f"differences of up to {ROUNDED:g} of a column's largest number" in text
    assert pytest.approx((0.01, 1.0)) == (SMALL, SMALL_ROUNDED)
    assert "smaller than a hundredth of its column's largest number" in text


def test_the_best_width_is_told_with_what_it_gains(says: Says) -> None:
    columns = ["model", "together", "milliseconds", "microseconds_a_trial"]
    text = says(widths=pd.DataFrame(WIDTHS, columns=columns))
    assert "**MLP: 16 together.** A step then takes 100 µs per network, 7.0 times less" in text


def test_a_stage_that_was_not_run_has_no_section(says: Says) -> None:
    text = says(correctness=correctness(*CORRECT))
    assert text.count("## ") == 2
    assert "## Limits" in text

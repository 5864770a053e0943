"""Which studies a folder of results lacks, what they would take, and the commands that run them."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from benchmark.project import CHECKOUT, SCALES, WORTH, scripts
from report import detectors, evidence, gpu, throughput
from report.text import Markdown

CHECK = "gpu_check"
PAGES = {**evidence.PAGES, detectors.STUDY: "detectors", CHECK: "gpu"}
"""The page about each study, those without trials among them."""
FURTHER = (throughput.STUDY, detectors.STUDY, CHECK)
"""Studies that ``make studies`` does not run: of time, of single steps and of a GPU."""
COST = r"^{scale} +([\d,]+) trials +[\d,]+ updates +([\d.]+|-) core-hours"
"""What the first lines of a study's script say of a scale."""


def was_run(study: str) -> bool:
    """Whether the folder holds a study of the suite."""
    if study == CHECK:
        return bool(gpu.found()) or throughput.timed(gpu.FOLDER) is not None
    if study == throughput.STUDY:
        return throughput.timed() is not None
    if study == detectors.STUDY:
        return evidence.load_table(detectors.STUDY, detectors.TABLE) is not None
    return evidence.load(study) is not None


def missing() -> list[str]:
    """The studies of ``make studies`` that the folder lacks, the most worth knowing first."""
    return [study for study in WORTH if not was_run(study)]


def all_missing() -> list[str]:
    """`missing`, and then those of `FURTHER` that the folder lacks."""
    return [*missing(), *(study for study in FURTHER if not was_run(study))]


def of_suite() -> list[str]:
    """The studies of the suite that the folder holds, the most worth knowing first."""
    return [study for study in (*WORTH, *FURTHER) if was_run(study)]


def pages_by_worth() -> list[str]:
    """The pages about studies that the folder holds, and then that of custom ones."""
    return [*dict.fromkeys(PAGES[study] for study in of_suite()), "extension"]


def scale() -> str:
    """The scale at which all studies of the suite in the folder were run; quick if they differ."""
    studies = [evidence.load(name) for name in WORTH]
    found = {study.scale for study in studies if study}
    return found.pop() if len(found) == 1 and found <= set(SCALES) else "quick"


def options() -> str:
    """The options of a command that adds to the folder."""
    folder, at = evidence.folder(), scale()
    results = "" if folder == f"results/{at}" else f" --results {folder}"
    return f"--scale {at}{results}"


def command(*studies: str) -> str:
    """What runs these studies, and adds them to the folder."""
    return f"python -m benchmark run {' '.join(studies)} {options()}"


def each(studies: Sequence[str]) -> str:
    """What runs each of these studies, a line each; that of a GPU has a scale of its own."""
    return "\n".join(
        f"python -m benchmark run {CHECK}" if study == CHECK else command(study)
        for study in studies
    )


def run_all() -> str:
    """What runs all that is `missing`."""
    folder, at = evidence.folder(), scale()
    if not CHECKOUT:
        return command(*missing())
    results = "" if folder == f"results/{at}" else f" RESULTS={folder}"
    return f"make studies SCALE={at}{results}"


def cost(study: str, at: str) -> tuple[int, float] | None:
    """How many trials a study has at a scale, and its estimated core-minutes (NaN: not known).

    As its script says; None where that says nothing.

    >>> cost("grid", "quick")[0]
    576
    """
    text = ast.get_docstring(ast.parse(scripts()[study].read_text(encoding="utf-8"))) or ""
    found = re.search(COST.format(scale=at), text, re.M)
    if found is None:
        return None
    hours = float("nan") if found[2] == "-" else float(found[2])
    return int(found[1].replace(",", "")), 60 * hours


def question(study: str) -> str:
    """The question of a study, as its script has it."""
    text = ast.get_docstring(ast.parse(scripts()[study].read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ")


def rows(studies: Sequence[str]) -> list[dict[str, object]]:
    """A row a study: ``study``, a link to its ``page``, ``question``, ``trials``, ``minutes``."""
    found: list[dict[str, object]] = []
    for study in studies:
        trials, minutes = cost(study, scale()) or (float("nan"), float("nan"))
        page = Markdown(f"[]({PAGES[study]}.md)")
        said = {"study": study, "page": page, "question": question(study)}
        found.append({**said, "trials": trials, "minutes": minutes})
    return found


def has_reference() -> bool:
    """Whether the project's own results lie beside, and the folder is another one."""
    reference = evidence.REFERENCE
    elsewhere = evidence.default_folder().resolve() != reference.resolve()
    return CHECKOUT and elsewhere and any(reference.glob("*/plan.parquet"))


def next_step() -> str:
    """What to run next, in a line; empty where nothing is missing that ``make studies`` runs."""
    if not (left := missing()):
        return ""
    held = len(WORTH) - len(left)
    of = f"{held} of the {len(WORTH)} studies" if held else f"none of the {len(WORTH)} studies"
    return f"This folder holds {of}; next, the most worth knowing: {command(left[0])}"

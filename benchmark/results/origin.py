"""Where a study's files come from, as a reader on another machine can use it."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILES = ("plan", "trials", "history", "layers", "labelled_steps", "alarms", "measurements")
"""Tables that a study may have, in the order in which their hashes are listed."""
ABSOLUTE = re.compile(r"(--results[ =])('/[^']*'|/\S*)")
"""A results folder as a path of the machine that the study ran on."""
DEFAULT_SCALE = "quick"
"""Of a study script, where its command line names none."""

Words = dict[str, dict[str, dict[str, str]]]
"""By factor and level what is said of a strategy: its title, summary, reference and so on."""


def command_for(command: str, folder: str) -> str:
    """``command`` with ``folder`` where it has an absolute results folder.

    >>> command_for("python studies/grid.py --results /scratch/mine", "results/mine")
    'python studies/grid.py --results results/mine'
    """
    quoted = shlex.quote(folder)
    return ABSOLUTE.sub(lambda found: found.group(1) + quoted, command)


def scale_of(command: str) -> str:
    """The scale that a command asked for; ``unknown`` where it was no study script.

    >>> scale_of("python studies/grid.py --scale paper"), scale_of("python studies/grid.py")
    ('paper', 'quick')
    """
    words = shlex.split(command)
    named = re.search(r"--scale[ =](\S+)", command)
    if named:
        return named.group(1)
    by_script = words[1:4] == ["-m", "benchmark", "run"] or "studies/" in "".join(words[1:2])
    return DEFAULT_SCALE if by_script else "unknown"


def commits(makers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Seven digits of each commit that made rows, marked where the sources had been changed.

    >>> commits([{"commit": "0123456789", "dirty": True}, {}])
    ['0123456 with local changes', 'unknown']
    """
    said = (
        f"{str(maker.get('commit', 'unknown'))[:7]}"
        f"{' with local changes' if maker.get('dirty') else ''}"
        for maker in makers
    )
    return list(dict.fromkeys(said))


def devices(makers: Iterable[Mapping[str, Any]]) -> list[str]:
    """On what each maker trained, each named once."""
    return list(dict.fromkeys(str(maker.get("device", "unknown")) for maker in makers))


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every parquet file of the study in ``folder``, by the name of its table."""
    paths = {table: folder / f"{table}.parquet" for table in FILES}
    return {
        table: hashlib.sha256(path.read_bytes()).hexdigest()
        for table, path in paths.items()
        if path.exists()
    }


def strategies_in(metadata: Iterable[Mapping[str, Any]]) -> Words:
    """What studies say of their strategies, of the ``metadata`` of each: the first counts.

    ``title``, ``summary``, ``reference``, ``formula`` and ``default``, each where it is there;
    results of earlier versions say nothing.

    >>> strategies_in([{"words": {"clipping": {"mine": {"title": "my clipping"}}}}, {}])
    {'clipping': {'mine': {'title': 'my clipping'}}}
    """
    found: Words = {}
    for study in metadata:
        for factor, levels in _mapping(study.get("words")).items():
            for level, words in _mapping(levels).items():
                said = {key: str(text) for key, text in _mapping(words).items()}
                found.setdefault(factor, {}).setdefault(level, said)
    return found


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

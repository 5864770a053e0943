"""What made a file: sources, versions, machine, command and time."""

from __future__ import annotations

import datetime
import functools
import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark import calling
from benchmark.kernels import kernels
from benchmark.passwords import hide_passwords
from benchmark.project import VERSION, script_name
from benchmark.schema import SCHEMA_VERSION

VERSIONS = ("torch", "numpy", "kernels")
"""Where these and the device of each row are equal, the same unit may give the same bits."""

DECISIVE = ("code", *VERSIONS, "platform")
"""Where these are equal too, it does."""

LIBRARIES = ("cuda", "cudnn", "driver", "convolutions", "graphs")
"""Where rows are from a GPU, these are equal too where it gives the same bits."""

SURROUNDINGS = ("code", "python", *VERSIONS, "platform")
"""What a process that trains says of itself, besides its device."""

MAKER = ("package", "commit", "dirty", "python", *DECISIVE, *LIBRARIES, "device")
"""What tells one maker of rows from another."""

TRAINING = (
    *("data", "engine", "models", "records", "strategies"),
    *("gpus.py", "kernels.py", "layout.py", "measurements.py", "norms.py", "spikes.py"),
    "status.py",
)
"""Sources on which a trained row depends, within the package."""


def provenance(**more: Any) -> dict[str, Any]:
    """What makes the files of this run: package, commit, versions, platform, command and time.

    ``code`` identifies the sources that a trained row depends on, whatever the commit; ``kernels``
    says by what a CPU computes plain dense and small convolutional networks.
    Keyword arguments (the device, the study's definition) are added as they are.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "package": VERSION,
        **_commit(Path(__file__).resolve().parent),
        **surroundings(),
        **{name: _version(name) for name in ("optuna", "pandas", "pyarrow")},
        "command": command(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **more,
    }


def surroundings(**more: Any) -> dict[str, Any]:
    """By what this process trains, and on what: `SURROUNDINGS`; a cluster's workers may differ.

    Keyword arguments (the device and its libraries) are added as they are.
    """
    return {
        "code": _code(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "numpy")},
        "kernels": kernels(),
        "platform": platform.platform(),
        **more,
    }


def maker(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``metadata`` that says by what its rows were made."""
    return {name: made_with(metadata, name) for name in MAKER}


def maker_id(metadata: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits for the `maker` in ``metadata``, by which a row names its own."""
    text = json.dumps(maker(metadata), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def with_maker(metadata: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """``metadata`` of rows of which ``made`` says by what they were made.

    >>> with_maker({"commit": "a", "driver": "580.1", "torch": "2"}, {"torch": "3"})
    {'commit': 'a', 'torch': '3'}
    """
    theirs = {*SURROUNDINGS, *LIBRARIES, "device"}
    return {name: value for name, value in metadata.items() if name not in theirs} | dict(made)


def made_with(metadata: Mapping[str, Any], name: str) -> Any:
    """One entry of ``metadata``: results from before there was a choice of kernels have torch's."""
    return metadata.get(name, "torch" if name == "kernels" else None)


def command(*, typed: bool = False) -> str:
    """This process's command without passwords, to be pasted in any folder.

    With ``typed`` as it was typed, to be pasted where it was.
    """
    if in_notebook():
        return "run(study) in a notebook"
    if typed and (whole := calling.typed(lambda word: hide_passwords(word, word))) is not None:
        return whole
    script, *arguments = sys.argv or [""]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if script in ("", "-c"):
        name = "python" + f" {script}" * bool(script)
    elif spec is not None and spec.origin == script:
        name = f"python -m {spec.name.removesuffix('.__main__')}"
    else:
        by_name = not typed or Path(script).is_absolute()
        name = _from_anywhere(Path(script)) if by_name else f"python {shlex.quote(script)}"
    whole = " ".join([name, *(shlex.quote(hide_passwords(a, a)) for a in arguments)])
    return calling.here(whole) if typed else whole


def _from_anywhere(script: Path) -> str:
    """The command of a script: by its name where it is packaged, else by where it lies."""
    if (name := script_name(script)) is not None:
        return f"python -m benchmark run {name}"
    path = script.absolute()
    for known in (path, path.resolve()):
        if known.is_relative_to(Path.home()):
            # a tilde in quotes is none
            return "python ~/" + shlex.quote(known.relative_to(Path.home()).as_posix())
    return f"python {shlex.quote(str(path))}"


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, whose arguments are not the user's."""
    return Path(sys.argv[0] if sys.argv else "").stem.endswith("kernel_launcher")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@functools.cache
def _commit(package: Path) -> dict[str, Any]:
    """The commit of the repository that ``package`` is of, and whether its files are others.

    Unknown where it is installed, even into a folder of someone else's repository.
    """

    def git(*arguments: str) -> str:
        run = ["git", "-C", str(package), *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != package.parent.resolve():
            return {"commit": "unknown", "dirty": False}
        # a study writes into results, of which some are tracked: they make nothing else
        paths = ":/", ":(top,exclude)results"
        dirty = bool(git("status", "--porcelain", "--untracked-files=no", "--", *paths))
        return {"commit": git("rev-parse", "HEAD"), "dirty": dirty}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": False}


@functools.cache
def _code() -> str:
    package = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for name in TRAINING:
        path = package / name
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(source.relative_to(package).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]

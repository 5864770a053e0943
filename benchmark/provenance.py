"""What made a file: sources, versions, machine, command and time."""

from __future__ import annotations

import datetime
import functools
import hashlib
import importlib.metadata
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.passwords import hide_passwords
from benchmark.schema import SCHEMA_VERSION

VERSIONS = ("torch", "numpy")
"""Where these and the device of each row are equal, the same unit may give the same bits."""

DECISIVE = ("code", *VERSIONS, "platform")
"""Where these are equal too, it does."""

MAKER = ("package", "commit", "dirty", "python", *DECISIVE, "device")
"""What tells one maker of rows from another."""

TRAINING = (
    *("data", "engine", "models", "records", "strategies"),
    *("layout.py", "measurements.py", "status.py"),
)
"""Sources on which a trained row depends, within the package."""


def provenance(**more: Any) -> dict[str, Any]:
    """What makes the files of this run: package, commit, versions, platform, command and time.

    ``code`` identifies the sources that a trained row depends on, whatever the commit.
    Keyword arguments (the device, the study's definition) are added as they are.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "package": _version("gradient-stability-benchmark"),
        **_commit(Path(__file__).resolve().parent),
        "code": _code(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "optuna", "numpy", "pandas", "pyarrow")},
        "platform": platform.platform(),
        "command": command(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **more,
    }


def maker(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``metadata`` that says by what its rows were made."""
    return {name: metadata.get(name) for name in MAKER}


def command() -> str:
    """This process's command as one would type it, without passwords."""
    # the script's folder is the reader's own affair
    script, *arguments = sys.argv or [""]
    path = Path(script)
    name = f"python studies/{path.name}" if path.parent.name == "studies" else path.name
    return " ".join([name, *(shlex.quote(hide_passwords(a, a)) for a in arguments)])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@functools.cache
def _commit(package: Path) -> dict[str, Any]:
    """The commit of the repository that holds ``package``, and whether its files are others."""

    def git(*arguments: str) -> str:
        run = ["git", "-C", str(package), *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()

    try:
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

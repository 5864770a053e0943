"""Where the files of MNIST and Fashion-MNIST are looked for, and how they are checked."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch

from benchmark.data.idx import DataError, decompress, parse_idx

SYSTEM_FOLDER = Path("/usr/share/datasets")


@dataclass(frozen=True)
class Source:
    """One published IDX file.

    ``sha256`` is that of the decompressed bytes, because compressed copies differ; ``md5`` that of
    the compressed file at ``url``.
    """

    dataset: str
    file: str
    sha256: str
    md5: str
    url: str


def read_source(source: Source) -> np.ndarray:
    """The array in ``source``, wherever it is found first.

    Looked for in ``$BENCHMARK_DATA/<dataset>/``, the cache folder and ``/usr/share/datasets/``, as
    it is or with ``.gz``; downloaded into the cache last. Whatever the place, the decompressed
    bytes must have the published hash: a wrong file is an error, and is not passed over.

    Raises
    ------
    DataError
        If the file is nowhere and cannot be downloaded, is damaged, or has another hash.
    """
    path = _find(source) or _download(source)
    try:
        raw = decompress(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except DataError as error:
        raise DataError(f"{error} (expected SHA-256 when decompressed {source.sha256})") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != source.sha256:
        raise DataError(
            f"{path} is not the published file: its decompressed bytes have SHA-256 {found}, "
            f"expected {source.sha256}"
        )
    return parse_idx(raw, str(path))


def cache_folder() -> Path:
    """Where downloads are kept."""
    return Path(pooch.os_cache("gradient-stability-benchmark"))


def _folders(dataset: str) -> list[Path]:
    folders = [cache_folder() / dataset, SYSTEM_FOLDER / dataset]
    if named := os.environ.get("BENCHMARK_DATA"):
        if not Path(named).is_dir():
            raise DataError(f"BENCHMARK_DATA names {named!r}, which is no folder")
        folders.insert(0, Path(named) / dataset)
    return folders


def _find(source: Source) -> Path | None:
    for folder in _folders(source.dataset):
        for name in (source.file, f"{source.file}.gz"):
            if (folder / name).is_file():
                return folder / name
    return None


def _download(source: Source) -> Path:
    folder = cache_folder() / source.dataset
    try:
        found = pooch.retrieve(
            url=f"{source.url}{source.file}.gz",
            known_hash=f"md5:{source.md5}",
            fname=f"{source.file}.gz",
            path=folder,
            progressbar=False,
        )
    except Exception as error:
        looked = ", ".join(map(str, _folders(source.dataset)))
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{source.dataset}/{source.file} (expected SHA-256 {source.sha256}) is in none of "
            f"{looked}, and its download from {source.url} failed: {reason}. Set BENCHMARK_DATA to "
            f"a folder that holds {source.dataset}/{source.file}.gz"
        ) from error
    return Path(found)

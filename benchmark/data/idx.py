"""IDX files, the format in which MNIST and its relatives are published."""

from __future__ import annotations

import gzip
import math
import struct
import zlib

import numpy as np

UNSIGNED_BYTE = 0x08
MOST_DIMENSIONS = 4


class DataError(ValueError):
    """A data file that is missing, truncated or altered; the message names it."""


def decompress(raw: bytes, name: str) -> bytes:
    """``raw`` itself, or what a gzip file holds.

    Raises
    ------
    DataError
        If the gzip stream is cut short or damaged.
    """
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{name} cannot be decompressed: {error}") from error


def parse_idx(raw: bytes, name: str) -> np.ndarray:
    """The array in an IDX file of unsigned bytes.

    The header is two zero bytes, the type, the number of dimensions, and each dimension as a
    big-endian 32-bit number.

    Raises
    ------
    DataError
        If the header is not that of such a file, or the length does not fit it. At most four
        dimensions, none of them empty, are taken for images or labels.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), "two.idx")
    array([7, 9], dtype=uint8)
    """
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE:
        raise DataError(f"{name} is not an IDX file of unsigned bytes (it begins {raw[:4]!r})")
    dimensions = raw[3]
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise DataError(f"{name} must have 1..{MOST_DIMENSIONS} dimensions, but has {dimensions}")
    start = 4 + 4 * dimensions
    if len(raw) < start:
        raise DataError(f"{name} ends within its header")
    shape = struct.unpack(f">{dimensions}I", raw[4:start])
    if 0 in shape:
        raise DataError(f"{name} is empty: its header gives the shape {shape}")
    if len(raw) - start != math.prod(shape):
        raise DataError(
            f"{name} should hold {math.prod(shape)} bytes after its header for the shape "
            f"{shape}, but holds {len(raw) - start}"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)

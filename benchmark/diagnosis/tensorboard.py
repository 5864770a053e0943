"""Scalars from TensorBoard's event files, without TensorBoard.

A file is a sequence of records: length (8 bytes), its checksum (4), the event, its checksum (4).
An event is a protocol buffer, of which the step and the scalars of its summary are read
(TensorFlow: tensorflow/core/lib/io/record_writer.h, core/framework/summary.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Scalar = tuple[int, str, float]
"""Step, tag and value."""

VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5
"""Wire types of protocol buffers."""
STEP, SUMMARY, VALUE, TAG, SIMPLE_VALUE, TENSOR = 2, 5, 1, 1, 2, 8
TENSOR_TYPE, TENSOR_CONTENT, FLOAT_VALUES, DOUBLE_VALUES = 1, 4, 5, 6
FORMATS = {1: "<f", 2: "<d"}
"""By TensorFlow's number of a data type."""


class NotEvents(ValueError):
    """Bytes that are no records of events."""


def scalars(data: bytes) -> tuple[list[Scalar], bool]:
    """Every scalar in the order of the file, and whether its last record is whole.

    Raises
    ------
    NotEvents
        If a length or an event does not read.
    """
    found: list[Scalar] = []
    place = 0
    while place < len(data):
        if place + 12 > len(data):
            return found, False
        head = data[place : place + 8]
        length, checksum = struct.unpack("<QI", data[place : place + 12])
        if checksum != masked_checksum(head):
            raise NotEvents(f"the record at byte {place} has a wrong checksum")
        end = place + 12 + length
        if end + 4 > len(data):
            return found, False
        try:
            found += _of_event(data[place + 12 : end])
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise NotEvents(f"the event at byte {place} does not read ({error})") from None
        place = end + 4
    return found, True


def _of_event(event: bytes) -> Iterator[Scalar]:
    step, summaries = 0, []
    for number, value in fields(event):
        if number == STEP and isinstance(value, int):
            step = value
        elif number == SUMMARY and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for number, value in fields(summary):
            if number == VALUE and isinstance(value, bytes):
                tag, scalar = _of_value(value)
                if scalar is not None:
                    yield step, tag, scalar


def _of_value(data: bytes) -> tuple[str, float | None]:
    tag, scalar = "", None
    for number, value in fields(data):
        if not isinstance(value, bytes):
            continue
        if number == TAG:
            tag = value.decode()
        elif number == SIMPLE_VALUE and len(value) == 4:
            (scalar,) = struct.unpack("<f", value)
        elif number == TENSOR:
            scalar = _of_tensor(value)
    return tag, scalar


def _of_tensor(data: bytes) -> float | None:
    """The number of a tensor that has one; None for any other."""
    kind, content = 0, b""
    for number, value in fields(data):
        if number == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number in (TENSOR_CONTENT, FLOAT_VALUES, DOUBLE_VALUES) and isinstance(value, bytes):
            content += value
    form = FORMATS.get(kind)
    if form is None or len(content) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, content)[0])


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protocol buffer: a whole number, or bytes as they are.

    >>> list(fields(bytes([0x10, 0x05])))
    [(2, 5)]
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire == SIZED:
            size, place = _varint(message, place)
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if wire == EIGHT_BYTES else 4
        else:
            raise struct.error(f"wire type {wire}")
        if place + size > len(message):
            raise IndexError("a field is longer than its message")
        yield number, message[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            # steps are signed, of 64 bits
            value &= 2**64 - 1
            return value - 2**64 if value >= 2**63 else value, place


def masked_checksum(data: bytes) -> int:
    """CRC-32C of ``data``, rotated and offset as TensorFlow stores it.

    >>> hex(masked_checksum(bytes(8)))
    '0x7980329'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

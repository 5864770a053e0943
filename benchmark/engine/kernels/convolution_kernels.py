"""Kernels for a convolution, 2 x 2 maximum and ReLU in one pass, compiled by numba.

What numba's compiler makes of loops over channels runs at a fraction of a core's rate, so the
innermost tiles are written as vector instructions: each keeps its sums in registers. Arrays have
their channels last; a vector is 64 bytes of channels, which LLVM splits where registers are
smaller. Sums run over taps, channels and pixels in a fixed order, whatever the machine's width, so
only fused multiply-adds tell machines apart. One module, though a long one: numba compiles again
when the file of a function has changed, not when another has.

``where`` says of every pooled number which of its four pixels it came from (0 to 3, the first
maximum row by row; of NaNs the last, as in torch), or 4 where ReLU cut it off and no gradient
passes. Backward passes therefore touch at most one of four gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from benchmark.engine.kernels.compiling import compiled, in_a_thread, one_process_at_a_time

SIZES = (3, 5)
"""Sides of the convolutions that there are tiles for."""
CHANNELS = 16
"""Channels are multiples of this: one or two vectors of either precision."""

BYTES = 64
WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
POOLED = 2 if WIDE else 1
"""Pooled pixels of a forward tile: eight or four sums of each vector."""
KEPT = 26 if WIDE else 6
"""Vectors that backward tiles keep in registers: of 32 whole ones, or of 16 halves."""
DEAD = 4
BITS = 64
SINGLE, DOUBLE = np.int32(0x7F800000), np.int64(0x7FF0000000000000)
"""The bits of the exponent, all of which are set in what is not finite."""

INDEX, BYTE = ir.IntType(64), ir.IntType(8)

Array = np.ndarray


def _instructions(function: Callable[..., Any]) -> Any:
    """What writes instructions, as a function that kernels call with arrays and integers."""
    return intrinsic(function)


class _Code:
    """Instructions on vectors, for the data of contiguous arrays (the first gives the type)."""

    def __init__(self, context: Any, builder: Any, kinds: Sequence[Any], arrays: Sequence[Any]):
        self.builder = builder
        pairs = zip(kinds, arrays, strict=True)
        self.data = [context.make_array(kind)(context, builder, a).data for kind, a in pairs]
        element = kinds[0].dtype
        self.bytes = element.bitwidth // 8
        self.lanes = BYTES // self.bytes
        self.vector = ir.VectorType(context.get_value_type(element), self.lanes)
        name = f"llvm.fmuladd.v{self.lanes}f{element.bitwidth}"
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        self.multiply_add = cgutils.get_or_insert_function(builder.module, signature, name)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)

    def product(self, number: Any, by: Any) -> Any:
        return self.builder.mul(number, INDEX(by) if isinstance(by, int) else by)

    def sum(self, first: Any, *others: Any) -> Any:
        for other in others:
            other = INDEX(other) if isinstance(other, int) else other
            first = self.builder.add(first, other)
        return first

    def at(self, data: Any, index: Any, kind: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [index]), kind.as_pointer())

    def load(self, data: Any, index: Any) -> Any:
        return self.builder.load(self.at(data, index, self.vector), align=self.bytes)

    def store(self, vector: Any, data: Any, index: Any) -> None:
        self.builder.store(vector, self.at(data, index, self.vector), align=self.bytes)

    def spread(self, data: Any, index: Any) -> Any:
        """One number in every lane."""
        number = self.builder.load(self.builder.gep(data, [index]))
        return _filled(self.builder, number, self.vector)

    def whole(self, number: int) -> Any:
        """A byte in every lane."""
        return ir.Constant(ir.VectorType(BYTE, self.lanes), [number] * self.lanes)

    def variables(self, count: int) -> list[Any]:
        """What the compiler keeps in registers."""
        return [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]

    def add_product(self, variable: Any, a: Any, b: Any) -> None:
        total = self.builder.call(self.multiply_add, [a, b, self.builder.load(variable)])
        self.builder.store(total, variable)

    def fetch(self, variables: list[Any], data: Any, places: list[Any]) -> None:
        for variable, place in zip(variables, places, strict=True):
            self.builder.store(self.load(data, place), variable)

    def put_back(self, variables: list[Any], data: Any, places: list[Any]) -> None:
        for variable, place in zip(variables, places, strict=True):
            self.store(self.builder.load(variable), data, place)

    def loop(self, count: Any) -> Any:
        return cgutils.for_range(self.builder, count)

    @contextmanager
    def each_bit(self, bits: Any) -> Iterator[Any]:
        """A loop over the places of the bits that are set."""
        left = cgutils.alloca_once_value(self.builder, bits)
        test, body, done = (self.builder.append_basic_block() for _ in range(3))
        self.builder.branch(test)
        self.builder.position_at_end(test)
        now = self.builder.load(left)
        self.builder.cbranch(self.builder.icmp_unsigned("!=", now, INDEX(0)), body, done)
        self.builder.position_at_end(body)
        # all but the lowest
        self.builder.store(self.builder.and_(now, self.builder.sub(now, INDEX(1))), left)
        yield self.builder.cttz(now, ir.Constant(ir.IntType(1), 1))
        self.builder.branch(test)
        self.builder.position_at_end(done)


def _filled(builder: Any, number: Any, kind: Any) -> Any:
    """A vector with ``number`` in every lane."""
    lane = ir.IntType(32)
    nothing = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(nothing, number, lane(0))
    lanes = ir.Constant(ir.VectorType(lane, kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, nothing, lanes)


def _taps_at_once(size: int) -> list[list[tuple[int, int]]]:
    """Rows and columns of a convolution's taps, as many together as registers keep sums for."""
    rows = max(1, KEPT // size)
    firsts = range(0, size, rows)
    ends = [range(first, min(first + rows, size)) for first in firsts]
    return [[(y, x) for y in some for x in range(size)] for some in ends]


def _pooled_tile(vectors: int, alone: bool = False) -> Any:
    """``vectors`` of output channels of a few pooled pixels: convolved, pooled, rectified."""

    @_instructions
    def tile(_, x, weight, bias, out, where, row, channels, size, features, c, a, b, to_a, to_b):
        """``a`` and ``b`` say where in ``x`` the windows of two pooled pixels begin."""
        arrays = x, weight, bias, out, where

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = _Code(context, builder, arrays, values[:5])
            inputs, weights, biases, outputs, places = code.data
            row, channels, size, features, c, a, b, to_a, to_b = values[5:]
            if alone:
                channels = INDEX(1)
            corners = [
                code.sum(start, code.product(row, dy), code.product(channels, dx))
                for start in (a, b)[:POOLED]
                for dy in range(2)
                for dx in range(2)
            ]
            at = [code.sum(c, v * code.lanes) for v in range(vectors)]
            sums = [code.variables(vectors) for _ in corners]
            for variables in sums:
                code.fetch(variables, biases, at)
            if alone:
                # of one channel: addresses but for the rows are constants
                for y in range(SIZES[0]):
                    for z in range(SIZES[0]):
                        w = code.product(features, y * SIZES[0] + z)
                        ws = [code.load(weights, code.sum(w, c)) for c in at]
                        begin = code.sum(code.product(row, y), z)
                        for corner, variables in zip(corners, sums, strict=True):
                            number = code.spread(inputs, code.sum(corner, begin))
                            for variable, w in zip(variables, ws, strict=True):
                                code.add_product(variable, number, w)
            else:
                run = code.product(size, channels)
                with code.loop(size) as tap, code.loop(run) as j:
                    w = code.product(code.sum(code.product(tap.index, run), j.index), features)
                    ws = [code.load(weights, code.sum(w, c)) for c in at]
                    begin = code.sum(code.product(tap.index, row), j.index)
                    for corner, variables in zip(corners, sums, strict=True):
                        number = code.spread(inputs, code.sum(corner, begin))
                        for variable, w in zip(variables, ws, strict=True):
                            code.add_product(variable, number, w)
            for i, end in enumerate((to_a, to_b)[:POOLED]):
                for v in range(vectors):
                    four = [builder.load(variables[v]) for variables in sums[4 * i : 4 * i + 4]]
                    best, place = _largest(code, four)
                    code.store(best, outputs, code.sum(end, at[v]))
                    pointer = code.at(places, code.sum(end, at[v]), place.type)
                    builder.store(place, pointer, align=1)
            return context.get_dummy_value()

        return types.void(*arrays, *[types.int64] * 9), generate

    return tile


def _largest(code: _Code, four: list[Any]) -> tuple[Any, Any]:
    """The maximum of four vectors, not below 0, and where it stood."""
    build = code.builder
    best, place = four[0], code.whole(0)
    for q in range(1, 4):
        # ordered comparisons are false for NaN, which wins over any number
        larger = build.fcmp_ordered(">", four[q], best)
        larger = build.or_(larger, build.fcmp_unordered("uno", four[q], four[q]))
        best = build.select(larger, four[q], best)
        place = build.select(larger, code.whole(q), place)
    cut = build.fcmp_ordered("<=", best, code.zero)
    return build.select(cut, code.zero, best), build.select(cut, code.whole(DEAD), place)


@_instructions
def _pass(_, gradient, where, to_bias, passed, begins, row, channels, features, height, width, c):
    """Of a vector of output channels: what passes ReLU, where in the inputs it began, its sum."""
    arrays = gradient, where, to_bias, passed, begins

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, arrays, values[:5])
        gradients, places, biases, kept, starts = code.data
        row, channels, features, height, width, c = values[5:]
        number = ir.IntType(32)
        numbers = ir.VectorType(number, code.lanes)

        def all_lanes(value: Any) -> Any:
            return _filled(builder, builder.trunc(value, number), numbers)

        total = code.variables(1)
        code.fetch(total, biases, [c])
        one, rows, columns = all_lanes(INDEX(1)), all_lanes(row), all_lanes(channels)
        with code.loop(height) as y, code.loop(width) as x:
            at = code.sum(code.product(y.index, width), x.index)
            at = code.sum(code.product(at, features), c)
            place = builder.load(code.at(places, at, code.whole(0).type), align=1)
            alive = builder.icmp_unsigned("!=", place, code.whole(DEAD))
            g = builder.select(alive, code.load(gradients, at), code.zero)
            code.store(g, kept, at)
            builder.store(builder.fadd(builder.load(total[0]), g), total[0])
            corner = code.sum(code.product(y.index, row), code.product(x.index, channels))
            place = builder.zext(place, numbers)
            # any place will do for a gradient of 0, as long as there is one
            down = builder.mul(builder.and_(builder.lshr(place, one), one), rows)
            right = builder.mul(builder.and_(place, one), columns)
            start = all_lanes(code.product(corner, 2))
            start = builder.add(start, builder.add(down, right))
            builder.store(start, code.at(starts, at, numbers), align=4)
        code.put_back(total, biases, [c])
        return context.get_dummy_value()

    return types.void(*arrays, *[types.int64] * 6), generate


def _weight_tile(size: int) -> Any:
    """Weight gradients of one output channel and one vector of input channels."""

    @_instructions
    def tile(_, x, gradient, begins, into, row, channels, features, pixels, c, j):
        """``begins`` (pixels, features): where in ``x`` what met this gradient begins."""
        arrays = x, gradient, begins, into

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = _Code(context, builder, arrays, values[:4])
            inputs, gradients, starts, weights = code.data
            row, channels, features, pixels, c, j = values[4:]
            first = code.sum(j, code.product(channels, code.product(c, size * size)))
            for taps in _taps_at_once(size):
                to = [code.sum(first, code.product(channels, y * size + x)) for y, x in taps]
                ahead = [
                    code.sum(j, code.product(row, y), code.product(channels, x)) for y, x in taps
                ]
                sums = code.variables(len(taps))
                code.fetch(sums, weights, to)
                with code.loop(pixels) as pixel:
                    at = code.sum(code.product(pixel.index, features), c)
                    number = code.spread(gradients, at)
                    start = builder.sext(builder.load(builder.gep(starts, [at])), INDEX)
                    for variable, place in zip(sums, ahead, strict=True):
                        code.add_product(
                            variable, number, code.load(inputs, code.sum(start, place))
                        )
                code.put_back(sums, weights, to)
            return context.get_dummy_value()

        return types.void(*arrays, *[types.int64] * 6), generate

    return tile


def _input_tile(size: int) -> Any:
    """Input gradients of one pixel of a convolution, one vector of input channels."""

    @_instructions
    def tile(_, weight, gradient, into, row, channels, chosen, g, c, start, j):
        """From output channels ``c + i`` whose bit ``i`` is chosen, with gradients at ``g + i``."""
        arrays = weight, gradient, into

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = _Code(context, builder, arrays, values[:3])
            weights, gradients, inputs = code.data
            row, channels, chosen, g, c, start, j = values[3:]
            first = code.sum(start, j)
            for taps in _taps_at_once(size):
                to = [
                    code.sum(first, code.product(row, y), code.product(channels, x))
                    for y, x in taps
                ]
                ahead = [code.sum(j, code.product(channels, y * size + x)) for y, x in taps]
                sums = code.variables(len(taps))
                code.fetch(sums, inputs, to)
                with code.each_bit(chosen) as i:
                    number = code.spread(gradients, code.sum(g, i))
                    w = code.product(code.product(code.sum(c, i), channels), size * size)
                    for variable, place in zip(sums, ahead, strict=True):
                        code.add_product(variable, number, code.load(weights, code.sum(w, place)))
                code.put_back(sums, inputs, to)
            return context.get_dummy_value()

        numbers = types.int64, types.int64, types.uint64, *[types.int64] * 4
        return types.void(*arrays, *numbers), generate

    return tile


def _first_tile(size: int) -> Any:
    """Weight gradients of one vector of output channels and one input channel."""

    @_instructions
    def tile(_, x, gradient, where, into, row, channels, features, height, width, c, j):
        arrays = x, gradient, where, into

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = _Code(context, builder, arrays, values[:4])
            inputs, gradients, places, weights = code.data
            row, channels, features, height, width, c, j = values[4:]
            for taps in _taps_at_once(size):
                numbers = [code.sum(j, code.product(channels, y * size + x)) for y, x in taps]
                to = [code.sum(code.product(number, features), c) for number in numbers]
                sums = code.variables(len(taps))
                code.fetch(sums, weights, to)
                with code.loop(height) as y0, code.loop(width) as x0:
                    at = code.sum(code.product(y0.index, width), x0.index)
                    at = code.sum(code.product(at, features), c)
                    g = code.load(gradients, at)
                    place = builder.load(code.at(places, at, code.whole(0).type), align=1)
                    down, right = code.product(y0.index, 2), code.product(x0.index, 2)
                    for q in range(4):
                        here = builder.icmp_unsigned("==", place, code.whole(q))
                        own = builder.select(here, g, code.zero)
                        for variable, (y, x) in zip(sums, taps, strict=True):
                            above = code.product(code.sum(down, y + q // 2), row)
                            before = code.product(code.sum(right, x + q % 2), channels)
                            number = code.spread(inputs, code.sum(above, before, j))
                            code.add_product(variable, own, number)
                code.put_back(sums, weights, to)
            return context.get_dummy_value()

        return types.void(*arrays, *[types.int64] * 7), generate

    return tile


@_instructions
def _chosen(_, where, at, q):
    """Bits of the 16 channels from ``at`` on whose maximum stood at pixel ``q``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(where)(context, builder, values[0]).data
        kind = ir.VectorType(BYTE, CHANNELS)
        pointer = builder.bitcast(builder.gep(data, [values[1]]), kind.as_pointer())
        equal = builder.icmp_unsigned(
            "==",
            builder.load(pointer, align=1),
            _filled(builder, builder.trunc(values[2], BYTE), kind),
        )
        return builder.zext(builder.bitcast(equal, ir.IntType(CHANNELS)), INDEX)

    return types.uint64(where, types.int64, types.int64), generate


_pooled_1, _pooled_2 = _pooled_tile(1), _pooled_tile(2)
_pooled_a = _pooled_tile(1, alone=True)
_weight_3, _weight_5 = _weight_tile(3), _weight_tile(5)
_input_3, _input_5 = _input_tile(3), _input_tile(5)
_first_3, _first_5 = _first_tile(3), _first_tile(5)


@compiled
def _pad(x: Array, padded: Array, margin: int) -> None:
    height, width, _ = x.shape
    for i in range(height):
        padded[margin + i, margin : margin + width] = x[i]


@compiled
def finite(bits: Array) -> bool:
    """Whether all numbers are finite that ``bits`` are the int32 or int64 of."""
    exponent = SINGLE if bits.itemsize == 4 else DOUBLE
    found = 0
    for i in range(bits.size):
        found |= (bits[i] & exponent) == exponent
    return not found


@compiled
def forward(x: Array, weight: Array, bias: Array, out: Array, where: Array) -> None:
    """Write the outputs, and where they came from, of K networks and N examples each.

    Parameters
    ----------
    x
        (K or 1, N, H, W, channels); 1 where all networks see the same.
    weight, bias
        (K, size, size, channels, features) and (K, features).
    out, where
        (K, N, H // 2, W // 2, features), ``where`` in bytes.
    """
    _, count, height, width, channels = x.shape
    trials, size, _, _, features = weight.shape
    lanes = BYTES // x.itemsize
    margin = size // 2
    padded = np.zeros((height + 2 * margin, width + 2 * margin, channels), x.dtype)
    row = (width + 2 * margin) * channels
    columns = width // 2
    last = height // 2 * columns - 1
    for k in range(trials):
        own, shift = weight[k], bias[k]
        for n in range(count):
            _pad(x[min(k, x.shape[0] - 1), n], padded, margin)
            to, place = out[k, n], where[k, n]
            for p in range(0, last + 1, POOLED):
                # an odd one out is computed twice
                q = min(p + 1, last)
                a = 2 * (p // columns * row + p % columns * channels)
                b = 2 * (q // columns * row + q % columns * channels)
                to_a, to_b = p * features, q * features
                if channels == 1 and size == SIZES[0]:
                    for c in range(0, features, lanes):
                        _pooled_a(
                            padded, own, shift, to, place, row, channels, size, features,
                            c, a, b, to_a, to_b,
                        )  # fmt: skip
                elif WIDE and features % (2 * lanes) == 0:
                    for c in range(0, features, 2 * lanes):
                        _pooled_2(
                            padded, own, shift, to, place, row, channels, size, features,
                            c, a, b, to_a, to_b,
                        )  # fmt: skip
                else:
                    for c in range(0, features, lanes):
                        _pooled_1(
                            padded, own, shift, to, place, row, channels, size, features,
                            c, a, b, to_a, to_b,
                        )  # fmt: skip


@compiled
def backward(
    x: Array, weight: Array, gradient: Array, where: Array, to_x: Array, to_weight: Array,
    to_bias: Array,
) -> None:  # fmt: skip
    """Write gradients with respect to inputs; add those with respect to weights and biases.

    Parameters
    ----------
    x, gradient, where
        As in `forward`; the gradient with respect to its outputs.
    weight, to_weight
        (K, features, size, size, channels), channels a multiple of 16.
    to_x
        (K, N, H, W, channels), or of no size where it is not asked for.
    to_bias
        (K, features).
    """
    _, count, height, width, channels = x.shape
    trials, features, size, _, _ = weight.shape
    lanes = BYTES // x.itemsize
    margin = size // 2
    padded = np.zeros((height + 2 * margin, width + 2 * margin, channels), x.dtype)
    sent = np.zeros(padded.shape, x.dtype)
    row = (width + 2 * margin) * channels
    rows, columns = height // 2, width // 2
    pixels = rows * columns
    passed = np.empty((pixels, features), x.dtype)
    begins = np.empty((pixels, features), np.int32)
    for k in range(trials):
        own, grown, shifted = weight[k], to_weight[k], to_bias[k]
        for n in range(count):
            _pad(x[min(k, x.shape[0] - 1), n], padded, margin)
            given, place = gradient[k, n], where[k, n]
            for c in range(0, features, lanes):
                _pass(
                    given, place, shifted, passed, begins, row, channels, features, rows,
                    columns, c,
                )  # fmt: skip
            for c in range(features):
                for j in range(0, channels, lanes):
                    if size == 3:
                        _weight_3(
                            padded, passed, begins, grown, row, channels, features, pixels,
                            c, j,
                        )  # fmt: skip
                    else:
                        _weight_5(
                            padded, passed, begins, grown, row, channels, features, pixels,
                            c, j,
                        )  # fmt: skip
            if to_x.size == 0:
                continue
            sent[:] = 0
            for p in range(pixels):
                corner = 2 * (p // columns * row + p % columns * channels)
                for q in range(DEAD):
                    start = corner + q // 2 * row + q % 2 * channels
                    for c in range(0, features, BITS):
                        chosen = np.uint64(0)
                        for i in range(0, min(BITS, features - c), CHANNELS):
                            chosen |= _chosen(place, p * features + c + i, q) << np.uint64(i)
                        if chosen == 0:
                            continue
                        for j in range(0, channels, lanes):
                            if size == 3:
                                _input_3(
                                    own, passed, sent, row, channels, chosen,
                                    p * features + c, c, start, j,
                                )  # fmt: skip
                            else:
                                _input_5(
                                    own, passed, sent, row, channels, chosen,
                                    p * features + c, c, start, j,
                                )  # fmt: skip
            for i in range(height):
                to_x[k, n, i] = sent[margin + i, margin : margin + width]


@compiled
def backward_of_first(
    x: Array, gradient: Array, where: Array, to_weight: Array, to_bias: Array
) -> None:
    """Add the gradients of weights (K, size, size, channels, features) and biases.

    Of a first layer, with few channels and no gradient with respect to its inputs.
    """
    _, count, height, width, channels = x.shape
    trials, size, _, _, features = to_weight.shape
    lanes = BYTES // x.itemsize
    margin = size // 2
    padded = np.zeros((height + 2 * margin, width + 2 * margin, channels), x.dtype)
    row = (width + 2 * margin) * channels
    rows, columns = height // 2, width // 2
    passed = np.empty((rows, columns, features), x.dtype)
    begins = np.empty((rows, columns, features), np.int32)
    for k in range(trials):
        grown, shifted = to_weight[k], to_bias[k]
        for n in range(count):
            _pad(x[min(k, x.shape[0] - 1), n], padded, margin)
            given, place = gradient[k, n], where[k, n]
            for c in range(0, features, lanes):
                _pass(
                    given, place, shifted, passed, begins, row, channels, features, rows,
                    columns, c,
                )  # fmt: skip
                for j in range(channels):
                    if size == 3:
                        _first_3(
                            padded, given, place, grown, row, channels, features, rows,
                            columns, c, j,
                        )  # fmt: skip
                    else:
                        _first_5(
                            padded, given, place, grown, row, channels, features, rows,
                            columns, c, j,
                        )  # fmt: skip


@in_a_thread
def ready(double: bool) -> None:
    """Compile, or load what was compiled, once a process, of which one at a time compiles."""
    dtype, bits = (np.float64, np.int64) if double else (np.float32, np.int32)
    with one_process_at_a_time(forward):
        x, out = (np.zeros((1, 1, side, side, CHANNELS), dtype) for side in (2, 1))
        taps = np.zeros((1, 3, 3, CHANNELS, CHANNELS), dtype)
        weight = taps.reshape(1, CHANNELS, 3, 3, CHANNELS)
        bias, where = np.zeros((1, CHANNELS), dtype), out.astype(np.uint8)
        forward(x, taps, bias, out, where)
        backward(x, weight, out, where, x, weight, bias)
        backward_of_first(x, out, where, taps, bias)
        finite(bias.view(bits).ravel())

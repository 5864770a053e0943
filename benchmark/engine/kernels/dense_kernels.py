"""Kernels for chains of linear maps and ReLUs of K networks, compiled by numba.

A product is covered with tiles of 8 rows and 2 vectors whose sums stay in registers; what follows a
product (a bias and a ReLU; the ReLU's gradient; a step of gradient descent and the sum of squares)
is done to a tile before it is written. Tiles are vector instructions, because numba's compiler does
not keep the sums of loops in registers. Every number of a product is a sum in one fixed order, over
inputs or examples, whatever a vector's width, the number of trials or the other rows: padding
never enters it, so that 0 x inf is NaN where it is in torch, and nowhere else.

Arrays are flat, with offsets and strides beside them. Maps lie as (features, examples), examples
filled up to whole vectors; weights' gradients need them the other way round, and a block of a
vector's length squared is turned in registers. One module, though a long one: numba compiles again
when the file of a function has changed, not when another has.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from benchmark.engine.kernels.compiling import compiled, in_a_thread, one_process_at_a_time

BYTES = 64 if binding.get_host_cpu_features().get("avx512f") else 32
"""Of a vector: 32 registers of the one kind, or 16 of the other."""
ROWS = 8 if BYTES == 64 else 4
"""Of a tile: 16 or 8 sums."""
ZERO: Any = np.int64(0)
ONE: Any = np.int64(1)
"""Not literals, for each of which numba would compile a function again."""
TOGETHER = np.int64(128)
"""Examples of an evaluation that go through one network together."""
TURNED = 1024
"""Examples of an evaluation that are turned for all networks at once: their memory."""
SMALLEST_SQUARES, LARGEST_SQUARES = 1e-28, 1e34
"""As the squares of `benchmark.norms.SMALLEST_SQUARED` and `LARGEST_SQUARED`."""

INDEX, LANE = ir.IntType(64), ir.IntType(32)

Array = np.ndarray


def _instructions(function: Callable[..., Any]) -> Any:
    """What writes instructions, as a function that kernels call with arrays and integers."""
    return intrinsic(function)


class _Code:
    """Instructions on vectors, for the data of flat arrays (the first gives the type)."""

    def __init__(self, context: Any, builder: Any, kinds: Sequence[Any], arrays: Sequence[Any]):
        self.builder = builder
        pairs = zip(kinds, arrays, strict=True)
        self.data = [context.make_array(kind)(context, builder, a).data for kind, a in pairs]
        element = kinds[0].dtype
        self.bytes = element.bitwidth // 8
        self.lanes = BYTES // self.bytes
        self.vector = ir.VectorType(context.get_value_type(element), self.lanes)
        self.mask = ir.VectorType(ir.IntType(1), self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self._kind = f"v{self.lanes}f{element.bitwidth}"

    def _call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        signature = ir.FunctionType(result, [a.type for a in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)
        return self.builder.call(function, arguments)

    def place(self, data: Any, *numbers: Any) -> Any:
        """A pointer to a number of ``data``, so many further on."""
        total = functools.reduce(self.builder.add, numbers)
        return self.builder.gep(data, [total])

    def _vector_at(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, pointer: Any, mask: Any) -> Any:
        """A vector; zeros where a mask is not set, where nothing is read."""
        place = self._vector_at(pointer)
        if mask is None:
            return self.builder.load(place, align=self.bytes)
        arguments = [place, LANE(self.bytes), mask, self.zero]
        return self._call(f"llvm.masked.load.{self._kind}.p0", self.vector, arguments)

    def store(self, vector: Any, pointer: Any, mask: Any) -> None:
        """Write a vector, where a mask is set."""
        place = self._vector_at(pointer)
        if mask is None:
            self.builder.store(vector, place, align=self.bytes)
        else:
            arguments = [vector, place, LANE(self.bytes), mask]
            self._call(f"llvm.masked.store.{self._kind}.p0", ir.VoidType(), arguments)

    def variable(self) -> Any:
        """What the compiler keeps in a register."""
        return cgutils.alloca_once(self.builder, self.vector)

    def first(self, count: Any) -> Any:
        """A mask with the first ``count`` lanes set."""
        kind = ir.VectorType(LANE, self.lanes)
        lanes = ir.Constant(kind, list(range(self.lanes)))
        return self.builder.icmp_signed("<", lanes, self.filled(kind, count))

    def filled(self, kind: Any, number: Any) -> Any:
        """A number in every lane of a vector of this kind."""
        if kind.element != number.type:
            number = self.builder.trunc(number, kind.element)
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, number, LANE(0))
        lanes = ir.Constant(ir.VectorType(LANE, kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(one, nothing, lanes)

    def spread(self, pointer: Any) -> Any:
        """One number in every lane."""
        return self.filled(self.vector, self.builder.load(pointer))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self._call(f"llvm.fmuladd.{self._kind}", self.vector, [a, b, c])

    def halves(self, upper: Any, lower: Any, half: int) -> tuple[Any, Any]:
        """The first blocks, so long, of all pairs in two vectors; and the second ones."""
        lanes = range(self.lanes)
        first = [n if not n & half else self.lanes + n - half for n in lanes]
        second = [n + half if not n & half else self.lanes + n for n in lanes]
        kind = ir.VectorType(LANE, self.lanes)
        picked = [ir.Constant(kind, order) for order in (first, second)]
        return tuple(self.builder.shuffle_vector(upper, lower, order) for order in picked)

    def constant(self, number: float) -> Any:
        """One number that is known beforehand, in every lane."""
        return ir.Constant(self.vector, [number] * self.lanes)

    def power(self, x: Any) -> Any:
        """e to the power of a vector of numbers that are not above 0, or NaN.

        2^n times a Taylor polynomial in what is left, at most ln(2) / 2; 0 below the least number
        that is not subnormal.
        """
        build, single = self.builder, self.bytes == 4
        mantissa, bias, terms = (23, 127, 8) if single else (52, 1023, 14)
        upper, lower = (0.693359375, -2.12194440e-4) if single else (
            0.6931471803691238, 1.9082149292705877e-10
        )  # fmt: skip
        least = self.constant(-87.0 if single else -708.0)
        below = build.fcmp_ordered("<", x, least)
        x = build.select(below, least, x)
        # rounds to whole numbers, which then stand in the last bits
        shift = self.constant(1.5 * 2.0**mantissa)
        shifted = self.multiply_add(x, self.constant(1 / math.log(2)), shift)
        whole = build.fsub(shifted, shift)
        left = self.multiply_add(whole, self.constant(-upper), x)
        left = self.multiply_add(whole, self.constant(-lower), left)
        total = self.constant(1 / math.factorial(terms - 1))
        for n in range(terms - 2, -1, -1):
            total = self.multiply_add(total, left, self.constant(1 / math.factorial(n)))
        kind = ir.VectorType(ir.IntType(8 * self.bytes), self.lanes)
        bits = build.shl(build.bitcast(shifted, kind), ir.Constant(kind, [mantissa] * self.lanes))
        bits = build.add(bits, ir.Constant(kind, [bias << mantissa] * self.lanes))
        found = build.fmul(total, build.bitcast(bits, self.vector))
        found = build.select(below, self.zero, found)
        return build.select(build.fcmp_unordered("uno", x, x), x, found)

    def where_positive(self, vector: Any, by: Any) -> Any:
        """``vector`` where ``by`` is above 0 or NaN, else 0."""
        return self.builder.select(
            self.builder.fcmp_ordered("<=", by, self.zero), self.zero, vector
        )


def _product(kind: str) -> Any:
    """What computes ``c <- a b``, of so many ``rows`` and ``columns``, tile by tile.

    ``kind`` says what ``extra`` and ``flag`` are:

    ``forward``
        What is added to each row; whether a ReLU follows.
    ``backward``
        The outputs of the ReLU before, through which ``c`` passes; whether there is one.
    ``gradient``
        A vector to which the squares are added, and a number after it; whether ``c`` becomes
        ``c`` minus that number times the product.
    """

    @_instructions
    def product(_, a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag):
        """Numbers of a row of ``a`` are ``ak`` apart, its rows ``ar``; of ``b``, ``bk``."""
        arrays = a, b, c, extra

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = _Code(context, builder, arrays, values[:4])
            a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag = values[4:]
            tile = _Tile(kind, code, ar, ak, bk, cr, er, n, flag)

            def at(i: Any, j: Any, height: int, mask: Any) -> None:
                ahead = builder.add(c0, builder.mul(i, cr))
                more = builder.add(e0, builder.mul(i, er))
                if kind == "backward":
                    more = builder.add(more, j)
                elif kind == "gradient":
                    more = e0
                starts = builder.add(a0, builder.mul(i, ar)), builder.add(b0, j)
                tile.compute(height, *starts, builder.add(ahead, j), more, mask)

            def down(j: Any, mask: Any) -> None:
                begin = INDEX(0)
                for height in (ROWS, 2, 1):
                    left = builder.sub(rows, begin)
                    with cgutils.for_range(builder, builder.sdiv(left, INDEX(height))) as loop:
                        i = builder.add(begin, builder.mul(loop.index, INDEX(height)))
                        at(i, j, height, mask)
                    whole = builder.mul(builder.sdiv(left, INDEX(height)), INDEX(height))
                    begin = builder.add(begin, whole)

            pair, one = INDEX(2 * code.lanes), INDEX(code.lanes)
            pairs = builder.sdiv(columns, pair)
            with cgutils.for_range(builder, pairs) as loop:
                down(builder.mul(loop.index, pair), None)
            begin = builder.mul(pairs, pair)
            left = builder.sub(columns, begin)
            some = builder.sdiv(builder.add(left, INDEX(code.lanes - 1)), one)
            with cgutils.for_range(builder, some) as loop:
                j = builder.add(begin, builder.mul(loop.index, one))
                down(j, code.first(builder.sub(columns, j)))
            return context.get_dummy_value()

        return types.void(*arrays, *[types.int64] * 13), generate

    return product


class _Tile:
    """A few rows and one or two vectors of columns of a product."""

    def __init__(self, kind: str, code: _Code, *values: Any):
        self._kind, self._code = kind, code
        self._ar, self._ak, self._bk, self._cr, self._er, self._n, flag = values
        self._flag = code.builder.icmp_signed("!=", flag, INDEX(0))

    def compute(self, rows: int, a0: Any, b0: Any, c0: Any, e0: Any, mask: Any) -> None:
        """Sums, and what follows; two vectors of columns, or one where there is a mask."""
        code, builder = self._code, self._code.builder
        left, right, out, extra = code.data
        vectors = [INDEX(v * code.lanes) for v in range(2 if mask is None else 1)]
        sums = [[code.variable() for _ in vectors] for _ in range(rows)]
        for r, row in enumerate(sums):
            start = code.zero
            if self._kind == "forward":
                start = code.spread(code.place(extra, e0, self._ahead(self._er, r)))
            for variable in row:
                builder.store(start, variable)
        begin = [code.place(left, a0, self._ahead(self._ar, r)) for r in range(rows)]
        with cgutils.for_range(builder, self._n) as loop:
            along = builder.mul(loop.index, self._bk)
            columns = [code.load(code.place(right, b0, along, v), mask) for v in vectors]
            along = builder.mul(loop.index, self._ak)
            for r, row in enumerate(sums):
                number = code.spread(builder.gep(begin[r], [along]))
                for variable, column in zip(row, columns, strict=True):
                    total = code.multiply_add(number, column, builder.load(variable))
                    builder.store(total, variable)
        # each sum, where it goes, and where what it passes through lies
        found = [
            (
                builder.load(variable),
                code.place(out, c0, self._ahead(self._cr, r), v),
                code.place(extra, e0, self._ahead(self._er, r), v),
            )
            for r, row in enumerate(sums)
            for variable, v in zip(row, vectors, strict=True)
        ]
        getattr(self, f"_{self._kind}")(found, code.place(extra, e0), mask)

    def _ahead(self, stride: Any, rows: int) -> Any:
        return self._code.builder.mul(stride, INDEX(rows))

    def _forward(self, found: list[Any], _: Any, mask: Any) -> None:
        for total, place, _ in found:
            rectified = self._code.where_positive(total, total)
            total = self._code.builder.select(self._flag, rectified, total)
            self._code.store(total, place, mask)

    def _backward(self, found: list[Any], _: Any, mask: Any) -> None:
        with self._code.builder.if_else(self._flag) as (then, otherwise):
            with then:
                for total, place, passed in found:
                    by = self._code.load(passed, mask)
                    self._code.store(self._code.where_positive(total, by), place, mask)
            with otherwise:
                for total, place, _ in found:
                    self._code.store(total, place, mask)

    def _gradient(self, found: list[Any], extra: Any, mask: Any) -> None:
        code, builder = self._code, self._code.builder
        squares = code.load(extra, None)
        for total, _, _ in found:
            counted = total if mask is None else builder.select(mask, total, code.zero)
            squares = code.multiply_add(counted, counted, squares)
        code.store(squares, extra, None)
        with builder.if_else(self._flag) as (then, otherwise):
            with then:
                less = builder.fneg(code.spread(builder.gep(extra, [INDEX(code.lanes)])))
                for total, place, _ in found:
                    moved = code.multiply_add(less, total, code.load(place, mask))
                    code.store(moved, place, mask)
            with otherwise:
                for total, place, _ in found:
                    code.store(total, place, mask)


@_instructions
def _turn(_, x, out, x0, xr, rows, columns, o0, o_r):
    """Turn a block: up to a vector's length of ``rows``, each of so many columns.

    All of the block is written: of rows that are missing, the last again.
    """
    arrays = x, out

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, arrays, values[:2])
        given, taken = code.data
        x0, xr, rows, columns, o0, o_r = values[2:]
        mask = code.first(columns)
        last = builder.sub(rows, INDEX(1))
        vectors = []
        for r in range(code.lanes):
            there = builder.icmp_signed("<", INDEX(r), rows)
            row = builder.select(there, INDEX(r), last)
            vectors.append(code.load(code.place(given, x0, builder.mul(xr, row)), mask))
        half = code.lanes // 2
        while half:
            # of blocks of 2 x 2 halves, the two that are not on the diagonal change places
            for r in range(code.lanes):
                if r & half:
                    continue
                vectors[r], vectors[r + half] = code.halves(vectors[r], vectors[r + half], half)
            half //= 2
        for r, vector in enumerate(vectors):
            code.store(vector, code.place(taken, o0, builder.mul(o_r, INDEX(r))), None)
        return context.get_dummy_value()

    return types.void(*arrays, *[types.int64] * 6), generate


@_instructions
def _sum_rows(_, x, out, x0, xr, columns, o0):
    """The sums of as many rows as a vector is long."""
    arrays = x, out

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, arrays, values[:2])
        given, taken = code.data
        x0, xr, columns, o0 = values[2:]
        rows = [code.place(given, x0, builder.mul(xr, INDEX(r))) for r in range(code.lanes)]
        totals = [code.variable() for _ in rows]
        lanes = INDEX(code.lanes)
        whole = builder.sdiv(columns, lanes)
        begin = builder.mul(whole, lanes)
        # what is left over may be nothing
        mask = code.first(builder.sub(columns, begin))
        for total, row in zip(totals, rows, strict=True):
            builder.store(code.load(builder.gep(row, [begin]), mask), total)
        with cgutils.for_range(builder, whole) as loop:
            ahead = builder.mul(loop.index, lanes)
            for total, row in zip(totals, rows, strict=True):
                more = code.load(builder.gep(row, [ahead]), None)
                builder.store(builder.fadd(builder.load(total), more), total)
        vectors = [builder.load(total) for total in totals]
        half = code.lanes // 2
        while half:
            pairs = zip(vectors[:half], vectors[half:], strict=True)
            vectors = [builder.fadd(*code.halves(a, b, half)) for a, b in pairs]
            half //= 2
        code.store(vectors[0], code.place(taken, o0), None)
        return context.get_dummy_value()

    return types.void(*arrays, *[types.int64] * 4), generate


@_instructions
def _softmax(_, x, powers, stats, begin, width, classes, flag):
    """Of a vector of examples the largest logit, its class, and the sum of all powers over it.

    These go into ``stats``, one vector after the other; the powers into ``powers`` where asked.
    """
    arrays = x, powers, stats

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, arrays, values[:3])
        given, taken, found = code.data
        begin, width, classes, flag = values[3:]
        asked = builder.icmp_signed("!=", flag, INDEX(0))
        best, place, total = (code.variable() for _ in range(3))
        builder.store(code.load(code.place(given, begin), None), best)
        builder.store(code.zero, place)
        builder.store(code.zero, total)
        with cgutils.for_range(builder, classes) as loop:
            x = code.load(code.place(given, begin, builder.mul(loop.index, width)), None)
            largest = builder.load(best)
            # NaN wins over any number, the first one over those that follow
            broken = builder.fcmp_unordered("uno", x, x)
            whole = builder.fcmp_ordered("ord", largest, largest)
            more = builder.or_(builder.fcmp_ordered(">", x, largest), builder.and_(broken, whole))
            number = builder.sitofp(loop.index, code.vector.element)
            builder.store(
                builder.select(more, code.filled(code.vector, number), builder.load(place)), place
            )
            builder.store(builder.select(more, x, largest), best)
        largest = builder.load(best)
        with cgutils.for_range(builder, classes) as loop:
            at = builder.add(begin, builder.mul(loop.index, width))
            power = code.power(builder.fsub(code.load(code.place(given, at), None), largest))
            builder.store(builder.fadd(builder.load(total), power), total)
            with builder.if_then(asked):
                code.store(power, code.place(taken, at), None)
        for i, vector in enumerate((largest, builder.load(place), builder.load(total))):
            code.store(vector, code.place(found, INDEX(i * code.lanes)), None)
        return context.get_dummy_value()

    return types.void(*arrays, *[types.int64] * 4), generate


@_instructions
def _compare(_, x, y, out, x0, y0, count):
    """Squares of ``x``, of ``y`` and of ``x - y``, added in double precision.

    Into ``out``, a vector's length of sums of each.
    """
    arrays = x, y, out

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, arrays, values[:3])
        left, right, found = code.data
        x0, y0, count = values[3:]
        wide = ir.VectorType(ir.DoubleType(), code.lanes)
        totals = [cgutils.alloca_once(builder, wide) for _ in range(3)]
        for total in totals:
            builder.store(ir.Constant(wide, [0.0] * code.lanes), total)

        def add(i: Any, mask: Any) -> None:
            a, b = (code.load(code.place(*at, i), mask) for at in ((left, x0), (right, y0)))
            for vector, total in zip((a, b, builder.fsub(a, b)), totals, strict=True):
                number = builder.fpext(vector, wide) if code.bytes == 4 else vector
                builder.store(
                    builder.fadd(builder.load(total), builder.fmul(number, number)), total
                )

        whole = builder.sdiv(count, INDEX(code.lanes))
        with cgutils.for_range(builder, whole) as loop:
            add(builder.mul(loop.index, INDEX(code.lanes)), None)
        begin = builder.mul(whole, INDEX(code.lanes))
        add(begin, code.first(builder.sub(count, begin)))
        for i, total in enumerate(totals):
            place = code.place(found, INDEX(i * code.lanes))
            vector = builder.bitcast(place, wide.as_pointer())
            builder.store(builder.load(total), vector, align=8)
        return context.get_dummy_value()

    return types.void(*arrays, *[types.int64] * 3), generate


def whole_vectors(number: int, itemsize: int) -> int:
    """``number``, or as many more as fill a vector of numbers of so many bytes."""
    lanes = BYTES // itemsize
    return -(-number // lanes) * lanes


@compiled
def _whole(number: int, lanes: int) -> int:
    """``number``, or as many more as fill a vector."""
    return (number + lanes - 1) // lanes * lanes


@compiled
def _turned(
    x: Array, x0: int, xr: int, rows: int, columns: int, out: Array, o0: int, o_r: int
) -> None:
    """``out`` (columns, rows) <- ``x`` (rows, columns); ``out`` has room for whole vectors."""
    lanes = BYTES // x.itemsize
    for r in range(0, rows, lanes):
        for c in range(0, columns, lanes):
            _turn(x, out, x0 + r * xr + c, xr, min(lanes, rows - r), min(lanes, columns - c),
                  o0 + c * o_r + r, o_r)  # fmt: skip


_FORWARD, _BACKWARD, _GRADIENT = (_product(kind) for kind in ("forward", "backward", "gradient"))


@compiled
def _map(a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag):
    _FORWARD(a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag)


@compiled
def _pairs(a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag):
    # as `_map`, apart from it: called with other strides too, that one would be slower
    _FORWARD(a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag)


@compiled
def _back(a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag):
    _BACKWARD(a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag)


@compiled
def _by_weights(a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag):
    _GRADIENT(a, b, c, extra, a0, ar, ak, b0, bk, c0, cr, e0, er, rows, columns, n, flag)


@compiled
def _forward(
    x: Array, x0: int, xr: int, parameters: Array, own: int, chain: Array, maps: Array, width: int,
    columns: int,
) -> None:  # fmt: skip
    """Outputs of all layers into ``maps`` (features, ``width``), of ``columns`` examples.

    Inputs are (features, examples) too; ``parameters`` of a network begin at ``own``.
    """
    nothing = np.zeros(1, x.dtype)
    for layer in range(len(chain)):
        fan_in, features, weight, bias, rectified, to = chain[layer]
        a, a0, ar = x, x0, xr
        if layer:
            a, a0, ar = maps, chain[layer - 1, 5] * width, width
        extra, e0, er = nothing, ZERO, ZERO
        if bias >= 0:
            extra, e0, er = parameters, own + bias, ONE
        _map(parameters, a, maps, extra, own + weight, fan_in, ONE, a0, ar, to * width, width,
             e0, er, features, columns, fan_in, rectified)  # fmt: skip


@compiled
def _loss(
    maps: Array, begin: int, width: int, classes: int, count: int, labels: Array, first: int,
    errors: Array,
) -> tuple[float, int]:  # fmt: skip
    """Sum of the cross entropies of ``count`` examples, and how many are right.

    Where ``errors`` has a size, also (softmax - label's unit vector) / ``count`` into it.
    """
    real, lanes = maps.dtype.type, BYTES // maps.itemsize
    stats = np.empty(3 * lanes, maps.dtype)
    total, right = 0.0, 0
    for start in range(0, count, lanes):
        at, some = begin + start, min(lanes, count - start)
        _softmax(maps, errors, stats, at, width, classes, errors.size)
        for e in range(some):
            label = labels[first + start + e]
            if label < 0 or label >= classes:
                raise IndexError("a label is no class")
            right += np.int64(stats[lanes + e]) == label
            total += np.log(stats[2 * lanes + e]) - (maps[at + label * width + e] - stats[e])
        if errors.size:
            for c in range(classes):
                for e in range(lanes):
                    errors[at + c * width + e] /= stats[2 * lanes + e]
            for e in range(some):
                errors[at + labels[first + start + e] * width + e] -= real(1)
            for c in range(classes):
                for e in range(lanes):
                    errors[at + c * width + e] /= real(count)
                errors[at + c * width + some : at + c * width + lanes] = 0
    return total, right


@compiled
def products(
    a: Array, b: Array, out: Array, bias: Array, strides: Any, shape: tuple[int, int, int, int]
) -> None:
    """``out`` (K, M, P) <- a (K, M, N) times b (K, N, P), plus ``bias`` (K, M).

    ``strides`` are those of all four; of ``b`` the second or the third has to be 1, of ``out`` the
    third. ``shape`` is K, M, N and P.
    """
    ak, am, an, bk, bn, bp, ok, om, _, ek, em = strides
    trials, rows, inner, columns = shape
    lanes = BYTES // a.itemsize
    turns = bp != 1
    width = _whole(columns, lanes)
    turned = np.empty(width * _whole(inner, lanes) * turns, a.dtype)
    for k in range(trials):
        source, begin, along = b, k * bk, bn
        if turns:
            _turned(b, k * bk, bp, columns, inner, turned, ZERO, width)
            source, begin, along = turned, ZERO, width
        _map(a, source, out, bias, k * ak, am, an, begin, along, k * ok, om, k * ek, em, rows,
             columns, inner, ZERO)  # fmt: skip


@compiled
def _errors_back(
    parameters: Array, own: int, chain: Array, maps: Array, errors: Array, width: int
) -> None:
    """From the errors of the last outputs to those of all layers' outputs before their ReLUs."""
    for layer in range(len(chain) - 1, 0, -1):
        fan_in, features, weight, _, _, at = chain[layer]
        before = chain[layer - 1, 5] * width
        _back(parameters, errors, errors, maps, own + weight, ONE, fan_in, at * width, width,
              before, width, before, width, fan_in, width, features,
              chain[layer - 1, 4])  # fmt: skip


@compiled
def _weights_of(
    layer: int, x: Array, x0: int, first: int, count: int, chain: Array, maps: Array,
    errors: Array, width: int, turned: Array, squares: Array, into: Array, to: int, descends: int,
) -> float:  # fmt: skip
    """The gradients of one layer; adds squares of weights to ``squares``, returns biases'.

    Of ``count`` examples from the ``first`` of the maps on, whose inputs begin at ``x0``.
    """
    lanes = BYTES // maps.itemsize
    rate = squares[lanes]
    of_biases = 0.0
    sums = np.empty(lanes, maps.dtype)
    fan_in, features, weight, bias, _, at = chain[layer]
    a, a0, ar = x, x0, fan_in
    if layer:
        a, a0, ar = turned, ZERO, _whole(fan_in, lanes)
        _turned(maps, chain[layer - 1, 5] * width + first, width, fan_in, count, turned, ZERO, ar)
    begin = at * width + first
    _by_weights(errors, a, into, squares, begin, width, ONE, a0, ar, to + weight, fan_in,
                ZERO, ZERO, features, fan_in, count, descends)  # fmt: skip
    if bias >= 0:
        for i in range(0, features, lanes):
            _sum_rows(errors, sums, begin + i * width, width, count, ZERO)
            for j in range(min(lanes, features - i)):
                found = sums[j]
                of_biases += np.float64(found) * np.float64(found)
                if descends:
                    found = into[to + bias + i + j] - rate * found
                into[to + bias + i + j] = found
    return of_biases


@compiled
def _weights(
    x: Array, x0: int, count: int, chain: Array, maps: Array, errors: Array, width: int,
    turned: Array, squares: Array, into: Array, to: int, descends: int,
) -> float:  # fmt: skip
    """Gradients into ``into`` from ``to`` on, or a step by them; the sum of their squares.

    Inputs are (examples, features) here, ``count`` of them; behind the squares stands the rate.
    """
    lanes = BYTES // maps.itemsize
    squares[:lanes] = 0
    total = 0.0
    for layer in range(len(chain)):
        total += _weights_of(layer, x, x0, ZERO, count, chain, maps, errors, width, turned,
                             squares, into, to, descends)  # fmt: skip
    for i in range(lanes):
        total += np.float64(squares[i])
    return total


@compiled
def _differences(x: Array, x0: int, y: Array, y0: int, count: int) -> tuple[float, float, float]:
    """The sums of squares of ``x``, of ``y`` and of ``x - y``, in double precision."""
    lanes = BYTES // x.itemsize
    sums = np.empty(3 * lanes, np.float64)
    _compare(x, y, sums, x0, y0, count)
    return sums[:lanes].sum(), sums[lanes : 2 * lanes].sum(), sums[2 * lanes :].sum()


@compiled
def _squares(x: Array, begin: int, count: int) -> float:
    """The sum of squares, in double precision."""
    return _differences(x, begin, x, begin, count)[0]


@compiled
def _fits(squared: float) -> bool:
    """Whether single precision has added squares without a loss that would be seen."""
    return SMALLEST_SQUARES < squared < LARGEST_SQUARES


@compiled
def _checked(squared: float, gradient: Array) -> float:
    """A sum of squares, added again in double precision where not all of them fit in single."""
    if squared == squared and not _fits(squared):
        return np.float64(_squares(gradient, ZERO, len(gradient)))
    return squared


@compiled
def _aligned(numbers: int, like: Array) -> Array:
    """Room for so many numbers, of which no vector lies in two lines of the cache."""
    lanes = BYTES // like.itemsize
    room = np.empty(numbers + lanes, like.dtype)
    begin = (BYTES - np.int64(room.ctypes.data) % BYTES) % BYTES // like.itemsize
    return room[begin : begin + numbers]


@compiled
def _scratch(chain: Array, width: int, like: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Room for inputs and outputs (features, ``width``), errors of outputs, outputs turned, and
    squares with a rate."""
    lanes = BYTES // like.itemsize
    widest = 0
    for layer in range(1, len(chain)):
        widest = max(widest, _whole(chain[layer, 0], lanes))
    numbers = (chain[-1, 5] + _whole(chain[-1, 1], lanes)) * width
    across = _aligned(_whole(chain[0, 0], lanes) * width, like)
    maps, errors = _aligned(numbers, like), _aligned(numbers, like)
    return (
        across,
        maps,
        errors,
        _aligned(width * widest, like),
        np.zeros(lanes + 1, like.dtype),
    )


@compiled
def gradients(
    x: Array, labels: Array, parameters: Array, chain: Array, losses: Array, into: Array
) -> None:
    """Mean cross entropies (K,) and their gradients (K, D), of each network's own batch.

    Parameters
    ----------
    x, labels
        Inputs (K, B, features) and classes (K, B).
    parameters, into
        (K, D).
    chain
        Of every layer its inputs and outputs, where its weights (outputs, inputs) and its biases
        lie in D (-1 for none), whether a ReLU follows, and where its outputs lie among those of
        all, each filled up to whole vectors: (layers, 6).
    """
    trials, count, fan_in = x.shape
    width = _whole(count, BYTES // x.itemsize)
    across, maps, errors, turned, squares = _scratch(chain, width, parameters)
    flat, own, found = x.ravel(), parameters.ravel(), into.ravel()
    for k in range(trials):
        begin, at = k * count * fan_in, k * parameters.shape[1]
        _turned(flat, begin, fan_in, count, fan_in, across, ZERO, width)
        _forward(across, ZERO, width, own, at, chain, maps, width, width)
        total, _ = _loss(
            maps, chain[-1, 5] * width, width, chain[-1, 1], count, labels[k], ZERO, errors
        )
        losses[k] = total / count
        _errors_back(own, at, chain, maps, errors, width)
        _weights(flat, begin, count, chain, maps, errors, width, turned, squares, found, at, ZERO)


@compiled
def logits(x: Array, parameters: Array, chain: Array, out: Array) -> None:
    """Outputs (K, B, classes) for inputs (K or 1, B, features); one batch is that of all."""
    given, count, fan_in = x.shape
    width = _whole(min(count, TOGETHER), BYTES // x.itemsize)
    across, maps, _, _, _ = _scratch(chain, width, parameters)
    flat, own, found = x.ravel(), parameters.ravel(), out.ravel()
    classes = chain[-1, 1]
    for k in range(len(parameters)):
        batch = k if given > 1 else 0
        for first in range(0, count, width):
            some = min(width, count - first)
            _turned(
                flat, (batch * count + first) * fan_in, fan_in, some, fan_in, across, ZERO, width
            )
            _forward(across, ZERO, width, own, k * parameters.shape[1], chain, maps, width, width)
            for e in range(some):
                for c in range(classes):
                    at = (k * count + first + e) * classes + c
                    found[at] = maps[(chain[-1, 5] + c) * width + e]


@compiled
def evaluate(
    x: Array, labels: Array, parameters: Array, chain: Array, losses: Array, right: Array
) -> None:
    """Sums (K,) of the cross entropies of examples (N, features), (N,), and how many are right."""
    count, fan_in = x.shape
    lanes = BYTES // x.itemsize
    _, maps, _, _, _ = _scratch(chain, TOGETHER, parameters)
    none = np.empty(0, x.dtype)
    block = _whole(fan_in, lanes) * TOGETHER
    across = _aligned((min(count, TURNED) + TOGETHER - 1) // TOGETHER * block, x)
    flat, own = x.ravel(), parameters.ravel()
    losses[:], right[:] = 0, 0
    for begin in range(0, count, TURNED):
        end = min(count, begin + TURNED)
        for i, first in enumerate(range(begin, end, TOGETHER)):
            some = min(TOGETHER, end - first)
            _turned(flat, first * fan_in, fan_in, some, fan_in, across, i * block, TOGETHER)
        for k in range(len(parameters)):
            for i, first in enumerate(range(begin, end, TOGETHER)):
                some = min(TOGETHER, end - first)
                _forward(across, i * block, TOGETHER, own, k * parameters.shape[1], chain, maps,
                         TOGETHER, _whole(some, lanes))  # fmt: skip
                total, hits = _loss(maps, chain[-1, 5] * TOGETHER, TOGETHER, chain[-1, 1], some,
                                    labels, first, none)  # fmt: skip
                losses[k] += total
                right[k] += hits


@compiled
def _scatter_by_examples(
    layer: int, given: Array, across: Array, size: int, pieces: int, chain: Array, maps: Array,
    errors: Array, width: int, alike: Array,
) -> tuple[float, float]:  # fmt: skip
    """What `_scatter_of` adds for one layer, from how alike its inputs are, and its errors.

    A weight's gradient is a sum over examples of e x^T, so the squared norm of a sum of them is
    that of (e_i . e_j) (x_i . x_j) over pairs of examples; NaN where these do not fit.
    """
    fan_in, features, _, bias, _, at = chain[layer]
    nothing = np.zeros(1, maps.dtype)
    count = size * pieces
    of_pieces, of_all, of_inputs, of_errors = 0.0, 0.0, 0.0, 0.0
    for piece in range(pieces):
        first = piece * size
        x, x0 = across, first
        if layer:
            x, x0 = maps, chain[layer - 1, 5] * width + first
        e0, columns = at * width + first, count - first
        half = size * width
        _pairs(x, x, alike, nothing, x0, ONE, width, x0, width, ZERO, width, ZERO, ZERO, size,
             columns, fan_in, ZERO)  # fmt: skip
        _pairs(errors, errors, alike, nothing, e0, ONE, width, e0, width, half, width, ZERO, ZERO,
             size, columns, features, ZERO)  # fmt: skip
        for i in range(size):
            inner, outer = 0.0, 0.0
            row = i * width
            for j in range(columns):
                inputs, both = alike[row + j], alike[half + row + j]
                if bias >= 0:
                    inputs += 1
                if j < size:
                    inner += inputs * both
                else:
                    outer += inputs * both
            of_pieces += inner
            of_all += inner + 2 * outer
            of_inputs += alike[row + i]
            of_errors += alike[half + row + i]
    if _fits(of_inputs) and _fits(of_errors) and _fits(of_pieces):
        return of_pieces, of_all
    return np.nan, np.nan


@compiled
def _scatter_of(
    x: Array, x0: int, labels: Array, size: int, pieces: int, parameters: Array, own: int,
    chain: Array, room: Any, mean: Array, found: Array, k: int,
) -> None:  # fmt: skip
    """What `scatter` measures for network ``k``, whose inputs begin at ``x0``, into ``found``."""
    across, maps, errors, turned, squares, alike, gradient = room
    lanes, count, fan_in = BYTES // maps.itemsize, size * pieces, chain[0, 0]
    width = _whole(count, lanes)
    _turned(x, x0, fan_in, count, fan_in, across, ZERO, width)
    _forward(across, ZERO, width, parameters, own, chain, maps, width, width)
    # errors of the mean over all examples: a piece's own mean has gradients ``pieces`` times those
    total, _ = _loss(maps, chain[-1, 5] * width, width, chain[-1, 1], count, labels, ZERO, errors)
    _errors_back(parameters, own, chain, maps, errors, width)
    of_pieces, of_all = 0.0, 0.0
    mean[:] = 0
    squares[lanes] = -1
    for layer in range(len(chain)):
        inputs, features, weight, bias, _, _ = chain[layer]
        # as many multiplications as there are pairs of examples, or weights
        if (pieces + 1) * size * (inputs + features) < 2 * inputs * features:
            own_pieces, own_all = _scatter_by_examples(
                layer, x, across, size, pieces, chain, maps, errors, width, alike
            )
            of_pieces += own_pieces
            of_all += own_all
            continue
        for piece in range(pieces):
            squares[:lanes] = 0
            squared = _weights_of(layer, x, x0 + piece * size * fan_in, piece * size, size, chain,
                                  maps, errors, width, turned, squares, mean, ZERO,
                                  ONE)  # fmt: skip
            for i in range(lanes):
                squared += np.float64(squares[i])
            of_pieces += squared if _fits(squared) else np.nan
        of_all += _squares(mean, weight, inputs * features)
        if bias >= 0:
            of_all += _squares(mean, bias, features)
    if not (_fits(of_pieces) and _fits(of_all)):
        of_pieces = 0.0
        mean[:] = 0
        for piece in range(pieces):
            for layer in range(len(chain)):
                _weights_of(layer, x, x0 + piece * size * fan_in, piece * size, size, chain, maps,
                            errors, width, turned, squares, gradient, ZERO, ZERO)  # fmt: skip
            of_pieces += _squares(gradient, ZERO, len(gradient))
            for i in range(len(gradient)):
                mean[i] += gradient[i]
        of_all = _squares(mean, ZERO, len(mean))
    found[0, k] = of_pieces * pieces
    found[1, k] = of_all
    found[2, k] = total / count


@compiled
def _room(chain: Array, count: int, numbers: int, like: Array) -> Any:
    """Room for `_scatter_of` ``count`` examples: as `_scratch`, pairs of examples, a gradient."""
    width = _whole(count, BYTES // like.itemsize)
    across, maps, errors, turned, squares = _scratch(chain, width, like)
    alike = _aligned(2 * count * width, like)
    return across, maps, errors, turned, squares, alike, np.empty(numbers, like.dtype)


@compiled
def scatter(
    x: Array, labels: Array, parameters: Array, chain: Array, pieces: int, found: Array
) -> None:
    """How the gradients of so many pieces of each network's batch scatter, into (3, K).

    The mean of the pieces' squared norms, the squared norm of their mean, and the loss; the other
    arguments are those of `gradients`.
    """
    trials, count, fan_in = x.shape
    numbers = parameters.shape[1]
    room = _room(chain, count, numbers, parameters)
    mean = np.empty(numbers, x.dtype)
    flat, own = x.ravel(), parameters.ravel()
    for k in range(trials):
        _scatter_of(flat, k * count * fan_in, labels[k], count // pieces, pieces, own,
                    k * numbers, chain, room, mean, found, k)  # fmt: skip


@compiled
def _gather(
    images: Array, index: Array, begin: int, count: int, mean: Any, std: Any, out: Array
) -> None:
    """Normalized images (count, pixels)."""
    pixels, real = images.shape[1], out.dtype.type
    for e in range(count):
        image = images[index[begin + e]]
        for i in range(pixels):
            out[e * pixels + i] = (real(image[i]) - mean) / std


@compiled
def _limit(gradient: Array, norm: float, limit: Any) -> bool:
    """Scale a gradient whose norm is above its limit."""
    real = gradient.dtype.type
    wide = norm >= math.sqrt(LARGEST_SQUARES)
    above = math.isfinite(norm) and (norm if wide else real(norm)) > limit
    if above and wide:
        factor = limit / norm
        for i in range(len(gradient)):
            gradient[i] = real(np.float64(gradient[i]) * factor)
    elif above:
        share = limit / real(norm)
        for i in range(len(gradient)):
            gradient[i] *= share
    return above


@compiled
def _move(
    own: Array, at: int, gradient: Array, velocity: Array, rate: Any, momentum: Any, k: int,
    moves: int,
) -> None:  # fmt: skip
    numbers = len(gradient)
    if moves == 0:
        for i in range(numbers):
            own[at + i] -= rate * gradient[i]
        return
    speed = velocity[k]
    for i in range(numbers):
        v = momentum * speed[i] + gradient[i]
        speed[i] = v
        own[at + i] -= rate * (v if moves == 1 else gradient[i] + momentum * v)


@compiled
def steps(
    images: Array, labels: Array, normalization: Array, order: Array, part: tuple[int, int],
    rates: Array, limits: Array, momenta: Array, kinds: tuple[int, int], chain: Array,
    parameters: Array, velocity: Array, measured: tuple[Array, Array, Array],
    sampling: tuple[int, int], sampled: Array, scattered: Array, moved: Array,
) -> None:  # fmt: skip
    """Updates of K networks, each of which takes all of its own before the next begins.

    Parameters
    ----------
    images, labels
        Of the training set, (N, pixels) and (N,).
    normalization
        Mean and deviation (2,).
    order, part
        Examples (K, steps, B); which of the steps are taken, from the one to before the other.
    rates
        (steps, K).
    limits, momenta
        (K,): of the norm of gradients, and of the velocity.
    kinds
        Whether norms are clipped; and what moves the parameters: 0 the gradient, 1 the velocity, 2
        the gradient and the velocity ahead.
    parameters, velocity
        (K, D), which change; the velocity has no size where there is none.
    measured
        Losses, norms and whether clipped, (steps, K) each.
    sampling, sampled, scattered
        Before which step it is measured how gradients scatter, and over how many pieces of the
        examples (K, n); (3, K) as `scatter` finds it.
    moved
        (3, K): squared norms of the parameters after the last of all steps, of those before it, and
        of their difference; or of no size.
    """
    losses, norms, clipped = measured
    (first, last), (clips, moves), (when, pieces) = part, kinds, sampling
    trials, taken, count = order.shape
    pixels, numbers = images.shape[1], parameters.shape[1]
    lanes = BYTES // parameters.itemsize
    width = _whole(count, lanes)
    across, maps, errors, turned, squares = _scratch(chain, width, parameters)
    rows, drawn = _aligned(count * pixels, parameters), np.empty(count, labels.dtype)
    gradient = _aligned(numbers, parameters)
    samples = first <= when < last
    size = sampled.shape[1] // pieces * samples
    room = _room(chain, size * pieces, numbers * samples, parameters)
    beside = _aligned(size * pieces * pixels, parameters)
    beside_labels = np.empty(size * pieces, labels.dtype)
    compares = moved.size and last == taken
    before = np.empty(numbers * compares, parameters.dtype)
    own = parameters.ravel()
    descends: Any = ONE if not clips and moves == 0 else ZERO
    into = own if descends else gradient
    for k in range(trials):
        at = k * numbers
        for s in range(first, last):
            if s == when:
                for e in range(size * pieces):
                    beside_labels[e] = labels[sampled[k, e]]
                _gather(images, sampled[k], ZERO, size * pieces, normalization[0],
                        normalization[1], beside)  # fmt: skip
                _scatter_of(beside, ZERO, beside_labels, size, pieces, own, at, chain, room,
                            gradient, scattered, k)  # fmt: skip
            if compares and s == taken - 1:
                before[:] = own[at : at + numbers]
            index = order[k, s]
            for e in range(count):
                drawn[e] = labels[index[e]]
            _gather(images, index, ZERO, count, normalization[0], normalization[1], rows)
            _turned(rows, ZERO, pixels, count, pixels, across, ZERO, width)
            _forward(across, ZERO, width, own, at, chain, maps, width, width)
            total, _ = _loss(
                maps, chain[-1, 5] * width, width, chain[-1, 1], count, drawn, ZERO, errors
            )
            losses[s, k] = parameters.dtype.type(total / count)
            _errors_back(own, at, chain, maps, errors, width)
            squares[lanes] = rates[s, k]
            found = _weights(rows, ZERO, count, chain, maps, errors, width, turned, squares, into,
                             at * descends, descends)  # fmt: skip
            if descends and not _fits(found):
                # the gradient itself, which has not been written
                _weights(rows, ZERO, count, chain, maps, errors, width, turned, squares, gradient,
                         ZERO, ZERO)  # fmt: skip
            norms[s, k] = math.sqrt(_checked(found, gradient))
            clipped[s, k] = False
            if clips:
                clipped[s, k] = _limit(gradient, norms[s, k], limits[k])
            if not descends:
                _move(own, at, gradient, velocity, rates[s, k], momenta[k], k, moves)
        if compares:
            after, at_first, change = _differences(own, at, before, ZERO, numbers)
            moved[0, k], moved[1, k], moved[2, k] = after, at_first, change


@in_a_thread
def ready(double: bool, kind: str = "") -> None:
    """Compile, or load what was compiled, once a process, of which one at a time compiles.

    `products`, or `steps` on images of a type that is named; else all others.
    """
    dtype = np.float64 if double else np.float32
    chain = np.array([[2, 2, 0, 4, 0, 0]])
    parameters, numbers = np.zeros((1, 6), dtype), np.zeros((1, 1))
    x, out, one = np.zeros((1, 1, 2), dtype), np.zeros((1, 1, 2), dtype), np.zeros(1, dtype)
    label = np.zeros((1, 1), np.int64)
    with one_process_at_a_time(steps):
        if kind == "products":
            products(one, one, one.copy(), one, (1,) * 11, (1, 1, 1, 1))
        elif kind:
            steps(x[0].astype(kind), label[0], np.ones(2, dtype), label[None], (0, 1), one[None],
                  one, one, (0, 0), chain, parameters, parameters[:, :0].copy(),
                  (numbers, numbers.copy(), numbers > 0), (-1, 1), label, np.zeros((3, 1)),
                  np.zeros((3, 1)))  # fmt: skip
        else:
            gradients(x, label, parameters, chain, one, parameters.copy())
            scatter(x, label, parameters, chain, 1, np.zeros((3, 1)))
            logits(x, parameters, chain, out)
            evaluate(x[0], label[0], parameters, chain, np.zeros(1), np.zeros(1, np.int64))

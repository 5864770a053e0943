"""Products of K pairs of matrices on a CPU, into memory that is there.

By compiled kernels where they are (`benchmark.engine.kernels.dense_kernels`), else by torch. That
has float32 matrices multiplied by MKL, which has no AVX-512 code for AMD's processors. oneDNN,
which torch brings too, has: where a product is large enough to be worth its call, it takes half the
time there (256x784 by 784x128: 0.23 ms, not 0.49).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.kernels import kernels

LEAST_OPERATIONS = 2**21
"""Multiply-adds of a product from which oneDNN is worth its call, of 10 us more."""


@functools.cache
def onednn_is_faster() -> bool:
    """Whether large products in float32 go through oneDNN: an AMD processor with AVX-512."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not onednn_is_there():
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "AuthenticAMD" in text


def onednn_is_there() -> bool:
    """Whether this torch has the operator by which its compiler comes to oneDNN.

    No public function does with dense tensors.
    """
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def multiply(a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None = None) -> Tensor:
    """``out`` (K, M, P) <- a (K, M, N) times b (K, N, P), plus a bias (K, M) for each row.

    Which library computes it depends on the shape of one product, not on K.

    >>> a, b = torch.ones(2, 3, 4), torch.ones(2, 4, 5)
    >>> multiply(a, b, torch.empty(2, 3, 5), bias=torch.ones(2, 3))[1, 2, 3]
    tensor(5.)
    """
    if kernels() != "torch" and out.dtype in (torch.float32, torch.float64):
        return _by_kernels(a, b, out, bias)
    operations = out.shape[1] * out.shape[2] * a.shape[2]
    if operations < LEAST_OPERATIONS or out.dtype != torch.float32 or not onednn_is_faster():
        if bias is None:
            return torch.bmm(a, b, out=out)
        return torch.baddbmm(bias.unsqueeze(2), a, b, out=out)
    product = torch.ops.mkldnn._linear_pointwise
    biases = [None] * len(out) if bias is None else bias.unsqueeze(2).unbind()
    for x, y, own, target in zip(a.unbind(), b.mT.unbind(), biases, out.unbind(), strict=True):
        found = product(x, y, None, "none", [], "")
        if own is None:
            target.copy_(found)
        else:
            torch.add(found, own, out=target)
    return out


def _by_kernels(a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None) -> Tensor:
    from benchmark.engine.kernels.dense_kernels import products, ready

    ready(out.dtype == torch.float64, "products")
    # a kernel reads rows of b, or turns columns that lie together
    b = b if 1 in b.stride()[1:] else b.contiguous()
    given = [a, b, out, bias if bias is not None else out.new_zeros(1, 1).expand(out.shape[:2])]
    if out.stride(2) != 1:
        raise ValueError(f"rows of `out` must lie in one piece, but its strides are {out.stride()}")
    strides = [stride for tensor in given for stride in tensor.stride()]
    products(*(_flat(tensor) for tensor in given), tuple(strides), (*a.shape, out.shape[2]))
    return out


def _flat(tensor: Tensor) -> Any:
    """All of the memory from its first number to its last."""
    last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    empty = 0 in tensor.shape
    return tensor.detach().as_strided((0 if empty else last + 1,), (1,)).numpy()

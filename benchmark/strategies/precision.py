"""Precision: the type in which the arithmetic is done, a factor like any other."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """One precision.

    Parameters
    ----------
    dtype
        Of parameters, images and the optimizer's state.
    autocast
        Type of matrix products and convolutions in the network, where it is another.
    tf32
        Whether a GPU may round the factors of such products to 10 bits.
    """

    name: str
    dtype: torch.dtype
    reference: str
    summary: str
    autocast: torch.dtype | None = None
    tf32: bool = False


PRECISIONS: dict[str, Precision] = {
    "float32": Precision("float32", torch.float32, "IEEE 754", "single precision throughout"),
    "float64": Precision("float64", torch.float64, "IEEE 754", "double precision throughout"),
    "tf32": Precision(
        "tf32",
        torch.float32,
        "NVIDIA 2020, the A100 architecture",
        "single, factors of products rounded to 10 bits on a GPU",
        tf32=True,
    ),
    "bfloat16": Precision(
        "bfloat16",
        torch.float32,
        "Kalamkar et al. 2019, arXiv:1905.12322",
        "products in bfloat16, parameters in single",
        autocast=torch.bfloat16,
    ),
}

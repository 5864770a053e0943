"""Precision: the type in which the arithmetic is done, a factor like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.records.declarations import DESCRIPTION, Instance, check_declaration
from benchmark.records.fields import FLAG, Rule
from benchmark.strategies.loss_scaling import DYNAMIC, STATIC, LossScaling


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
    loss_scaling
        What the loss is multiplied by in training, where it is; the gradient is divided by it
        before it is clipped.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    dtype: torch.dtype
    reference: str
    summary: str
    autocast: torch.dtype | None = None
    tf32: bool = False
    loss_scaling: LossScaling | None = None

    def __post_init__(self) -> None:
        check_declaration("precision", self, RULES)

    def logits(self, device: torch.device, network: Callable[[], Tensor]) -> Tensor:
        """What ``network`` gives on ``device`` in this precision, as numbers of type ``dtype``."""
        if self.autocast is None:
            return network()
        with torch.autocast(device.type, self.autocast):
            logits = network()
        return logits.to(self.dtype)


RULES: dict[str, Rule] = {
    **DESCRIPTION,
    "dtype": Instance(torch.dtype, "a torch.dtype"),
    "autocast": Instance(torch.dtype, "a torch.dtype", optional=True),
    "tf32": FLAG,
    "loss_scaling": Instance(LossScaling, "a LossScaling", optional=True),
}
"""What each field of a `Precision` may be."""


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
    "float16": Precision(
        "float16",
        torch.float32,
        "Micikevicius et al. 2018, arXiv:1710.03740",
        "products in float16, parameters in single",
        autocast=torch.float16,
    ),
    "float16_static": Precision(
        "float16_static",
        torch.float32,
        "Micikevicius et al. 2018, arXiv:1710.03740",
        "float16, the loss times 1,024",
        autocast=torch.float16,
        loss_scaling=STATIC,
    ),
    "float16_dynamic": Precision(
        "float16_dynamic",
        torch.float32,
        "torch.amp.GradScaler; Micikevicius et al. 2018, arXiv:1710.03740",
        "float16, the loss times a scale that follows overflows",
        autocast=torch.float16,
        loss_scaling=DYNAMIC,
    ),
}

"""The registered optimizers."""

from __future__ import annotations

from benchmark.records import Range
from benchmark.strategies.optimizers.elementwise import (
    adaptive_moments,
    decoupled_decay,
    gradient_descent,
    heavy_ball,
    look_ahead,
    root_mean_square,
    zero_moments,
    zero_scale,
    zero_velocity,
)
from benchmark.strategies.optimizers.rule import Optimizer

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(
        "sgd",
        gradient_descent,
        Range(1e-3, 1e2, default=0.1),
        "Robbins, Monro 1951, doi:10.1214/aoms/1177729586",
        "plain stochastic gradient descent",
        elementwise=True,
    ),
    "momentum": Optimizer(
        "momentum",
        heavy_ball,
        Range(1e-4, 1e1, default=0.01),
        "Polyak 1964, doi:10.1016/0041-5553(64)90137-5",
        "heavy ball",
        zero_velocity,
        momentum=Range(0.0, 0.999, default=0.9, log=False),
        elementwise=True,
    ),
    "nesterov": Optimizer(
        "nesterov",
        look_ahead,
        Range(1e-4, 1e1, default=0.01),
        "Nesterov 1983, Doklady 27; Sutskever et al. 2013, PMLR 28(3)",
        "momentum with the gradient looked up ahead",
        zero_velocity,
        momentum=Range(0.0, 0.999, default=0.9, log=False),
        elementwise=True,
    ),
    "rmsprop": Optimizer(
        "rmsprop",
        root_mean_square,
        Range(1e-5, 1.0, default=1e-3),
        "Tieleman, Hinton 2012, Coursera lecture 6.5",
        "gradient over its root mean square, 0.99",
        zero_scale,
        elementwise=True,
    ),
    "adam": Optimizer(
        "adam",
        adaptive_moments,
        Range(1e-5, 1.0, default=1e-3),
        "Kingma, Ba 2015, arXiv:1412.6980",
        "adaptive moments, 0.9 and 0.999",
        zero_moments,
        elementwise=True,
    ),
    "adamw": Optimizer(
        "adamw",
        decoupled_decay,
        Range(1e-5, 1.0, default=1e-3),
        "Loshchilov, Hutter 2019, arXiv:1711.05101",
        "Adam with decoupled weight decay 0.01",
        zero_moments,
        elementwise=True,
    ),
}

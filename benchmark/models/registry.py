"""The models by name."""

from __future__ import annotations

from benchmark.models.model import Model
from benchmark.models.networks import cnn, cnn_2c2d, cnn_deep, mlp, mlp_deep, mlp_tanh, mlp_wide
from benchmark.models.recurrent import rnn
from benchmark.models.residual import resnet
from benchmark.models.transformer import transformer, transformer_qk

MODELS: dict[str, Model] = {
    "mlp": Model(
        "mlp",
        mlp,
        1,
        256,
        "LeCun et al. 1998, doi:10.1109/5.726791",
        "one hidden layer of 256",
        widths=(1, 4096),
    ),
    "mlp_wide": Model(
        "mlp_wide",
        mlp_wide,
        3,
        1000,
        "Schneider, Balles, Hennig 2019, arXiv:1903.05499",
        "hidden layers of 1000, 500 and 100",
    ),
    "mlp_deep": Model(
        "mlp_deep",
        mlp_deep,
        10,
        128,
        "He et al. 2015, arXiv:1502.01852",
        "hidden layers of 128, as many as depth says",
        depths=(2, 30),
        widths=(1, 4096),
    ),
    "mlp_tanh": Model(
        "mlp_tanh",
        mlp_tanh,
        2,
        200,
        "Cohen et al. 2021, arXiv:2103.00065",
        "two hidden layers of 200 with tanh",
        depths=(1, 30),
        widths=(1, 4096),
    ),
    "cnn": Model(
        "cnn",
        cnn,
        2,
        16,
        "LeCun et al. 1998, doi:10.1109/5.726791",
        "3x3 convolutions of 16 and 32 channels, pooled",
        widths=(1, 512),
    ),
    "cnn_2c2d": Model(
        "cnn_2c2d",
        cnn_2c2d,
        3,
        32,
        "Schneider, Balles, Hennig 2019, arXiv:1903.05499",
        "5x5 convolutions of 32 and 64 channels, pooled, and a dense layer of 1024",
    ),
    "cnn_deep": Model(
        "cnn_deep",
        cnn_deep,
        6,
        32,
        "Simonyan, Zisserman 2015, arXiv:1409.1556",
        "3x3 convolutions of 32 channels, as many as depth says",
        depths=(2, 30),
        widths=(1, 512),
    ),
    "rnn": Model(
        "rnn",
        rnn,
        1,
        128,
        "Elman 1990, doi:10.1207/s15516709cog1402_1",
        "a tanh recurrence of 128 over the rows of an image",
        widths=(1, 1024),
    ),
    "resnet": Model(
        "resnet",
        resnet,
        3,
        16,
        "He et al. 2016, arXiv:1603.05027",
        "residual blocks of 16, 32 and 64 channels, as many as depth says",
        depths=(3, 30),
        widths=(1, 128),
    ),
    "transformer": Model(
        "transformer",
        transformer,
        2,
        48,
        "Vaswani et al. 2017, arXiv:1706.03762",
        "rows of an image as tokens, blocks of attention and a dense layer",
        depths=(1, 12),
        widths=(4, 512),
    ),
    "transformer_qk": Model(
        "transformer_qk",
        transformer_qk,
        2,
        48,
        "Dehghani et al. 2023, arXiv:2302.05442",
        "transformer whose queries and keys are normalized",
        depths=(1, 12),
        widths=(4, 512),
    ),
}

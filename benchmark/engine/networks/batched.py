"""The forward pass of K networks at once, layer by layer.

Lifting a whole network with `torch.func.vmap` costs tens of microseconds an operation, which is
most of the time of a small network's step (measured on one core, 16 dense networks of 64-256-10 at
batch 32: 5.1 ms a gradient lifted, 1.3 ms layer by layer). So the usual layers have a batched form
of their own here, and any other module is lifted with vmap by itself.

Tensors have the trial as their first axis and the example as their second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from benchmark.engine.networks.pooled_convolution import is_by_twos, pooled_convolution
from benchmark.engine.networks.unfolded_convolution import unfolded_convolution
from benchmark.models.recurrent import Recurrence
from benchmark.models.residual import Residual
from benchmark.models.transformer import Attention, Positions, Rows, TokenMean, attend
from benchmark.strategies.normalizing_modules import (
    EPS,
    GHOST_BATCH,
    MOMENTUM,
    GhostBatchNorm,
    StandardizedConv2d,
    StandardizedLinear,
    WeightNormConv2d,
    WeightNormLinear,
    follow,
    normalized_weight,
    standardized_weight,
    stretch,
)

Tensors = Mapping[str, Tensor]
Layer = Callable[..., Tensor]


def forward(module: nn.Module, tensors: Tensors, x: Tensor) -> Tensor:
    """Outputs (K, B, ...) of ``module`` for inputs (K, B, ...).

    Parameters
    ----------
    tensors
        Parameters and buffers (K, ...) of the module by name; buffers are updated in place.
    """
    if type(module) is nn.Sequential and is_chain(module):
        children = list(module._modules.items())
        while children:
            # what is watched has outputs of its own
            pooled = None if _WATCHING else pooled_convolution(children, tensors, x)
            if pooled is not None:
                x, children = pooled
                continue
            name, child = children.pop(0)
            x = forward(child, _own(tensors, name), x)
        return x
    outputs = _outputs(module, tensors, x)
    for see in _WATCHING:
        see(module, outputs)
    return outputs


def _outputs(module: nn.Module, tensors: Tensors, x: Tensor) -> Tensor:
    # a subclass may do something else than its base
    layer = LAYERS.get(type(module))
    if layer is not None and _is_usual(module, x):
        return layer(module, tensors, x)
    if x.shape[0] == 1:
        return _alone(module, tensors, x)
    if x.device.type != "cpu":
        # a GPU's kernels ask for the order in memory, which vmap tells of the usual one alone
        x = x.contiguous()
    return vmap(lambda own, inputs: functional_call(module, own, (inputs,)))(dict(tensors), x)


_WATCHING: list[Callable[[nn.Module, Tensor], None]] = []


@contextmanager
def watched(see: Callable[[nn.Module, Tensor], None]) -> Iterator[None]:
    """Within, ``see`` is called with every layer that goes forward by itself, and its outputs."""
    _WATCHING.append(see)
    try:
        yield
    finally:
        _WATCHING.remove(see)


def _own(tensors: Tensors, child: str) -> dict[str, Tensor]:
    """Those of the child of this name, by their names in it."""
    prefix = f"{child}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _alone(module: nn.Module, tensors: Tensors, x: Tensor) -> Tensor:
    """``module`` itself, for a single trial."""
    # not `v[0]`, whose gradient is copied into zeros
    alone = {k: v.squeeze(0) for k, v in tensors.items()}
    return functional_call(module, alone, (x.squeeze(0),)).unsqueeze(0)


_CHAINS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def is_chain(module: nn.Sequential) -> bool:
    """Whether its children share no tensors: each has its own under its own name.

    What a child shares within itself is the child's affair.
    """
    if module not in _CHAINS:
        children = [child for child in module._modules.values() if child is not None]
        owned = [{id(t) for t in (*c.parameters(), *c.buffers())} for c in children]
        _CHAINS[module] = len(set().union(*owned)) == sum(map(len, owned))
    return _CHAINS[module]


def _is_usual(module: nn.Module, x: Tensor) -> bool:
    """Whether ``module`` is built so that its batched form here is what it does to ``x``."""
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    match module:
        case nn.Linear():
            return x.dim() == 3
        case nn.Flatten():
            return module.start_dim == 1 and module.end_dim == -1
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return is_usual_batch_norm(module)
        case nn.LayerNorm():
            return x.dim() == 3
        case GhostBatchNorm():
            whole = x.dim() == 3 and x.shape[1] % GHOST_BATCH == 0
            return whole or _is_plain(module, x)
        case nn.InstanceNorm2d():
            return not module.track_running_stats
    return True


def is_usual_batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d) -> bool:
    """Whether it has a scale and a shift, and running statistics that follow by a momentum."""
    return module.affine and module.track_running_stats and module.momentum is not None


def linear(module: nn.Linear, tensors: Tensors, x: Tensor) -> Tensor:
    """x W^T + b, a matrix product a trial.

    Computed as (W x^T + b)^T: the gradient of W then comes in the layout of W, and the outputs lie
    in memory as the next such product takes them.
    """
    examples = x.mT
    if "bias" not in tensors:
        return torch.bmm(tensors["weight"], examples).mT
    return torch.baddbmm(tensors["bias"].unsqueeze(2), tensors["weight"], examples).mT


def weight_norm_linear(module: WeightNormLinear, tensors: Tensors, x: Tensor) -> Tensor:
    """(x V^T) g / norm(v) + b: the outputs are scaled, which are fewer than the weights."""
    outputs = torch.bmm(tensors["weight"], x.mT)
    scales = vmap(stretch)(tensors["weight"], tensors["scale"]).unsqueeze(2)
    if "bias" not in tensors:
        return (outputs * scales).mT
    return torch.addcmul(tensors["bias"].unsqueeze(2), outputs, scales).mT


def standardized_linear(module: StandardizedLinear, tensors: Tensors, x: Tensor) -> Tensor:
    """The linear map by its standardized weights."""
    return linear(module, {**tensors, "weight": vmap(standardized_weight)(tensors["weight"])}, x)


def weight_norm_convolution(module: WeightNormConv2d, tensors: Tensors, x: Tensor) -> Tensor:
    """The convolution by its normalized weights."""
    weight = vmap(normalized_weight)(tensors["weight"], tensors["scale"])
    return convolution(module, {**tensors, "weight": weight}, x)


def standardized_convolution(module: StandardizedConv2d, tensors: Tensors, x: Tensor) -> Tensor:
    """The convolution by its standardized weights."""
    weight = vmap(standardized_weight)(tensors["weight"])
    return convolution(module, {**tensors, "weight": weight}, x)


def convolution(module: nn.Conv2d, tensors: Tensors, x: Tensor) -> Tensor:
    """A convolution a trial; on a CPU one after the other, with the channels last in memory.

    vmap makes K convolutions one of K groups, which a CPU runs without its fast kernels, and a GPU
    one after the other; most are matrix products there.
    """
    unfolded = unfolded_convolution(module, tensors, x)
    if unfolded is not None:
        return unfolded
    if x.device.type != "cpu" and x.shape[0] > 1:
        bias = tensors.get("bias")
        over = (0, 0, None if bias is None else 0)
        return vmap(module._conv_forward, in_dims=over)(x, tensors["weight"], bias)
    if x.shape[0] == 1:
        bias = tensors["bias"].squeeze(0) if "bias" in tensors else None
        weight = _channels_last(tensors["weight"].squeeze(0))
        return module._conv_forward(_channels_last(x.squeeze(0)), weight, bias).unsqueeze(0)
    biases = tensors["bias"] if "bias" in tensors else [None] * x.shape[0]
    maps = [
        module._conv_forward(_channels_last(images), _channels_last(weight), bias)
        for images, weight, bias in zip(x, tensors["weight"], biases, strict=True)
    ]
    # stacked with the channels last, or the next layer would get them first
    return torch.stack([m.permute(0, 2, 3, 1) for m in maps]).permute(0, 1, 4, 2, 3)


def _channels_last(images: Tensor) -> Tensor:
    if images.device.type != "cpu":
        return images
    # with one channel both layouts look the same, and only `to` says which is meant
    return images.to(memory_format=torch.channels_last)


def elementwise(module: nn.Module, tensors: Tensors, x: Tensor) -> Tensor:
    """What treats every number alike treats every trial alike."""
    return module(x)


def over_examples(module: nn.Module, tensors: Tensors, x: Tensor) -> Tensor:
    """What treats every example alike takes the trials' examples for one batch."""
    out = module(x.flatten(0, 1))
    return out.unflatten(0, x.shape[:2])


def max_pool(module: nn.MaxPool2d, tensors: Tensors, x: Tensor) -> Tensor:
    """On a CPU, an evaluation by two times two pixels takes the larger of two, twice.

    torch's own also finds the index of each maximum, which only a gradient needs.
    """
    odd = x.shape[3] % 2 or x.shape[4] % 2
    if x.requires_grad or x.device.type != "cpu" or not is_by_twos(module) or odd:
        return over_examples(module, tensors, x)
    columns = torch.maximum(*x.unflatten(4, (-1, 2)).unbind(5))
    return torch.maximum(*columns.unflatten(3, (-1, 2)).unbind(4))


def flatten(module: nn.Flatten, tensors: Tensors, x: Tensor) -> Tensor:
    """(K, B, ...) -> (K, B, features), in the order channel, row, column."""
    return x.flatten(2)


def of_tokens(module: nn.Module, tensors: Tensors, x: Tensor) -> Tensor:
    """What gives more, or fewer, rows than it takes takes the trials' examples for one batch."""
    return module(x.flatten(0, 1)).unflatten(0, (x.shape[0], -1))


def positions(module: Positions, tensors: Tensors, x: Tensor) -> Tensor:
    """Each trial's own code."""
    code = tensors["code"].unsqueeze(1)
    return (x.unflatten(1, (-1, code.shape[2])) + code).flatten(1, 2)


def residual(module: Residual, tensors: Tensors, x: Tensor) -> Tensor:
    """The sum of both parts."""
    parts = module._modules.items()
    branch, shortcut = (forward(part, _own(tensors, name), x) for name, part in parts if part)
    return branch + shortcut


def recurrence(module: Recurrence, tensors: Tensors, images: Tensor) -> Tensor:
    """One step after the other, with states (K, width, B) between them."""
    rows = images.permute(0, 3, 1, 2, 4).flatten(3) * module.scale
    inputs = forward(module.input, _own(tensors, "input"), rows.flatten(1, 2))
    first, *others = inputs.unflatten(1, rows.shape[1:3]).unbind(1)
    norm = _own(tensors, "norm")
    state = torch.tanh(forward(module.norm, norm, first))
    step = _own(tensors, "steps.0")
    for row in others:
        if type(module.steps[0]) is nn.Linear:
            before = torch.baddbmm(row.mT, step["weight"], state.mT).mT
        else:
            before = row + forward(module.steps[0], step, state)
        state = torch.tanh(forward(module.norm, norm, before))
    return state


def attention(module: Attention, tensors: Tensors, x: Tensor) -> Tensor:
    """The heads of all trials side by side."""

    def split(name: str) -> Tensor:
        """(K, N, heads, T, width / heads)."""
        given = forward(getattr(module, name), _own(tensors, name), x)
        return module.split(given.flatten(0, 1)).unflatten(0, (x.shape[0], -1))

    def normalized(name: str) -> Tensor:
        norm = getattr(module, f"{name}_norm")
        heads = split(name)
        if isinstance(norm, nn.Identity):
            return heads
        each = forward(norm, _own(tensors, f"{name}_norm"), heads.flatten(1, 3))
        return each.view(heads.shape)

    seen = attend(normalized("query"), normalized("key"), split("value"))
    together = module.join(seen.flatten(0, 1)).unflatten(0, (x.shape[0], -1))
    return forward(module.out, _own(tensors, "out"), together)


def batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, tensors: Tensors, x: Tensor) -> Tensor:
    """The features of all trials are so many features of one batch."""
    if module.training and "num_batches_tracked" in tensors:
        tensors["num_batches_tracked"].add_(1)
    return _over_the_batch(module.training, module.momentum or 0.0, module.eps, tensors, x)


def _over_the_batch(
    training: bool, momentum: float, eps: float, tensors: Tensors, x: Tensor
) -> Tensor:
    trials, features = x.shape[0], x.shape[2]
    # outputs of a dense layer lie as (K, features, B) in memory: nothing is moved
    dense = x.dim() == 3
    folded = x.mT.flatten(0, 1).unsqueeze(0) if dense else x.transpose(0, 1).flatten(1, 2)
    normalized = F.batch_norm(
        folded,
        # views of contiguous buffers, so that they are updated
        tensors["running_mean"].view(-1),
        tensors["running_var"].view(-1),
        tensors["weight"].flatten(),
        tensors["bias"].flatten(),
        training=training,
        momentum=momentum,
        eps=eps,
    )
    if dense:
        return normalized.squeeze(0).unflatten(0, (trials, features)).mT
    return normalized.unflatten(1, (trials, features)).transpose(0, 1)


def ghost_batch_norm(module: GhostBatchNorm, tensors: Tensors, x: Tensor) -> Tensor:
    """Each feature of each sub-batch of each trial is a feature of one batch of 32."""
    if _is_plain(module, x):
        return _over_the_batch(module.training, MOMENTUM, EPS, tensors, x)
    # (K, features, sub-batches, 32), as it lies in memory
    split = x.mT.unflatten(2, (-1, GHOST_BATCH))
    each = split.shape[:3]
    weight, bias = (tensors[name].unsqueeze(2).expand(each) for name in ("weight", "bias"))
    # momentum 1 leaves the sub-batches' own statistics in these
    mean, variance = (torch.zeros_like(weight).flatten() for _ in range(2))
    normalized = F.batch_norm(
        split.flatten(0, 2).unsqueeze(0),
        mean,
        variance,
        weight.flatten(),
        bias.flatten(),
        training=True,
        momentum=1.0,
        eps=EPS,
    )
    follow(tensors["running_mean"], mean.view(each))
    follow(tensors["running_var"], variance.view(each))
    return normalized.view(split.shape).flatten(2).mT


def _is_plain(module: GhostBatchNorm, x: Tensor) -> bool:
    """Whether there is no more than one sub-batch."""
    return not module.training or x.shape[1] <= GHOST_BATCH + 1


def layer_norm(module: nn.LayerNorm, tensors: Tensors, x: Tensor) -> Tensor:
    """Each example by itself, then each trial's own scale and shift."""
    if x.shape[0] == 1:
        return _alone(module, tensors, x)
    normalized = F.layer_norm(x, module.normalized_shape, eps=module.eps)
    return _affine(normalized, tensors, x.dim())


def group_norm(module: nn.GroupNorm, tensors: Tensors, x: Tensor) -> Tensor:
    """Each group of each example by itself, then each trial's own scale and shift."""
    return _by_groups(module.num_groups, module.eps, tensors, x)


def instance_norm(module: nn.InstanceNorm2d, tensors: Tensors, x: Tensor) -> Tensor:
    """Each feature of each example by itself: as many groups as features."""
    return _by_groups(x.shape[2], module.eps, tensors, x)


def _by_groups(groups: int, eps: float, tensors: Tensors, x: Tensor) -> Tensor:
    alone = x.shape[0] == 1
    own = {name: tensor.squeeze(0) for name, tensor in tensors.items()} if alone else {}
    maps = x.flatten(0, 1)
    # two to five times as long with the channels last in memory, but for a single group (128 maps
    # of 16x28x28 in 8 groups: 17 ms with the gradient, 7 when turned there and back)
    turned = x.device.type == "cpu" and maps.dim() == 4 and groups > 1
    if turned:
        maps = maps.contiguous()
    maps = F.group_norm(maps, groups, own.get("weight"), own.get("bias"), eps)
    # a gradient goes back through pooling and convolution, which want the channels last
    if turned and x.requires_grad:
        maps = _channels_last(maps)
    normalized = maps.unflatten(0, x.shape[:2])
    return normalized if alone else _affine(normalized, tensors, x.dim())


def _affine(x: Tensor, tensors: Tensors, dimensions: int) -> Tensor:
    def spread(tensor: Tensor) -> Tensor:
        return tensor.reshape(*tensor.shape[:1], 1, tensor.shape[1], *[1] * (dimensions - 3))

    if "weight" not in tensors:
        return x
    if "bias" not in tensors:
        return x * spread(tensors["weight"])
    return torch.addcmul(spread(tensors["bias"]), x, spread(tensors["weight"]))


LAYERS: dict[type[nn.Module], Layer] = {
    nn.Linear: linear,
    nn.Conv2d: convolution,
    nn.ReLU: elementwise,
    nn.Identity: elementwise,
    nn.Tanh: elementwise,
    nn.Sigmoid: elementwise,
    nn.GELU: elementwise,
    nn.MaxPool2d: max_pool,
    nn.AvgPool2d: over_examples,
    nn.AdaptiveAvgPool2d: over_examples,
    nn.Flatten: flatten,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.LayerNorm: layer_norm,
    nn.GroupNorm: group_norm,
    nn.InstanceNorm2d: instance_norm,
    GhostBatchNorm: ghost_batch_norm,
    WeightNormLinear: weight_norm_linear,
    WeightNormConv2d: weight_norm_convolution,
    StandardizedLinear: standardized_linear,
    StandardizedConv2d: standardized_convolution,
    Rows: of_tokens,
    Positions: positions,
    TokenMean: of_tokens,
    Residual: residual,
    Recurrence: recurrence,
    Attention: attention,
}
"""The batched form of a layer, by its exact type: ``(module, tensors, x) -> outputs``."""

"""Levels of a factor in a sentence, where the level alone would not say what it is one of."""

from __future__ import annotations

from typing import Any

from benchmark.figures.numbers import number, percent
from benchmark.figures.style import title, words

PHRASES = {
    ("clipping", "none"): "no clipping",
    ("normalization", "none"): "no normalization",
    ("normalization", "weight_norm"): "weight normalization",
    ("normalization", "weight_standardization"): "weight standardization",
    ("batch_policy", "fixed"): "a fixed batch size",
    ("batch_policy", "full"): "full batches",
    ("batch_policy", "accumulate"): "accumulation",
    ("batch_policy", "doubling"): "doubling",
}
HYPHENATED = {
    "global_norm": "global-norm",
    "per_layer_norm": "per-layer-norm",
    "update_rms": "update-RMS",
}
NOUNS = ("autoclip", "zclip", "zclip_capped", "adagc", "normalized", "skip_step", "skip_step_all")
"""Clippings whose names in tables and figures are nouns, and stand in sentences as they are."""


def phrase(factor: str, level: object) -> str:
    """A level of a factor as a sentence can use it.

    >>> phrase("clipping", "global_norm"), phrase("normalization", "none")
    ('global-norm clipping', 'no normalization')
    >>> phrase("clipping", "skip_step_all"), phrase("clipping", "zclip_capped")
    ('full-window skip', 'capped ZClip')
    """
    if found := PHRASES.get((factor, str(level))) or title(level):
        return found
    if factor in ("clipping", "normalization") and level not in NOUNS:
        return f"{HYPHENATED.get(str(level), words(level))} {factor}"
    return words(level)


def setting(factor: str, level: Any) -> str:
    """A level of any factor as a sentence can use it where the factor is not named.

    >>> setting("schedule", "cosine"), setting("learning_rate", 0.1), setting("clipping", "none")
    ('the cosine schedule', 'learning rate 0.1', 'no clipping')
    """
    if factor == "schedule":
        return "a constant rate" if level == "constant" else f"the {words(level)} schedule"
    if factor == "updates":
        return f"training for {level:,} updates"
    if factor in ("learning_rate", "batch_size", "epochs"):
        return f"{words(factor)} {number(level)}"
    return phrase(factor, level)


KEPT: dict[tuple[str, str], str] = {
    ("train_fraction", "1.0"): "the whole training set",
    ("learning_rate_scaling", "none"): "a rate that does not follow the batch size",
    ("loss", "cross_entropy"): "the cross-entropy loss",
    ("optimizer", "sgd"): "plain SGD",
    ("precision", "float32"): "single precision",
    ("disturbance", "none"): "no disturbance",
    ("epochs", "1.0"): "one pass over the data",
}


def kept(factor: str, level: Any) -> str:
    """What all trials have in common, as one item of a list of such things.

    >>> kept("precision", "float32"), kept("init_gain", 1.0), kept("initialization", "he")
    ('single precision', 'initialization gain 1', 'He initialization')
    >>> kept("train_fraction", 0.1), kept("epochs", 10.0), kept("clipping", "none")
    ('10% of the training set', '10 passes over the data', 'no clipping')
    """
    if found := KEPT.get((factor, str(level))):
        return found
    if factor == "train_fraction":
        return f"{percent(level, 0)} of the training set"
    if factor == "epochs":
        return f"{number(level)} passes over the data"
    if factor == "updates":
        return f"{level:,.0f} updates"
    if factor == "initialization":
        return f"{words(level)} initialization"
    if factor == "init_gain":
        return f"initialization gain {number(level)}"
    if factor in ("schedule", "clipping", "normalization", "batch_policy"):
        return setting(factor, level)
    return f"{words(factor)} {words(level)}"

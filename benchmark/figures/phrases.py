"""Levels of a factor in a sentence, where the level alone would not say what it is one of."""

from __future__ import annotations

from typing import Any

from benchmark.figures.numbers import number, percent
from benchmark.figures.style import title, words

PHRASES = {
    ("clipping", "none"): "no clipping",
    ("normalization", "none"): "no normalization",
    ("batch_policy", "fixed"): "a fixed batch size",
    ("batch_policy", "full"): "full batches",
}
"""Of levels whose name alone would say nothing in a sentence."""
WHOLE = frozenset(
    (
        *("normalized", "skip_step", "skip_step_all", "autoclip", "zclip", "zclip_capped", "adagc"),
        *("rewind", "weight_norm", "weight_standardization"),
    )
)
"""Levels whose name says of itself what they are; the others need their factor behind it."""


def phrase(factor: str, level: object) -> str:
    """A level of a factor as a sentence can use it: by its name, and what it is a level of.

    >>> phrase("clipping", "global_norm"), phrase("normalization", "none")
    ('global-norm clipping', 'no normalization')
    >>> phrase("clipping", "skip_step_all"), phrase("clipping", "zclip_capped")
    ('full-window skip', 'capped ZClip')
    """
    if found := PHRASES.get((factor, str(level))) or title(level):
        return found
    name = words(level)
    if factor not in ("clipping", "normalization") or level in WHOLE:
        return name
    return f"{name.replace(' ', '-') if factor == 'clipping' else name} {factor}"


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

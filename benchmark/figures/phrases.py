"""Levels of a factor in a sentence, where the level alone would not say what it is one of."""

from __future__ import annotations

from typing import Any

from benchmark.figures.numbers import number
from benchmark.figures.style import title, words

PHRASES = {
    ("clipping", "none"): "no clipping",
    ("clipping", "update_rms"): "clipping the update's RMS",
    ("clipping", "normalized"): "normalized gradients",
    ("clipping", "skip_step"): "skipping steps",
    ("clipping", "skip_step_all"): "skipping steps by a window of all",
    ("clipping", "autoclip"): "AutoClip",
    ("clipping", "zclip"): "ZClip",
    ("clipping", "zclip_capped"): "capped ZClip",
    ("clipping", "adagc"): "AdaGC",
    ("normalization", "none"): "no normalization",
    ("normalization", "weight_norm"): "weight normalization",
    ("normalization", "weight_standardization"): "weight standardization",
    ("batch_policy", "fixed"): "a fixed batch size",
    ("batch_policy", "full"): "full batches",
    ("batch_policy", "accumulate"): "accumulation",
    ("batch_policy", "doubling"): "doubling",
}
HYPHENATED = {"global_norm": "global-norm", "per_layer_norm": "per-layer-norm"}


def phrase(factor: str, level: object) -> str:
    """A level of a factor as a sentence can use it.

    >>> phrase("clipping", "global_norm"), phrase("normalization", "none")
    ('global-norm clipping', 'no normalization')
    """
    if found := PHRASES.get((factor, str(level))) or title(level):
        return found
    if factor in ("clipping", "normalization"):
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

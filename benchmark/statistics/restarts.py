"""After an explosion: what a restart at a lower rate gives, beside clipping at the old one."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics.seeds import mean, over_seeds

SOON = 10
"""Steps within which an explosion counts as at once."""
TENTH = 0.1
"""Of the rate at which training exploded."""
KEYS = ["dataset", "model", "depth", "init_gain", "normalization", "schedule", "seed"]
"""What a restart has in common with the trial that exploded."""
VALUES = ["accuracy", "learned", "exploded"]


def restarts(frame: pd.DataFrame, *, factor: float = TENTH) -> pd.DataFrame:
    """Trials that exploded within `SOON` steps without clipping, at ``factor`` times the rate.

    ``frame`` has the `outcomes` of a map over rates. A row for each that was run at both rates: the
    configuration, the ``old`` and the new ``rate``, the ``trial`` that exploded and whether it went
    ``nonfinite`` or only spiked, and ``accuracy``, ``learned`` and ``exploded`` at the new rate;
    these three with ``_clipped``, of the trial that was clipped at the old rate instead, by
    the global norm, where there is one.
    """
    frame = frame.assign(rate=_rounded(frame["learning_rate"]))
    bare = frame[frame["clipping"] == "none"]
    bad = bare[(bare["exploded"] == 1) & (bare["first_bad_step"] <= SOON)]
    ended = bad[[*KEYS, "trial"]].assign(nonfinite=bad["status"].eq("nonfinite"))
    bad = ended.assign(old=bad["rate"], rate=_rounded(factor * bad["rate"]))
    found = bad.merge(bare[[*KEYS, "rate", *VALUES]], on=[*KEYS, "rate"])
    clipped = frame.loc[frame["clipping"] == "global_norm", [*KEYS, "rate", *VALUES]]
    names = {value: f"{value}_clipped" for value in VALUES}
    return found.merge(
        clipped.rename(columns=names | {"rate": "old"}), on=[*KEYS, "old"], how="left"
    )


def _rounded(rates: pd.Series) -> list[float]:
    """To three digits, so that a tenth of a rate is found again."""
    return [float(f"{rate:.3g}") for rate in rates]


def restart_effect(rows: pd.DataFrame) -> dict[str, float] | None:
    """By how much a restart at the lower rate beats clipping at the old one.

    Of the rows of `restarts`: ``effect`` on accuracy with its 95% interval over seeds, ``low`` and
    ``high``; the shares ``slower`` and ``clipped`` that learn; and how many ``pairs``. None where
    nothing was run both ways.

    >>> rows = pd.DataFrame({"seed": [0, 1], "accuracy": 0.75, "accuracy_clipped": 0.5})
    >>> found = restart_effect(rows.assign(learned=1.0, learned_clipped=[0.0, 1.0]))
    >>> found["effect"], found["slower"], found["clipped"], found["pairs"]
    (0.25, 1.0, 0.5, 2)
    """
    both = rows.dropna(subset=["accuracy_clipped"])
    if both.empty:
        return None
    difference = both["accuracy"] - both["accuracy_clipped"]
    effect, low, high = over_seeds(difference.to_numpy(), both["seed"], mean)
    return {
        **{"effect": effect, "low": low, "high": high, "pairs": len(both)},
        "slower": float(both["learned"].mean()),
        "clipped": float(both["learned_clipped"].mean()),
    }

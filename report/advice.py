"""What the studies say to do: facts for the page of decisions and the first page."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from benchmark.figures import words
from benchmark.figures.numbers import between, number
from benchmark.figures.phrases import kept
from benchmark.statistics import (
    against_reference,
    best_per_arm,
    outcome_means,
    restart_effect,
    restarts,
    sizes_near_best,
    tied_with_best,
)
from benchmark.statistics.budgets import planned_updates
from benchmark.statistics.explosions import one_of_each
from benchmark.statistics.restarts import SOON  # noqa: F401  (for the page)
from benchmark.statistics.selection import CELL, SETTING, where
from report import architectures, batch_updates, disturbances, evidence, explosion, headline
from report.evidence import Evidence
from report.prose import records

QUESTIONS = {
    "advice-tune": "What should I tune first?",
    "advice-deep": "My deep plain network diverges. What first?",
    "advice-nan": "My loss went NaN in the first steps. What now?",
    "advice-late": "My loss jumped late in training. What now?",
    "advice-batch": "Which batch size, and how should the rate scale with it?",
    "advice-batchnorm": "Does batch normalization make clipping unnecessary?",
    "advice-which": "Which clipping should I use?",
    "advice-threshold": "Which threshold for the global norm?",
    "advice-cost": "What does each clipping cost?",
    "advice-elsewhere": "Does this hold for Adam, or for a transformer?",
}
"""Anchor and heading of each answer."""
STUDIES = {
    "advice-tune": ("grid",),
    "advice-deep": ("deep",),
    "advice-nan": ("explosion",),
    "advice-late": ("explosion", "disturbances"),
    "advice-batch": ("critical_batch",),
    "advice-batchnorm": ("headline", "headroom"),
    "advice-which": ("headline", "disturbances"),
    "advice-threshold": ("clipping",),
    "advice-cost": ("throughput",),
    "advice-elsewhere": ("optimizers", "architectures"),
}
"""The studies that answer each."""
USUALLY = {
    "advice-tune": "the learning rate",
    "advice-nan": "restart at a tenth of the learning rate",
    "advice-late": "look at the batch of that step",
}
"""The usual advice, where there is any."""
DEPTH, RATE = 10, 0.5
"""The case that a reader asks about; the nearest that was run stands for it."""
NEAR, FAR = "up to ten times the best rate", "farther above it"
PLACES = dict(zip(explosion.IN_ORDER, (NEAR, NEAR, FAR, explosion.NO_RATE), strict=True))
"""How far above its best rate a network was, by the band that its rate lies in."""
USUAL = 1.0
"""The highest learning rate of SGD that counts as usual."""
LONG = 1000
"""Updates after which a run that has not exploded has gone well for long."""
WARMED = 0.1
"""Share of the updates over which a warm-up raises the rate."""
RIVAL = ["effect", "low", "high", "pairs", "slower", "clipped"]
"""Columns of `restart_effect`."""


@functools.lru_cache(8)
def late_without_cause(study: Evidence) -> pd.DataFrame:
    """Plain networks that diverged late although nothing happened to their rate or their batches.

    After `explosion.LATE` updates or more, and no warm-up, at a rate up to a few times the best one
    of the configuration (the first of `explosion.IN_ORDER`). Each network, seed and rate once.
    """
    plain = where(explosion.placed(study), normalization="none", batch_policy="fixed", diverged=1)
    rows = where(plain, schedule=["constant", "warmup"], band=explosion.IN_ORDER[0])
    rising = (WARMED * planned_updates(rows)).where(rows["schedule"].eq("warmup"), 0.0)
    return one_of_each(rows[rows["first_bad_step"] > rising.clip(lower=explosion.LATE)])


def fine_for_long() -> pd.DataFrame:
    """Undisturbed runs at a constant rate that had not exploded after `LONG` updates, of any study.

    With ``began``, the step at which one exploded after all, NaN where it did not. Each network,
    rate and seed once, for as long as it was trained.
    """
    keys = [*(c for c in CELL if c not in ("epochs", "updates")), "seed"]
    told = ["steps", "exploded", "first_bad_step", "first_spike_step"]
    each = [e.outcomes[[*keys, *told]] for e in evidence.all_studies()]
    rows = pd.concat(each or [pd.DataFrame(columns=[*keys, *told])], ignore_index=True)
    rows = where(rows, schedule="constant", disturbance="none")
    rows = rows.sort_values("steps", ascending=False, kind="stable").drop_duplicates(keys)
    began = rows[["first_bad_step", "first_spike_step"]].astype(float).min(axis=1)
    rows = rows.assign(began=began.where(rows["exploded"].eq(1)))
    return rows[rows["steps"].gt(LONG) & ~rows["began"].le(LONG)]


def after_disturbances(study: Evidence) -> dict[str, int]:
    """Of the ``trials`` that were fine up to a disturbance: how many ``spiked`` from then on.

    And how many ended ``nonfinite``.
    """
    rows = study.outcomes[study.outcomes["disturbance"] != "none"]
    rows = rows[~(rows["first_bad_step"] < rows["disturbed_step"])]
    return {
        "trials": len(rows),
        "spiked": int(rows["first_spike_step"].notna().sum()),
        "nonfinite": int(rows["status"].eq("nonfinite").sum()),
    }


def _nearest(values: pd.Series, wanted: float) -> float:
    levels = values.dropna().unique()
    return float(levels[np.abs(np.log(levels.astype(float) / wanted)).argmin()])


@functools.lru_cache(8)
def deep(study: Evidence) -> dict[str, object] | None:
    """What clipping does in the network and at the rate nearest to the case, and a lower rate.

    Of trials without normalization at gain 1 and a constant rate, of the budget that most have:
    ``depth`` and ``rate``, and whether they are the ``exact`` case; ``seeds``; ``bare``, the
    accuracy there without clipping, and the share that ``diverged``; ``lower``, no clipping at the
    rate that validation chooses for it; and ``rows``, one a clipping, the most accurate first:
    `outcome_means`, whether it does not differ significantly from the first (``alike``), the
    ``effect`` of clipping there against the lower rate, paired by seed, with ``low`` and ``high``,
    and whether the network exploded within the clipping's warm-up (``late``). And ``planned``, what
    the best schedule (``level``) gives at its best rate: ``accuracy``, and ``effect``, ``low`` and
    ``high`` against the lower rate; None without schedules. And ``normalized``, the most accurate
    normalization without clipping there (``normalization``, ``accuracy`` and ``diverged``); None
    without any. None where no clipping was run beside none.
    """
    mapped = where(explosion.mapped(study), init_gain=1)
    every = where(mapped, normalization="none")
    rows = where(every, schedule="constant")
    # a case at which only some of the clippings were run compares nothing
    levels = rows.groupby(["depth", "learning_rate"])["clipping"].transform("nunique")
    here = rows[levels == rows["clipping"].nunique()]
    for column, wanted in (("depth", DEPTH), ("learning_rate", RATE)):
        here = here[here[column] == _nearest(here[column], wanted)] if len(here) else here
    bare, clipped = where(here, clipping="none"), here[here["clipping"] != "none"]
    if bare.empty or clipped.empty:
        return None
    depth, rate = here["depth"].iloc[0], here["learning_rate"].iloc[0]
    lower = best_per_arm(where(rows, clipping="none", depth=depth), ["depth"])
    # as remedies: what a network ends with is the same whether or not its clipping could act
    at_rate, at_lower = (rows.assign(remedy=rows["clipping"]) for rows in (clipped, lower))
    apart = ["learning_rate", "clipping", "clipping_threshold"]
    against = against_reference(at_rate, at_lower, "remedy", ignore=apart)
    against = against.rename(columns={"level": "clipping"})[["clipping", "effect", "low", "high"]]
    found = outcome_means(clipped, ["clipping", "clipping_threshold"])
    found = found.merge(against, on="clipping", how="left")
    acted = clipped.groupby("clipping")["could_act"].any()
    found = found.assign(late=~found["clipping"].map(acted).astype(bool))
    # as `deep.leaders`: where a trial diverged, a rule is not as good, however wide its interval
    whole = clipped[clipped.groupby("clipping")["diverged"].transform("max") == 0]
    found = found.sort_values("accuracy", ascending=False, kind="stable")
    alike = tied_with_best(whole, "clipping") if len(whole) else [found["clipping"].iloc[0]]
    return {
        "depth": depth,
        "rate": rate,
        "exact": bool(depth == DEPTH and np.isclose(rate, RATE)),
        "seeds": int(here["seed"].nunique()),
        "updates": int(here["steps"].max()),
        "bare": float(bare["accuracy"].mean()),
        "diverged": float(bare["diverged"].mean()),
        "lower": lower.iloc[0].to_dict() | {"accuracy": float(lower["accuracy"].mean())},
        "planned": _planned(where(every, clipping="none", depth=depth), lower),
        "normalized": _normalized(where(mapped, clipping="none", depth=depth, learning_rate=rate)),
        "rows": found.assign(alike=found["clipping"].isin(alike)),
    }


def _normalized(rows: pd.DataFrame) -> dict[str, object] | None:
    """The normalization of the highest validation accuracy at a constant rate."""
    rows = where(rows, schedule="constant")
    rows = rows[rows["normalization"] != "none"]
    if rows.empty:
        return None
    means = rows.groupby("normalization")[["validation", "accuracy", "diverged"]].mean()
    best = int(means["validation"].to_numpy().argmax())
    return dict(records(means.reset_index())[best])


def _planned(rows: pd.DataFrame, lower: pd.DataFrame) -> dict[str, object] | None:
    """The most accurate schedule by validation, at its best rate, against ``lower``.

    ``alike`` are the others whose test accuracy, at their best rates, is tied with the best.
    """
    rows = rows[rows["schedule"] != "constant"]
    if rows.empty:
        return None
    rows = best_per_arm(rows, ["schedule"])
    top = rows.groupby("schedule")["validation"].mean().idxmax()
    tied = tied_with_best(rows, "schedule")
    rows = where(rows, schedule=top)
    found = records(against_reference(rows, lower, "schedule", ignore=["learning_rate"]))
    alike = [level for level in tied if level != top]
    ends = {"accuracy": rows["accuracy"].mean(), "learning_rate": rows["learning_rate"].iloc[0]}
    return {**found[0], **ends, "alike": alike}


def deepest() -> dict[str, object] | None:
    """`deep` of the study that was made for the question, else of the maps; with its ``study``."""
    for name in ("deep", "explosion"):
        study = evidence.load(name)
        if study and (found := deep(study)):
            return found | {"study": name}
    return None


@functools.lru_cache(8)
def rescued(study: Evidence, normalization: str) -> pd.DataFrame:
    """How many networks learn at ten times the best rate, without clipping and with the best.

    The rows of `headline.elsewhere`, one a ``model`` and ``dataset`` with the clipping (``level``)
    chosen on the other: ``bare`` of ``bare_trials`` learn without clipping and ``clipped`` of
    ``clipped_trials`` with it; ``rate``, in words, that of both, and ``tenfold``, what it might
    as well have been (`headline.as_good`).
    """
    far = where(headline.elsewhere(study), normalization=normalization)
    keys = ["model", "dataset"]
    at = {"times": 10, "normalization": normalization}
    bare = where(study.relative, clipping="none", **at)
    clipped = where(study.shared if len(study.shared) else study.relative, **at)
    clipped = clipped.rename(columns={"clipping": "level"})
    counts = far
    for name, rows, by in (("bare", bare, keys), ("clipped", clipped, [*keys, "level"])):
        of = rows.groupby(by)["learned"].agg(["sum", "size"]).astype(int).reset_index()
        of = of.rename(columns={"sum": name, "size": f"{name}_trials"})
        rates = rows.groupby(by)["learning_rate"].max().rename(f"{name}_rate").reset_index()
        counts = counts.merge(of, on=by).merge(rates, on=by)
    both = zip(counts["bare_rate"], counts["clipped_rate"], strict=True)
    said = [f"{number(a)}" if a == b else f"{number(a)}, clipped {number(b)}" for a, b in both]
    flat = _tenfold(headline.as_good(study))[[*SETTING, "tenfold"]]
    return counts.assign(rate=said).merge(flat, "left")


def _tenfold(flat: pd.DataFrame) -> pd.DataFrame:
    """Rows of `headline.as_good` with ``tenfold``, between which rates ten times one of them is."""
    ends = [(10 * flat[end]).map(lambda r: float(f"{r:.3g}")) for end in ("low_rate", "high_rate")]
    return flat.assign(tenfold=list(map(between, *ends)))


def tenfold_rates(model: str, normalization: str) -> str:
    """Ten times the best unclipped rate of a network of the headline study, over its data sets."""
    high = evidence.load("headline")
    at = {"times": 10, "clipping": "none", "model": model, "normalization": normalization}
    rates = where(high.relative, **at)["learning_rate"] if high else pd.Series(dtype=float)
    return between(rates.min(), rates.max())


def which() -> pd.DataFrame | None:
    """What each clipping does in the MLP without normalization, against the two kinds of trouble.

    A row a ``clipping``, sorted by ``tuned``, which is what it costs, at a threshold tuned to the
    rate, to train at ten times the best unclipped rate instead of at that rate without clipping,
    on the worst data set; ``default``, that at its default ``threshold``, and ``same`` what the
    latter saves against no clipping at that rate. ``late`` says that most networks are lost there
    before it can act. ``disturbed`` is the least by which it ends above no clipping after a
    disturbance that costs at least a point, at each rate at which that was run, and ``calm`` the
    same where nothing happens. NaN is what a clipping was not run at. None without either kind of
    trouble.
    """
    high, trouble = evidence.load("headline"), evidence.load("disturbances")
    network = {"model": "mlp", "normalization": "none"}
    rows = headline.tuned_rules(high) if high else pd.DataFrame()
    rows = where(rows, times=10, **network) if len(rows) else rows
    if rows.empty or not trouble:
        return None
    by = rows.rename(columns={"level": "clipping"}).groupby("clipping")
    found = by.agg(
        tuned=("cost", "min"),
        default=("default_cost", "min"),
        tied=("tied", "all"),
        threshold=("default", "first"),
    )
    raised = headline.raised(high, same_rate=True)
    same = where(raised.saved, times=10, **network).groupby("level")["effect"].min()
    late = where(raised.too_late, times=10, **network)["level"]
    by = disturbances.by_rate(trouble, **network).groupby("clipping")
    ends = by.agg(disturbed=("effect", "min"), calm=("calm", "min"))
    found = found.join(same.rename("same")).join(ends, how="outer").reset_index()
    found = found.assign(late=found["clipping"].isin(late), tied=found["tied"].eq(True))
    return found.sort_values("tuned", ascending=False, ignore_index=True)


@functools.lru_cache(16)
def restarted(study: Evidence, factor: float = 0.1) -> pd.DataFrame:
    """`restarts` of the map, each with the ``band`` of the rate at which training exploded.

    At ``factor`` times that rate, beside clipping by the global norm.
    """
    bands = explosion.placed(study)[["trial", "band"]]
    return restarts(explosion.mapped(study), factor=factor).merge(bands, on="trial", how="left")


@functools.lru_cache(8)
def after(study: Evidence, *, nonfinite: bool) -> pd.DataFrame:
    """What became of networks that went NaN at once, or that only spiked, by ``place``.

    That is how far above the best rate of their configuration they were: `NEAR`, `FAR`, or
    `explosion.NO_RATE`. A row has the share that learns at a ``tenth`` of the rate, and at a
    ``hundredth``, how many ``trials`` were run at a tenth, and `restart_effect`: what the tenth
    gains on clipping at the old rate (``effect``, ``low``, ``high``) and the share that learns
    when ``clipped``, of so many ``pairs``.
    """
    tenth, hundredth = (
        where(restarted(study, factor), nonfinite=nonfinite).assign(
            place=lambda rows: rows["band"].map(PLACES)
        )
        for factor in (0.1, 0.01)
    )
    found = []
    for place in dict.fromkeys(PLACES.values()):
        here, lower = where(tenth, place=place), where(hundredth, place=place)
        if len(here):
            learned = {"tenth": here["learned"].mean(), "hundredth": lower["learned"].mean()}
            rival = restart_effect(here) or dict.fromkeys(RIVAL, math.nan)
            found.append({"place": place, "trials": len(here), **learned, **rival})
    return pd.DataFrame(found, columns=["place", "trials", "tenth", "hundredth", *RIVAL])


def gone_by_rate(study: Evidence) -> pd.DataFrame:
    """What became of networks of gain 1 that went NaN at once, by their ``old`` rate.

    A row has how many of ``networks`` learn at a ``tenth`` of it, and at a ``hundredth``; ``usual``
    says whether the rate was at most `USUAL`. Networks that were not run at both are left out.
    """
    keys = ["old", "trial"]
    tenth, hundredth = (
        where(restarted(study, factor), nonfinite=True, init_gain=1).set_index(keys)["learned"]
        for factor in (0.1, 0.01)
    )
    both = pd.concat({"tenth": tenth, "hundredth": hundredth}, axis=1).dropna()
    found = both.groupby("old").sum().astype(int).assign(networks=both.groupby("old").size())
    return found.reset_index().assign(usual=lambda rows: rows["old"] <= USUAL)


def guarded(trouble: Evidence) -> pd.DataFrame:
    """`disturbances.best_guards` under SGD, and as ``adam_...`` under Adam, a row a ``clipping``.

    Under Adam of the disturbances that surely cost anything, which are small ones there.
    """
    plain = disturbances.best_guards(trouble)
    adam = disturbances.best_guards(trouble, "adam", 0).add_prefix("adam_")
    found = plain.merge(adam, left_on="clipping", right_on="adam_clipping", how="outer")
    found = found.assign(clipping=found["clipping"].fillna(found["adam_clipping"]))
    return found.sort_values("effect", ascending=False, kind="stable", ignore_index=True)


def flat_optima(study: Evidence) -> pd.DataFrame:
    """`headline.as_good` of networks with more than one such rate, in words.

    With the ``network`` and ``tenfold``, between which rates ten times one of them lies.
    """
    found = headline.as_good(study)
    found = found[found["wide"] > 1]
    return _tenfold(found).assign(network=architectures.spoken(found)) if len(found) else found


def transformers(study: Evidence) -> pd.DataFrame:
    """`architectures.learners` of transformers with the global norm, at ten times the best rate."""
    rows = architectures.learners(study, "global_norm", 10)
    return rows[rows["network"].astype(str).str.startswith("transformer")]


@functools.lru_cache(8)
def _sizes(study: Evidence) -> pd.DataFrame:
    return sizes_near_best(batch_updates.fixed_sizes(study))


def span(least: float, most: float, smallest: float) -> str:
    """Which batch sizes are meant; where the ``smallest`` that was run is, no end is known there.

    >>> span(8, 32, 8), span(16, 32, 8)
    ('batches of up to 32', 'batches of 16 to 32')
    """
    return f"batches of {'up to' if least == smallest else f'{number(least)} to'} {number(most)}"


def reach(least: float, most: float, smallest: float) -> str:
    """Up to which size a rule is good, over its starts.

    >>> reach(32, 32, 8), reach(8, 32, 8), reach(8, 8, 8)
    ('up to 32', 'nowhere or up to 32', 'nowhere')
    """
    if most <= smallest:
        return "nowhere"
    if least == most:
        return f"up to {number(most)}"
    first = f"up to {number(least)} or" if least > smallest else "nowhere or up to"
    return f"{first} {number(most)}"


def sized() -> list[dict[str, object]]:
    """`sizes_near_best` of one network, with its ``study``, a row for each kind of budget.

    ``network`` is its name without the budget, ``budget`` the passes over the data where these are
    one number. The study with the most sizes speaks for equal examples.
    """
    found: dict[object, dict[str, object]] = {}
    for name in ("critical_batch", "batch_updates"):
        study = evidence.load(name)
        for row in _sizes(study).to_dict("records") if study else []:
            network = words(row["model"]).partition(" at equal ")[0]
            said = {str(k): v for k, v in row.items()} | {"network": network, "study": name}
            passes: list[float] = list(study.outcomes["epochs"].dropna().unique()) if study else []
            said["budget"] = kept("epochs", passes[0]) if len(passes) == 1 else "equal examples"
            found.setdefault(row["scarce"], said)
    return list(found.values())

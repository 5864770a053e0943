"""What trouble late in training costs, and which guard makes it up."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pandas as pd

from benchmark.statistics import copies, idle, paired_comparison
from benchmark.statistics.disturbances import (
    LEAST,
    accuracy_lost,
    at_every_rate,
    at_one_rate,
    ends_above_none,
    guards_by_rate,
    guards_by_threshold,
    losses_saved,
    made_up,
    recovery,
)
from benchmark.statistics.disturbances import losses as each_loss
from benchmark.statistics.multiples import in_relative_arms
from benchmark.statistics.pairing import SIGNIFICANT
from benchmark.statistics.selection import NETWORK, SETTING, where
from report.evidence import Evidence
from report.prose import FORMATS, between, listing, name, phrase

UNDISTURBED = "undisturbed"
"""The column of what a guard does where nothing happens."""


def trials(study: Evidence, optimizer: str) -> pd.DataFrame:
    """The outcomes under one optimizer: what a guard does under one says nothing of another."""
    return where(study.outcomes, optimizer=optimizer)


def multiple(study: Evidence, optimizer: str = "sgd") -> float:
    """The multiple of the best unclipped rate at which most was run; NaN where none was."""
    times = at_one_rate(trials(study, optimizer))["times"]
    return float(times.value_counts().index[0]) if times.notna().any() else float("nan")


@functools.lru_cache(8)
def at_rate(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """The rows of `at_one_rate` at the `multiple`: of those the page compares every guard."""
    rows, times = at_one_rate(trials(study, optimizer)), multiple(study, optimizer)
    return rows[rows["times"].eq(times) | (rows["times"].isna() & (times != times))]


@functools.lru_cache(8)
def no_guards(study: Evidence, optimizer: str = "sgd") -> dict[object, object]:
    """Clippings that at that rate trained as another did, or never acted: copy -> original.

    Under disturbances, that is: without one, two rules for what is unusual may both have nothing
    to do.
    """
    rows = at_rate(study, optimizer)
    unused = [level for level in idle(rows) if level != "none"]
    disturbed = rows[rows["disturbance"] != "none"]
    return copies(disturbed, "clipping", "none") | dict.fromkeys(unused, "none")


@functools.lru_cache(8)
def losses(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """`losses_saved` by network and clipping: all at the rate of training without clipping.

    Without those of `no_guards`. A guard harms where ``gained_high``, the most by which it ends
    above none, is below zero.
    """
    rows = losses_saved(at_rate(study, optimizer), NETWORK)
    rows = rows[~rows["clipping"].isin([*no_guards(study, optimizer)])]
    ends = {"effect": "gained", "low": "gained_low", "high": "gained_high"}
    return rows.assign(**{end: rows[column] for end, column in ends.items()})


@functools.lru_cache(8)
def bare(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """`accuracy_lost` without a guard, by network, the dearest disturbance last."""
    rows = accuracy_lost(where(at_rate(study, optimizer), clipping="none"), NETWORK)
    return rows.sort_values(["model", "lost"], kind="stable", ascending=[False, True])


def beside_batch_norm(study: Evidence) -> pd.DataFrame:
    """`bare` without normalization, with ``batch``, ``batch_low``, ``batch_high`` of batch's.

    ``harmless`` says that batch normalization surely leaves less than half a point of a loss that
    surely is above a point without; ``helpless`` that with it, too, a point is surely lost.
    """
    rows, ends = bare(study), ["lost", "low", "high"]
    batch = where(rows, normalization="batch")[["disturbance", "model", *ends]]
    named = {end: f"batch_{end}" for end in ends[1:]} | {"lost": "batch"}
    found = where(rows, normalization="none").merge(
        batch.rename(columns=named), on=["disturbance", "model"]
    )
    harmless = (found["low"] > LEAST) & (found["batch_high"] < LEAST / 2)
    return found.assign(harmless=harmless, helpless=found["batch_low"] > LEAST)


def beside_sgd(study: Evidence, optimizer: str) -> pd.DataFrame:
    """`bare` under ``optimizer`` with ``sgd``, ``sgd_low`` and ``sgd_high``: the same under SGD.

    The rates are three tenths of the best under each.
    """
    ends = {"lost": "sgd", "low": "sgd_low", "high": "sgd_high"}
    keys = ["disturbance", *NETWORK]
    plain = bare(study)[[*keys, *ends]].rename(columns=ends)
    return bare(study, optimizer).merge(plain, on=keys)


def felt(study: Evidence, optimizer: str = "sgd", least: float = LEAST) -> pd.DataFrame:
    """`losses` after disturbances that surely cost at least ``least`` without a guard."""
    rows = losses(study, optimizer)
    return rows[rows["bare"].ge(least) & rows["bare_low"].gt(0)]


@functools.lru_cache(8)
def best_guards(study: Evidence, optimizer: str = "sgd", least: float = LEAST) -> pd.DataFrame:
    """By clipping, how it ends after all disturbances that surely cost something without a guard.

    Those that cost at least ``least`` of accuracy. ``effect``, ``low`` and ``high`` are the least
    by which it ends above none, ``least_in`` where that is, ``most`` the most; ``premium``,
    ``premium_low`` and ``premium_high`` the most that it costs where nothing happens; ``saved`` the
    least share of its own loss that it saves; ``cases`` how many disturbances of how many networks
    it was run at. The one of the highest ``effect`` comes first.
    """
    rows = felt(study, optimizer, least)
    by = rows.groupby("clipping")
    worst = rows.loc[by["gained"].idxmin(), ["clipping", "effect", "low", "high"]]
    dearest = rows.loc[by["premium"].idxmax()]
    dearest = dearest[["clipping", "premium", "premium_low", "premium_high"]]
    found = by.agg(cases=("gained", "size"), most=("gained", "max"), saved=("saved", "min"))
    places = panels(rows.loc[by["gained"].idxmin()])
    found = worst.assign(least_in=places).merge(dearest, on="clipping").merge(found, on="clipping")
    return found.sort_values("effect", ascending=False, kind="stable", ignore_index=True)


def panels(rows: pd.DataFrame) -> list[str]:
    """What is disturbed by what, in a few words, of each row."""
    cells = zip(rows["model"], rows["normalization"], rows["disturbance"], strict=True)
    return [
        f"{name(disturbance)}, {name(model)}"
        + ("" if norm == "none" else f" with {phrase('normalization', norm)}")
        for model, norm, disturbance in cells
    ]


def ended(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """How far each guard ends above none at one rate, undisturbed and after each disturbance.

    The columns of `paired_comparison` by network, with the ``panel``; ``missed`` lists the
    disturbances that a guard did not meet there. Without those of `no_guards`. First come, by
    network, guards that met every disturbance, the one of the highest least effect first.
    """
    rows = at_rate(study, optimizer)
    rows = rows[~rows["clipping"].isin([*no_guards(study, optimizer)])]
    found = paired_comparison(rows, "clipping", "none", by=[*NETWORK, "disturbance"])
    if found.empty:
        return found
    disturbed, keys = found["disturbance"] != "none", [*NETWORK, "level"]
    by = found[disturbed].groupby(keys)
    least = by.agg(least=("effect", "min"), met=("disturbance", set))
    panels = [UNDISTURBED if d == "none" else name(d) for d in found["disturbance"]]
    found = found.assign(disturbed=disturbed, panel=panels).join(least, on=keys)
    run = where(rows, clipping="none").groupby(NETWORK)["disturbance"].unique()
    cells = zip(found["model"], found["normalization"], found["met"], strict=True)
    missed = [[d for d in run[m, n] if d != "none" and d not in met] for m, n, met in cells]
    found = found.assign(missed=[", ".join(map(name, which)) for which in missed])
    found = found.assign(whole=found["missed"].eq("")).drop(columns="met")
    order = [*NETWORK, "whole", "least", "level", "disturbed"]
    return found.sort_values(order, ascending=[False] * 5 + [True], kind="stable")


def rewound(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """Going back to an earlier state after each disturbance that surely costs a point without.

    Under Adam that surely costs anything. The columns of `beside`, against no guard, against
    leaving out the steps alone and ZClip, with what it is ``against`` in words; ``sure`` where it
    is significantly better, by the interval or by sign flips; and ``returns``, how often it goes
    back, in the median.
    """
    found = beside(study, "rewind", ("none", "skip_step_all", "zclip"), optimizer)
    rows = where(at_rate(study, optimizer), clipping="rewind")
    costly = felt(study, optimizer, LEAST if optimizer == "sgd" else 0)
    keys = [*NETWORK, "disturbance"]
    often = (rows["clipped_fraction"] * rows["steps"]).round().groupby([rows[k] for k in keys])
    found = found.merge(costly[keys].drop_duplicates(), on=keys)
    found = found.merge(often.median().rename("returns").reset_index(), on=keys)
    if found.empty:
        return found
    better = found["effect"].gt(0) & (found["low"].gt(0) | found["p"].lt(SIGNIFICANT))
    against = ["no guard" if b == "none" else phrase("clipping", b) for b in found["baseline"]]
    return found.assign(sure=better, against=against)


def window_of_all(study: Evidence) -> pd.DataFrame:
    """The published rule for skipping steps after each disturbance, against none and ZClip."""
    return beside(study, "skip_step_all", ("none", "zclip"))


def from_no_guard(points: float) -> str:
    """How far, and on which side of training without a guard, a rule ends.

    >>> from_no_guard(0.026), from_no_guard(-0.0131)
    ('2.6 points above', '1.3 points below')
    """
    return f"{FORMATS['size'](points)} {'above' if points >= 0 else 'below'}"


def spans_no_guard(rows: pd.DataFrame) -> list[str]:
    """From where to where each row ends, of its ``effect`` at worst and at best (``most``).

    >>> spans_no_guard(pd.DataFrame({"effect": [-0.013, 0.02], "most": [0.13, 0.02]}))
    ['between 1.3 points below and 13.0 points above', '2.0 points above']
    """
    ends = [map(from_no_guard, pair) for pair in zip(rows["effect"], rows["most"], strict=True)]
    return [low if low == high else f"between {low} and {high}" for low, high in ends]


def beside(
    study: Evidence, rule: str, others: Sequence[str], optimizer: str = "sgd"
) -> pd.DataFrame:
    """One guard after each disturbance, against each of ``others``.

    The columns of `paired_comparison` by ``baseline``, network and disturbance, at one rate, of the
    networks in which the rule met all of the study's disturbances; empty without.
    """
    rows = at_rate(study, optimizer)
    rows = rows[rows["disturbance"] != "none"]
    met = where(rows, clipping=rule).groupby(NETWORK, sort=False)["disturbance"].nunique()
    networks = met.index[met == rows["disturbance"].nunique()].to_frame(index=False)
    rows = rows.merge(networks, on=NETWORK)
    by = [*NETWORK, "disturbance"]
    parts = [pd.DataFrame(columns=["baseline", "low", *by])]
    for other in others:
        both = where(rows, clipping=[other, rule])
        if other in both["clipping"].tolist():
            parts.append(paired_comparison(both, "clipping", other, by=by))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def outlying(study: Evidence) -> dict[str, float] | None:
    """How large the norm of the gradient gets under a disturbance, as a multiple of its median.

    ``low`` and ``high``: nine of ten trials without a guard and normalization are above the one,
    and nine of ten below the other. None without such trials.
    """
    rows = where(at_rate(study), clipping="none", normalization="none")
    rows = rows[rows["disturbance"] != "none"]
    times = (rows["gradient_norm_max"] / rows["gradient_norm_median"]).dropna()
    if times.empty:
        return None
    return {"low": float(times.quantile(0.1)), "high": float(times.quantile(0.9))}


def rate_words(own: bool, times: float) -> str:
    """At which rate guards are compared, as a column of a table names it.

    >>> rate_words(False, 0.3), rate_words(False, 1.0), rate_words(True, float("nan"))
    ('0.3 × best', 'best rate', 'own rates')
    """
    if own:
        return "own rates"
    return "one rate" if times != times else "best rate" if times == 1 else f"{times:g} × best"


def rate_phrase(own: bool, times: float) -> str:
    """The same, as a sentence has it.

    >>> rate_phrase(False, 0.3), rate_phrase(True, float("nan"))
    ('at 0.3 times the best unclipped rate', 'where each rule has its own rate')
    """
    if own:
        return "where each rule has its own rate"
    if times != times:
        return "at the rate without a guard"
    return f"at {f'{times:g} times ' if times != 1 else ''}the best unclipped rate"


@functools.lru_cache(8)
def by_rate(study: Evidence, model: str = "", normalization: str = "") -> pd.DataFrame:
    """`guards_by_rate` under SGD, by data set and network, with the ``rate`` in words.

    Of all networks, or of one.

    ``at`` is the same in a sentence, and ``met`` the number of cases at all rates. Without those of
    `no_guards`; ``star`` where the benefit is significant in every case. The guards that were run
    at most rates come first, of these the one whose least benefit is the highest.
    """
    rows = trials(study, "sgd")
    rows = where(rows, model=model, normalization=normalization) if model else rows
    rows = guards_by_rate(rows[~rows["clipping"].isin([*no_guards(study)])], SETTING)
    each = list(zip(rows["own"], rows["times"], strict=True))
    stars = rows["sure"].map({True: "*", False: ""})
    rows = rows.assign(
        rate=[rate_words(*rate) for rate in each], at=[rate_phrase(*rate) for rate in each]
    )
    by = rows.groupby("clipping")
    met = zip(by["cases"].transform("min"), by["cases"].transform("max"), strict=True)
    rows = rows.assign(star=stars, met=[between(*ends) for ends in met])
    rows = rows.assign(_rates=by["rate"].transform("size"), _least=by["effect"].transform("min"))
    order = ["_rates", "_least", "clipping"]
    rows = rows.sort_values(order, ascending=[False, False, True], kind="stable")
    return rows.drop(columns=order[:2])


@functools.lru_cache(8)
def by_threshold(study: Evidence) -> pd.DataFrame:
    """`guards_by_threshold` under SGD, by data set and network, with the ``rate`` in words.

    ``at`` is the same in a sentence; ``star`` where the benefit is significant in every case. A
    clipping's thresholds in their order.
    """
    rows = guards_by_threshold(trials(study, "sgd"), SETTING)
    rows = rows.assign(
        rate=[rate_words(False, times) for times in rows["times"]],
        at=[rate_phrase(False, times) for times in rows["times"]],
        star=rows["sure"].map({True: "*", False: ""}),
    )
    order = ["clipping", "times", "clipping_threshold"]
    return rows.sort_values(order, ascending=[False, True, True], kind="stable")


def thresholds(study: Evidence) -> pd.DataFrame:
    """Of each clipping and threshold of `by_threshold`, what is true at each of its rates.

    ``sure`` whether it ends significantly above none after every costly disturbance; the least
    ``effect`` and the ``most``; ``calm``, the least where nothing happens; ``acted``, on what share
    of the steps of undisturbed training it acts at most.
    """
    by = by_threshold(study).groupby(["clipping", "clipping_threshold", "published"], sort=False)
    found = by.agg(
        sure=("sure", "all"),
        effect=("effect", "min"),
        most=("most", "max"),
        calm=("calm", "min"),
        acted=("clipped_fraction", "max"),
    )
    return found.reset_index()


def loosened(study: Evidence | None) -> list[str]:
    """Clippings with the thresholds besides the default that help after each disturbance, in words.

    Of those that do not at their default (`safe`).
    """
    if study is None:
        return []
    found = thresholds(study).query("sure and not published")
    found = found[~found["clipping"].isin(safe(study)["clipping"])]
    return [
        f"{phrase('clipping', clipping)} at {' or '.join(f'{t:.3g}' for t in rows)}"
        for clipping, rows in found.groupby("clipping", sort=False)["clipping_threshold"]
    ]


@functools.lru_cache(8)
def ends(study: Evidence) -> pd.DataFrame:
    """`ends_above_none` under SGD, by data set and network."""
    return ends_above_none(trials(study, "sgd"), SETTING)


def compared_in(study: Evidence) -> pd.DataFrame:
    """The ``dataset`` and network of each setting in which `by_rate` compares guards."""
    return at_every_rate(ends(study), SETTING)[SETTING].drop_duplicates()


def least_above(study: Evidence, disturbed: bool = True) -> pd.Series:
    """The case in which a guard of `safe`, or one of `loosened`, ends the least above none.

    Of all costly disturbances that it met, in any setting and at any rate, or, not ``disturbed``,
    where nothing happens: the ``clipping`` with its ``effect``, and ``low`` and ``high``.
    """
    rows, sound = ends(study), safe(study)["clipping"]
    met = rows[rows["felt"] if disturbed else rows["disturbance"].eq("none")]
    met = met[met["level"].isin(sound)].rename(columns={"level": "clipping"})
    loose = by_threshold(study)
    free = loose[loose["published"].eq(False) & loose["sure"] & ~loose["clipping"].isin(sound)]
    if not disturbed:
        calm = {"effect": free["calm"], "low": free["calm_low"], "high": free["calm_high"]}
        free = free.assign(**calm)
    columns = ["clipping", "effect", "low", "high"]
    both = pd.concat([met[columns], free[columns]], ignore_index=True)
    return both.sort_values("effect", kind="stable").iloc[0]


@functools.lru_cache(8)
def dearest(study: Evidence) -> pd.DataFrame:
    """What each disturbance costs without a guard under SGD, the dearest first.

    `accuracy_lost` in each setting and at each multiple (``times``) of the best rate, with the
    ``guards`` that met it there.
    """
    rows = in_relative_arms(trials(study, "sgd"))
    bare = accuracy_lost(where(rows, clipping="none"), [*SETTING, "times"])
    keys = [*SETTING, "times", "disturbance"]
    met = rows.groupby(keys)["clipping"].agg(set).rename("guards").reset_index()
    return bare.merge(met, on=keys).sort_values("lost", ascending=False, ignore_index=True)


def not_at_dearest(study: Evidence, guards: Sequence[str]) -> pd.DataFrame:
    """The row of `dearest` that is first, where none of ``guards`` met it; else empty."""
    first = dearest(study).head(1)
    return first[[not set(guards) & met for met in first["guards"]]]


def lopsided(study: Evidence) -> pd.DataFrame:
    """The costs of `bare` that a few seeds make: the mean is more than one and a half the median.

    With the ``median`` cost, and in how many of the ``seeds`` at least half of the accuracy is
    ``lost_all``. Of costs of a point or more.
    """
    each = each_loss(where(at_rate(study), clipping="none"))
    by = [*NETWORK, "disturbance"]
    each = each.assign(half=each["lost"].gt(0.5 * (each["accuracy"] + each["lost"])))
    found = each.groupby(by, sort=False).agg(
        lost=("lost", "mean"),
        median=("lost", "median"),
        lost_all=("half", "sum"),
        seeds=("seed", "size"),
    )
    found = found.reset_index()
    return found[found["lost"].gt(LEAST) & found["lost"].gt(1.5 * found["median"])]


def safe(study: Evidence) -> pd.DataFrame:
    """The guards that end significantly above none after every costly disturbance, at every rate.

    Of those that were run at each rate of `by_rate`, a row each: the least ``effect`` and the
    ``most``, and ``calm``, the least where nothing happens, over the rates; ``cases`` at one, and
    ``part`` in words, where others met more.
    """
    rows = by_rate(study)
    by = rows.groupby("clipping", sort=False)
    found = by.agg(
        effect=("effect", "min"),
        most=("most", "max"),
        calm=("calm", "min"),
        cases=("cases", "min"),
        sure=("sure", "all"),
        rates=("rate", "nunique"),
    )
    most = found["cases"].max()
    part = [f" (run in {n} of {most} cases)" if n < most else "" for n in found["cases"]]
    found = found.assign(part=part)
    found = found[found["sure"] & found["rates"].eq(rows["rate"].nunique())]
    return found.reset_index()


def partly(study: Evidence) -> pd.DataFrame:
    """The guards that do at some of the rates what those of `safe` do at each, in words.

    ``only``, the rates at which it does, and its ``name``; ``elsewhere``, the other rates, and the
    least by which it ends above none there, where nothing happens (``calm``) and after a
    disturbance (``effect``). Of guards that were run at each rate.
    """
    rows = by_rate(study)
    by = rows.groupby("clipping", sort=False)
    some = by["sure"].transform("any")
    rows = rows[by["rate"].transform("nunique").eq(rows["rate"].nunique()) & some]
    rows = rows[~rows["clipping"].isin(safe(study)["clipping"])]
    found = []
    for clipping, part in rows.groupby("clipping", sort=False):
        there, elsewhere = part[part["sure"]], part[~part["sure"]]
        found.append(
            {
                "clipping": clipping,
                "name": phrase("clipping", clipping),
                "only": listing(there["at"].tolist()),
                "elsewhere": listing(elsewhere["at"].tolist()),
                "effect": elsewhere["effect"].min(),
                "calm": elsewhere["calm"].min(),
            }
        )
    return pd.DataFrame(found, columns=["clipping", "name", "only", "elsewhere", "effect", "calm"])


def first_by_rate(study: Evidence) -> pd.DataFrame:
    """Of the guards of `by_rate` that met most cases, those of the highest ``effect`` at a rate.

    A row each, with the rates ``at`` which they have it, in words.
    """
    rows = by_rate(study)
    rows = rows[rows["cases"].eq(rows.groupby("rate")["cases"].transform("max"))]
    first = rows.loc[rows.groupby("rate", sort=False)["effect"].idxmax()]
    shared = first.loc[~first["own"], "rate"].nunique()

    def told(part: pd.DataFrame) -> str:
        common = part[~part["own"]]
        # a single rate has a name of its own
        whole = len(common) == shared > 1
        words = ["at a common rate"] if whole else common["at"].tolist()
        return listing([*words, *["where each rule has its own rate"] * bool(part["own"].any())])

    by = first.groupby("clipping", sort=False)
    return pd.DataFrame([(c, told(part)) for c, part in by], columns=["clipping", "at"])


def at_other_rates(study: Evidence) -> pd.DataFrame:
    """`ends_above_none` by network at all but the one rate, with the ``rate``."""
    rows, times = trials(study, "sgd"), multiple(study)
    rows = ends_above_none(rows[~rows["clipping"].isin([*no_guards(study)])], NETWORK)
    rows = rows[rows["own"] | rows["times"].ne(times)]
    words = [rate_words(*rate) for rate in zip(rows["own"], rows["times"], strict=True)]
    panels = [UNDISTURBED if d == "none" else name(d) for d in rows["disturbance"]]
    rows = rows.assign(rate=words, panel=panels, disturbed=rows["disturbance"] != "none")
    least = rows[rows["disturbed"]].groupby([*NETWORK, "rate", "level"])["effect"].min()
    rows = rows.join(least.rename("least"), on=[*NETWORK, "rate", "level"])
    order = ["own", *NETWORK, "least", "level", "disturbed"]
    ascending = [True, *[False] * 4, True]
    return rows.sort_values(order, ascending=ascending, kind="stable")


def drawn(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """`ended` with the ``network`` in words, for a figure."""
    rows = ended(study, optimizer)
    cells = zip(rows["model"], rows["normalization"], strict=True)
    networks = [
        name(m) + ("" if n == "none" else f", {phrase('normalization', n)}") for m, n in cells
    ]
    return rows.assign(network=networks)


def rates(study: Evidence, optimizer: str = "sgd") -> pd.DataFrame:
    """The one ``learning_rate`` of all guards, by data set and network."""
    rows = where(at_rate(study, optimizer), clipping="none")
    keys = ["dataset", *NETWORK, "learning_rate"]
    return rows[keys].drop_duplicates().sort_values(keys[1:], ascending=False, kind="stable")


def choosing_seeds(study: Evidence, optimizer: str = "sgd") -> int:
    """On how many seeds the best unclipped rate was chosen; 0 where none was looked for."""
    rows = where(study.looked, clipping="none", optimizer=optimizer)
    return int(rows["seed"].nunique())


def not_at_one_rate(study: Evidence) -> list[str]:
    """Guards that were not run at the rate of training without clipping in every network."""
    keys = ["dataset", *NETWORK, "clipping"]
    planned = trials(study, "sgd")[keys].drop_duplicates()
    both = planned.merge(at_rate(study)[keys].drop_duplicates(), how="left", indicator=True)
    missing = both.loc[both["_merge"] == "left_only", "clipping"].drop_duplicates()
    return [phrase("clipping", level) for level in missing]


@functools.lru_cache(8)
def recoveries(study: Evidence) -> pd.DataFrame:
    """`recovery` by network and clipping at one rate: who made up the loss, in how many updates.

    By network and disturbance, the guard with which most recover first.
    """
    rows = recovery(made_up(at_rate(study), study.results.history), [*NETWORK, "clipping"])
    order = [*NETWORK, "disturbance", "share", "clipping"]
    return rows.sort_values(order, ascending=[False] * 2 + [True, False, True], kind="stable")

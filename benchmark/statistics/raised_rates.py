"""What clippings do where the rate is raised above the best: saved, paid, and which is best.

A user whose training explodes can clip, or lower the rate. So a clipping is held against no
clipping at the same multiple of a best rate (what it saves), and against no clipping at its best
rate (what it costs to raise the rate all the same).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from benchmark.statistics.multiples import at_own_and_same_rates
from benchmark.statistics.outcomes import idle_in, too_late_in
from benchmark.statistics.pairing import against_reference, copies, paired_comparison
from benchmark.statistics.ranking import cross_chosen, mean_effects, with_ranks
from benchmark.statistics.selection import NETWORK, SETTING

GROUP = [*NETWORK, "times"]
BEST = "its best rate"
"""In the place of a clipping: the network without any, at its best rate."""
APART = ["learning_rate", "arm"]
"""What trials differ in that are compared at one multiple."""


@dataclass(frozen=True, eq=False)
class RaisedRates:
    """The clippings of a study at multiples of a best rate; each frame is made when first asked.

    Parameters
    ----------
    outcomes
        `outcomes` of a study with arms at multiples of best rates, of one or several networks
        (``model``, ``normalization``) and data sets.
    same_rate
        Whether all are compared at multiples of the best rate without clipping, or each at those of
        its own (`at_own_and_same_rates`).

    >>> rows = [("x1", "none", 0.75), ("x10", "none", 0.25), ("shared_x10", "value", 0.5)]
    >>> frame = pd.DataFrame(rows, columns=["arm", "clipping", "accuracy"])
    >>> frame = frame.assign(dataset="digits", model="mlp", seed=0)
    >>> raised = RaisedRates(frame.assign(normalization="none"), same_rate=True)
    >>> raised.saved[["level", "times", "effect"]].values.tolist()
    [['value', 10, 0.25]]
    >>> raised.cost.set_index("level")["effect"].to_dict()
    {'value': -0.25, 'none': -0.5}
    """

    outcomes: pd.DataFrame
    same_rate: bool

    @cached_property
    def _both(self) -> pd.DataFrame:
        return at_own_and_same_rates(self.outcomes)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The rows of ``outcomes`` at those multiples, with ``times``."""
        return self._both[self._both["same_rate"] == self.same_rate]

    @cached_property
    def saved(self) -> pd.DataFrame:
        """Each clipping against none at the same multiple, by setting and ``times``.

        The columns of `paired_comparison`, of the setting and ``times``.
        """
        by = [*SETTING, "times"]
        return paired_comparison(self.trials, "clipping", "none", by=by, ignore=APART)

    @cached_property
    def cost(self) -> pd.DataFrame:
        """Each clipping, and none, against the network without clipping at its best rate.

        The columns of ``saved``, with rows for none away from its best rate.
        """
        own, rows = self._both[~self._both["same_rate"]], self.trials
        bare = own[own["clipping"].eq("none") & own["times"].eq(1)]
        rows = rows[rows["clipping"].ne("none") | rows["times"].ne(1)]
        return against_reference(
            rows, bare, "clipping", by=SETTING, across=["times"], ignore=APART, named=BEST
        )

    @cached_property
    def idle(self) -> pd.DataFrame:
        """By network and ``times`` each ``level`` that changed no step of a trial (`idle_in`).

        Such a rule is training without clipping, whatever its accuracy.
        """
        return idle_in(self.trials[self.trials["clipping"].ne("none")], GROUP)

    @cached_property
    def null_controls(self) -> pd.DataFrame:
        """The rows of ``saved`` of clippings that changed no step of a trial in that setting.

        They trained as none does, at the rate that was chosen for each: at one's own best rate they
        differ from none by that choice and by chance, and by nothing else, and so say what a
        difference of that size is worth.
        """
        keys = [*SETTING, "times"]
        idle = idle_in(self.trials[self.trials["clipping"].ne("none")], keys)
        return self.saved.merge(idle, on=[*keys, "level"])

    @cached_property
    def doubles(self) -> pd.DataFrame:
        """By network each ``level`` that did the same as another one (`copies`), the ``original``.

        Of the trials at either kind of rate; without rules that are idle at their own.
        """
        never = idle_in(self._both[~self._both["same_rate"]], GROUP)
        found = []
        for network, part in self._both.groupby(NETWORK, sort=False):
            still = never.loc[(never[NETWORK] == list(network)).all(axis=1), "level"]
            part = part[part["clipping"].eq("none") | ~part["clipping"].isin(still)]
            pairs = copies(part, "clipping", "none").items()
            found += [(*network, *pair) for pair in pairs if pair[1] != "none"]
        return pd.DataFrame(found, columns=[*NETWORK, "level", "original"])

    @cached_property
    def too_late(self) -> pd.DataFrame:
        """By network and ``times`` each ``level`` that `too_late_in` names: it is not ranked."""
        return too_late_in(self.trials[self.trials["clipping"].ne("none")], GROUP)

    def distinct(self, rows: pd.DataFrame) -> pd.DataFrame:
        """``rows`` without the levels that are ``idle`` there or ``doubles``."""
        for out in (self.idle, self.doubles.drop(columns="original")):
            keys = pd.MultiIndex.from_frame(rows[list(out)])
            rows = rows[~keys.isin(pd.MultiIndex.from_frame(out))]
        return rows

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """The distinct rules that acted, by network and multiple, the one of least cost first.

        Columns of the network, ``times`` and ``level``; over the data sets the mean ``saved`` (NaN
        where none was not trained at that rate) and ``cost``, each as `mean_effects` has them;
        ``place``, the rank, which those share that cannot be told from the first of them, and NaN
        where a rule came ``too_late``; and ``also``, the doubles of each.
        """
        keys = [*GROUP, "level"]
        cost, saved = mean_effects(self.cost, keys, "cost"), mean_effects(self.saved, keys, "saved")
        found = self.distinct(cost.merge(saved, on=keys, how="left").fillna({"saved_sure": ""}))
        found = found.sort_values(["times", "cost"], ascending=[True, False], kind="stable")
        keys_of = pd.MultiIndex.from_frame
        late = keys_of(found[keys]).isin(keys_of(self.too_late))
        ranked = with_ranks(found[~late], self.trials, "clipping", GROUP, ignore=APART)
        found = found.join(ranked["place"])
        also = self.doubles.groupby([*NETWORK, "original"])["level"].agg(list).to_dict()
        named = found[[*NETWORK, "level"]].itertuples(index=False, name=None)
        doubles = [also.get(key, []) for key in named]
        return found.assign(also=pd.Series(doubles, found.index, dtype=object))

    def elsewhere(self, times: int) -> pd.DataFrame:
        """The best clipping at a multiple, chosen on one data set and reported on another.

        `cross_chosen` by network, with the columns of ``saved``, and ``cost``, ``cost_low`` and
        ``cost_high``. A largest of many is larger by chance where it is chosen.
        """
        rows = self.trials[self.trials["times"].eq(times) & self.trials["clipping"].ne("none")]
        saved, cost = (frame[frame["times"] == times] for frame in (self.saved, self.cost))
        cost = cost.rename(columns={"effect": "cost", "low": "cost_low", "high": "cost_high"})
        keys = [*SETTING, "level"]
        found = cross_chosen(rows, "clipping", NETWORK).merge(saved, on=keys)
        return found.merge(cost[[*keys, "cost", "cost_low", "cost_high"]], on=keys, how="left")

"""How gradients grow from the output of a network to its input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.seeds import over_seeds

NORMAL = np.linspace(-8, 8, 4001)
"""Points over which functions of a standard normal number are averaged, by its density."""
VARIANCE = {"he": 2.0, "orthogonal": 2.0, "glorot": 1.0, "torch": 1 / 3}
"""sigma_w^2 at gain 1: variance of a hidden weight times its fan-in, between equal widths."""


def depth_growth(layers: pd.DataFrame, trials: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``draws``, ``layers``, ``growth``, ``low``, ``high``: growth rate a layer.

    r = (E norm(delta_2)^2 / E norm(delta_L)^2)^(1 / (L - 2)), delta_l being dL/dh at the
    pre-activation of hidden layer l of L, and E the mean over the group's draws (its trials):
    above 1 gradients explode towards the input, below 1 they vanish. Layer 1, whose input is the
    data, and the classifier, which has an initialization of its own, are left out. The interval
    is over seeds.

    ``layers`` and ``trials`` are a study's tables; of the layers only the rows before the first
    update count, and the column ``layers`` of the result is L. A group whose networks have fewer
    than three hidden layers, or unlike numbers of them, has no row; where a norm is not finite, or
    zero throughout, the growth is NaN.
    """
    rows = layers[layers["step"] == 0].sort_values("layer_index", kind="stable")
    # the last linear map is the classifier
    hidden = rows[rows["layer_index"] < rows.groupby("trial")["layer_index"].transform("max")]
    square = hidden.assign(square=hidden["backprop_norm"].astype(float) ** 2)
    of_trial = square.groupby("trial")
    second = square[square["layer_index"] == 2].set_index("trial")["square"]
    ends = {"_second": second, "_last": of_trial["square"].last(), "_hidden": of_trial.size()}
    joined = trials.merge(pd.DataFrame(ends).reset_index(), on="trial", how="inner")
    out = []
    for key, group in joined.groupby(list(by), sort=False, dropna=False):
        hidden_layers = int(group["_hidden"].iloc[0])
        if hidden_layers < 3 or group["_hidden"].nunique() > 1:
            continue
        norms = group[["_second", "_last"]].to_numpy()
        found = over_seeds(np.arange(len(group)), group["seed"], _rate_of(norms, hidden_layers))
        out.append((*key, len(group), hidden_layers, *found))
    return pd.DataFrame(out, columns=[*by, "draws", "layers", "growth", "low", "high"])


def _rate_of(norms: np.ndarray, hidden_layers: int) -> Callable[[np.ndarray], np.ndarray]:
    """The growth rate of the draws at given places; ``norms`` (draws, 2) are squared."""

    def rate(places: np.ndarray) -> np.ndarray:
        second, last = norms[places.astype(int)].mean(axis=0)
        with np.errstate(all="ignore"):
            found = (second / last) ** (1 / (hidden_layers - 2))
        return np.where(np.isfinite(found) & (found > 0), found, np.nan)

    return rate


def theoretical_growth(normalization: str, gain: float, initialization: str = "he") -> float:
    """Growth rate a layer of wide ReLU networks at initialization; NaN where there is no formula.

    Without normalization sigma_w^2 / 2, sigma_w^2 being the variance of a weight times its fan-in:
    gain^2 after He's and an orthogonal initialization, half of that after Glorot's between equal
    widths, a sixth after PyTorch's default. With weight normalization the same, because it is the
    same function of the same weights at the start. With batch normalization pi / (pi - 1), whatever
    the gain (Yang et al. 2019, 1902.08129).

    >>> theoretical_growth("none", 1.5), theoretical_growth("none", 2.0, "glorot")
    (2.25, 2.0)
    """
    if normalization in ("none", "weight_norm"):
        return gain**2 * VARIANCE.get(initialization, math.nan) / VARIANCE["he"]
    return math.pi / (math.pi - 1) if normalization == "batch" else math.nan


def theoretical_recurrent_growth(gain: float, input_squares: Sequence[float]) -> np.ndarray:
    """Growth of E norm(dL/d a_t)^2 from step t + 1 back to t in a wide tanh recurrence, (T - 1,).

    gain^2 E tanh'(a_t)^2, where a_t ~ N(0, s_t) and s_t = gain^2 (v_t + E tanh(a_{t-1})^2), as in
    a network whose steps had weights of their own (Chen, Pennington, Schoenholz 2018, 1806.05394).

    Parameters
    ----------
    gain
        Weights of the recurrence have the variance gain^2 / width.
    input_squares
        v_t at each of the T steps: what a row brings in, at gain 1. In the model ``rnn`` it is the
        mean square of the row's standardized pixels over T.

    >>> theoretical_recurrent_growth(1.0, [0.0, 0.0, 0.0])
    array([1., 1.])
    """
    weights = np.exp(-(NORMAL**2) / 2)
    weights /= weights.sum()
    growth, square = [], 0.0
    for value in input_squares:
        state = np.tanh(NORMAL * gain * math.sqrt(value + square))
        square = float(weights @ state**2)
        growth.append(gain**2 * float(weights @ (1 - state**2) ** 2))
    return np.array(growth[:-1])


def theoretical_residual_growth(gain: float) -> float:
    """Growth of mean squares a residual block of x + W2 relu(W1 relu(x)); of gradients' too.

    1 + gain^4: each linear map has the variance 2 gain^2 / fan_in, and ReLU halves a mean square
    (De, Smith 2020, 2002.10444).

    >>> theoretical_residual_growth(1.0)
    2.0
    """
    return 1 + gain**4


def norm_profiles(
    layers: pd.DataFrame, trials: pd.DataFrame, by: Sequence[str], kinds: Sequence[str]
) -> pd.DataFrame:
    """Columns ``by``, ``depth``, ``layer_index``, and each of ``kinds`` over the last hidden layer.

    Root mean squares over the group's trials of norms by layer at step 0: of the columns ``kinds``
    of the table ``layers``, ``backprop_norm`` say. The classifier, which has an initialization of
    its own, is left out.
    """
    by = [*by, "depth"]
    rows = layers.merge(trials[["trial", *by]], on="trial")
    rows = rows[(rows["step"] == 0) & (rows["layer_index"] <= rows["depth"])]
    squares = rows.assign(**{kind: rows[kind].astype(float) ** 2 for kind in kinds})
    groups = squares.groupby([*by, "layer_index"], sort=False)[list(kinds)]
    means = groups.mean().pow(0.5).reset_index()
    last = means.sort_values("layer_index").groupby(by, sort=False)[list(kinds)].transform("last")
    return means.assign(**{kind: means[kind] / last[kind] for kind in kinds})


def growth_beside_theory(
    layers: pd.DataFrame, trials: pd.DataFrame, by: Sequence[str]
) -> pd.DataFrame:
    """`depth_growth` with ``theory``, the `theoretical_growth` of each row, and their ``ratio``.

    ``by`` has at least ``normalization``, ``initialization`` and ``init_gain``.
    """
    rows = depth_growth(layers, trials, by)
    cells = zip(rows["normalization"], rows["init_gain"], rows["initialization"], strict=True)
    rows["theory"] = [theoretical_growth(*cell) for cell in cells]
    return rows.assign(ratio=rows["growth"] / rows["theory"])


def theory_over_gains(
    gains: pd.Series, factor: str, levels: Sequence[str], points: int = 30
) -> pd.DataFrame:
    """Columns ``factor``, ``init_gain``, ``growth``: theory as a line over the range of ``gains``.

    For each of the ``levels`` of ``factor`` (``normalization`` or ``initialization``), the other at
    none and He's; levels without a formula are left out.

    >>> found = theory_over_gains(pd.Series([1.0, 2.0]), "initialization", ["he", "glorot"], 2)
    >>> found["growth"].tolist()
    [1.0, 4.0, 0.5, 2.0]
    """
    places = np.geomspace(gains.min(), gains.max(), points)
    grid = pd.DataFrame(
        [(level, gain) for level in levels for gain in places], columns=[factor, "init_gain"]
    )
    cells = {"normalization": "none", "initialization": "he"}
    found = [
        theoretical_growth(**(cells | {factor: level}), gain=gain)
        for level, gain in grid.itertuples(index=False)
    ]
    return grid.assign(growth=found).dropna()

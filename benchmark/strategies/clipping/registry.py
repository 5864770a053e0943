"""Every clipping by name."""

from __future__ import annotations

from benchmark.records import Range
from benchmark.strategies.clipping.fixed import (
    clip_adaptively,
    clip_by_global_norm,
    clip_by_layer_norm,
    clip_by_value,
    clip_update_rms,
    normalize,
)
from benchmark.strategies.clipping.history import (
    ADAGC_WARMUP,
    AUTOCLIP_WARMUP,
    ZCLIP_WARMUP,
    cap_norm,
    clip_by_capped_z_score,
    clip_by_percentile,
    clip_by_tensor_history,
    clip_by_z_score,
    empty_history,
    no_norms,
    no_tensor_norms,
)
from benchmark.strategies.clipping.rule import FIRST_RETURN, REWIND, Clipping, keep
from benchmark.strategies.clipping.skipping import (
    FIRST_STEPS,
    no_steps,
    skip_outliers,
    skip_outliers_of_taken,
)

PALM = "Chowdhery et al. 2022, arXiv:2204.02311, sec. 5.1"
OLMO = "Ai2, OLMo-core, SkipStepOptimizer: github.com/allenai/OLMo-core"

CLIPPINGS: dict[str, Clipping] = {
    "none": Clipping("none", keep, None, "-", "the gradient as it is", scales=True),
    "value": Clipping(
        "value",
        clip_by_value,
        Range(1e-4, 1.0, default=0.01),
        "Mikolov 2012 (thesis, Brno); Graves 2013, arXiv:1308.0850",
        "each element clamped to [-c, c]",
    ),
    "global_norm": Clipping(
        "global_norm",
        clip_by_global_norm,
        Range(1e-2, 1e2, default=1.0),
        "Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063",
        "the norm of the whole gradient limited to c",
        scales=True,
    ),
    "per_layer_norm": Clipping(
        "per_layer_norm",
        clip_by_layer_norm,
        Range(1e-2, 1e2, default=1.0),
        "McMahan et al. 2018, arXiv:1710.06963",
        "each tensor's norm limited to c sqrt(D_l / D)",
    ),
    "adaptive": Clipping(
        "adaptive",
        clip_adaptively,
        Range(1e-3, 1.0, default=0.01),
        "Brock et al. 2021, arXiv:2102.06171",
        "each unit's gradient limited to c times the norm of its weights",
        exempts_head=True,
    ),
    "autoclip": Clipping(
        "autoclip",
        clip_by_percentile,
        Range(1.0, 99.0, default=10.0, log=False),
        "Seetharaman et al. 2020, arXiv:2007.14469",
        "the norm limited to the p-th percentile of all norms so far",
        empty_history,
        warm_up=AUTOCLIP_WARMUP,
        scales=True,
    ),
    "zclip": Clipping(
        "zclip",
        clip_by_z_score,
        Range(1.0, 5.0, default=2.5, log=False),
        "Kumar et al. 2025, arXiv:2504.02507",
        "a norm more than z0 deviations above its average brought near the average",
        no_norms,
        warm_up=ZCLIP_WARMUP,
        scales=True,
    ),
    "zclip_capped": Clipping(
        "zclip_capped",
        clip_by_capped_z_score,
        Range(1.0, 5.0, default=2.5, log=False),
        "Kumar et al. 2025, arXiv:2504.02507 (the published code's default)",
        "zclip, and no norm above 1",
        no_norms,
        warm_up=ZCLIP_WARMUP,
        warm_up_rule=cap_norm,
        scales=True,
    ),
    "adagc": Clipping(
        "adagc",
        clip_by_tensor_history,
        Range(1.0, 2.0, default=1.05, log=False),
        "Wang et al. 2025, arXiv:2502.11034",
        "each tensor's norm limited to c times the average of its own",
        no_tensor_norms,
        warm_up=ADAGC_WARMUP,
        warm_up_rule=cap_norm,
    ),
    "update_rms": Clipping(
        "update_rms",
        clip_update_rms,
        Range(1e-3, 1.0, default=1.0),
        "Shazeer, Stern 2018, arXiv:1804.04235",
        "the root mean square of each tensor's update limited to d",
        stage="update",
    ),
    "normalized": Clipping(
        "normalized",
        normalize,
        Range(1e-2, 1e2, default=1.0),
        "Hazan, Levy, Shalev-Shwartz 2015, arXiv:1507.02030",
        "every gradient scaled to the norm c",
        scales=True,
    ),
    "skip_step": Clipping(
        "skip_step",
        skip_outliers_of_taken,
        Range(2.0, 10.0, default=6.0, log=False),
        f"stricter than {OLMO}",
        "no update where loss or norm exceeds mean + k std of the last 128 that were taken",
        no_steps,
        stage="step",
        warm_up=FIRST_STEPS,
        scales=True,
    ),
    "skip_step_all": Clipping(
        "skip_step_all",
        skip_outliers,
        Range(2.0, 10.0, default=6.0, log=False),
        OLMO,
        "no update where loss or norm exceeds mean + k std of the last 128 steps, all of them",
        no_steps,
        stage="step",
        warm_up=FIRST_STEPS,
        scales=True,
    ),
    "rewind": Clipping(
        "rewind",
        skip_outliers,
        Range(2.0, 10.0, default=6.0, log=False),
        f"{PALM} (back 100 steps, skipping the data); flagged after {OLMO}",
        "back to the state of 100 to 199 steps before, without the step, where loss or norm "
        "exceeds mean + k std of the last 128 steps",
        no_steps,
        stage=REWIND,
        warm_up=FIRST_RETURN,
        scales=True,
    ),
}
"""Clipping: what is done to a gradient that may be too large."""

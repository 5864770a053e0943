"""A diagnosis in half a page of text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np

from benchmark.diagnosis.advice import advice, worth
from benchmark.diagnosis.detectors import SHARE, WAIT
from benchmark.diagnosis.finding import Diagnosis, Spike
from benchmark.status import STATUSES

SHOWN = 3
"""Most spikes that are told one by one."""
WIDTH = 96


def told(name: str, kind: str, found: Diagnosis) -> str:
    """The diagnosis of the log ``name`` as text, a few lines for each of `facts`."""
    lines = [f"{name} ({kind}): {rows(found)}"]
    for heading, sentence in facts(found):
        lines += textwrap.wrap(
            f"{heading:<11}{sentence}",
            WIDTH,
            subsequent_indent=" " * 11,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def rows(found: Diagnosis) -> str:
    """How much of which columns there is."""
    loss, norm = found.log.loss, found.log.norm
    columns = f"loss {loss.name!r}, " + (f"norm {norm.name!r}" if norm else "no gradient norm")
    steps = f"steps {loss.steps[0]:,} to {loss.steps[-1]:,}"
    return f"{len(loss.values):,} rows, {steps}, {columns}"


def facts(found: Diagnosis) -> list[tuple[str, str]]:
    """Heading and sentence of everything that there is to say."""
    known = found.log.loss.values[np.isfinite(found.log.loss.values)]
    said = [("status", f"{found.status}: {STATUSES[found.status]}{_though(found)}")]
    fatal, bad = found.fatal_step, found.first_bad_step
    # the end first: what healed before it is not what became of the run
    if fatal is not None and bad is not None and fatal > bad:
        broken = found.broken_step
        what = "" if broken is None else f"; not finite from step {broken:,} on"
        said.append(("the end", f"began at step {fatal:,} and never healed{what}"))
        said.append(("first bad", f"step {bad:,}: loss above {found.level:.4g}, before the end"))
    elif bad is not None:
        said.append(("first bad", f"step {bad:,}{_rise(found.spikes, bad)}: {found.reason}"))
    if found.lost_step is not None:
        said.append(("alarm", f"at step {found.lost_step:,} {_alarm(found)}"))
    end = "" if math.isnan(found.end) else f", {found.end:.4g} at the end"
    level = "" if math.isinf(found.level) else f"; spiked: above {found.level:.4g}"
    words = f"{known[0]:.4g} at first, {known.min():.4g} at its lowest{end}" if len(known) else ""
    said.append(("loss", (words or "never finite") + level))
    said.append(("jumps", spikes(found.spikes)))
    said.append(("norms", norms(found)))
    if not math.isnan(found.clipped):
        said.append(("clipped", f"{100 * found.clipped:.3g} % of steps"))
    first_try = advice(found)
    if first_try.clips:
        said.append(("threshold", worth(found)))
    said += [("try first", first_try.sentence), ("read", first_try.place)]
    return said + [("note", note) for note in found.notes]


def _though(found: Diagnosis) -> str:
    """What a status without a spike leaves out: jumps below its level that never healed."""
    calm = found.status in ("stable", "stalled")
    if calm and any(spike.healed is None for spike in found.spikes):
        return "; yet its loss jumped, below the level of a spike, and did not come back"
    return ""


def spikes(found: Sequence[Spike]) -> str:
    """How many jumps of the loss there are, the highest ones, and whether each healed."""
    if not found:
        return "none"
    healed = sum(spike.healed is not None for spike in found)
    highest = sorted(found, key=lambda spike: -_height(spike))[:SHOWN]
    each = [_spike(spike) for spike in sorted(highest, key=lambda spike: spike.step)]
    if len(found) == 1:
        return f"one: {each[0]}"
    head = {0: "none of which", len(found): "all of which"}.get(healed, f"of which {healed}")
    more = "" if len(found) <= SHOWN else "; the highest"
    return f"{len(found)}, {head} healed{more}: {'; '.join(each)}"


def _alarm(found: Diagnosis) -> str:
    """Why the rule of `unhealed` gave the run up."""
    if found.broken_step is not None and found.lost_step == found.broken_step:
        return "loss or norm is not finite, and stays so"
    back = "" if found.fatal_step is not None else ", though it came back"
    return (
        "the rule for lost runs gives it up (after a spike, or having learned, "
        f"{WAIT} losses in a row at or above {SHARE:g} of the first){back}"
    )


def _height(spike: Spike) -> float:
    return spike.peak if spike.finite else math.inf


def _rise(spikes: Sequence[Spike], bad: int) -> str:
    """Where the spike began that is bad from a later step on."""
    begun = [spike.step for spike in spikes if spike.step <= bad]
    return f", rising from step {begun[-1]:,}" if begun and begun[-1] < bad else ""


def _spike(spike: Spike) -> str:
    healed = "never healed" if spike.healed is None else f"healed by {spike.healed:,}"
    if math.isnan(spike.peak):
        before = "" if math.isnan(spike.before) else f", from {spike.before:.3g}"
        return f"step {spike.step:,}{before}, not finite, {healed}"
    where = "" if spike.peak_step == spike.step else f" at step {spike.peak_step:,}"
    beyond = "" if spike.finite else " and not finite"
    return (
        f"step {spike.step:,}, from {spike.before:.3g} to {spike.peak:.3g}{where}{beyond}, {healed}"
    )


def norms(found: Diagnosis) -> str:
    """What is usual for the norm, and what it did before trouble."""
    before = found.norms_before
    if found.log.norm is None:
        return "not in the log: with them it could say more"
    when = "of the whole run"
    if found.trouble is not None:
        end = found.fatal_step is not None and found.first_bad_step != found.fatal_step
        when = f"before {'the end' if end else 'trouble'}"
    if not len(before):
        return f"none {when}"
    text = (
        f"median {np.median(before):.4g}, largest {before.max():.4g} {when} ({len(before):,} rows)"
    )
    if math.isnan(found.growth):
        return text
    warned = f"; in the last rows before it up to {found.growth:.3g} times what was usual"
    return text + warned

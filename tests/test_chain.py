"""Clippings one after another: the published compositions, and what a chain refuses."""

import pytest
import torch

from benchmark.contracts import check
from benchmark.layout import Layout
from benchmark.strategies.clipping import CLIPPINGS, Clipping, Context, chain

LAYOUT = Layout(("weight", "bias"), ((2, 2), (3,)))
BOTH = chain(CLIPPINGS["zclip"], (CLIPPINGS["global_norm"], 1.0), name="both")


def trace(rule: Clipping, threshold: float) -> tuple[torch.Tensor, list[bool]]:
    """Gradients after ``rule`` over 60 steps with spikes, and whether each was clipped."""
    generator = torch.Generator().manual_seed(0)
    state, after, flags = None, [], []
    for k in range(60):
        gradient = torch.randn(LAYOUT.size, generator=generator, dtype=torch.float64)
        gradient *= 0.2 if k % 9 else 8.0
        state = rule.init(LAYOUT, gradient) if state is None else state
        context = Context(torch.zeros_like(gradient), gradient.sum(), gradient.norm(), LAYOUT)
        limit = gradient.new_tensor(threshold)
        gradient, state, clipped = rule.clip(gradient, state, limit, context)
        after.append(gradient)
        flags.append(bool(clipped))
    return torch.stack(after), flags


def test_zclip_and_a_cap_is_what_the_published_code_does() -> None:
    chained, published = trace(BOTH, 2.0), trace(CLIPPINGS["zclip_capped"], 2.0)
    torch.testing.assert_close(chained[0], published[0], rtol=1e-12, atol=0)
    assert chained[1] == published[1]
    assert 5 < sum(chained[1]) < 55
    assert not torch.equal(chained[0], trace(CLIPPINGS["zclip"], 2.0)[0])


def test_each_remembers_what_it_was_given() -> None:
    first, second = CLIPPINGS["autoclip"], CLIPPINGS["zclip"]
    found, _ = trace(chain(first, (second, 1.5), name="both"), 90.0)
    state, by_hand = second.init(LAYOUT, found[0]), []
    for gradient in trace(first, 90.0)[0]:
        context = Context(torch.zeros_like(gradient), gradient.sum(), gradient.norm(), LAYOUT)
        changed, state, _ = second.clip(gradient, state, gradient.new_tensor(1.5), context)
        by_hand.append(changed)
    assert torch.equal(found, torch.stack(by_hand))


@pytest.mark.parametrize(
    "rule",
    [BOTH, chain(BOTH, CLIPPINGS["value"], name="three"), chain(CLIPPINGS["adaptive"], name="one")],
    ids=["two", "a chain in a chain", "one"],
)
def test_a_chain_keeps_the_contract(rule: Clipping) -> None:
    check(rule)


def test_the_tunable_number_is_the_first_ones() -> None:
    assert BOTH.threshold == CLIPPINGS["zclip"].threshold
    assert BOTH.summary == "zclip, then global_norm at 1"
    assert "1211.5063" in BOTH.reference
    assert chain(CLIPPINGS["value"], CLIPPINGS["adaptive"], name="-").exempts_head


@pytest.mark.parametrize(
    ("links", "message"),
    [
        (("value", "skip_step"), r"at one place, but got value \(gradient\), skip_step \(step\)"),
        (("value", ("global_norm", -2.0)), "'global_norm' must be in 0.01..100, but got -2.0"),
        (("value", ("none", 1.0)), "'none' takes no threshold, but got 1.0"),
        (("value", ("global_norm", "a")), "'global_norm' must be in 0.01..100, but got 'a'"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(links, message) -> None:
    made = [
        (CLIPPINGS[link[0]], link[1]) if isinstance(link, tuple) else CLIPPINGS[link]
        for link in links
    ]
    with pytest.raises(ValueError, match=message):
        chain(*made, name="impossible")


def test_what_is_no_clipping_is_in_no_chain() -> None:
    with pytest.raises(ValueError, match="must be of clippings, but got 'value'"):
        chain("value", CLIPPINGS["global_norm"], name="-")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`summary` must be text .*, but got"):
        chain(CLIPPINGS["value"], name="-", summary=torch.ones(3))  # type: ignore[arg-type]

"""What is read of the registries from their sources is what stands in them."""

import pytest

from benchmark.strategies import declared
from benchmark.strategies.clipping import CLIPPINGS, COMPARED
from benchmark.strategies.disturbances import DISTURBANCES
from benchmark.strategies.normalization import NORMALIZATIONS

REGISTRIES = {
    "clipping": CLIPPINGS,
    "disturbance": DISTURBANCES,
    "normalization": NORMALIZATIONS,
}


@pytest.mark.parametrize("factor", declared.REGISTRIES)
def test_names_are_those_of_the_registry_in_its_order(factor: str) -> None:
    assert declared.names_of(factor) == tuple(REGISTRIES[factor])


@pytest.mark.parametrize("name", CLIPPINGS)
def test_the_range_of_a_threshold_is_that_of_the_clipping(name: str) -> None:
    assert declared.range_of("clipping", name) == CLIPPINGS[name].threshold


def test_what_has_no_number_has_no_range() -> None:
    assert declared.range_of("disturbance", "rate_bump") is None


def test_variants_are_not_among_what_studies_compare() -> None:
    assert set(CLIPPINGS) - set(COMPARED) == {"skip_step_all", "rewind"}

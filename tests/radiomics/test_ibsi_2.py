"""Response maps and consensus values of IBSI-2."""

import pytest

from tests.radiomics import ibsi

REFERENCES = ibsi.references_2()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not REFERENCES, reason=ibsi.MISSING)]


@pytest.mark.parametrize("map_id", ibsi.RESPONSE_MAPS)
def test_response_map_is_within_a_hundredth_of_the_range(map_id):
    assert ibsi.response_map_error(map_id) < 0.01


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: f"{reference.table}-{reference.tag}")
def test_value_is_within_the_tolerance_of_the_standard(reference):
    found = ibsi.features_2(reference.table)[reference.tag]
    assert reference.accepts(found), f"found {found:.6g}, expected {reference.value} ± {reference.tolerance}"

"""Every consensus value of IBSI-1 that is at hand: digital phantom, configurations A, B and C of the CT phantom."""

import pytest

from tests.radiomics import ibsi

REFERENCES = ibsi.references_1()
pytestmark = pytest.mark.skipif(not REFERENCES, reason=ibsi.MISSING)


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: f"{reference.table}-{reference.tag}")
def test_value_is_within_the_tolerance_of_the_standard(reference):
    found = ibsi.features_1(reference.table)[reference.tag]
    assert reference.accepts(found), f"found {found:.6g}, expected {reference.value} ± {reference.tolerance}"

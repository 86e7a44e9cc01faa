"""Which items of the score card are not assessed on a slide because of what the networks can do, and why.

An item rests on what the networks find (``RESTS_ON``). Where it does not agree with the truth on slides whose truth is known, or
that was not measured, it is never assessed. Where a slide looks like none of those, it is assessed only if everything that it
rests on was held against real tissue and found well enough. All figures stand beside the networks, in ``networks.json``.
"""

from __future__ import annotations

from collections.abc import Mapping

from .findings import NetworksInfo

TUMOUR, STROMA, LYMPHOCYTES, BUDS = "tumour", "stroma", "lymphocytes", "tumour buds"
FRONT, AGGREGATES, MATURITY = "muscle and fat at the front", "lymphoid aggregates", "the maturity of the stroma"
MUCUS, NECROSIS, LUMENS = "mucus", "necrosis", "the lumens of glands"

RESTS_ON: Mapping[str, tuple[str, ...]] = {
    "tumour_stroma_ratio": (TUMOUR, STROMA),
    "budding": (TUMOUR, FRONT, BUDS),
    "lymphocytes": (TUMOUR, STROMA, LYMPHOCYTES),
    "crohn_like": (TUMOUR, FRONT, AGGREGATES),
    "stroma_maturity": (TUMOUR, STROMA, MATURITY),
    "mucinous_share": (TUMOUR, STROMA, MUCUS),
    "necrosis": (TUMOUR, STROMA, NECROSIS),
    "gland_formation": (TUMOUR, LUMENS),
    "front_lymphocytes": (TUMOUR, FRONT, LYMPHOCYTES),
    "margin": (TUMOUR, FRONT),
}
"""By item, what the networks have to find for it."""

_NO_AGREEMENT = "of these networks it was never measured how well it agrees with the truth"

MIN_REAL = {TUMOUR: 0.78, LYMPHOCYTES: 0.75}
"""What is asked for on real tissue, taken from published figures after the first networks had been measured there and
before any other was: of tumour, Dice by area, as much as the best method of the GlaS contest reached on its harder images
(object Dice .781; Sirinukunwattana 2017, arXiv 1603.00275); of lymphocytes, F1 at 6 micrometres, three of four right."""


def not_assessed(info: NetworksInfo, unlike: str | None) -> dict[str, str]:
    """Give the items that are not assessed on a slide, and why.

    Parameters
    ----------
    unlike
        In which respects the slide looks like none of those on which the items were validated; None where it looks like them.
    """
    reasons = dict(info.unreliable)
    if info.agreement:  # measured before an item was there
        reasons |= {item: _NO_AGREEMENT for item in RESTS_ON if item not in info.agreement}
    if unlike is None:
        return reasons
    for item, parts in RESTS_ON.items():
        unproven = [said for part in parts if (said := _unproven(part, info)) is not None]
        if unproven and item not in reasons:
            reasons[item] = (
                f"on real tissue the networks were not shown to find what it rests on, {', '.join(unproven)}; and the slide looks "
                f"like none of those on which it was validated: {unlike}"
            )
    return reasons


def _unproven(part: str, info: NetworksInfo) -> str | None:
    """Say that the networks were not shown to find something on real tissue; None where they were."""
    found = info.real_tissue.get(part)
    if found is None:
        return f"{part} (never compared)"
    if found.value < found.expected:
        return f"{part} ({found.measure} {found.value:.2f}, {found.expected:g} is asked for)"
    return None

"""What the pathologist or the record knows of a primary tumour, as further items of the score card.

Each is unfavourable where it is so for survival after colorectal cancer. Whether it goes with the growth pattern of metastases
is for the cohort to say: an item has no weight until a model has learned one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from preop.grandchallenge.cases import Case

from .score_card import Item, ScoreCard

REPORT = "pathology-report"
NOT_GIVEN = "not in the pathology report"
_TNM = "UICC TNM, 8th edition, 2017"
_GUIDELINE = "ESMO guideline on localised colon cancer, 2020 (doi 10.1016/j.annonc.2020.06.022)"


@dataclass(frozen=True)
class Known:
    """An item of the report.

    Attributes
    ----------
    title
        As a reader sees it.
    unfavourable
        Values of the report that are.
    rule, source
        In words, and where it comes from.
    """

    title: str
    unfavourable: tuple[str, ...]
    rule: str
    source: str


KNOWN: Mapping[str, Known] = {
    "pt_stage": Known("Depth of invasion", ("pT4",), "unfavourable at pT4", f"{_TNM}; {_GUIDELINE}"),
    "pn_stage": Known("Lymph nodes", ("pN1", "pN2"), "unfavourable with a positive node", _TNM),
    "side": Known("Side", ("right",), "unfavourable right of the splenic flexure", "Petrelli 2017, JAMA Oncol 3:211"),
    "grade": Known("Grade", ("high",), "unfavourable where high", "WHO classification of tumours, 2019"),
    "tumour_deposits": Known("Tumour deposits", ("present",), "unfavourable where present", _TNM),
    "venous_invasion": Known("Venous invasion", ("present",), "unfavourable where present", _GUIDELINE),
    "lymphatic_invasion": Known("Lymphatic invasion", ("present",), "unfavourable where present", _GUIDELINE),
    "perineural_invasion": Known("Perineural invasion", ("present",), "unfavourable where present", _GUIDELINE),
    "mismatch_repair": Known(
        "Mismatch repair", ("proficient",), "unfavourable where proficient, of tumours without metastases", _GUIDELINE
    ),
}


def with_report(card: ScoreCard, case: Case) -> ScoreCard:
    """Put what a case's report says on its card; without a report, the card stays as it is."""
    if REPORT not in case:
        return card
    said = case.value(REPORT)
    return ScoreCard(items=(*card.items, *(_item(name, said.get(name)) for name in KNOWN)))


def _item(name: str, said: str | None) -> Item:
    known = KNOWN[name]
    unfavourable = None if said is None else said in known.unfavourable
    return Item(
        name=name,
        title=known.title,
        value=None if unfavourable is None else float(unfavourable),
        unit="unfavourable",
        category=said,
        cut_off=None,
        rule=known.rule,
        source=known.source,
        unfavourable=unfavourable,
        not_assessed=NOT_GIVEN if said is None else None,
        measures={},
        regions=(),
    )

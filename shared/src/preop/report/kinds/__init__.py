"""What each kind of evidence brings to a report, one module a kind."""

from __future__ import annotations

from preop.errors import InvalidInputError
from preop.evidence import BagEvidence, Evidence, ModelsEvidence, SharesEvidence, SplitsEvidence, StageEvidence
from preop.report.blocks import Content
from preop.report.kinds import bags, models, shares, splits, stages


def content_of(evidence: Evidence, source: str) -> Content:
    """Give what a report says of any evidence.

    Parameters
    ----------
    source
        Where the patients come from.
    """
    match evidence:
        case BagEvidence():
            return bags.content(evidence, source)
        case ModelsEvidence():
            return models.content(evidence, source)
        case SharesEvidence():
            return shares.content(evidence, source)
        case SplitsEvidence():
            return splits.content(evidence, source)
        case StageEvidence():
            return stages.content(evidence, source)
        case _:
            raise InvalidInputError(
                f"There is no report on {type(evidence).__name__}; expected a known kind of evidence."
            )

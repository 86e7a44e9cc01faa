"""The items of the score card, measured on the architecture of a simulated slide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from primary_growth_pattern.definitions import (
    LARGE_AGGREGATE_MM,
    STROMA,
    UM2_PER_MM2,
    Margin,
    Maturity,
    TissueLabel,
    hot_spot,
)

from .anatomy import MAP_UM, Architecture, Cell
from .disease import Biology


@dataclass(frozen=True)
class CardTruth:
    """Items of the score card (definitions: docs/slides.md, "Simulated slides").

    Attributes
    ----------
    tumour_stroma_ratio
        Stroma as a share of tumour and stroma.
    buds, hot_spot_y_um, hot_spot_x_um
        Most tumour buds in a disc of 0.785 mm2, and its centre.
    til_per_mm2, intraepithelial_til_per_mm2
        Lymphocytes by area: of tumour and stroma, and of the tumour alone. Aggregates do not count.
    aggregates, large_aggregates
        Lymphoid aggregates, and those of 1 mm or more.
    maturity
        The least mature stroma.
    immature_share, intermediate_share
        Of the stroma.
    mucinous_share, necrosis_share
        Of tumour, stroma, mucus and necrosis together.
    """

    tumour_stroma_ratio: float
    buds: int
    hot_spot_y_um: float
    hot_spot_x_um: float
    til_per_mm2: float
    intraepithelial_til_per_mm2: float
    aggregates: int
    large_aggregates: int
    maturity: Maturity
    immature_share: float
    intermediate_share: float
    mucinous_share: float
    necrosis_share: float
    margin: Margin


def measure(architecture: Architecture, biology: Biology) -> CardTruth:
    """Measure what came of a biology."""
    area = np.bincount(architecture.labels.ravel(), minlength=len(TissueLabel)) * MAP_UM**2 / UM2_PER_MM2
    stroma = sum(area[label] for label in STROMA.values())
    tumour = area[TissueLabel.TUMOUR]
    region = tumour + stroma + area[TissueLabel.MUCUS] + area[TissueLabel.NECROSIS]
    lymphocytes = architecture.cells_um[architecture.kinds == Cell.LYMPHOCYTE]
    rows, columns = (lymphocytes / MAP_UM).astype(np.intp).T
    lies_in = architecture.labels[rows, columns]
    in_tumour = int((lies_in == TissueLabel.TUMOUR).sum())
    in_stroma = int(np.isin(lies_in, list(STROMA.values())).sum())
    buds, (y_um, x_um) = hot_spot(architecture.buds_um)
    diameters_mm = architecture.aggregates_um[:, 2] / 1000
    return CardTruth(
        tumour_stroma_ratio=_ratio(stroma, stroma + tumour),
        buds=buds,
        hot_spot_y_um=y_um,
        hot_spot_x_um=x_um,
        til_per_mm2=_ratio(in_tumour + in_stroma, tumour + stroma),
        intraepithelial_til_per_mm2=_ratio(in_tumour, tumour),
        aggregates=len(diameters_mm),
        large_aggregates=int((diameters_mm >= LARGE_AGGREGATE_MM).sum()),
        maturity=biology.maturity,
        immature_share=_ratio(area[TissueLabel.IMMATURE_STROMA], stroma),
        intermediate_share=_ratio(area[TissueLabel.INTERMEDIATE_STROMA], stroma),
        mucinous_share=_ratio(area[TissueLabel.MUCUS], region),
        necrosis_share=_ratio(area[TissueLabel.NECROSIS], region),
        margin=biology.margin,
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0

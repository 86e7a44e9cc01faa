"""What a simulated tumour is like before anything is drawn: stroma, margin, budding, lymphocytes, mucus and necrosis."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from primary_growth_pattern.definitions import Margin, Maturity


@dataclass(frozen=True)
class Biology:
    """What a tumour is meant to be like; what came of it is measured on its architecture.

    Attributes
    ----------
    stroma_share
        Of tumour and stroma together.
    maturity
        The least mature stroma that it has.
    margin
        How its front grows.
    buds
        Tumour buds in the hot spot of 0.785 mm2.
    til_per_mm2
        Lymphocytes in tumour and stroma.
    aggregates, largest_aggregate_mm
        Lymphoid aggregates beyond the front, and the diameter of the largest.
    mucus_share, necrosis_share
        Of the region that the tumour takes up.
    front_til_per_mm2
        Lymphocytes within half a millimetre of the front, beside those that are there anyway.
    solid_share
        Part of the tumour in which glands have no lumens.
    """

    stroma_share: float
    maturity: Maturity
    margin: Margin
    buds: int
    til_per_mm2: float
    aggregates: int
    largest_aggregate_mm: float
    mucus_share: float
    necrosis_share: float
    front_til_per_mm2: float = 0.0
    solid_share: float = 0.0


def draw_biology(rng: np.random.Generator) -> Biology:
    """Draw a tumour: aggressive ones tend to have each unfavourable feature, but none has them for sure."""
    aggressive = rng.standard_normal()

    def latent() -> float:
        return float(0.5 * aggressive + np.sqrt(0.75) * rng.standard_normal())

    maturities: tuple[Maturity, ...] = ("mature", "intermediate", "immature")
    margins: tuple[Margin, ...] = ("pushing", "infiltrating")
    aggregates = int(min(rng.poisson(np.exp(0.75 - 0.6 * latent())), 8))
    large = aggregates > 1 and rng.random() < 0.2
    return Biology(
        stroma_share=float(np.clip(0.5 + 0.15 * latent(), 0.2, 0.8)),
        maturity=maturities[int(np.searchsorted((-0.1, 0.65), latent()))],
        margin=margins[int(latent() > 0)],
        buds=int(min(rng.poisson(np.exp(1.9 + 0.7 * latent())), 35)),
        til_per_mm2=float(np.clip(np.exp(np.log(18) - 0.8 * latent()), 2, 150)),
        aggregates=aggregates,
        largest_aggregate_mm=float(rng.uniform(1.0, 1.3) if large else rng.uniform(0.25, 0.6)),
        mucus_share=float(rng.uniform(0.05, 0.65)) if rng.random() < 0.35 else 0.0,
        necrosis_share=float(rng.uniform(0.0, 0.12)),
    )


def with_further_findings(rng: np.random.Generator, biology: Biology) -> Biology:
    """Draw what the usual simulated tumours lack: a lymphoid reaction at the front, and parts without glands."""
    return replace(
        biology,
        front_til_per_mm2=float(np.exp(rng.uniform(np.log(5), np.log(250)))) if rng.random() < 0.7 else 0.0,
        solid_share=float(rng.uniform(0.0, 1.0)) if rng.random() < 0.7 else 0.0,
    )

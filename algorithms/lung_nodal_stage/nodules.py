"""Lung nodule or lymph node: what a lesion that lies in lung tissue, near to a hilum, may be, and what it means for TNM.

Lymph nodes of stations 12 to 14 lie along lobar, segmental and subsegmental bronchi. The organ network labels no bronchus
beyond the main ones; on the map these stations are shells of lung around the lobar origins, in which a nodule of the lung
may lie as well. A lesion that touches a hilar structure is a node; of one that does not, the shell tells how likely it is.

Separate tumour nodules by TNM 8 and 9: T3 in the lobe of the primary, T4 in another lobe of the same lung, M1a in the other
lung (Detterbeck et al., J Thorac Oncol 2016;11:651-65), where it may be a second primary as well.
"""

from __future__ import annotations

from preop.staging import Side, Station

NODE_SHARE = {12: 0.8, 13: 0.6, 14: 0.0}
"""Probability that a lesion of the lung is a node of the station in whose shell it lies, where it touches no hilar structure:
within 20, 35 and 50 mm of the lobar origins. Assumed: no figures are published. Subsegmental nodes are millimetres large, and
lie on a vessel or bronchus where they are seen at all."""

SURELY_A_NODULE = 0.2
"""Probability of being a node below which a lesion is called a nodule."""

HILAR_STRUCTURES = ("trachea", "pulmonary_vein", "heart", "aorta", "superior_vena_cava", "esophagus")
CONTACT = 0.02
"""Share of the tissue around a lesion in hilar structures from which it touches them."""

IN_OTHER_STATIONS = 0.1
"""Share of a lesion in stations 1 to 11 from which it touches them: those lie outside of the lung, or between its lobes."""


def node_share(station: Station, *, free_in_lung: bool) -> float:
    """Probability that what lies in a station is a node, and no nodule of the lung."""
    return NODE_SHARE.get(station.number, 1.0) if free_in_lung else 1.0


def meaning(side: Side | None, lobe: str | None, primary_side: Side | None, primary_lobe: str | None) -> str:
    """Say what a malignant nodule would mean, by its own side and lobe and those of the primary."""
    if side is None or primary_side is None:
        return "T3, T4 or M1a by the lobe of the primary, or a second primary"
    if side is not primary_side:
        return "M1a, or a second primary"
    if lobe is None or primary_lobe is None:
        return "T3 in the lobe of the primary, T4 in another"
    return "T3" if lobe == primary_lobe else "T4"

"""Harmonisation of measurements between centres by ComBat.

Learned on training patients, without their outcome, and kept as one linear map a centre and column, so that applying it
needs no library. Scans of a centre that was not there to learn from, or with too few patients there, stay as they are:
a container sees one patient at a time and cannot estimate what their scanner does.

References
----------
Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data using empirical Bayes methods.
Biostatistics 2007;8:118-27.
Pomponio R, et al. Harmonization of large MRI datasets for the analysis of brain imaging patterns throughout the
lifespan. NeuroImage 2020;208:116450 (neuroHarmonize).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.errors import need_package

# With fewer rows, the spread of a centre's measurements is mostly chance.
ROWS_OF_A_CENTRE = 5


@dataclass(frozen=True, eq=False)
class Adjustment:
    """What turns the measurements of one centre into those of the cohort: ``value * scale + offset``, each (f,)."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]


def learn_combat(values: NDArray[np.float64], centres: NDArray[np.str_]) -> dict[str, Adjustment]:
    """Learn the adjustment of each centre with enough rows; none where fewer than two centres have them.

    Parameters
    ----------
    values
        Complete measurements, (r, f), each column with more than one value.
    centres
        Of each row, (r,), "" where it is not known.

    Raises
    ------
    MissingToolError
        If the packages for training are not installed.
    """
    names, counts = np.unique(centres, return_counts=True)
    known = names[(counts >= ROWS_OF_A_CENTRE) & (names != "")]
    if known.size < 2 or values.shape[1] == 0:
        return {}
    need_package("neuroHarmonize", "Harmonisation", "training")
    import pandas as pd
    from neuroHarmonize import harmonizationLearn

    rows = np.isin(centres, known)
    # Empirical Bayes shares what it learns between columns; with one column there is nothing to share.
    model, _ = harmonizationLearn(values[rows], pd.DataFrame({"SITE": centres[rows]}), eb=values.shape[1] > 1)
    mean, spread = model["stand_mean"][:, 0], np.sqrt(model["var_pooled"][:, 0])
    adjustments = {}
    for centre, shift, variance in zip(model["SITE_labels"], model["gamma_star"], model["delta_star"], strict=True):
        scale = 1 / np.sqrt(np.asarray(variance, np.float64))
        adjustments[str(centre)] = Adjustment(
            scale, mean - scale * (mean + np.asarray(shift, np.float64).ravel() * spread)
        )
    return adjustments

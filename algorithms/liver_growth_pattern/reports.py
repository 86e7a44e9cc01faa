"""Four numbers a metastasis, and the distribution over what a pathologist may report of it that they stand for.

The log odds that its whole interface is desmoplastic, and the logarithms of the parameters of a Dirichlet-multinomial
distribution over all other reports in steps of 5 % (a hurdle model). The pure pattern needs a probability of its own, for a
Dirichlet density gives none to shares of exactly 1. Together they are one distribution over the 231 reports that there are;
all answers are sums over it. How likely that makes what was reported, for learning, is in ``likelihood.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.staging import PARTS, PURE, REPORTS, ShareDistribution

OUTPUTS = 4
UNKNOWN = -1
"""In place of the number of a report."""

LOG_CONCENTRATIONS = (-5.0, 6.0)
LOG_ODDS = 12.0

_COUNTS = np.rint(REPORTS * PARTS)


def distributions(outputs: NDArray[np.floating[Any]]) -> list[ShareDistribution]:
    """Give the distribution over reports of each metastasis, from outputs (lesions, 4)."""
    from scipy.special import expit, gammaln, softmax

    given = np.asarray(outputs, np.float64)
    pure = expit(given[:, :1].clip(-LOG_ODDS, LOG_ODDS))
    # The Dirichlet-multinomial of all reports but the pure one, up to what is the same for all of them (counts.parts).
    concentrations = np.exp(given[:, None, 1:].clip(*LOG_CONCENTRATIONS))
    counts = _COUNTS[:PURE]
    cells = (gammaln(counts + concentrations) - gammaln(concentrations) - gammaln(counts + 1)).sum(axis=2)
    tables = np.concatenate([softmax(cells, axis=1) * (1 - pure), pure], axis=1)
    return [ShareDistribution(table / table.sum()) for table in tables]

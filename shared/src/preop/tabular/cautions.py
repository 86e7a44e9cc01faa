"""What a reader should know before trusting a model.

References
----------
Peduzzi P, et al. A simulation study of the number of events per variable in logistic regression analysis.
J Clin Epidemiol 1996;49:1373-9.
Welch ML, et al. Vulnerabilities of radiomic signature development: the need for safeguards. Radiother Oncol
2019;130:2-9 (features that repeat the volume).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preop.statistics import auc
from preop.statistics.association import EVENTS_A_COEFFICIENT
from preop.tabular.model import TabularModel
from preop.tabular.table import FeatureTable

# Of ranks, in magnitude: from here on a feature says little that the volume does not.
VOLUME_CORRELATION = 0.9
# A feature that this share of the splits selected is one that the model stands on.
OFTEN = 0.5


def cautions(
    name: str,
    table: FeatureTable,
    model: TabularModel,
    splits: Sequence[Mapping[str, Any]],
    *,
    volumes: FeatureTable,
) -> list[str]:
    """Give warnings about a model, each one sentence.

    Parameters
    ----------
    table
        What it was trained on.
    splits
        Of its nested validation.
    volumes
        Volumes of the same rows.
    """
    return [
        *_few_events(name, table, model),
        *_volume_in_disguise(name, table, model, splits, volumes),
        *_separation(name, table),
    ]


def _few_events(name: str, table: FeatureTable, model: TabularModel) -> list[str]:
    rarest = int(min(table.outcome.sum(), (~table.outcome).sum()))
    of_model = rarest / len(model.columns)
    if of_model >= EVENTS_A_COEFFICIENT:
        return []
    what = "events" if table.outcome.mean() <= 0.5 else "cases without the event"
    sentence = (
        f"{name}: {rarest} {what} for {len(model.columns)} of {len(table.columns)} features, "
        f"{of_model:.1f} for each, where {EVENTS_A_COEFFICIENT} are the usual minimum."
    )
    return [sentence]


def _volume_in_disguise(
    name: str,
    table: FeatureTable,
    model: TabularModel,
    splits: Sequence[Mapping[str, Any]],
    volumes: FeatureTable,
) -> list[str]:
    from scipy.stats import spearmanr

    selected = Counter(feature for split in splits for feature in split["features"])
    often = {feature for feature, times in selected.items() if times >= OFTEN * len(splits)}
    found = []
    for feature in table.columns:
        if feature in volumes.columns or feature not in {*often, *model.columns}:
            continue
        values = table.select([feature]).values[:, 0]
        for volume in volumes.columns:
            sizes = volumes.select([volume]).values[:, 0]
            known = np.isfinite(values) & np.isfinite(sizes)
            if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(sizes[known]) == 0:
                continue
            correlation = float(spearmanr(values[known], sizes[known]).statistic)
            if abs(correlation) > VOLUME_CORRELATION:
                found.append(f"{feature} ({correlation:+.2f} with {volume})")
                break
    if not found:
        return []
    return [f"{name}: volume in disguise, by rank correlation: {', '.join(found)}."]


def _separation(name: str, table: FeatureTable) -> list[str]:
    """Tell which single columns separate the classes completely."""
    found = []
    for column, feature in enumerate(table.columns):
        values = table.values[:, column]
        known = np.isfinite(values)
        labels = table.outcome[known]
        if labels.any() and not labels.all() and auc(labels, values[known]) in (0.0, 1.0):
            found.append(feature)
    if not found:
        return []
    sentence = (
        f"{name}: {', '.join(found)} alone separates those with the outcome from those without completely; "
        "check that it was known before the outcome, and do not trust its coefficient."
    )
    return [sentence]

"""Made-up feature tables whose truth is known."""

import numpy as np
import pandas as pd

from preop.tabular import FeatureTable


def informative(patients: int = 60, noise: int = 6, seed: int = 0, **options: object) -> FeatureTable:
    """One column that matters and some that do not."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        random.normal(size=(patients, noise + 1)), columns=["signal", *(f"noise_{i}" for i in range(noise))]
    )
    outcome = random.random(patients) < 1 / (1 + np.exp(-2.5 * frame["signal"]))
    return FeatureTable.of(frame, outcome, **options)  # type: ignore[arg-type]


def frame_of(table: FeatureTable) -> pd.DataFrame:
    return pd.DataFrame(table.values, columns=list(table.columns))

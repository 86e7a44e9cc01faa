"""Public data sets that Python packages bring, as columns: what R was asked about, and what our statistics are asked about."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


@cache
def data_sets() -> dict[str, dict[str, NDArray[np.generic]]]:
    """By name: columns by name.

    ``cancer`` is Wisconsin's of breast cancer and ``iris`` Fisher's (scikit-learn), ``spector`` on teaching economics
    (statsmodels), ``lung`` of the North Central Cancer Treatment Group (lifelines). ``separated``, ``stages``
    and ``p values`` are ours.
    """
    from lifelines.datasets import load_lung
    from sklearn.datasets import load_breast_cancer, load_iris
    from statsmodels.datasets import spector

    cancer, iris = load_breast_cancer(), load_iris()
    teaching = spector.load_pandas().data
    lung = load_lung().dropna(subset=["ph.karno", "pat.karno"])
    return {
        "cancer": {
            "malignant": (cancer.target == 0).astype(np.float64),
            "texture": cancer.data[:, 1],
            "smoothness": cancer.data[:, 4],
        },
        "spector": {
            "grade": teaching["GRADE"].to_numpy(np.float64),
            "gpa": teaching["GPA"].to_numpy(np.float64),
            "score": teaching["TUCE"].to_numpy(np.float64),
            "method": teaching["PSI"].to_numpy(np.float64),
        },
        "lung": {
            "days": lung["time"].to_numpy(np.float64),
            "died": (lung["status"] == lung["status"].max()).to_numpy(np.float64),
            "sex": lung["sex"].to_numpy(np.float64),
            "age": lung["age"].to_numpy(np.float64),
            "physician": lung["ph.karno"].to_numpy(np.float64),
            "patient": lung["pat.karno"].to_numpy(np.float64),
        },
        "iris": {
            "species": iris.target.astype(np.float64),
            **{
                name: iris.data[:, number]
                for number, name in enumerate(("sepal_length", "sepal_width", "petal_length"))
            },
        },
        "separated": {  # nobody below the cut has the outcome, and everybody above it
            "outcome": np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1], np.float64),
            "marker": np.array([0.2, 0.9, 1.4, 1.1, 0.5, 1.9, 2.2, 3.1, 2.8, 4.0, 2.4, 3.3]),
            "age": np.array([61, 45, 70, 58, 66, 52, 49, 73, 64, 55, 68, 60], np.float64),
        },
        "stages": {
            "first": np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 1, 2, 3, 4, 2, 3], np.float64),
            "second": np.array([1, 1, 2, 1, 2, 3, 2, 3, 2, 4, 4, 3, 4, 4, 1, 1, 3, 2, 2, 3], np.float64),
        },
        "p values": {"values": np.array([0.001, 0.04, 0.03, 0.005, 0.2, 0.04, 0.9])},
    }

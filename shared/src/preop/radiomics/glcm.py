"""Features of grey level co-occurrence matrices (IBSI reference manual, section of the same name)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrices = NDArray[np.float64]
Values = NDArray[np.float64]


def cooccurrence_features(counts: NDArray[np.int64]) -> list[dict[str, float]]:
    """Compute the features ``cm_*`` of matrices that count pairs in one sense (n, levels, levels), made symmetric here.

    Returns
    -------
    The features of each matrix that has a pair. Where all pairs have one grey level, the correlation is 1 and the
    information correlations are 1 and 0.
    """
    counts = counts[counts.any(axis=(1, 2))]
    if not len(counts):
        return []
    both = counts + counts.transpose(0, 2, 1)
    # Grey levels that no pair has would only add zeros.
    used = both.any(axis=(0, 1))
    p = both[:, used][:, :, used] / both.sum(axis=(1, 2), keepdims=True)
    i = (np.flatnonzero(used) + 1).astype(np.float64)
    found = _features(p, i, level_count=counts.shape[1])
    return [{tag: float(values[n]) for tag, values in found.items()} for n in range(len(counts))]


def _features(p: Matrices, i: Values, level_count: int) -> dict[str, Values]:
    marginal = p.sum(axis=1)
    mean = marginal @ i
    variance = marginal @ i**2 - mean**2
    difference = np.abs(i[:, None] - i[None, :])
    total = i[:, None] + i[None, :]
    p_difference, k_difference = _summed_over(difference, p)
    p_sum, k_sum = _summed_over(total, p)
    difference_mean, sum_mean = p_difference @ k_difference, p_sum @ k_sum
    centred = k_sum[None, :] - 2 * mean[:, None]
    autocorrelation = _expected(p, i[:, None] * i[None, :])
    flat = marginal.max(axis=1) == 1
    return {
        "cm_joint_max": p.max(axis=(1, 2)),
        "cm_joint_avg": mean,
        "cm_joint_var": variance,
        "cm_joint_entr": _entropy(p),
        "cm_diff_avg": difference_mean,
        "cm_diff_var": p_difference @ k_difference**2 - difference_mean**2,
        "cm_diff_entr": _entropy(p_difference),
        "cm_sum_avg": sum_mean,
        "cm_sum_var": p_sum @ k_sum**2 - sum_mean**2,
        "cm_sum_entr": _entropy(p_sum),
        "cm_energy": (p**2).sum(axis=(1, 2)),
        "cm_contrast": p_difference @ k_difference**2,
        "cm_dissimilarity": difference_mean,
        "cm_inv_diff": p_difference @ (1 / (1 + k_difference)),
        "cm_inv_diff_norm": p_difference @ (1 / (1 + k_difference / level_count)),
        "cm_inv_diff_mom": p_difference @ (1 / (1 + k_difference**2)),
        "cm_inv_diff_mom_norm": p_difference @ (1 / (1 + (k_difference / level_count) ** 2)),
        "cm_inv_var": p_difference[:, k_difference > 0] @ (1 / k_difference[k_difference > 0] ** 2),
        "cm_corr": np.where(flat, 1.0, (autocorrelation - mean**2) / np.where(flat, 1.0, variance)),
        "cm_auto_corr": autocorrelation,
        "cm_clust_tend": (p_sum * centred**2).sum(axis=1),
        "cm_clust_shade": (p_sum * centred**3).sum(axis=1),
        "cm_clust_prom": (p_sum * centred**4).sum(axis=1),
        **_information_correlations(p, marginal, flat),
    }


def _information_correlations(p: Matrices, marginal: Values, flat: NDArray[np.bool_]) -> dict[str, Values]:
    joint, single = _entropy(p), _entropy(marginal)
    # Both cross entropies of the standard equal twice the marginal's entropy, for the matrix is symmetric.
    independent = 2 * single
    return {
        "cm_info_corr1": np.where(flat, 1.0, (joint - independent) / np.where(flat, 1.0, single)),
        "cm_info_corr2": np.sqrt(np.maximum(1 - np.exp(-2 * (independent - joint)), 0)),
    }


def _summed_over(key: Values, p: Matrices) -> tuple[Values, Values]:
    """Probabilities (n, keys) of the values that a function of both grey levels takes, whole numbers, and those values."""
    place = key.astype(np.int64)
    n, size = p.shape[0], int(place.max()) + 1
    index = place.ravel()[None, :] + np.arange(n)[:, None] * size
    sums = np.bincount(index.ravel(), weights=p.ravel(), minlength=n * size)
    return sums.reshape(n, size).astype(np.float64), np.arange(size, dtype=np.float64)


def _expected(p: Matrices, values: Values) -> Values:
    return np.asarray(np.einsum("nij,ij->n", p, values))


def _entropy(p: NDArray[np.float64]) -> Values:
    """Entropy in bits of each distribution along the first axis."""
    terms = p * np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-terms.sum(axis=tuple(range(1, p.ndim))))

"""Every feature by its IBSI tag, with the name that the standard gives it and its family."""

from __future__ import annotations

from dataclasses import dataclass

from preop.radiomics.settings import Aggregation, Family


@dataclass(frozen=True)
class Feature:
    """One feature of the standard.

    Attributes
    ----------
    tag
        Key of the feature without its aggregation, such as ``cm_contrast``.
    name
        Its name in words, such as ``Contrast``.
    family
        The family it is computed with.
    """

    tag: str
    name: str
    family: Family


_NAMES: dict[Family, dict[str, str]] = {
    Family.MORPHOLOGY: {
        "morph_volume": "Volume (mesh)",
        "morph_vol_approx": "Volume (voxel counting)",
        "morph_area_mesh": "Surface area (mesh)",
        "morph_av": "Surface to volume ratio",
        "morph_comp_1": "Compactness 1",
        "morph_comp_2": "Compactness 2",
        "morph_sph_dispr": "Spherical disproportion",
        "morph_sphericity": "Sphericity",
        "morph_asphericity": "Asphericity",
        "morph_com": "Centre of mass shift",
        "morph_diam": "Maximum 3D diameter",
        "morph_pca_maj_axis": "Major axis length",
        "morph_pca_min_axis": "Minor axis length",
        "morph_pca_least_axis": "Least axis length",
        "morph_pca_elongation": "Elongation",
        "morph_pca_flatness": "Flatness",
        "morph_vol_dens_aabb": "Volume density (axis-aligned bounding box)",
        "morph_area_dens_aabb": "Area density (axis-aligned bounding box)",
        "morph_vol_dens_ombb": "Volume density (oriented minimum bounding box)",
        "morph_area_dens_ombb": "Area density (oriented minimum bounding box)",
        "morph_vol_dens_aee": "Volume density (approximate enclosing ellipsoid)",
        "morph_area_dens_aee": "Area density (approximate enclosing ellipsoid)",
        "morph_vol_dens_mvee": "Volume density (minimum volume enclosing ellipsoid)",
        "morph_area_dens_mvee": "Area density (minimum volume enclosing ellipsoid)",
        "morph_vol_dens_conv_hull": "Volume density (convex hull)",
        "morph_area_dens_conv_hull": "Area density (convex hull)",
        "morph_integ_int": "Integrated intensity",
        "morph_moran_i": "Moran's I index",
        "morph_geary_c": "Geary's C measure",
    },
    Family.LOCAL_INTENSITY: {
        "loc_peak_loc": "Local intensity peak",
        "loc_peak_glob": "Global intensity peak",
    },
    Family.STATISTICS: {
        "stat_mean": "Mean intensity",
        "stat_var": "Intensity variance",
        "stat_skew": "Intensity skewness",
        "stat_kurt": "(Excess) intensity kurtosis",
        "stat_median": "Median intensity",
        "stat_min": "Minimum intensity",
        "stat_p10": "10th intensity percentile",
        "stat_p90": "90th intensity percentile",
        "stat_max": "Maximum intensity",
        "stat_iqr": "Intensity interquartile range",
        "stat_range": "Intensity range",
        "stat_mad": "Intensity-based mean absolute deviation",
        "stat_rmad": "Intensity-based robust mean absolute deviation",
        "stat_medad": "Intensity-based median absolute deviation",
        "stat_cov": "Intensity-based coefficient of variation",
        "stat_qcod": "Intensity-based quartile coefficient of dispersion",
        "stat_energy": "Intensity-based energy",
        "stat_rms": "Root mean square intensity",
    },
    Family.HISTOGRAM: {
        "ih_mean": "Mean discretised intensity",
        "ih_var": "Discretised intensity variance",
        "ih_skew": "Discretised intensity skewness",
        "ih_kurt": "(Excess) discretised intensity kurtosis",
        "ih_median": "Median discretised intensity",
        "ih_min": "Minimum discretised intensity",
        "ih_p10": "10th discretised intensity percentile",
        "ih_p90": "90th discretised intensity percentile",
        "ih_max": "Maximum discretised intensity",
        "ih_mode": "Intensity histogram mode",
        "ih_iqr": "Discretised intensity interquartile range",
        "ih_range": "Discretised intensity range",
        "ih_mad": "Intensity histogram mean absolute deviation",
        "ih_rmad": "Intensity histogram robust mean absolute deviation",
        "ih_medad": "Intensity histogram median absolute deviation",
        "ih_cov": "Intensity histogram coefficient of variation",
        "ih_qcod": "Intensity histogram quartile coefficient of dispersion",
        "ih_entropy": "Discretised intensity entropy",
        "ih_uniformity": "Discretised intensity uniformity",
        "ih_max_grad": "Maximum histogram gradient",
        "ih_max_grad_g": "Maximum histogram gradient intensity",
        "ih_min_grad": "Minimum histogram gradient",
        "ih_min_grad_g": "Minimum histogram gradient intensity",
    },
    Family.VOLUME_HISTOGRAM: {
        "ivh_v10": "Volume at intensity fraction 10 %",
        "ivh_v90": "Volume at intensity fraction 90 %",
        "ivh_i10": "Intensity at volume fraction 10 %",
        "ivh_i90": "Intensity at volume fraction 90 %",
        "ivh_diff_v10_v90": "Volume fraction difference between intensity fractions 10 % and 90 %",
        "ivh_diff_i10_i90": "Intensity difference between volume fractions 10 % and 90 %",
    },
    Family.GLCM: {
        "cm_joint_max": "Joint maximum",
        "cm_joint_avg": "Joint average",
        "cm_joint_var": "Joint variance",
        "cm_joint_entr": "Joint entropy",
        "cm_diff_avg": "Difference average",
        "cm_diff_var": "Difference variance",
        "cm_diff_entr": "Difference entropy",
        "cm_sum_avg": "Sum average",
        "cm_sum_var": "Sum variance",
        "cm_sum_entr": "Sum entropy",
        "cm_energy": "Angular second moment",
        "cm_contrast": "Contrast",
        "cm_dissimilarity": "Dissimilarity",
        "cm_inv_diff": "Inverse difference",
        "cm_inv_diff_norm": "Normalised inverse difference",
        "cm_inv_diff_mom": "Inverse difference moment",
        "cm_inv_diff_mom_norm": "Normalised inverse difference moment",
        "cm_inv_var": "Inverse variance",
        "cm_corr": "Correlation",
        "cm_auto_corr": "Autocorrelation",
        "cm_clust_tend": "Cluster tendency",
        "cm_clust_shade": "Cluster shade",
        "cm_clust_prom": "Cluster prominence",
        "cm_info_corr1": "Information correlation 1",
        "cm_info_corr2": "Information correlation 2",
    },
    Family.GLRLM: {
        "rlm_sre": "Short runs emphasis",
        "rlm_lre": "Long runs emphasis",
        "rlm_lgre": "Low grey level run emphasis",
        "rlm_hgre": "High grey level run emphasis",
        "rlm_srlge": "Short run low grey level emphasis",
        "rlm_srhge": "Short run high grey level emphasis",
        "rlm_lrlge": "Long run low grey level emphasis",
        "rlm_lrhge": "Long run high grey level emphasis",
        "rlm_glnu": "Grey level non-uniformity (runs)",
        "rlm_glnu_norm": "Normalised grey level non-uniformity (runs)",
        "rlm_rlnu": "Run length non-uniformity",
        "rlm_rlnu_norm": "Normalised run length non-uniformity",
        "rlm_r_perc": "Run percentage",
        "rlm_gl_var": "Grey level variance (runs)",
        "rlm_rl_var": "Run length variance",
        "rlm_rl_entr": "Run entropy",
    },
    Family.GLSZM: {
        "szm_sze": "Small zone emphasis",
        "szm_lze": "Large zone emphasis",
        "szm_lgze": "Low grey level zone emphasis",
        "szm_hgze": "High grey level zone emphasis",
        "szm_szlge": "Small zone low grey level emphasis",
        "szm_szhge": "Small zone high grey level emphasis",
        "szm_lzlge": "Large zone low grey level emphasis",
        "szm_lzhge": "Large zone high grey level emphasis",
        "szm_glnu": "Grey level non-uniformity (size zones)",
        "szm_glnu_norm": "Normalised grey level non-uniformity (size zones)",
        "szm_zsnu": "Zone size non-uniformity",
        "szm_zsnu_norm": "Normalised zone size non-uniformity",
        "szm_z_perc": "Zone percentage (size zones)",
        "szm_gl_var": "Grey level variance (size zones)",
        "szm_zs_var": "Zone size variance",
        "szm_zs_entr": "Zone size entropy",
    },
    Family.GLDZM: {
        "dzm_sde": "Small distance emphasis",
        "dzm_lde": "Large distance emphasis",
        "dzm_lgze": "Low grey level zone emphasis (distance zones)",
        "dzm_hgze": "High grey level zone emphasis (distance zones)",
        "dzm_sdlge": "Small distance low grey level emphasis",
        "dzm_sdhge": "Small distance high grey level emphasis",
        "dzm_ldlge": "Large distance low grey level emphasis",
        "dzm_ldhge": "Large distance high grey level emphasis",
        "dzm_glnu": "Grey level non-uniformity (distance zones)",
        "dzm_glnu_norm": "Normalised grey level non-uniformity (distance zones)",
        "dzm_zdnu": "Zone distance non-uniformity",
        "dzm_zdnu_norm": "Normalised zone distance non-uniformity",
        "dzm_z_perc": "Zone percentage (distance zones)",
        "dzm_gl_var": "Grey level variance (distance zones)",
        "dzm_zd_var": "Zone distance variance",
        "dzm_zd_entr": "Zone distance entropy",
    },
    Family.NGTDM: {
        "ngt_coarseness": "Coarseness",
        "ngt_contrast": "Contrast (neighbourhood differences)",
        "ngt_busyness": "Busyness",
        "ngt_complexity": "Complexity",
        "ngt_strength": "Strength",
    },
    Family.NGLDM: {
        "ngl_lde": "Low dependence emphasis",
        "ngl_hde": "High dependence emphasis",
        "ngl_lgce": "Low grey level count emphasis",
        "ngl_hgce": "High grey level count emphasis",
        "ngl_ldlge": "Low dependence low grey level emphasis",
        "ngl_ldhge": "Low dependence high grey level emphasis",
        "ngl_hdlge": "High dependence low grey level emphasis",
        "ngl_hdhge": "High dependence high grey level emphasis",
        "ngl_glnu": "Grey level non-uniformity (dependence)",
        "ngl_glnu_norm": "Normalised grey level non-uniformity (dependence)",
        "ngl_dcnu": "Dependence count non-uniformity",
        "ngl_dcnu_norm": "Normalised dependence count non-uniformity",
        "ngl_dc_perc": "Dependence count percentage",
        "ngl_gl_var": "Grey level variance (dependence)",
        "ngl_dc_var": "Dependence count variance",
        "ngl_dc_entr": "Dependence count entropy",
        "ngl_dc_energy": "Dependence count energy",
    },
}

CATALOGUE: dict[str, Feature] = {
    tag: Feature(tag, name, family) for family, names in _NAMES.items() for tag, name in names.items()
}
"""All features by tag."""


def tags_of(family: Family) -> list[str]:
    """Tags of a family in the order of the standard."""
    return list(_NAMES[family])


_SUFFIXES = sorted({f"_{a}" for a in Aggregation} | {f"_{a.dimension}" for a in Aggregation}, key=len, reverse=True)


def describe(key: str) -> Feature:
    """Find the feature of a key such as ``cm_contrast_3D_comb``, ``szm_sze_2D`` or ``log_2mm__stat_mean``."""
    key = key.rpartition("__")[2]
    for suffix in _SUFFIXES:
        if key.endswith(suffix):
            return CATALOGUE[key.removesuffix(suffix)]
    return CATALOGUE[key]

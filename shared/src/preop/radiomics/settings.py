"""How an image and its region are prepared, and which texture aggregations are computed.

The words are those of the Image Biomarker Standardisation Initiative (IBSI reference manual, arXiv 1612.07003,
chapter "Image processing"), so that a settings file reads like the methods section of a paper.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from preop.imaging.resampling import Interpolation
from preop.radiomics.filters import Filter
from preop.radiomics.regions import Region, Tumour

SpacingMm = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(lambda mm: None if mm == 0 else mm)]


class Family(StrEnum):
    """The feature families of IBSI-1, chapter "Image features"."""

    DIAGNOSTICS = "diagnostics"
    MORPHOLOGY = "morphology"
    LOCAL_INTENSITY = "local_intensity"
    STATISTICS = "statistics"
    HISTOGRAM = "histogram"
    VOLUME_HISTOGRAM = "volume_histogram"
    GLCM = "glcm"
    GLRLM = "glrlm"
    GLSZM = "glszm"
    GLDZM = "gldzm"
    NGTDM = "ngtdm"
    NGLDM = "ngldm"


TEXTURES = frozenset({Family.GLCM, Family.GLRLM, Family.GLSZM, Family.GLDZM, Family.NGTDM, Family.NGLDM})


class Aggregation(StrEnum):
    """How the texture matrices of slices and directions become one value.

    ``2D``: a matrix a slice, features averaged over slices. ``2_5D``: the slices' matrices are added up first.
    ``3D``: neighbours in three dimensions. ``avg``: a matrix a direction, features averaged over directions.
    ``comb``: the directions' matrices are added up first. Families without direction know only the dimension.
    """

    SLICE_AVERAGED = "2D_avg"
    SLICE_MERGED = "2D_comb"
    SLICES_ADDED_AVERAGED = "2_5D_avg"
    SLICES_ADDED_MERGED = "2_5D_comb"
    VOLUME_AVERAGED = "3D_avg"
    VOLUME_MERGED = "3D_comb"

    @property
    def dimension(self) -> str:
        """``2D``, ``2_5D`` or ``3D``."""
        return self.value.rpartition("_")[0]

    @property
    def averages_directions(self) -> bool:
        """Whether features are averaged over directions, rather than computed from one merged matrix."""
        return self.value.endswith("avg")


class FixedBinSize(BaseModel):
    """Grey levels of equal width: for intensities with a unit, such as HU or SUV."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["fixed_bin_size"] = "fixed_bin_size"
    width: float = Field(gt=0, description="Width of a bin in the unit of the image.")


class FixedBinNumber(BaseModel):
    """A given number of grey levels between the region's extremes: for arbitrary intensities, such as T1 MR."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["fixed_bin_number"] = "fixed_bin_number"
    count: int = Field(ge=2, description="Number of bins.")


Discretisation = Annotated[FixedBinSize | FixedBinNumber, Field(discriminator="method")]


class Settings(BaseModel):
    """Image processing and texture aggregation; the defaults suit CT in HU."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: Region = Field(
        default=Tumour(), description="Voxels of or around the mask that features are computed from."
    )
    spacing_mm: tuple[SpacingMm, SpacingMm, SpacingMm] | None = Field(
        default=(1.0, 1.0, 1.0),
        description="Voxel size (z, y, x) in mm to which image and mask are resampled; 0 or null for z keeps the "
        "slices, three of them keep the image's grid.",
    )
    interpolation: Interpolation = Field(default="linear", description="Interpolation of the image.")
    mask_interpolation: Interpolation = Field(
        default="linear", description="Interpolation of the mask; a voxel belongs to it where it covers at least half."
    )
    round_intensities: bool = Field(
        default=True, description="Round intensities to whole numbers after resampling: for HU, not for SUV or MR."
    )
    lower: float | None = Field(
        default=None, description="Intensities below are left out of the region; also where the first bin begins."
    )
    upper: float | None = Field(default=None, description="Intensities above are left out of the region.")
    outlier_sigma: float | None = Field(
        default=None,
        gt=0,
        description="Intensities further from the mean of the whole region than so many standard deviations are left "
        "out too (3 in the standard).",
    )
    discretisation: Discretisation | None = Field(
        default=FixedBinSize(width=25.0),
        description="Grey levels of histogram and textures; null where intensities are grey levels (1, 2, ...) already.",
    )
    ivh_discretisation: Discretisation | None = Field(
        default=None,
        description="Steps of the intensity-volume histogram; null for steps of 1 where intensities are rounded, "
        "and for 1,000 bins where they are not.",
    )
    aggregations: tuple[Aggregation, ...] = Field(
        default=(Aggregation.VOLUME_MERGED,), min_length=1, description="Aggregations of the texture families."
    )

    filters: tuple[Filter, ...] = Field(
        default=(), description="Filters whose response maps give features too, named after the filter."
    )
    filter_discretisation: Discretisation = Field(
        default=FixedBinNumber(count=32), description="Grey levels of response maps, whose intensities have no unit."
    )

    @property
    def has_whole_intensities(self) -> bool:
        """Whether intensities are whole numbers: rounded, or grey levels already."""
        return self.round_intensities or self.discretisation is None

    @property
    def of_responses(self) -> Settings:
        """What holds for response maps: the region is found already, and intensities have no unit."""
        return self.model_copy(
            update={
                "lower": None,
                "upper": None,
                "discretisation": self.filter_discretisation,
                "ivh_discretisation": FixedBinNumber(count=1000),
                "filters": (),
            }
        )

    @field_validator("spacing_mm")
    @classmethod
    def _all_kept_is_no_resampling(
        cls, spacing_mm: tuple[float | None, float | None, float | None] | None
    ) -> tuple[float | None, float | None, float | None] | None:
        return None if spacing_mm is None or not any(spacing_mm) else spacing_mm

    @model_validator(mode="after")
    def _filters_have_names_of_their_own(self) -> Self:
        names = [each.name for each in self.filters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"filters ({', '.join(twice)}) must differ, for features are named after them")
        return self

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower ({self.lower:g}) must be < upper ({self.upper:g})")
        return self


class Modality(StrEnum):
    """What scanned the image, on which sensible defaults depend."""

    CT = "CT"
    PET = "PET"
    MR = "MR"


MODALITY_DEFAULTS: dict[Modality, Settings] = {
    Modality.CT: Settings(),
    # Bins of 0.5 SUV from 0 on, the same in all patients (Leijenaar 2015, doi 10.1038/srep11075; IBSI "Fixed bin size").
    Modality.PET: Settings(
        spacing_mm=(2.0, 2.0, 2.0), round_intensities=False, lower=0.0, discretisation=FixedBinSize(width=0.5)
    ),
    # Intensities without a unit: a fixed number of bins (IBSI, section "Intensity discretisation").
    Modality.MR: Settings(round_intensities=False, discretisation=FixedBinNumber(count=32)),
}
"""Settings for each modality where nothing else is said: CT in HU, PET in SUV, MR in arbitrary units."""


def settings_for(modality: Modality | None, given: Settings | None = None) -> Settings:
    """Give the defaults of a modality (of CT, where it is not known), with what was set on purpose in their place."""
    defaults = MODALITY_DEFAULTS[modality or Modality.CT]
    if given is None:
        return defaults
    return defaults.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})


_ALL_2D = tuple(a for a in Aggregation if a.dimension != "3D")
_ALL_3D = tuple(a for a in Aggregation if a.dimension == "3D")

DIGITAL_PHANTOM = Settings(
    spacing_mm=None, round_intensities=False, discretisation=None, aggregations=tuple(Aggregation)
)
"""The digital phantom of IBSI-1: its intensities are grey levels already."""

IBSI_CONFIGURATIONS: dict[str, Settings] = {
    "A": Settings(spacing_mm=None, lower=-500, upper=400, aggregations=_ALL_2D),
    "B": Settings(
        spacing_mm=(None, 2.0, 2.0),
        lower=-500,
        upper=400,
        discretisation=FixedBinNumber(count=32),
        aggregations=_ALL_2D,
    ),
    "C": Settings(
        spacing_mm=(2.0, 2.0, 2.0),
        lower=-1000,
        upper=400,
        ivh_discretisation=FixedBinSize(width=2.5),
        aggregations=_ALL_3D,
    ),
    "D": Settings(
        spacing_mm=(2.0, 2.0, 2.0),
        outlier_sigma=3,
        discretisation=FixedBinNumber(count=32),
        aggregations=_ALL_3D,
    ),
    "E": Settings(
        spacing_mm=(2.0, 2.0, 2.0),
        interpolation="cubic",
        lower=-1000,
        upper=400,
        outlier_sigma=3,
        discretisation=FixedBinNumber(count=32),
        ivh_discretisation=FixedBinNumber(count=1000),
        aggregations=_ALL_3D,
    ),
}
"""The five image-processing configurations of the CT phantom (IBSI reference manual, chapter "Reference data sets")."""

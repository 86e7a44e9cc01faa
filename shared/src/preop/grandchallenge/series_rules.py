"""Which DICOM series an input needs: the table ``[inputs.series]`` of ``algorithm.toml``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SeriesRule(BaseModel):
    """What a series has to be (refused otherwise), and what it had better be (of several, the first by these counts).

    Patterns are words with ``*``, compared without regard to capitals: ``*portal*``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: tuple[str, ...] = Field((), description="one of these (CT, MR, PT, SM); of regions: RTSTRUCT, SEG")
    described_as: tuple[str, ...] = Field((), description="its description fits one of these")
    not_described_as: tuple[str, ...] = Field((), description="its description fits none of these")
    not_body_parts: tuple[str, ...] = Field(
        (), description="BodyPartExamined that is plainly another region; one that is missing or general passes"
    )
    unless_described_as: tuple[str, ...] = Field(
        (), description="descriptions that name the right region, and count for more than BodyPartExamined"
    )
    preferred: tuple[str, ...] = Field((), description="descriptions that are better, the best first")
    kernels: tuple[str, ...] = Field((), description="reconstruction kernels that are better")
    not_kernels: tuple[str, ...] = Field((), description="reconstruction kernels that will not do")
    contrast: bool | None = Field(None, description="whether contrast has to have been given, by header or description")
    thickness_mm: tuple[float, float] | None = Field(None, description="thinnest and thickest slices")
    best_thickness_mm: float | None = Field(None, description="of several, the nearest to this")
    least_slices: int = Field(1, description="fewer are a localizer, or a part of a scan")
    repetition_time_ms: tuple[float, float] | None = Field(None, description="of MR, where the header states it")
    echo_time_ms: tuple[float, float] | None = Field(None, description="of MR, where the header states it")
    corrected: bool = Field(False, description="PET corrected for attenuation")
    same_examination_as: str | None = Field(None, description="slug of the input whose study it has to be of")
    regions: tuple[str, ...] = Field((), description="names of the contours or segments that are meant")

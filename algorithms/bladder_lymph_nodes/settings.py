"""What can be told of encoder and head; it needs no torch, unlike what is made from it (``network.py``)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from preop.mil.predictions import COUNTING, HEAD_NAMES


class NetworkSettings(BaseModel):
    """Of encoder and head."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instances: Literal["cubes", "measures", "radiomics", "signs", "features"] = Field(
        "signs",
        description="what is known of a node: signs: measures, each of which can only raise the probability, for a scorer without "
        "a network; of a network voxels and measures, measures alone, radiomics features, or stored features of an encoder and "
        "measures",
    )
    measures: Literal["axial", "spatial"] = Field(
        "spatial",
        description="what is measured of a node: in slices, six measures; or also its axes in space and the fat beyond it, ten",
    )
    channels: tuple[int, int, int, int] = Field(
        (8, 16, 32, 64), description="of the four stages of the encoder of cubes"
    )
    cube_mm: Literal[16, 24, 32, 48] = Field(
        24, description="the middle of a cube, all that the encoder looks at; 48 takes eight times as long as 24"
    )
    stride: Literal[2, 3] = Field(2, description="of the first layer of the encoder; 3 takes a third of the time of 2")
    head: str = Field("count", description="of preop.mil")
    found: float = Field(
        0.97, gt=0, le=1, description="chance that a positive node on CT enters the pathologist's count"
    )
    leak: float = Field(0.05, ge=0, description="mean number of counted positives in no segmented node")

    fields: Literal["region", "side", "patient"] = Field(
        "side",
        description="the finest parts of a dissection whose counts are learned from, where fields.csv gives them: each field, "
        "all of a side, or all of the patient",
    )

    @field_validator("head")
    @classmethod
    def _is_known(cls, head: str) -> str:
        if head not in HEAD_NAMES:
            raise ValueError(f"there is no head {head}; expected one of {', '.join(sorted(HEAD_NAMES))}")
        return head

    @model_validator(mode="after")
    def _can_be_scored(self) -> Self:
        if self.instances == "signs" and self.head != "count":
            raise ValueError(
                f"signs are learned from by the head count; found the head {self.head}: give it instances, such as measures"
            )
        return self

    @property
    def counts(self) -> bool:
        """Whether the head gives a number of positive nodes."""
        return self.head in COUNTING


def count_options(settings: NetworkSettings) -> dict[str, float]:
    """Options of a head that counts: most patients have no metastasis, and where there is one, there are often more."""
    return {"found": settings.found, "leak": settings.leak, "clustered": True}
